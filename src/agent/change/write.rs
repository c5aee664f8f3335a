//! The parts of a write: its options, what it needs, and its result.

use crate::{
    agent::{
        View,
        reconcile::sa_planner::{SaPlanner, Step},
    },
    disk,
    error::{Error, Result},
    ipsec::{ConnectionId, IkeSa},
    store::{self, Record},
    strongswan::requests::Loadable,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::MutexGuard;

/// The options of a write.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Restore the old connection if the new one is not up in this time.
    pub confirm: Option<Duration>,
    /// Close the stale SAs at once, even if the new ones are not up.
    pub immediate: bool,
    /// Run the rekey test; `None` follows the settings.
    pub rehearse: Option<bool>,
    /// Accept the proposals of before the change for a time, too.
    pub transition: Option<TransitionOptions>,
    /// Give the connection's key to all that share it, in one step.
    pub together: bool,
    /// The write sets all values of the tunnel, also unchanged ones, and so decides a trial.
    pub says_all: bool,
    /// The caller, named to others that must wait.
    pub caller: Option<Arc<str>>,
}

/// How long the proposals of before a change are accepted, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransitionOptions {
    /// For how long at most; zero ends a transition that goes on.
    pub lasts: Duration,
    /// Whether a tunnel by them is Ready.
    pub accept: bool,
}

/// The result of a write.
pub struct Written {
    /// The connection.
    pub view: View,
    /// The other connections that were changed in the same step.
    pub others: Vec<Companion>,
}

/// A write in force; its tunnel may still be down.
pub(in crate::agent) struct InForce {
    pub before: Option<Arc<Record>>,
    pub record: Arc<Record>,
    pub others: Vec<Companion>,
}

/// A checked change, with what it needs.
pub(in crate::agent) struct Prepared {
    pub before: Option<Loadable>,
    pub after: Option<Loadable>,
    /// The steps on charon's configuration and conf.d.
    pub steps: Vec<Step>,
}

/// A change that is loaded into charon and not committed yet.
pub(in crate::agent) struct Laid {
    pub prepared: Prepared,
    /// The SAs before the change.
    pub running: Vec<IkeSa>,
    pub record: store::Staged,
    /// The file in conf.d, if it changes.
    pub file: Option<disk::Staged>,
}

/// The working states of the connections whose locks are held.
pub(in crate::agent) type Planners<'a> = BTreeMap<ConnectionId, MutexGuard<'a, SaPlanner>>;

/// Another connection that changes in the same step.
#[derive(Debug, Clone)]
pub struct Companion {
    /// The record before.
    pub before: Arc<Record>,
    /// The record after.
    pub after: Record,
}

impl Companion {
    /// Whose it is.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.after.id
    }

    /// Whether its key changes, now or if its trial fails; else only the owner of its key changes, which no tunnel sees.
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
    /// The same, as revisions that `caller` made.
    pub fn revised(self, before: Option<&Record>, caller: Option<&Arc<str>>) -> Result<Self> {
        let others = self.others.into_iter().map(|Companion { before, after }| {
            let after = after.revised(Some(&before), caller)?;
            Ok(Companion { before, after })
        });
        Ok(Self { new: self.new.revised(before, caller)?, others: others.collect::<Result<_>>()? })
    }

    /// The others that get another key.
    pub fn with_new_keys(&self) -> impl Iterator<Item = ConnectionId> {
        self.others.iter().filter(|other| other.has_new_key()).map(Companion::id)
    }
}

/// A fault of this program.
pub(in crate::agent) fn not_locked(id: ConnectionId) -> Error {
    Error::Internal(format!("the connection {id} is written without its lock"))
}
