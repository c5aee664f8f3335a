//! The condition of a child: one word for what runs of it, beside what is wanted. Pure.

use super::{Child, ChildSa, ChildState, Connection, IkeSa, IkeState, TrafficSelector, Use};
use std::collections::BTreeSet;

/// What is the matter with a wanted child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It runs as wanted, and packets come and go.
    Up,
    /// It runs as wanted, and carried nothing for a while.
    UpIdle,
    /// It runs as wanted; we send, and nothing comes.
    NoInbound,
    /// It runs as wanted; something comes, and we send nothing.
    NoOutbound,
    /// Several SAs carry it as wanted.
    Duplicate,
    /// It runs as wanted, and another connection's tunnel takes all its packets.
    Shadowed,
    /// The peer agreed to a part of the selectors only.
    Narrowed,
    /// It runs with other selectors, of which some are not wanted.
    OtherSelectors,
    /// It runs with other algorithms, or in another mode or protocol, or its IKE SA does.
    OtherAlgorithms,
    /// What runs was made for an earlier configuration.
    Outdated,
    /// Nothing carries it yet; charon is at work.
    Connecting,
    /// Nothing carries it.
    Down,
    /// charon cannot be asked.
    Unknown,
}

impl Condition {
    /// All, in order.
    pub const ALL: [Self; 13] = [
        Self::Up,
        Self::UpIdle,
        Self::NoInbound,
        Self::NoOutbound,
        Self::Duplicate,
        Self::Shadowed,
        Self::Narrowed,
        Self::OtherSelectors,
        Self::OtherAlgorithms,
        Self::Outdated,
        Self::Connecting,
        Self::Down,
        Self::Unknown,
    ];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::UpIdle => "up_idle",
            Self::NoInbound => "no_inbound",
            Self::NoOutbound => "no_outbound",
            Self::Duplicate => "duplicate",
            Self::Shadowed => "shadowed",
            Self::Narrowed => "narrowed",
            Self::OtherSelectors => "other_selectors",
            Self::OtherAlgorithms => "other_algorithms",
            Self::Outdated => "outdated",
            Self::Connecting => "connecting",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }

    /// Whether exactly what is wanted runs. Traffic has no say in that: what carries nothing may have nothing to carry.
    #[must_use]
    pub fn is_as_wanted(self) -> bool {
        matches!(self, Self::Up | Self::UpIdle | Self::NoInbound | Self::NoOutbound | Self::Duplicate | Self::Shadowed)
    }
}

/// The condition of `child`, given the IKE SAs of its connection (`None`: unknown) and what its traffic is like.
#[must_use]
pub fn condition(wanted: &Connection, child: &Child, running: Option<&[IkeSa]>, traffic: Use) -> Condition {
    let Some(running) = running else { return Condition::Unknown };
    match carriers(wanted, child, running).count() {
        0 => unlike(child, running),
        1 => match traffic {
            Use::Both => Condition::Up,
            Use::Idle => Condition::UpIdle,
            Use::NoInbound => Condition::NoInbound,
            Use::NoOutbound => Condition::NoOutbound,
        },
        _ => Condition::Duplicate,
    }
}

/// The SAs that carry `child` exactly as wanted.
pub fn carriers<'a>(
    wanted: &'a Connection,
    child: &'a Child,
    running: &'a [IkeSa],
) -> impl Iterator<Item = &'a ChildSa> {
    installed(child, running).filter(|(ike, sa)| ike.runs(wanted) && sa.runs(wanted, child)).map(|(_, sa)| sa)
}

/// The installed SAs of `child`, each with its IKE SA.
fn installed<'a>(child: &'a Child, running: &'a [IkeSa]) -> impl Iterator<Item = (&'a IkeSa, &'a ChildSa)> {
    let established = running.iter().filter(|ike| ike.state == IkeState::Established);
    let pairs = established.flat_map(|ike| ike.children.iter().map(move |sa| (ike, sa)));
    pairs.filter(|(_, sa)| sa.name == child.name && sa.state == ChildState::Installed)
}

/// The condition when nothing runs as wanted: that of the newest SA, of those that are not of the past if there are any.
fn unlike(child: &Child, running: &[IkeSa]) -> Condition {
    let is_old = |(ike, sa): &(&IkeSa, &ChildSa)| ike.outdated || sa.outdated;
    let Some((ike, sa)) = installed(child, running).max_by_key(|pair| (!is_old(pair), pair.1.unique_id)) else {
        let at_work = |ike: &IkeSa| {
            let pending = |sa: &ChildSa| sa.name == child.name && sa.state == ChildState::Pending;
            ike.state == IkeState::Connecting
                || (ike.state == IkeState::Established && (ike.busy || ike.children.iter().any(pending)))
        };
        return if running.iter().any(at_work) { Condition::Connecting } else { Condition::Down };
    };
    if is_old(&(ike, sa)) {
        Condition::Outdated
    } else if sa.has_selectors(child) {
        Condition::OtherAlgorithms
    } else if is_part(&sa.local, &child.local) && is_part(&sa.remote, &child.remote) {
        Condition::Narrowed
    } else {
        Condition::OtherSelectors
    }
}

/// Whether all that runs is wanted. charon writes a selector with a protocol as `10.1.0.0/24[tcp]`, one that is no
/// network as `10.1.0.0..10.1.0.9`.
fn is_part(running: &BTreeSet<String>, wanted: &[TrafficSelector]) -> bool {
    let inside = |text: &String| {
        let addresses = text.split('[').next().unwrap_or_default();
        match addresses.split_once("..") {
            // Both ends in one network: so is all between them.
            Some((first, last)) => wanted.iter().any(|net| {
                let holds = |end: &str| end.parse().is_ok_and(|end: std::net::IpAddr| net.net().contains(&end));
                holds(first) && holds(last)
            }),
            None => {
                addresses.parse().is_ok_and(|part: ipnet::IpNet| wanted.iter().any(|net| net.net().contains(&part)))
            }
        }
    };
    !running.is_empty() && running.iter().all(inside)
}
