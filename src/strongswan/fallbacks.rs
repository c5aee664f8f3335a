//! The connections whose second one, which initiates with IKEv1, charon may have or run. Few have it, and the others
//! are listed once only.

use super::names;
use crate::ipsec::ConnectionId;
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The connections that have, or had, a second one since this charon began: SAs outlive their configuration.
#[derive(Default)]
pub struct Fallbacks(Mutex<BTreeSet<ConnectionId>>);

impl Fallbacks {
    /// `id` has one from now on.
    pub fn add(&self, id: ConnectionId) {
        self.lock().insert(id);
    }

    /// Records the names that charon lists.
    pub fn record<'a>(&self, listed: impl Iterator<Item = &'a str>) {
        let found: Vec<_> = listed.filter(|name| names::is_fallback(name)).filter_map(names::owner).collect();
        self.lock().extend(found);
    }

    /// Whether `id` may have one.
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
