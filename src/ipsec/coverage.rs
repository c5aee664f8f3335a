//! Which pairs of networks the CHILD_SAs of a connection carry together. Pure.
//!
//! A peer may make one CHILD_SA for all networks, one per pair, or parts of either. What counts is the union of all.
//! Selectors are compared as ranges of addresses, because charon writes some addresses otherwise than Rust does.

use super::{
    Child, ChildSa, Connection, TrafficSelector,
    next_layer::{Running, Side},
};
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
    /// Which packets it is for.
    layer: Running,
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
    let (addresses, layer) = match text.split_once('[') {
        Some((addresses, layer)) => (addresses, Running::read(layer.trim_end_matches(']'))),
        None => (text, Running::ALL),
    };
    let range = if let Some((first, last)) = addresses.split_once("..") {
        Range::new(first.parse().ok()?, last.parse().ok()?)?
    } else if let Ok(host) = addresses.parse::<IpAddr>() {
        Range::new(host, host)?
    } else {
        let net: ipnet::IpNet = addresses.parse().ok()?;
        Range::new(net.network(), net.broadcast())?
    };
    Some(Selector { range, layer })
}

impl Tile {
    /// Only ranges with all packets that `child` wants: what is for one protocol carries no network.
    fn of(sa: &ChildSa, child: &Child) -> Self {
        Self::with(sa, child, |texts, side| joined(ranges(texts, side, Running::covers)))
    }

    /// Also those with some of these packets.
    fn in_part(sa: &ChildSa, child: &Child) -> Self {
        Self::with(sa, child, |texts, side| ranges(texts, side, Running::meets))
    }

    fn with(sa: &ChildSa, child: &Child, ranges: impl Fn(&BTreeSet<String>, Side) -> Vec<Range>) -> Self {
        let layer = child.next_layer;
        Self { local: ranges(&sa.local, layer.local()), remote: ranges(&sa.remote, layer.remote()) }
    }

    fn contains(&self, local: Range, remote: Range) -> bool {
        holds(&self.local, local) && holds(&self.remote, remote)
    }

    fn touches(&self, local: Range, remote: Range) -> bool {
        self.local.iter().any(|range| range.touches(local)) && self.remote.iter().any(|range| range.touches(remote))
    }
}

/// The ranges of those selectors that are `meant` for the packets of `side`.
fn ranges(texts: &BTreeSet<String>, side: Side, meant: impl Fn(Running, Side) -> bool) -> Vec<Range> {
    let selectors = texts.iter().filter_map(|text| read(text));
    selectors.filter(|selector| meant(selector.layer, side)).map(|selector| selector.range).collect()
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
    let tiles: Vec<_> = sas.into_iter().map(|sa| Tile::of(sa, child)).collect();
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
    let tiles: Vec<_> = sas.into_iter().map(|sa| Tile::in_part(sa, child)).collect();
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
    let tile = Tile::of(sa, child);
    let any = |nets: &[TrafficSelector], ranges: &[Range]| {
        nets.iter().any(|net| ranges.iter().any(|range| range.touches(Range::of(*net))))
    };
    any(&child.local, &tile.local) && any(&child.remote, &tile.remote)
}

/// Whether the SA carries nothing but what `child` wants.
#[must_use]
pub(super) fn is_within(sa: &ChildSa, child: &Child) -> bool {
    let inside = |texts: &BTreeSet<String>, nets: &[TrafficSelector], side: Side| {
        let wanted = joined(nets.iter().map(|net| Range::of(*net)).collect());
        let is_inside = |selector: Selector| holds(&wanted, selector.range) && selector.layer.is_within(side);
        !texts.is_empty() && texts.iter().all(|text| read(text).is_some_and(is_inside))
    };
    let layer = child.next_layer;
    inside(&sa.local, &child.local, layer.local()) && inside(&sa.remote, &child.remote, layer.remote())
}

/// Whether the SA is what `wanted` asks for but for its networks, of which it has none that are not wanted: its part of
/// the whole counts.
#[must_use]
pub fn counts(sa: &ChildSa, wanted: &Connection) -> bool {
    !sa.stale
        && sa.mode == Some(wanted.mode)
        && sa.if_id == wanted.native.if_id
        && sa.runs_suite(wanted)
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
