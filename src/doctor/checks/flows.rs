//! Flows, and how much of a flow a rule matches: shared by the checks of rules.

use crate::{
    doctor::{
        Case,
        facts::{
            path::Path,
            rules::{Match, Rule, Way},
        },
    },
    ipsec::{Connection, Mode},
    store::Record,
};
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

/// The deepest nesting of jumps that is followed.
pub const MAX_DEPTH: usize = 16;

/// How much of a flow a condition matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// No packet of the flow.
    None,
    /// A part, or the condition is unknown.
    Some,
    /// Every packet of the flow.
    All,
}

/// The interface of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// A device of kernel-libipsec, such as `ipsec0`.
    Charons,
    /// Any interface but loopback.
    Any,
    /// Not known.
    Unknown,
    /// This one.
    Named(String),
}

/// The protocol of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of any protocol.
    Any,
    /// UDP to this port.
    Udp(u16),
    /// Of this protocol, which has no ports.
    Protocol(u8),
}

/// Packets with the same source, destination, interfaces and protocol.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The source addresses.
    pub source: IpNet,
    /// The destination addresses.
    pub destination: IpNet,
    /// The direction of the IPsec policy that applies to them.
    pub policy: Option<Way>,
    /// The inbound interface.
    pub comes: Device,
    /// The outbound interface.
    pub leaves: Device,
    /// The protocol.
    pub kind: Kind,
    /// Whether they open a connection, or belong to an open one.
    pub begins: bool,
}

/// The pairs of networks that the stored connections join by policies: local, remote.
pub fn pairs(case: &Case) -> Vec<(IpNet, IpNet)> {
    let mut found = Vec::new();
    let by_policies = |connection: &&Connection| connection.mode == Mode::Tunnel && !connection.is_route_based();
    for connection in case.wanted().filter(by_policies) {
        for child in &connection.children {
            for local in &child.local {
                let same = child.remote.iter().filter(|remote| remote.is_v4() == local.is_v4());
                found.extend(same.map(|remote| (local.net(), remote.net())));
            }
        }
    }
    found
}

/// The addresses that must be reachable: the peers, and one address in each network.
pub fn ends(records: &[Arc<Record>]) -> BTreeSet<IpAddr> {
    let loaded = records.iter().filter(|record| record.is_loaded()).map(|record| &record.connection);
    let of = |connection: &Connection| -> Vec<IpAddr> {
        let nets = connection.children.iter().flat_map(|child| child.local.iter().chain(&child.remote));
        nets.map(|net| host_of(net.net())).chain(connection.remote_addr.ip()).collect()
    };
    loaded.flat_map(of).collect()
}

/// The pairs whose traffic is forwarded: their local network is not one of the gateway's own addresses.
pub fn forwarded(case: &Case) -> Vec<(IpNet, IpNet)> {
    let own = case.facts.interfaces.as_deref().unwrap_or_default();
    let is_own = |net: &IpNet| {
        net.prefix_len() == net.max_prefix_len()
            && own.iter().any(|interface| interface.addresses.contains(&net.addr()))
    };
    pairs(case).into_iter().filter(|(local, _)| !is_own(local)).collect()
}

/// Whether charon encrypts packets itself, with kernel-libipsec.
pub fn libipsec(case: &Case) -> bool {
    case.facts.charon.as_ref().is_ok_and(|answers| answers.charon.plugins.iter().any(|p| p == "kernel-libipsec"))
}

/// A host address in the network.
pub fn host_of(net: IpNet) -> IpAddr {
    net.hosts().next().unwrap_or_else(|| net.addr())
}

/// The route to the address, if it is known.
pub fn way(case: &Case, address: IpAddr) -> Option<&Path> {
    case.facts.ways.as_ref().ok()?.get(&address)?.as_ref().ok()
}

/// The interface of the route to the address.
pub fn device(case: &Case, address: IpAddr) -> Device {
    way(case, address).map_or(Device::Unknown, |way| Device::Named(way.device.clone()))
}

/// How much of the flow the rule matches.
pub fn part(rule: &Rule, flow: &Flow) -> Part {
    rule.matches.iter().map(|condition| taken(condition, flow)).min().unwrap_or(Part::All)
}

fn taken(condition: &Match, flow: &Flow) -> Part {
    let (part, is_equal) = match condition {
        Match::Source(nets, is_equal) => (within(flow.source, nets), *is_equal),
        Match::Destination(nets, is_equal) => (within(flow.destination, nets), *is_equal),
        Match::V4(v4) => (whole(flow.source.addr().is_ipv4() == *v4), true),
        // Traffic through kernel-libipsec has no policy in the kernel.
        Match::Ipsec(way, is_equal) => (whole(flow.policy == Some(*way)), *is_equal),
        Match::In(name, is_equal) => (by(name, &flow.comes), *is_equal),
        Match::Out(name, is_equal) => (by(name, &flow.leaves), *is_equal),
        Match::State(states, is_equal) => {
            let state = if flow.begins { "new" } else { "established" };
            (whole(states.iter().any(|known| known == state)), *is_equal)
        }
        Match::Protocol(numbers, is_equal) => (of_protocol(flow.kind, numbers), *is_equal),
        Match::Port(ranges, is_equal) => (to_port(flow.kind, ranges), *is_equal),
        Match::Narrow | Match::Other => (Part::Some, true),
    };
    match (part, is_equal) {
        (part, true) => part,
        (Part::None, false) => Part::All,
        (Part::Some, false) => Part::Some,
        (Part::All, false) => Part::None,
    }
}

fn of_protocol(kind: Kind, numbers: &[u8]) -> Part {
    match kind {
        Kind::Any => Part::Some,
        Kind::Udp(_) => whole(numbers.contains(&17)),
        Kind::Protocol(number) => whole(numbers.contains(&number)),
    }
}

fn to_port(kind: Kind, ranges: &[(u16, u16)]) -> Part {
    match kind {
        Kind::Any => Part::Some,
        Kind::Udp(port) => whole(ranges.iter().any(|(from, to)| (*from..=*to).contains(&port))),
        Kind::Protocol(_) => Part::None,
    }
}

/// All or none.
fn whole(yes: bool) -> Part {
    if yes { Part::All } else { Part::None }
}

/// How much of `net` is in `nets`.
fn within(net: IpNet, nets: &[IpNet]) -> Part {
    if nets.iter().any(|other| other.contains(&net)) {
        Part::All
    } else if nets.iter().any(|other| net.contains(other)) {
        Part::Some
    } else {
        Part::None
    }
}

/// Whether the interface has this name or matches this pattern.
fn by(name: &str, device: &Device) -> Part {
    let stem = name.trim_end_matches(['+', '*']);
    let is_pattern = stem.len() < name.len();
    match device {
        Device::Charons => whole(name.starts_with("ipsec") || (is_pattern && "ipsec".starts_with(stem))),
        Device::Any => whole(name != "lo" && !name.starts_with("ipsec")),
        Device::Unknown => {
            if name == "lo" {
                Part::None
            } else {
                Part::Some
            }
        }
        Device::Named(own) => whole(own == name || (is_pattern && own.starts_with(stem))),
    }
}
