//! Which connections join the same or overlapping networks. The cost of a lookup does not depend on the number of
//! connections: it tries each prefix length in use, and stops after a few others.

use crate::ipsec::{Connection, ConnectionId, NextLayer};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

/// A local and a remote network.
type Pair = (IpNet, IpNet);
/// Whose a pair of networks is, and which of its packets it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    id: ConnectionId,
    layer: NextLayer,
    /// The interface that its packets come by.
    if_id: u32,
}

impl Owner {
    /// That of the pairs of `connection`.
    pub fn of(connection: &Connection) -> Self {
        let layer = connection.children.first().map(|child| child.next_layer);
        Self { id: connection.id(), layer: layer.unwrap_or_default(), if_id: connection.native.if_id }
    }

    /// Whether it is another connection's, and a packet may be for both.
    fn competes(self, other: Self) -> bool {
        self.id != other.id && self.if_id == other.if_id && self.layer.meets(other.layer)
    }
}

/// The owners of a pair, with counts: a change holds the old and the new one until it is decided.
type Holders = BTreeMap<Pair, BTreeMap<Owner, usize>>;

/// The most others that a lookup returns.
pub const SHOWN: usize = 5;

/// The pairs of networks of all enabled connections.
#[derive(Default, Clone)]
pub struct Overlaps {
    by_local: Holders,
    /// The same with the remote network first.
    by_remote: Holders,
    /// The prefix lengths in use on each side, by family, with counts.
    lengths: [BTreeMap<(bool, u8), usize>; 2],
    /// The number of additions and removals.
    revision: u64,
}

/// Other connections, each with the shared pairs of networks.
pub type Found = BTreeMap<ConnectionId, BTreeSet<Pair>>;

impl Overlaps {
    /// Adds the pairs of `owner`.
    pub fn add(&mut self, owner: Owner, pairs: impl Iterator<Item = Pair>) {
        self.revision += 1;
        for (local, remote) in pairs {
            for (holders, pair) in [(&mut self.by_local, (local, remote)), (&mut self.by_remote, (remote, local))] {
                *holders.entry(pair).or_default().entry(owner).or_default() += 1;
            }
            for (lengths, net) in self.lengths.iter_mut().zip([local, remote]) {
                *lengths.entry(kind(net)).or_default() += 1;
            }
        }
    }

    /// Removes what one [`Overlaps::add`] added.
    pub fn remove(&mut self, owner: Owner, pairs: impl Iterator<Item = Pair>) {
        self.revision += 1;
        for (local, remote) in pairs {
            for (holders, pair) in [(&mut self.by_local, (local, remote)), (&mut self.by_remote, (remote, local))] {
                let ids = holders.entry(pair).or_default();
                take(ids, &owner);
                if ids.is_empty() {
                    holders.remove(&pair);
                }
            }
            for (lengths, net) in self.lengths.iter_mut().zip([local, remote]) {
                take(lengths, &kind(net));
            }
        }
    }

    /// A number that changes with each change.
    pub(in crate::agent) fn revision(&self) -> u64 {
        self.revision
    }

    /// The pairs of other connections than `but` whose remote network is within `net`, without those of interfaces.
    pub fn inside(&self, net: IpNet, but: ConnectionId) -> impl Iterator<Item = Pair> {
        let all = self.by_remote.range(within(net)).filter(move |((remote, _), _)| *remote != net);
        let others = all.filter(move |(_, ids)| ids.keys().any(|owner| owner.id != but && owner.if_id == 0));
        others.map(|((remote, local), _)| (*local, *remote))
    }

    /// The others that have exactly this pair, for the same packets.
    pub fn same(&self, pair: Pair, but: Owner) -> impl Iterator<Item = ConnectionId> {
        let owners = self.by_local.get(&pair).into_iter().flat_map(BTreeMap::keys);
        let is_same = move |owner: &&Owner| owner.competes(but) && owner.layer == but.layer;
        owners.filter(is_same).map(|owner| owner.id)
    }

    /// The first few others that compete with `owner` and whose networks overlap one of these pairs on both sides.
    pub fn of(&self, owner: Owner, pairs: impl Iterator<Item = Pair>) -> Found {
        let mut search = Search { owner, found: Found::new() };
        for (local, remote) in pairs {
            if !self.around(local, remote, &mut search) {
                break;
            }
        }
        search.found
    }

    /// Finds the pairs that overlap one pair; false when enough are found.
    fn around(&self, local: IpNet, remote: IpNet, search: &mut Search) -> bool {
        let (locals, remotes) = (self.widths(0, local), self.widths(1, remote));
        // The three cases: wider on both sides, wider on one, narrower on both.
        let both = locals.iter().flat_map(|l| remotes.iter().map(move |r| (*l, *r)));
        let wide = both.filter_map(|pair| Some((pair, self.by_local.get(&pair)?)));
        let by_local = locals.iter().flat_map(|l| self.by_local.range(under(*l, remote)));
        let by_remote = remotes.iter().flat_map(|r| self.by_remote.range(under(*r, local)));
        let turned = |((remote, local), ids)| ((local, remote), ids);
        let one_side = by_local.map(|(pair, ids)| (*pair, ids)).chain(by_remote.map(|(p, ids)| turned((*p, ids))));
        for (pair, ids) in wide.chain(one_side) {
            if !search.takes(pair, ids) {
                return false;
            }
        }
        // Both lists contain the result; the shorter one is searched.
        let mut inside_local = self.by_local.range(within(local));
        let mut inside_remote = self.by_remote.range(within(remote));
        while let (Some((a, of_a)), Some((b, of_b))) = (inside_local.next(), inside_remote.next()) {
            let goes_on = (!remote.contains(&a.1) || search.takes(*a, of_a))
                && (!local.contains(&b.1) || search.takes((b.1, b.0), of_b));
            if !goes_on {
                return false;
            }
        }
        true
    }

    /// `net` and the wider networks around it with a prefix length in use on this side.
    fn widths(&self, side: usize, net: IpNet) -> Vec<IpNet> {
        let (v4, length) = kind(net);
        let lengths = self.lengths[side].range((v4, 0)..=(v4, length)).map(|((_, length), _)| *length);
        lengths.filter_map(|length| IpNet::new(net.addr(), length).ok()).map(|wide| wide.trunc()).collect()
    }
}

struct Search {
    owner: Owner,
    found: Found,
}

impl Search {
    /// Adds the owners of `pair`; false when enough are found.
    fn takes(&mut self, pair: Pair, owners: &BTreeMap<Owner, usize>) -> bool {
        for owner in owners.keys().filter(|owner| owner.competes(self.owner)) {
            let pairs = self.found.entry(owner.id).or_default();
            if pairs.len() < SHOWN {
                pairs.insert(pair);
            }
            if self.found.len() >= SHOWN {
                return false;
            }
        }
        true
    }
}

/// The pairs of networks that a connection joins: the same whichever version of IKE is tried, since that changes without a
/// claim, and what was added is to be taken away.
pub fn pairs(connection: &Connection) -> impl Iterator<Item = Pair> {
    let of_child = |child: &crate::ipsec::Child| {
        let remotes = child.remote.clone();
        child.local.clone().into_iter().flat_map(move |l| remotes.clone().into_iter().map(move |r| (l.net(), r.net())))
    };
    let children = if connection.falls_back() { &connection.answered } else { &connection.children };
    children.iter().flat_map(of_child)
}

fn kind(net: IpNet) -> (bool, u8) {
    (net.addr().is_ipv4(), net.prefix_len())
}

/// All networks in `net`, itself the first: they are ordered by address, then by length.
fn ends(net: IpNet) -> (IpNet, IpNet) {
    (net, net.broadcast().into())
}

/// All pairs whose first network is `first`, and whose second one is in `net`.
fn under(first: IpNet, net: IpNet) -> RangeInclusive<Pair> {
    let (from, to) = ends(net);
    (first, from)..=(first, to)
}

/// All pairs whose first network is in `net`.
fn within(net: IpNet) -> RangeInclusive<Pair> {
    let (from, to) = ends(net);
    let least = IpNet::new_assert(Ipv4Addr::UNSPECIFIED.into(), 0);
    let most = IpNet::new_assert(Ipv6Addr::from_bits(u128::MAX).into(), 128);
    (from, least)..=(to, most)
}

fn take<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> ConnectionId {
        format!("{n:032x}").parse().expect("an id")
    }

    fn owner(n: u32) -> Owner {
        Owner { id: id(n), layer: NextLayer::default(), if_id: 0 }
    }

    fn pair(text: &str) -> Pair {
        let (local, remote) = text.split_once(' ').expect("two");
        (local.parse().expect("a network"), remote.parse().expect("a network"))
    }

    /// Networks of few lengths in a small space, so that many overlap.
    fn some(seed: u32) -> Pair {
        let net = |n: u32| {
            let length = [0, 8, 9, 12, 13, 16, 24][n as usize % 7];
            let address = Ipv4Addr::from_bits(0x0a00_0000 | (n.wrapping_mul(2_654_435_761) & 0x00ff_ff00));
            IpNet::new(address.into(), length).expect("a network").trunc()
        };
        (net(seed), net(seed.wrapping_mul(40_503).wrapping_add(7)))
    }

    fn overlap(a: IpNet, b: IpNet) -> bool {
        a.contains(&b) || b.contains(&a)
    }

    /// Against a comparison with each of the others, one other at a time.
    #[test]
    fn what_overlaps_is_found_and_nothing_else() {
        let all: Vec<_> = (0..60).map(some).collect();
        for (n, known) in (1..).zip(&all) {
            for asked in &all {
                let mut overlaps = Overlaps::default();
                overlaps.add(owner(n), [*known].into_iter());
                let expected = overlap(known.0, asked.0) && overlap(known.1, asked.1);
                let found = overlaps.of(owner(0), [*asked].into_iter());
                assert_eq!(found.contains_key(&id(n)), expected, "{known:?} {asked:?}");
                assert_eq!(overlaps.of(owner(n), [*asked].into_iter()), Found::new(), "it is no other");
            }
        }
        let mut overlaps = Overlaps::default();
        (0..).zip(&all).for_each(|(n, pair)| overlaps.add(owner(n), [*pair].into_iter()));
        for (n, asked) in (0..).zip(&all) {
            let expected = all
                .iter()
                .enumerate()
                .filter(|(m, known)| *m != n as usize && overlap(known.0, asked.0) && overlap(known.1, asked.1));
            assert_eq!(overlaps.of(owner(n), [*asked].into_iter()).len(), expected.count().min(SHOWN), "{asked:?}");
        }
        (0..).zip(&all).for_each(|(n, pair)| overlaps.remove(owner(n), [*pair].into_iter()));
        assert!(overlaps.by_local.is_empty() && overlaps.by_remote.is_empty());
        assert!(overlaps.lengths.iter().all(BTreeMap::is_empty));
    }

    #[test]
    fn parts_of_a_network_are_found_with_what_they_are_joined_to() {
        let mut overlaps = Overlaps::default();
        let all = [
            "10.1.0.0/24 10.2.0.0/25",
            "10.1.0.0/24 10.2.0.0/24",
            "10.1.0.0/24 10.2.1.0/25",
            "10.3.0.0/24 10.2.0.9/32",
        ];
        (1..).zip(all).for_each(|(n, text)| overlaps.add(owner(n), [pair(text)].into_iter()));
        let inside = |but| overlaps.inside("10.2.0.0/24".parse().expect("a network"), id(but)).collect::<Vec<_>>();
        assert_eq!(inside(9), [pair(all[0]), pair(all[3])]);
        assert_eq!(inside(1), [pair(all[3])]);
        let before = overlaps.revision();
        overlaps.remove(owner(4), [pair(all[3])].into_iter());
        assert_ne!(overlaps.revision(), before);
    }

    #[test]
    fn who_takes_other_packets_is_no_other() {
        let layer = |protocol| NextLayer { protocol, ..NextLayer::default() };
        let of = |n, protocol| Owner { layer: layer(protocol), ..owner(n) };
        let both = pair("10.1.0.0/24 10.2.0.0/24");
        let mut overlaps = Overlaps::default();
        overlaps.add(of(1, 47), [both].into_iter());
        let others = |protocol| {
            let found = overlaps.of(of(2, protocol), [both].into_iter()).into_keys().collect::<Vec<_>>();
            (found, overlaps.same(both, of(2, protocol)).collect::<Vec<_>>())
        };
        assert_eq!(others(47), (vec![id(1)], vec![id(1)]));
        assert_eq!(others(17), (vec![], vec![]));
        // Who takes all packets takes these too, by a policy of its own.
        assert_eq!(others(0), (vec![id(1)], vec![]));
        let of_interface = Owner { if_id: 42, ..of(2, 47) };
        assert_eq!(overlaps.of(of_interface, [both].into_iter()), Found::new());
        overlaps.add(of_interface, [both].into_iter());
        assert_eq!(overlaps.inside("10.0.0.0/8".parse().expect("a network"), id(1)).count(), 0);
    }

    /// A change adds the new before it takes the old away.
    #[test]
    fn what_is_held_twice_is_given_back_twice() {
        let mut overlaps = Overlaps::default();
        let both = pair("10.1.0.0/24 fd00::/8");
        overlaps.add(owner(1), [both].into_iter());
        overlaps.add(owner(1), [both].into_iter());
        overlaps.remove(owner(1), [both].into_iter());
        assert_eq!(overlaps.same(both, owner(2)).collect::<Vec<_>>(), [id(1)]);
        assert_eq!(overlaps.of(owner(2), [pair("10.1.0.0/24 ::/0")].into_iter()).len(), 1);
        assert_eq!(overlaps.of(owner(2), [pair("10.1.0.0/24 0.0.0.0/0")].into_iter()).len(), 0);
    }
}
