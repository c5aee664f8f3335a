//! Which of several SAs with the same networks is the better one: the one that the peer sends into.

use crate::ipsec::{ChildSa, IkeSa};
use std::{cmp::Reverse, collections::BTreeMap};

#[cfg(test)]
mod tests;

/// charon tells times in whole seconds, so each end may see one more, or one less, between two events.
const GRAIN: u64 = 1;

/// Of all SAs with the same networks.
#[derive(Clone, Copy)]
struct Twins {
    /// The age of the newest one.
    newest: u64,
    /// When the peer was last heard in one that came with the newest, in seconds.
    heard: Option<u64>,
}

/// Puts the better ones first.
///
/// The newest one leads, because that is where peers send. Two that came within a second have no certain order: if the
/// peer is heard in one of them alone, that one leads. Otherwise it is the one in the newest IKE SA, so that the children of
/// a connection stay together. The SPIs, which both ends know, are no rule: libreswan would go on sending into what they
/// have us close.
pub(super) fn sort(pairs: &mut [(&IkeSa, &ChildSa)]) {
    let mut all: BTreeMap<_, Twins> = BTreeMap::new();
    pairs.sort_by_key(|(_, sa)| sa.age);
    for (_, sa) in pairs.iter() {
        let twins = all.entry((&sa.local, &sa.remote)).or_insert(Twins { newest: sa.age, heard: None });
        if sa.age <= twins.newest + GRAIN {
            twins.heard = twins.heard.into_iter().chain(sa.unused.inbound).min();
        }
    }
    pairs.sort_by_key(|&(ike, sa)| {
        let twins = all.get(&(&sa.local, &sa.remote));
        let newest = twins.map(|twins| twins.newest).filter(|newest| sa.age <= newest + GRAIN);
        let last = twins.and_then(|twins| twins.heard);
        let is_heard = newest.is_some() && sa.unused.inbound.zip(last).is_some_and(|(at, last)| at <= last + GRAIN);
        let age = (newest.is_none(), newest.unwrap_or(sa.age));
        (age, Reverse((is_heard, ike.unique_id, sa.unique_id)))
    });
}
