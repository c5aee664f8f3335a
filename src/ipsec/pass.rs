//! What a connection leaves alone: traffic with the networks that this host is directly connected to. Pure.
//!
//! A remote selector that covers such a network (0.0.0.0/0 above all) takes what the network and this gateway send each
//! other: IPsec policies know no routes, and charon's route stands before the main table. Policies of the kind "pass"
//! (RFC 4301, section 4.4.1: BYPASS) come before those of tunnels. Before those of all tunnels, however small their
//! networks: so a part of such a network that another tunnel carries is not in them.

use super::{Conflict, Connection, ConnectionId, Mode, TrafficSelector};
use data_encoding::HEXLOWER;
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Traffic of one family that a connection does not take, although its selectors have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// `cygnet-<uuid>-pass-<8 digits made of the selectors>`: other selectors are another policy to charon.
    pub name: String,
    /// The connection's own side of the traffic.
    pub local: Vec<TrafficSelector>,
    /// The networks that this host is in, and what never leaves a link.
    pub remote: Vec<TrafficSelector>,
}

/// What never leaves a link: multicast and broadcast on it, and IPv6's link-local addresses. IPv6 finds its neighbours by
/// such packets (RFC 4861), and the kernel asks its IPsec policies about those too.
const ON_LINK: [&str; 4] = ["224.0.0.0/24", "255.255.255.255/32", "fe80::/10", "ff02::/16"];

/// What `connection` is to leave alone on a host that is directly `connected` to these networks: nothing where no remote
/// selector covers one of them. Transport mode carries what the gateways themselves send each other, and nothing else.
#[must_use]
pub fn passes<'a>(connection: &Connection, connected: impl IntoIterator<Item = &'a IpNet>) -> Vec<Pass> {
    passes_beside(connection, connected, &[])
}

/// The same beside other tunnels, which carry these pairs of a local and a remote network.
#[must_use]
pub fn passes_beside<'a>(
    connection: &Connection,
    connected: impl IntoIterator<Item = &'a IpNet>,
    others: &[(IpNet, IpNet)],
) -> Vec<Pass> {
    // What goes through an interface is what routes lead there.
    if connection.mode == Mode::Transport || connection.children.is_empty() || connection.is_route_based() {
        return Vec::new();
    }
    let answering = connection.answering();
    let children = || answering.children.iter();
    let local: BTreeSet<_> = children().flat_map(|child| &child.local).copied().collect();
    let remote: BTreeSet<_> = children().flat_map(|child| &child.remote).copied().collect();
    let covered = |net: &IpNet| remote.iter().any(|selector| selector.net().contains(net));
    let here: BTreeSet<_> = connected.into_iter().map(IpNet::trunc).filter(covered).collect();
    let of_family = |v4: bool| {
        let connected: Vec<_> = here.iter().filter(|net| net.addr().is_ipv4() == v4).copied().collect();
        if connected.is_empty() {
            return Vec::new();
        }
        let on_link = ON_LINK.iter().filter_map(|text| text.parse::<IpNet>().ok()).filter(|net| covered(net));
        let all: Vec<_> = connected.into_iter().chain(on_link.filter(|net| net.addr().is_ipv4() == v4)).collect();
        let mut sides: Vec<(Vec<TrafficSelector>, Vec<TrafficSelector>)> = Vec::new();
        for own in local.iter().copied().filter(|net| net.is_v4() == v4) {
            let remote = beside(&all, own.net(), others);
            match sides.iter_mut().find(|(_, same)| *same == remote) {
                Some((local, _)) => local.push(own),
                None => sides.push((vec![own], remote)),
            }
        }
        sides
    };
    let named = |(local, remote): (Vec<TrafficSelector>, Vec<TrafficSelector>)| {
        let pass = |remote: &[TrafficSelector]| {
            let name = name(connection.id(), &local, remote);
            Pass { name, local: local.clone(), remote: remote.to_vec() }
        };
        remote.chunks(Connection::MAX_SELECTORS).map(pass).collect::<Vec<_>>()
    };
    [true, false].into_iter().flat_map(of_family).flat_map(named).collect()
}

/// These networks without the parts that others carry for traffic of the local network `own`.
fn beside(networks: &[IpNet], own: IpNet, others: &[(IpNet, IpNet)]) -> Vec<TrafficSelector> {
    let meets = |local: &IpNet| local.contains(&own) || own.contains(local);
    let carried: Vec<_> = others.iter().filter(|(local, _)| meets(local)).map(|(_, remote)| *remote).collect();
    let left = |net: &IpNet| {
        let parts: Vec<_> = carried.iter().filter(|part| *part != net && net.contains(*part)).copied().collect();
        without(*net, &parts)
    };
    widest(&networks.iter().flat_map(left).collect())
}

/// `net` without these parts of it, in as few networks as possible.
fn without(net: IpNet, parts: &[IpNet]) -> Vec<IpNet> {
    if parts.iter().any(|part| part.contains(&net)) {
        return Vec::new();
    }
    let inside: Vec<_> = parts.iter().filter(|part| net.contains(*part)).copied().collect();
    match net.subnets(net.prefix_len() + 1) {
        Ok(halves) if !inside.is_empty() => halves.flat_map(|half| without(half, &inside)).collect(),
        _ => vec![net],
    }
}

/// Refuses what takes each packet of a family, whoever sends it to whom: this host's own, its neighbours' and those of all
/// other tunnels. Only routes into an interface can tell what belongs in such a tunnel.
///
/// # Errors
/// When both sides are all addresses of a family, in one selector or in several.
pub fn refuse_everything(connection: &Connection) -> Result<(), Conflict> {
    let is_all = |nets: &mut dyn Iterator<Item = &TrafficSelector>, v4: bool| {
        let nets: Vec<_> = nets.filter(|net| net.is_v4() == v4).map(|net| net.net()).collect();
        matches!(IpNet::aggregate(&nets)[..], [net] if net.prefix_len() == 0)
    };
    let children = || connection.children.iter();
    let all = |v4: &bool| {
        is_all(&mut children().flat_map(|c| &c.local), *v4) && is_all(&mut children().flat_map(|c| &c.remote), *v4)
    };
    match [true, false].into_iter().filter(|_| !connection.is_route_based()).find(all) {
        Some(v4) => Err(Conflict::EverythingTogether { v4 }),
        None => Ok(()),
    }
}

/// Those that are in no other one, in order.
fn widest(nets: &BTreeSet<IpNet>) -> Vec<TrafficSelector> {
    let alone = |net: &&IpNet| !nets.iter().any(|other| other != *net && other.contains(*net));
    nets.iter().filter(alone).filter_map(|net| TrafficSelector::new(*net).ok()).collect()
}

fn name(id: ConnectionId, local: &[TrafficSelector], remote: &[TrafficSelector]) -> String {
    let list = |nets: &[TrafficSelector]| nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let digest = Sha256::digest(format!("{} {}", list(local), list(remote)));
    format!("cygnet-{id}-pass-{}", HEXLOWER.encode_display(&digest[..4]))
}
