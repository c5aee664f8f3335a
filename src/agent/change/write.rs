//! The parts of a write: how it is to be done, what it needs, and what became of it.

use crate::{
    agent::{
        View,
        reconcile::sa_planner::{SaPlanner, Step},
    },
    disk,
    error::Error,
    ipsec::{ConnectionId, IkeSa},
    store::{self, Record},
    strongswan::requests::Loadable,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::MutexGuard;

/// How a write is to be done.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Put the old connection back if the new one is not up in this time.
    pub confirm: Option<Duration>,
    /// Close the SAs of the old configuration at once, whether the new one is up or not.
    pub immediate: bool,
    /// Rekey the new CHILD_SAs once when they are up; `None`: as the settings say.
    pub rehearse: Option<bool>,
    /// Give the connection's key to all that share it, in one step.
    pub together: bool,
    /// It says all of the tunnel, also what stays as it is: what was on trial is decided by it.
    pub says_all: bool,
    /// Who asks, for others who must wait.
    pub caller: Option<Arc<str>>,
}

/// What became of a write.
pub struct Written {
    /// The connection.
    pub view: View,
    /// The other connections that were changed in the same step.
    pub others: Vec<Companion>,
}

/// A write that is in force, whatever its tunnel does.
pub(in crate::agent) struct InForce {
    pub before: Option<Arc<Record>>,
    pub record: Arc<Record>,
    pub others: Vec<Companion>,
}

/// A change that was checked, with what it needs.
pub(in crate::agent) struct Prepared {
    pub before: Option<Loadable>,
    pub after: Option<Loadable>,
    /// The steps that make charon's configuration and conf.d follow.
    pub steps: Vec<Step>,
}

/// A change that charon has and the store does not yet.
pub(in crate::agent) struct Laid {
    pub prepared: Prepared,
    /// What ran before.
    pub running: Vec<IkeSa>,
    pub record: store::Staged,
    /// The file in conf.d, if it is to be written.
    pub file: Option<disk::Staged>,
}

/// The working states of the connections whose locks are held.
pub(in crate::agent) type Planners<'a> = BTreeMap<ConnectionId, MutexGuard<'a, SaPlanner>>;

/// Another connection that changes in the same step.
#[derive(Debug, Clone)]
pub struct Companion {
    /// As it was.
    pub before: Arc<Record>,
    /// As it becomes.
    pub after: Record,
}

impl Companion {
    /// Whose it is.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.after.id
    }

    /// Whether it gets another key, now or if its trial fails; else only the owner of its key becomes another one, which
    /// no tunnel sees.
    #[must_use]
    pub fn has_new_key(&self) -> bool {
        let back = |record: &Record| {
            let before = record.trial.as_ref().and_then(|trial| trial.before.as_ref());
            before.map_or_else(|| record.connection.auth.clone(), |before| before.connection.auth.clone())
        };
        self.before.connection.auth != self.after.connection.auth || back(&self.before) != back(&self.after)
    }
}

/// A connection, and the others that must change with it.
pub(in crate::agent) struct Group {
    pub new: Record,
    pub others: Vec<Companion>,
}

impl Group {
    /// The others that get another key.
    pub fn with_new_keys(&self) -> impl Iterator<Item = ConnectionId> {
        self.others.iter().filter(|other| other.has_new_key()).map(Companion::id)
    }
}

/// A fault of this program.
pub(in crate::agent) fn not_locked(id: ConnectionId) -> Error {
    Error::Internal(format!("the connection {id} is written without its lock"))
}
