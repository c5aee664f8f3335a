//! Which SAs were made for an earlier configuration: charon does not say.

use crate::{ipsec::IkeSa, strongswan::section::Section};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// So many SAs that are gone are remembered: a list that was made before they went may still be read.
const GONE: usize = 256;

/// The SAs that were made for an earlier configuration. An SA keeps the configuration that it was made with (facts 3.1).
#[derive(Debug, Clone, Default)]
pub struct Stale {
    /// The numbers of IKE SAs.
    pub ike: BTreeSet<u64>,
    /// The numbers of CHILD_SAs, each with the section of the file that it was made for, if there was one.
    pub children: BTreeMap<u64, Option<Section>>,
    /// The IKE SAs and CHILD_SAs of these that have gone, the last of them behind. charon gives no number twice.
    gone: (VecDeque<u64>, VecDeque<(u64, Option<Section>)>),
}

/// An SA was replaced by another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rekeying {
    /// Whether it is an IKE SA.
    pub ike: bool,
    /// The number of the old one.
    pub old: u64,
    /// The number of the new one.
    pub new: u64,
}

impl Stale {
    /// A rekeyed SA keeps the configuration of the one it replaces.
    pub fn rekeyed(&mut self, Rekeying { ike, old, new }: Rekeying) {
        if ike {
            self.ike.extend(self.has_ike(old).then_some(new));
        } else {
            let gone = || self.gone.1.iter().find(|(id, _)| *id == old).map(|(_, made_for)| made_for);
            let made_for = self.children.get(&old).or_else(gone).cloned();
            self.children.extend(made_for.map(|made_for| (new, made_for)));
        }
    }

    /// Marks these SAs of `running`, which may have been listed a moment ago: since then some may have gone.
    pub fn mark(&self, running: &mut [IkeSa]) {
        for ike in running {
            ike.stale = self.has_ike(ike.unique_id);
            ike.children.iter_mut().for_each(|sa| sa.stale = self.has_child(sa.unique_id));
        }
    }

    /// Whether this IKE SA is one, also if it was not listed once: lists are made while SAs move.
    pub fn has_ike(&self, id: u64) -> bool {
        self.ike.contains(&id) || self.gone.0.contains(&id)
    }

    /// The same of a CHILD_SA.
    pub fn has_child(&self, id: u64) -> bool {
        self.children.contains_key(&id) || self.gone.1.iter().any(|(gone, _)| *gone == id)
    }

    /// Takes those that do not run any more for gone.
    pub(super) fn keep(&mut self, running: &[IkeSa]) {
        let children: BTreeSet<_> = running.iter().flat_map(|ike| &ike.children).map(|sa| sa.unique_id).collect();
        let runs = |id: &u64| running.iter().any(|ike| ike.unique_id == *id);
        self.gone.0.extend(self.ike.extract_if(.., |id| !runs(id)));
        self.gone.1.extend(self.children.extract_if(.., |id, _| !children.contains(id)));
        self.gone.0.drain(..self.gone.0.len().saturating_sub(GONE));
        self.gone.1.drain(..self.gone.1.len().saturating_sub(GONE));
    }
}

#[cfg(test)]
#[test]
fn of_what_has_gone_little_is_kept() {
    let mut stale = Stale::default();
    for id in 0..1000 {
        stale.ike.insert(id);
        stale.children.insert(id, None);
        stale.keep(&[]);
    }
    assert_eq!((stale.gone.0.len(), stale.gone.1.len()), (GONE, GONE));
}
