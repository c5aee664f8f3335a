//! Networks with a special purpose (RFC 6890): which of them no tunnel carries, and what a tunnel is not made for. Pure.

use super::{Child, Connection, Finding, Mode, Part, TrafficSelector, Weakness};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of network it is, if packets of the kind never come out of a tunnel. A network that merely has such addresses
/// in it, as 0.0.0.0/0 has, is an ordinary one.
fn kind_of(net: TrafficSelector) -> Option<(&'static str, bool)> {
    let within =
        |address: IpAddr, prefix: u8| IpNet::new(address, prefix).is_ok_and(|outer| outer.contains(&net.net()));
    let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    let v6 = |first| IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0));
    let kinds = [
        (v4(127, 0, 0, 0), 8, "loopback addresses, which never leave a host", true),
        (IpAddr::V6(Ipv6Addr::LOCALHOST), 128, "the loopback address, which never leaves a host", true),
        (v4(0, 0, 0, 0), 8, "addresses that no host has (0.0.0.0/8)", true),
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128, "the address that no host has", true),
        (v4(255, 255, 255, 255), 32, "the broadcast address, which never leaves a link", true),
        (v4(224, 0, 0, 0), 4, "multicast addresses", false),
        (v6(0xff00), 8, "multicast addresses", false),
    ];
    kinds.into_iter().find(|(address, prefix, ..)| within(*address, *prefix)).map(|(.., what, never)| (what, never))
}

/// Why no tunnel carries `net`, if none can.
#[must_use]
pub fn never_carried(net: TrafficSelector) -> Option<String> {
    let (what, _) = kind_of(net).filter(|(_, never)| *never)?;
    Some(format!("{net} has {what}: no tunnel carries it; name the network that is meant"))
}

/// What is to be said of the networks of `connection`. A stored one may have what a new one may not.
#[must_use]
pub fn networks(connection: &Connection) -> Vec<Finding> {
    let mut found = Vec::new();
    let children = || connection.children.iter();
    let sides = [
        (Part::LocalNets, sorted(children().flat_map(|child| &child.local))),
        (Part::RemoteNets, sorted(children().flat_map(|child| &child.remote))),
    ];
    for (part, nets) in sides {
        let kinds = nets.into_iter().filter_map(|net| Some((net, kind_of(net)?)));
        found.extend(kinds.map(|(net, (what, never))| {
            let why = if never {
                "no tunnel carries it; name the network that is meant"
            } else {
                "groups of hosts are joined on a link and not through an SA, and this gateway's own routing protocols \
                 would go into the tunnel; carry multicast in GRE or the like between two addresses"
            };
            finding(part, format!("has {net}: {what}; {why}"))
        }));
    }
    found.extend(children().find_map(|child| both_ends(connection, child)));
    found
}

fn finding(part: Part, advice: String) -> Finding {
    Finding { weakness: Weakness::SpecialNetwork, part, advice }
}

/// The networks of `child` that hold the gateways' own addresses on both sides: what the gateways send each other outside
/// would go inside. All addresses of a family are the full tunnel's affair; two single hosts are what somebody wants.
fn both_ends(connection: &Connection, child: &Child) -> Option<Finding> {
    let (vip, peer) = (connection.local_addr, connection.remote_addr.ip()?);
    let holds = |nets: &[TrafficSelector], address: IpAddr| {
        nets.iter().copied().find(|net| net.net().contains(&address) && net.net().prefix_len() > 0)
    };
    let (local, remote) = (holds(&child.local, vip)?, holds(&child.remote, peer)?);
    if connection.mode == Mode::Transport || connection.is_route_based() || (local.is_host() && remote.is_host()) {
        return None;
    }
    let why = format!(
        "has {remote} with the peer's address {peer}, and {local} has the VIP {vip}: what the two gateways send each other \
         beside the tunnel goes into it too, and is lost while it is down; with kernel-libipsec the tunnel takes its own \
         packets; name networks without the gateways' own addresses"
    );
    Some(finding(Part::RemoteNets, why))
}

fn sorted<'a>(nets: impl Iterator<Item = &'a TrafficSelector>) -> Vec<TrafficSelector> {
    let mut nets: Vec<_> = nets.copied().collect();
    nets.sort_unstable();
    nets.dedup();
    nets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_tunnel_carries() {
        let net = |text: &str| text.parse::<TrafficSelector>().expect(text);
        for text in [
            "127.0.0.0/8",
            "127.0.0.1/32",
            "127.128.0.0/9",
            "::1/128",
            "0.0.0.0/8",
            "0.0.0.0/32",
            "::/128",
            "255.255.255.255/32",
        ] {
            assert!(never_carried(net(text)).is_some_and(|why| why.starts_with(text)), "{text}");
        }
        for text in [
            "0.0.0.0/0",
            "0.0.0.0/1",
            "126.0.0.0/7",
            "::/0",
            "::/127",
            "224.0.0.0/4",
            "ff00::/8",
            "240.0.0.0/4",
            "10.0.0.0/8",
        ] {
            assert_eq!(never_carried(net(text)), None, "{text}");
        }
        for text in ["224.0.0.0/4", "239.1.0.0/16", "ff00::/8", "ff02::/16"] {
            assert!(kind_of(net(text)).is_some(), "{text}");
        }
        assert_eq!(kind_of(net("192.0.0.0/2")), None, "it has others too");
    }
}
