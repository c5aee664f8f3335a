//! The connections of which charon may have something that few have: a second one, which initiates with IKEv1, or a PPK.
//! The others are asked for once only.

use super::names;
use crate::ipsec::ConnectionId;
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The connections that have, or had, such a thing since this charon began: SAs outlive their configuration.
#[derive(Default)]
pub struct Having(Mutex<BTreeSet<ConnectionId>>);

impl Having {
    /// `id` has it from now on.
    pub fn add(&self, id: ConnectionId) {
        self.lock().insert(id);
    }

    /// Records the names of connections that charon lists.
    pub fn record<'a>(&self, listed: impl Iterator<Item = &'a str>) {
        self.extend(listed.filter(|name| names::is_fallback(name)).filter_map(names::owner));
    }

    /// All of `found` have it.
    pub fn extend(&self, found: impl Iterator<Item = ConnectionId>) {
        let found: Vec<_> = found.collect();
        self.lock().extend(found);
    }

    /// Whether `id` may have it.
    pub fn has(&self, id: ConnectionId) -> bool {
        self.lock().contains(&id)
    }

    /// charon was restarted.
    pub fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<ConnectionId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
