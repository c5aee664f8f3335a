//! What this host seems to be: which of its addresses are public ones of the gateway, and which networks are behind it.

use crate::cli::stop::{Result, Stop};
use cygnet::host;
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// Interfaces of containers and virtual machines begin like this: their networks are not behind a gateway.
const VIRTUAL: [&str; 8] = ["docker", "br-", "veth", "virbr", "lxc", "lxd", "cni", "podman"];

/// Something with a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Named<T> {
    pub name: String,
    pub value: T,
}

/// Whether a value is of IPv6.
pub trait Family {
    fn is_v6(&self) -> bool;
}

impl Family for Named<IpAddr> {
    fn is_v6(&self) -> bool {
        self.value.is_ipv6()
    }
}

impl Family for Named<IpNet> {
    fn is_v6(&self) -> bool {
        self.value.addr().is_ipv6()
    }
}

/// What is proposed.
#[derive(Debug, PartialEq, Eq)]
pub struct Proposal {
    pub vips: Vec<Named<IpAddr>>,
    pub networks: Vec<Named<IpNet>>,
}

impl Proposal {
    /// For this host.
    pub fn of_host() -> Result<Self> {
        let interfaces = host::interfaces();
        let interfaces =
            interfaces.map_err(|e| Stop::failed(format!("this host's addresses cannot be listed: {e}")))?;
        Ok(Self::new(&interfaces, &host::outward_interfaces()))
    }

    /// For a host with these addresses, and default routes over the interfaces `outward`.
    fn new(addresses: &[(String, IpNet)], outward: &BTreeSet<String>) -> Self {
        let usable = addresses.iter().filter(|(name, net)| {
            !is_link_local(net.addr()) && !VIRTUAL.iter().any(|virtual_one| name.starts_with(virtual_one))
        });
        let usable: Vec<_> = usable.collect();
        // Without a default route, a public address tells.
        let is_outward = |(name, net): &(String, IpNet)| {
            if outward.is_empty() { is_public(net.addr()) } else { outward.contains(name) }
        };
        let mut seen = BTreeSet::new();
        let first = usable.iter().filter(|item| is_outward(item) && seen.insert((&item.0, item.1.addr().is_ipv6())));
        let outer: Vec<IpNet> = first.map(|(_, net)| *net).collect();
        let is_behind = |net: &IpNet| !outer.iter().any(|vip| net.contains(&vip.addr()));
        let inner = usable.iter().filter(|item| !is_outward(item)).map(|(_, net)| net.trunc());
        let mut inner: BTreeSet<IpNet> =
            inner.filter(|net| net.prefix_len() < net.max_prefix_len() && is_behind(net)).collect();
        if inner.is_empty() {
            // One interface with a private address: the gateway is one of its network's hosts.
            inner.extend(outer.iter().filter(|vip| !is_public(vip.addr())).map(IpNet::trunc));
        }
        let mut names = BTreeMap::new();
        Self {
            vips: outer.iter().map(|vip| named(vip.addr(), vip.addr().is_ipv6(), "wan", &mut names)).collect(),
            networks: inner.into_iter().map(|net| named(net, net.addr().is_ipv6(), "lan", &mut names)).collect(),
        }
    }
}

/// The value with the next free name: `wan`, `wan-2`, `wan6`.
fn named<T>(value: T, is_v6: bool, base: &str, names: &mut BTreeMap<String, u32>) -> Named<T> {
    let base = format!("{base}{}", if is_v6 { "6" } else { "" });
    let number = names.entry(base.clone()).and_modify(|number| *number += 1).or_insert(1);
    Named { name: if *number == 1 { base } else { format!("{base}-{number}") }, value }
}

/// Reads `NAME=VALUE` and `VALUE`.
pub fn parse<T: FromStr + Display>(texts: &[String], base: &str) -> Result<Vec<Named<T>>>
where
    Named<T>: Family,
{
    let (mut items, mut names): (Vec<Named<T>>, _) = (Vec::new(), BTreeMap::new());
    for text in texts {
        let (name, value) = text.split_once('=').map_or(("", text.as_str()), |(name, value)| (name, value));
        let what = if base == "wan" { "an address" } else { "a CIDR" };
        let value = value.parse().map_err(|_| Stop::usage(format!("{value} is not {what}")))?;
        let mut item = Named { name: name.to_owned(), value };
        if name.is_empty() {
            let is_v6 = item.is_v6();
            item = named(item.value, is_v6, base, &mut names);
        }
        if items.iter().any(|other| other.name == item.name) {
            return Err(Stop::usage(format!("the name {} is given twice", item.name)));
        }
        items.push(item);
    }
    Ok(items)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Whether the address is one of the Internet, not of a private network or behind a provider's NAT.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            !(v4.is_private() || v4.is_loopback() || (first == 100 && (64..128).contains(&second)))
        }
        IpAddr::V6(v6) => !(v6.is_unique_local() || v6 == Ipv6Addr::LOCALHOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proposal for these addresses, as texts.
    fn proposal(addresses: &[(&str, &str)], outward: &[&str]) -> String {
        let addresses: Vec<_> =
            addresses.iter().map(|(name, net)| ((*name).to_owned(), net.parse().expect("a net"))).collect();
        let found = Proposal::new(&addresses, &outward.iter().map(|name| (*name).to_owned()).collect());
        let vips = found.vips.iter().map(|vip| format!("{}={}", vip.name, vip.value));
        vips.chain(found.networks.iter().map(|net| format!("{}={}", net.name, net.value))).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_interface_with_the_default_route_has_the_vips() {
        let addresses = [
            ("eth0", "192.0.2.1/24"),
            ("eth0", "192.0.2.7/24"),
            ("eth0", "2001:db8::1/64"),
            ("eth0", "fe80::1/64"),
            ("eth1", "10.1.0.1/24"),
            ("eth2", "10.2.0.1/16"),
            ("eth2", "fd00:2::1/64"),
            ("docker0", "172.17.0.1/16"),
            ("lo", "10.9.9.9/32"),
        ];
        let all = "wan=192.0.2.1 wan6=2001:db8::1 lan=10.1.0.0/24 lan-2=10.2.0.0/16 lan6=fd00:2::/64";
        assert_eq!(proposal(&addresses, &["eth0"]), all);
        let nat = [("eth0", "192.168.1.5/24"), ("eth1", "10.1.0.1/24")];
        assert_eq!(proposal(&nat, &["eth0"]), "wan=192.168.1.5 lan=10.1.0.0/24", "behind a NAT");
    }

    #[test]
    fn without_a_default_route_a_public_address_tells() {
        let addresses = [("wan", "192.0.2.1/24"), ("lo", "10.1.0.1/24")];
        assert_eq!(proposal(&addresses, &[]), "wan=192.0.2.1 lan=10.1.0.0/24");
        assert_eq!(proposal(&[("eth0", "10.1.0.1/24")], &[]), "lan=10.1.0.0/24", "which one is outside?");
    }

    #[test]
    fn one_private_interface_is_a_host_of_its_network() {
        assert_eq!(proposal(&[("eth0", "10.1.0.5/24")], &["eth0"]), "wan=10.1.0.5 lan=10.1.0.0/24");
        assert_eq!(proposal(&[("eth0", "192.0.2.5/24")], &["eth0"]), "wan=192.0.2.5");
    }

    #[test]
    fn names_are_given_or_made() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let vips: Vec<Named<IpAddr>> = parse(&texts(&["192.0.2.1", "dsl=192.0.2.2", "::1"]), "wan").expect("valid");
        let names: Vec<_> = vips.iter().map(|vip| vip.name.as_str()).collect();
        assert_eq!(names, ["wan", "dsl", "wan6"]);
        for wrong in [&["x"][..], &["a=192.0.2.1", "a=192.0.2.2"], &["a=b=192.0.2.1"]] {
            assert!(parse::<IpAddr>(&texts(wrong), "wan").is_err(), "{wrong:?}");
        }
    }
}
