//! What charon lists of cygnet's objects, by the connections that they belong to.

use super::names;
use crate::ipsec::ConnectionId;
use std::collections::BTreeSet;

/// The owners of what charon lists. Secrets are `None` where they cannot be listed.
pub struct Listed {
    /// Those of connections; one may have two.
    pub connections: Vec<ConnectionId>,
    /// Those of guards, which stand while a connection is replaced, or were left behind by a crash.
    pub guards: Vec<ConnectionId>,
    /// Those of pre-shared keys.
    pub keys: Option<BTreeSet<ConnectionId>>,
    /// Those of PPKs.
    pub ppks: Option<BTreeSet<ConnectionId>>,
}

impl Listed {
    /// Those of the objects of these names.
    pub(super) fn new(connections: &[String], secrets: Option<&[String]>) -> Self {
        let owners = |owner: fn(&str) -> Option<ConnectionId>| {
            secrets.map(|ids| ids.iter().filter_map(|name| owner(name)).collect())
        };
        let (guards, connections): (Vec<_>, Vec<_>) = connections.iter().partition(|name| names::is_guard(name));
        let all = |names: Vec<&String>| names.into_iter().filter_map(|name| names::owner(name)).collect();
        Self {
            connections: all(connections),
            guards: all(guards),
            keys: owners(names::secret_owner),
            ppks: owners(names::ppk_owner),
        }
    }

    /// All of them.
    pub fn owners(&self) -> impl Iterator<Item = &ConnectionId> {
        self.connections.iter().chain(&self.guards).chain(self.keys.iter().chain(&self.ppks).flatten())
    }
}
