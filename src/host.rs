//! Addresses and interfaces of this host.

mod netlink;

pub use netlink::{AddressNews, addresses};

use crate::disk::open::{self, Kind};
use ipnet::IpNet;
use nix::{
    ifaddrs::{InterfaceAddress, getifaddrs},
    net::if_::{InterfaceFlags, if_nametoindex},
    sys::socket::SockaddrStorage,
};
use std::{collections::BTreeSet, io, net::IpAddr, path::Path};

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

/// The addresses of all interfaces that are up, each with its prefix and the name of its interface; without those of the
/// host itself (127.0.0.0/8 and `::1`).
///
/// # Errors
/// When the system cannot list them.
pub fn interfaces() -> io::Result<Vec<(String, IpNet)>> {
    let interface = |interface: InterfaceAddress| {
        let address = interface.address.and_then(ip).filter(|address| !address.is_loopback())?;
        let net = IpNet::with_netmask(address, interface.netmask.and_then(ip)?).ok()?;
        interface.flags.contains(InterfaceFlags::IFF_UP).then_some((interface.interface_name, net))
    };
    Ok(getifaddrs()?.filter_map(interface).collect())
}

/// The interfaces with a default route, of either family.
#[must_use]
pub fn outward_interfaces() -> BTreeSet<String> {
    let read = |path: &str| open::read_to_string(Path::new(path), Kind::Kernel).unwrap_or_default();
    outward(&read("/proc/net/route"), &read("/proc/net/ipv6_route"))
}

/// From the tables as the kernel prints them: `Iface Destination Gateway Flags RefCnt Use Metric Mask ...`, and
/// `destination prefix source prefix gateway metric references use flags interface`.
fn outward(v4: &str, v6: &str) -> BTreeSet<String> {
    let v4 = v4.lines().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        [name, "00000000", _, _, _, _, _, "00000000", ..] => Some((*name).to_owned()),
        _ => None,
    });
    let v6 = v6.lines().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        [to, "00", .., name] if to.bytes().all(|b| b == b'0') => Some((*name).to_owned()),
        _ => None,
    });
    v4.chain(v6).filter(|name| name != "lo").collect()
}

/// The addresses of `name`, by the system's resolver (`/etc/hosts`, DNS and what else nsswitch.conf names), in its order.
///
/// # Errors
/// When it has none, or the resolver does not answer.
pub async fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    // The port has no meaning here.
    let found = tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip());
    let mut all = Vec::new();
    found.for_each(|address| all.extend(Some(address).filter(|address| !all.contains(address))));
    Ok(all)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_are_read_as_the_kernel_prints_them() {
        let v4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                  wan0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                  lan0\t0000010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                  vpn0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n";
        let zeros = "0".repeat(32);
        let v6 = format!(
            "{zeros} 00 {zeros} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     wan6\n\
             {zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200       lo\n\
             20010db8000000000000000000000000 40 {zeros} 00 {zeros} 00000100 00000001 00000000 00000001     lan0\n"
        );
        assert_eq!(outward(v4, &v6), ["wan0".to_owned(), "wan6".to_owned()].into());
    }
}
