//! This host: what a tunnel needs of it.

use nix::ifaddrs::getifaddrs;
use std::{collections::BTreeSet, io, net::IpAddr};

/// The addresses of all interfaces.
///
/// # Errors
/// When the system does not tell.
pub fn addresses() -> io::Result<BTreeSet<IpAddr>> {
    let address = |storage: nix::sys::socket::SockaddrStorage| {
        let v4 = storage.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    };
    Ok(getifaddrs()?.filter_map(|interface| interface.address.and_then(address)).collect())
}
