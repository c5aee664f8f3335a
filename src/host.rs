//! This host: what a tunnel needs of it.

use ipnet::IpNet;
use nix::{
    ifaddrs::{InterfaceAddress, getifaddrs},
    net::if_::{InterfaceFlags, if_nametoindex},
    sys::socket::SockaddrStorage,
};
use std::{collections::BTreeSet, io, net::IpAddr};

/// The addresses of all interfaces.
///
/// # Errors
/// When the system does not tell.
pub fn addresses() -> io::Result<BTreeSet<IpAddr>> {
    Ok(getifaddrs()?.filter_map(|interface| interface.address.and_then(ip)).collect())
}

/// The networks of the addresses of all interfaces that are up: what this host is directly connected to. What never
/// leaves the host (127.0.0.0/8, `::1`) is none of them; an address of the loopback interface beside these is.
///
/// # Errors
/// When the system does not tell.
pub fn networks() -> io::Result<BTreeSet<IpNet>> {
    let network = |interface: InterfaceAddress| {
        let address = interface.address.and_then(ip).filter(|address| !address.is_loopback())?;
        let net = IpNet::with_netmask(address, interface.netmask.and_then(ip)?).ok()?;
        // A prefix of 0 would be the whole Internet.
        Some(net.trunc()).filter(|net| interface.flags.contains(InterfaceFlags::IFF_UP) && net.prefix_len() > 0)
    };
    Ok(getifaddrs()?.filter_map(network).collect())
}

/// Whether this host has an interface of this name now.
#[must_use]
pub fn has_interface(name: &str) -> bool {
    if_nametoindex(name).is_ok()
}

fn ip(storage: SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}
