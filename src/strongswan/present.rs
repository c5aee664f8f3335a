//! What charon may have of which connections: what was loaded or listed since it began, and not unloaded since.

use super::names;
use crate::ipsec::ConnectionId;
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A set of connections.
#[derive(Default)]
pub struct Ids(Mutex<BTreeSet<ConnectionId>>);

/// What charon may have.
#[derive(Default)]
pub struct Present {
    /// The connections.
    pub loaded: Ids,
    /// Those whose second one, which initiates with IKEv1, charon has or runs. Few have it, and the others are listed once
    /// only. One stays here until charon ends: SAs outlive their configuration.
    pub fallbacks: Ids,
    /// Those with a guard.
    pub guards: Ids,
    /// Those with a PPK.
    pub ppks: Ids,
    /// Those that were loaded without policies: there is nothing to guard when others take their place.
    pub bare: Ids,
}

impl Ids {
    /// `id` is in it from now on.
    pub fn add(&self, id: ConnectionId) {
        self.lock().insert(id);
    }

    /// All of `found` are in it from now on.
    pub fn extend(&self, found: impl Iterator<Item = ConnectionId>) {
        let found: Vec<_> = found.collect();
        self.lock().extend(found);
    }

    /// `id` is not in it any more.
    pub fn remove(&self, id: ConnectionId) {
        self.lock().remove(&id);
    }

    /// Whether `id` is in it.
    pub fn has(&self, id: ConnectionId) -> bool {
        self.lock().contains(&id)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<ConnectionId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Present {
    /// Records the names of connections that charon lists.
    pub fn record_loaded<'a>(&self, listed: impl Iterator<Item = &'a str>) {
        for name in listed {
            let Some(id) = names::owner(name) else { continue };
            let kind = match name {
                _ if names::is_fallback(name) => &self.fallbacks,
                _ if names::is_guard(name) => &self.guards,
                _ => &self.loaded,
            };
            kind.add(id);
        }
    }

    /// Records the names of the IKE SAs that charon lists.
    pub fn record_running<'a>(&self, listed: impl Iterator<Item = &'a str>) {
        self.record_loaded(listed.filter(|name| names::is_fallback(name)));
    }

    /// charon was restarted.
    pub fn forget(&self) {
        for kind in [&self.loaded, &self.fallbacks, &self.guards, &self.ppks, &self.bare] {
            kind.lock().clear();
        }
    }
}
