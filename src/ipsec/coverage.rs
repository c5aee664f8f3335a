//! Which pairs of networks the CHILD_SAs of a connection carry together. Pure.
//!
//! A peer may make one CHILD_SA for all networks, one per pair, or parts of either. What counts is the union of all.
//! Selectors are compared as ranges of addresses, because charon writes some addresses otherwise than Rust does.

use super::{Child, ChildSa, Connection, TrafficSelector};
use std::{collections::BTreeSet, net::IpAddr};

/// A pair of networks: ours and the peer's.
pub type Pair = (TrafficSelector, TrafficSelector);

/// Addresses from the first to the last, of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    v4: bool,
    first: u128,
    last: u128,
}

/// A selector as charon writes it: `10.1.0.0/24`, `10.1.0.0..10.1.0.9`, either with `[tcp/443]` behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Selector {
    range: Range,
    /// Whether it is for every protocol and port.
    is_whole: bool,
}

/// What one CHILD_SA carries: each range of ours to each of the peer's.
struct Tile {
    local: Vec<Range>,
    remote: Vec<Range>,
}

impl Range {
    fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        let range = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Self { v4: true, first: u32::from(first).into(), last: u32::from(last).into() }
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => Self { v4: false, first: first.into(), last: last.into() },
            _ => return None,
        };
        (range.first <= range.last).then_some(range)
    }

    fn of(net: TrafficSelector) -> Self {
        let value = |address| match address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)),
            IpAddr::V6(v6) => v6.into(),
        };
        Self { v4: net.is_v4(), first: value(net.net().network()), last: value(net.net().broadcast()) }
    }

    fn contains(self, other: Self) -> bool {
        self.v4 == other.v4 && self.first <= other.first && other.last <= self.last
    }

    fn touches(self, other: Self) -> bool {
        self.v4 == other.v4 && self.first <= other.last && other.first <= self.last
    }
}

/// Reads a selector of charon's; `None` if it is none of addresses.
fn read(text: &str) -> Option<Selector> {
    let (addresses, is_whole) = match text.split_once('[') {
        Some((addresses, _)) => (addresses, false),
        None => (text, true),
    };
    let range = if let Some((first, last)) = addresses.split_once("..") {
        Range::new(first.parse().ok()?, last.parse().ok()?)?
    } else if let Ok(host) = addresses.parse::<IpAddr>() {
        Range::new(host, host)?
    } else {
        let net: ipnet::IpNet = addresses.parse().ok()?;
        Range::new(net.network(), net.broadcast())?
    };
    Some(Selector { range, is_whole })
}

impl Tile {
    /// Whole ranges only: what is for one protocol carries no network.
    fn of(sa: &ChildSa) -> Self {
        let ranges = |texts: &BTreeSet<String>| {
            let whole = texts.iter().filter_map(|text| read(text)).filter(|selector| selector.is_whole);
            joined(whole.map(|selector| selector.range).collect())
        };
        Self { local: ranges(&sa.local), remote: ranges(&sa.remote) }
    }

    fn contains(&self, local: Range, remote: Range) -> bool {
        holds(&self.local, local) && holds(&self.remote, remote)
    }

    fn touches(&self, local: Range, remote: Range) -> bool {
        self.local.iter().any(|range| range.touches(local)) && self.remote.iter().any(|range| range.touches(remote))
    }
}

/// Ranges in order, those that meet made one.
fn joined(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.v4 == range.v4 && range.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(range.last);
            }
            _ => joined.push(range),
        }
    }
    joined
}

fn holds(ranges: &[Range], wanted: Range) -> bool {
    ranges.iter().any(|range| range.contains(wanted))
}

/// Whether `tiles` carry the whole of `local` to the whole of `remote`.
fn carries(tiles: &[Tile], local: Range, remote: Range) -> bool {
    if tiles.iter().any(|tile| tile.contains(local, remote)) {
        return true;
    }
    // Cut along all edges: within one piece, a tile carries all or nothing.
    let touching: Vec<_> = tiles.iter().filter(|tile| tile.touches(local, remote)).collect();
    if touching.len() < 2 {
        return false;
    }
    let (ours, theirs) = (
        pieces(local, touching.iter().flat_map(|tile| &tile.local)),
        pieces(remote, touching.iter().flat_map(|tile| &tile.remote)),
    );
    ours.iter().all(|l| theirs.iter().all(|r| touching.iter().any(|tile| tile.contains(*l, *r))))
}

/// `whole` cut at the edges of `ranges`.
fn pieces<'a>(whole: Range, ranges: impl Iterator<Item = &'a Range>) -> Vec<Range> {
    let mut starts = BTreeSet::from([whole.first]);
    for range in ranges.filter(|range| range.touches(whole)) {
        starts.insert(range.first.max(whole.first));
        starts.extend(range.last.checked_add(1).filter(|start| *start <= whole.last));
    }
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([whole.last]);
    starts.iter().zip(ends).map(|(first, last)| Range { v4: whole.v4, first: *first, last }).collect()
}

/// The pairs of networks of `child` that `sas` do not carry together in whole.
#[must_use]
pub fn uncovered<'a>(child: &Child, sas: impl IntoIterator<Item = &'a ChildSa>) -> Vec<Pair> {
    let tiles: Vec<_> = sas.into_iter().map(Tile::of).collect();
    let all = |nets: &[TrafficSelector], ranges: &[Range]| nets.iter().all(|net| holds(ranges, Range::of(*net)));
    if tiles.iter().any(|tile| all(&child.local, &tile.local) && all(&child.remote, &tile.remote)) {
        return Vec::new();
    }
    let pairs = child.local.iter().flat_map(|local| child.remote.iter().map(move |remote| (*local, *remote)));
    pairs.filter(|(local, remote)| !carries(&tiles, Range::of(*local), Range::of(*remote))).collect()
}

/// The pairs of networks of `child` of which `sas` carry nothing at all, not even one protocol.
#[must_use]
pub fn untouched<'a>(child: &Child, sas: impl IntoIterator<Item = &'a ChildSa>) -> Vec<Pair> {
    let any = |texts: &BTreeSet<String>| texts.iter().filter_map(|text| read(text)).map(|s| s.range).collect();
    let tiles: Vec<_> = sas.into_iter().map(|sa| Tile { local: any(&sa.local), remote: any(&sa.remote) }).collect();
    let pairs = child.local.iter().flat_map(|local| child.remote.iter().map(move |remote| (*local, *remote)));
    let is_untouched =
        |(local, remote): &Pair| !tiles.iter().any(|tile| tile.touches(Range::of(*local), Range::of(*remote)));
    pairs.filter(is_untouched).collect()
}

/// Those of `sas` that together carry `child`, none of them needless: the ones that bear its name before others, the
/// earlier ones before the later. Empty if a part of the child is not carried.
#[must_use]
pub fn carriers<'a>(child: &Child, sas: impl IntoIterator<Item = &'a ChildSa>) -> Vec<&'a ChildSa> {
    let mut kept: Vec<_> = sas.into_iter().filter(|sa| touches(sa, child)).collect();
    kept.sort_by_key(|sa| sa.name != child.name);
    if !uncovered(child, kept.iter().copied()).is_empty() {
        return Vec::new();
    }
    if let Some(one) = kept.iter().find(|sa| uncovered(child, [**sa]).is_empty()) {
        return vec![one];
    }
    for place in (0..kept.len()).rev() {
        let others = kept.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, sa)| *sa);
        if uncovered(child, others).is_empty() {
            kept.remove(place);
        }
    }
    kept
}

/// Whether the SA carries a part of the child.
fn touches(sa: &ChildSa, child: &Child) -> bool {
    let tile = Tile::of(sa);
    let any = |nets: &[TrafficSelector], ranges: &[Range]| {
        nets.iter().any(|net| ranges.iter().any(|range| range.touches(Range::of(*net))))
    };
    any(&child.local, &tile.local) && any(&child.remote, &tile.remote)
}

/// Whether the SA carries nothing but what `child` wants.
#[must_use]
pub(super) fn is_within(sa: &ChildSa, child: &Child) -> bool {
    let inside = |texts: &BTreeSet<String>, nets: &[TrafficSelector]| {
        let wanted = joined(nets.iter().map(|net| Range::of(*net)).collect());
        !texts.is_empty() && texts.iter().all(|text| read(text).is_some_and(|s| holds(&wanted, s.range)))
    };
    inside(&sa.local, &child.local) && inside(&sa.remote, &child.remote)
}

/// Whether the SA is what `wanted` asks for but for its networks, of which it has none that are not wanted: its part of
/// the whole counts.
#[must_use]
pub fn counts(sa: &ChildSa, wanted: &Connection) -> bool {
    !sa.stale
        && sa.mode == Some(wanted.mode)
        && sa.runs_suite(wanted.protocol)
        && wanted.children.iter().chain(&wanted.answered).any(|child| is_within(sa, child))
}

/// The network without those of `nets` that another one of them contains: charon drops them from a child's selectors.
#[must_use]
pub(super) fn outermost(nets: &[TrafficSelector]) -> Vec<TrafficSelector> {
    let is_inner = |net: &TrafficSelector| nets.iter().any(|other| other != net && other.net().contains(&net.net()));
    nets.iter().copied().filter(|net| !is_inner(net)).collect()
}

/// The SA's networks for people: `10.1.0.0/24, 10.5.0.0/16 === 10.2.0.0/24`.
#[must_use]
pub fn text_of(sa: &ChildSa) -> String {
    let side = |texts: &BTreeSet<String>| texts.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    format!("{} === {}", side(&sa.local), side(&sa.remote))
}
