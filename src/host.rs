//! Addresses and interfaces of this host.

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
/// When the system cannot list them.
pub fn addresses() -> io::Result<BTreeSet<IpAddr>> {
    Ok(getifaddrs()?.filter_map(|interface| interface.address.and_then(ip)).collect())
}

/// The directly connected networks: those of the addresses of all interfaces that are up. 127.0.0.0/8 and `::1` are left
/// out; other addresses of the loopback interface are included.
///
/// # Errors
/// When the system cannot list them.
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
