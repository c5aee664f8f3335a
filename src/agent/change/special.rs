//! Special peer addresses: network and broadcast addresses, this host's own, and link-local ones.

use crate::{
    agent::{LocalAddresses, Warning},
    error::Result,
    host::has_interface,
    ipsec::{Conflict, Connection, Part, PeerAddr, Remote},
};
use ipnet::IpNet;
use std::net::IpAddr;

/// Refuses a peer with the broadcast or network address of one of the host's networks. A connection that already had the
/// peer keeps it: the host's networks change.
pub(super) fn refuse_broadcast(old: Option<&Connection>, new: &Connection, host: &LocalAddresses) -> Result<()> {
    let Some(peer) = new.remote_addr.address() else { return Ok(()) };
    let is_no_host = |net: &&IpNet| match (net, *peer) {
        (IpNet::V4(net), IpAddr::V4(peer)) => net.prefix_len() < 31 && [net.broadcast(), net.network()].contains(&peer),
        _ => false,
    };
    let known = old.is_some_and(|old| old.remote_addr == new.remote_addr);
    match host.networks.iter().flatten().copied().find(|net| is_no_host(&net)).filter(|_| !known) {
        Some(net) => Err(Conflict::NetworksAddress { peer, net }.into()),
        None => Ok(()),
    }
}

/// The warnings about the path to the peer. The addresses of this host change, above all in clusters, so an address that
/// equals the peer's is no reason to refuse it.
pub(super) fn warnings(connection: &Connection, host: &LocalAddresses) -> impl Iterator<Item = Warning> {
    let peer = connection.remote_addr.address();
    let warning = |code, message| Warning { code, part: Some(Part::RemoteAddr), message, remedy: None };
    let missing = peer.and_then(|peer| peer.interface()).filter(|name| !has_interface(name)).map(|name| {
        let message = format!(
            "has {name} behind it, an interface that this host does not have now: charon cannot send to the peer; name the \
             interface that leads to it (ip -6 address)"
        );
        warning("NO_INTERFACE", message)
    });
    // A link-local address may belong to another host on another link.
    let is_own = |peer: &PeerAddr| !peer.has_scope() && host.addresses().is_some_and(|all| all.contains(&**peer));
    let own = peer.filter(is_own).map(|peer| {
        let message =
            format!("is {peer}, an address of this host itself: the tunnel cannot come up; name the peer's address");
        warning("OWN_ADDRESS", message)
    });
    let unresolved = (connection.remote_addr == Remote::Unresolved).then(|| {
        let message =
            "has no address yet: the name does not resolve on this gateway; the tunnel is made as soon as it does";
        warning("NAME_UNRESOLVED", message.into())
    });
    missing.into_iter().chain(own).chain(unresolved)
}
