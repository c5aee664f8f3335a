//! Special addresses and networks: a peer that this host itself is, and networks that a tunnel is not made for.

use super::{Host, Warning, plan::refused};
use crate::{
    error::Result,
    host::has_interface,
    ipsec::{Conflict, Connection, Invalid, Part, special::doubts},
};
use ipnet::IpNet;
use std::net::IpAddr;

/// Refuses a peer that has this host's own address, or a broadcast address of a network that this host is in, unless the
/// connection has had that peer before: addresses of hosts come and go.
pub(super) fn refuse_own_address(old: Option<&Connection>, new: &Connection, host: &Host) -> Result<()> {
    let peer = new.remote_addr;
    // A link-local address may be another host's on another link.
    if peer.has_scope() || old.is_some_and(|old| old.remote_addr == peer) {
        return Ok(());
    }
    let is_own = host.addresses().is_some_and(|all| all.contains(&peer));
    let is_broadcast = |net: &&IpNet| match (net, *peer) {
        (IpNet::V4(net), IpAddr::V4(peer)) => net.prefix_len() < 31 && [net.broadcast(), net.network()].contains(&peer),
        _ => false,
    };
    let why = if is_own {
        format!("{peer} is an address of this host itself: name the peer's address")
    } else if let Some(net) = host.networks.iter().flatten().find(is_broadcast) {
        format!(
            "{peer} is no host's address in {net}, which this host is in: it is the network itself or its broadcast address"
        )
    } else {
        return Ok(());
    };
    Err(refused(Conflict { part: Part::RemoteAddr, why: Invalid::new(why) }))
}

/// What is to be said of the networks of `connection`, and of the way to its peer.
pub(super) fn warnings(connection: &Connection) -> impl Iterator<Item = Warning> {
    let networks = doubts(connection).into_iter().map(|doubt| Warning {
        code: doubt.code,
        part: Some(if doubt.is_remote { Part::RemoteNets.name() } else { Part::LocalNets.name() }),
        message: doubt.why,
    });
    let missing = connection.remote_addr.interface().filter(|name| !has_interface(name)).map(|name| Warning {
        code: "NO_INTERFACE",
        part: Some(Part::RemoteAddr.name()),
        message: format!(
            "has {name} behind it, an interface that this host does not have now: charon cannot send to the peer; name the \
             interface that leads to it (ip -6 address)"
        ),
    });
    networks.chain(missing)
}
