//! The condition of a child: one word for what runs of it, beside what is wanted. Pure.

use super::{Child, ChildSa, ChildState, Connection, IkeSa, IkeState, Use, coverage, native::StartMode};
use std::{cmp::Reverse, collections::BTreeSet};

/// What is the matter with a wanted child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    Stale,
    /// Nothing carries it yet; charon is at work.
    Connecting,
    /// Nothing carries it, and it is not this end that begins.
    Waiting,
    /// Nothing carries it here: another gateway has the local address.
    Standby,
    /// Nothing carries it.
    Down,
    /// charon cannot be asked.
    Unknown,
}

impl Condition {
    /// All, in order.
    pub const ALL: [Self; 15] = [
        Self::Up,
        Self::UpIdle,
        Self::NoInbound,
        Self::NoOutbound,
        Self::Duplicate,
        Self::Shadowed,
        Self::Narrowed,
        Self::OtherSelectors,
        Self::OtherAlgorithms,
        Self::Stale,
        Self::Connecting,
        Self::Waiting,
        Self::Standby,
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
            Self::Stale => "outdated",
            Self::Connecting => "connecting",
            Self::Waiting => "waiting",
            Self::Standby => "standby",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }

    /// Whether exactly what is wanted runs. Traffic has no say in that: what carries nothing may have nothing to carry.
    #[must_use]
    pub fn is_as_wanted(self) -> bool {
        matches!(self, Self::Up | Self::UpIdle | Self::NoInbound | Self::NoOutbound | Self::Duplicate | Self::Shadowed)
    }

    /// Whether an SA carries it, as wanted or otherwise.
    #[must_use]
    pub fn is_carried(self) -> bool {
        !matches!(self, Self::Connecting | Self::Waiting | Self::Standby | Self::Down | Self::Unknown)
    }
}

/// The condition of `child`, given the IKE SAs of its connection (`None`: unknown) and what its traffic is like.
#[must_use]
pub fn condition(wanted: &Connection, child: &Child, running: Option<&[IkeSa]>, traffic: Use) -> Condition {
    let Some(running) = running else { return Condition::Unknown };
    let carriers = carriers(wanted, child, running);
    if carriers.is_empty() {
        return unlike(wanted, child, running);
    }
    let is_needless = |sa: &ChildSa| sa.name == child.name && !carriers.iter().any(|c| c.unique_id == sa.unique_id);
    if current(wanted, running).any(is_needless) {
        return Condition::Duplicate;
    }
    match traffic {
        Use::Both => Condition::Up,
        Use::Idle => Condition::UpIdle,
        Use::NoInbound => Condition::NoInbound,
        Use::NoOutbound => Condition::NoOutbound,
    }
}

/// The SAs that together carry `child` as wanted, none of them needless; empty if a part of it is not carried.
#[must_use]
pub fn carriers<'a>(wanted: &Connection, child: &Child, running: &'a [IkeSa]) -> Vec<&'a ChildSa> {
    coverage::carriers(child, current(wanted, running))
}

/// The installed SAs that are as wanted, and one too many: a newer one has the same networks, or others carry them.
#[must_use]
pub fn duplicates<'a>(wanted: &Connection, running: &'a [IkeSa]) -> Vec<&'a ChildSa> {
    let mut all: Vec<_> = current(wanted, running).collect();
    all.sort_by_key(|sa| (sa.age, Reverse(sa.unique_id)));
    let mut networks = BTreeSet::new();
    let (newest, mut needless): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|sa| networks.insert((&sa.local, &sa.remote)));
    for child in &wanted.children {
        // Where a part is not carried, nothing is needless but an older twin.
        let carriers = coverage::carriers(child, newest.iter().copied());
        let is_one = |sa: &&&ChildSa| carriers.iter().any(|carrier| carrier.unique_id == sa.unique_id);
        let own = newest.iter().filter(|sa| sa.name == child.name && !carriers.is_empty());
        needless.extend(own.filter(|sa| !is_one(sa)));
    }
    needless
}

/// The installed SAs that are as wanted, whichever networks they have of those that are.
pub fn current<'a>(wanted: &Connection, running: &'a [IkeSa]) -> impl Iterator<Item = &'a ChildSa> {
    installed(running).filter(|(ike, sa)| ike.runs(wanted) && coverage::counts(sa, wanted)).map(|(_, sa)| sa)
}

/// The installed SAs, each with its IKE SA.
pub(super) fn installed(running: &[IkeSa]) -> impl Iterator<Item = (&IkeSa, &ChildSa)> {
    let established = running.iter().filter(|ike| ike.state == IkeState::Established);
    let pairs = established.flat_map(|ike| ike.children.iter().map(move |sa| (ike, sa)));
    pairs.filter(|(_, sa)| sa.state == ChildState::Installed)
}

/// What protects the installed SAs against quantum computers, each once; `None` if none is installed.
#[must_use]
pub fn post_quantum(running: &[IkeSa]) -> Option<String> {
    let all: BTreeSet<_> = installed(running).map(|(ike, sa)| ike.post_quantum_of(sa).0).collect();
    (!all.is_empty()).then(|| all.into_iter().collect::<Vec<_>>().join(", "))
}

/// The condition when nothing runs as wanted: that of the newest SA, of those that are not of the past if there are any.
fn unlike(wanted: &Connection, child: &Child, running: &[IkeSa]) -> Condition {
    let is_old = |(ike, sa): &(&IkeSa, &ChildSa)| ike.stale || sa.stale;
    let own = installed(running).filter(|(_, sa)| sa.name == child.name);
    let Some((ike, sa)) = own.max_by_key(|pair| (!is_old(pair), pair.1.unique_id)) else {
        let at_work = |ike: &IkeSa| {
            let pending = |sa: &ChildSa| sa.name == child.name && sa.state == ChildState::Pending;
            ike.state == IkeState::Connecting
                || (ike.state == IkeState::Established && (ike.busy || ike.children.iter().any(pending)))
        };
        return match wanted.start_mode() {
            _ if running.iter().any(at_work) => Condition::Connecting,
            StartMode::Initiate => Condition::Down,
            StartMode::Respond | StartMode::Trap => Condition::Waiting,
        };
    };
    if is_old(&(ike, sa)) {
        Condition::Stale
    } else if !coverage::is_within(sa, child) {
        Condition::OtherSelectors
    } else if coverage::uncovered(child, [sa]).is_empty() {
        Condition::OtherAlgorithms
    } else {
        Condition::Narrowed
    }
}
