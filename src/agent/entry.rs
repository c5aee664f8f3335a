//! What the agent keeps of a connection beside its record.

use crate::{
    agent::{
        change::rekey_test::RekeyTest,
        observe::failure_history::FailureHistory,
        reconcile::sa_planner::{Rekeying, SaPlanner, Stale, Step},
    },
    ipsec::{Carried, Connection, ConnectionId, Flows, IkeSa},
};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
};
use tokio::sync::Notify;

/// So many rekeyings are remembered at most until the memory takes them in: a peer that rekeys without end costs no more.
const REKEYINGS: usize = 256;

/// One connection's working state.
#[derive(Default)]
pub struct Entry {
    /// Held by whoever changes the connection or its SAs: one at a time.
    pub planner: tokio::sync::Mutex<SaPlanner>,
    /// Told when something happened to its SAs.
    pub happened: Notify,
    /// A copy of what the memory knows to be outdated: who asks for the status does not wait for a change.
    stale: Mutex<Stale>,
    /// How often the tunnel flapped, if it flaps.
    flapping: Mutex<Option<u32>>,
    /// What was rekeyed since the memory took it in: who hears of it does not wait for the memory.
    rekeyed: Mutex<Vec<Rekeying>>,
    drift: Mutex<Option<Drift>>,
    /// What carried at the last look.
    carried: Mutex<Option<Carried>>,
    /// A failure may have left another record on disk than the one that counts.
    pub unsaved: AtomicBool,
    stamps: Mutex<Vec<Option<Stamp>>>,
    history: Mutex<FailureHistory>,
    /// What the counters of its children did, by name.
    flows: Mutex<Flows>,
    /// The newest SA of each child that runs as wanted, by name.
    pub newest: Mutex<BTreeMap<String, u64>>,
    /// The last rehearsal, and of what.
    rehearsal: Mutex<Option<Box<(Connection, RekeyTest)>>>,
}

/// Something of a connection was not as we left it, and was put back.
#[derive(Debug, Clone)]
pub struct Drift {
    /// What was put back: the steps that were needed.
    pub repaired: Vec<&'static str>,
    /// When, the last time.
    pub last: Timestamp,
    /// How often since the agent was started.
    pub count: u64,
}

/// What changes when a file is written by anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    /// Seconds and nanoseconds; nobody can set it back.
    changed: (i64, i64),
    length: u64,
}

impl Entry {
    /// What is known of the connection's life.
    pub fn history(&self) -> MutexGuard<'_, FailureHistory> {
        lock(&self.history)
    }

    /// To be called after every change of the memory.
    pub fn share(&self, planner: &SaPlanner) {
        let mut stale = planner.stale.clone();
        lock(&self.rekeyed).iter().for_each(|rekeying| stale.rekeyed(*rekeying));
        *lock(&self.stale) = stale;
        *lock(&self.flapping) = planner.flapping();
    }

    /// How often the tunnel was closed soon after it came up, if it flaps.
    pub fn flapping(&self) -> Option<u32> {
        *lock(&self.flapping)
    }

    /// An SA was rekeyed; the memory takes it in with [`Entry::take_in_rekeyings`].
    pub fn record_rekeying(&self, rekeying: Rekeying) {
        lock(&self.stale).rekeyed(rekeying);
        let mut rekeyed = lock(&self.rekeyed);
        if rekeyed.len() == REKEYINGS {
            rekeyed.remove(0);
        }
        rekeyed.push(rekeying);
    }

    /// To be called before SAs that were listed are compared with the memory.
    pub fn take_in_rekeyings(&self, planner: &mut SaPlanner) {
        let rekeyed = std::mem::take(&mut *lock(&self.rekeyed));
        for rekeying in rekeyed {
            planner.stale.rekeyed(rekeying);
        }
    }

    /// Remembers what carries now.
    pub fn record_carried(&self, carried: Carried) {
        *lock(&self.carried) = Some(carried);
    }

    /// What carried at the last look, if there was one.
    pub fn carried(&self) -> Option<Carried> {
        *lock(&self.carried)
    }

    /// Marks the SAs that were made for an earlier configuration.
    pub fn mark(&self, running: &mut [IkeSa]) {
        lock(&self.stale).mark(running);
    }

    /// Remembers that these steps were needed although nobody had asked for a change.
    /// Returns what was repaired.
    pub fn record_drift(&self, id: ConnectionId, repaired: &[Step]) -> Vec<&'static str> {
        let words: Vec<_> = repaired
            .iter()
            .map(|step| match step {
                Step::Load => "charon's configuration",
                Step::Unload => "a configuration in charon that is not wanted",
                Step::Write => "the file in conf.d",
                Step::Erase => "a file in conf.d that is not wanted",
                Step::Initiate(_) | Step::CloseIke(_) | Step::CloseChild(_) => "an SA",
            })
            .collect();
        tracing::warn!(uuid = %id, repaired = ?words, "the connection had drifted from its record and was put back");
        let mut drift = lock(&self.drift);
        let count = drift.as_ref().map_or(0, |drift| drift.count) + 1;
        *drift = Some(Drift { repaired: words.clone(), last: Timestamp::now(), count });
        words
    }

    /// The last drift, if there was one.
    pub fn drift(&self) -> Option<Drift> {
        lock(&self.drift).clone()
    }

    /// Works with the flows of the children; those of children that are not wanted any more are forgotten.
    pub fn with_flows<T>(&self, wanted: &Connection, work: impl FnOnce(&mut Flows) -> T) -> T {
        let mut flows = lock(&self.flows);
        flows.retain(|name| wanted.children.iter().any(|child| child.name == name));
        work(&mut flows)
    }

    /// Remembers how the rekeying of `connection` went.
    pub fn record_rehearsal(&self, connection: &Connection, rehearsal: RekeyTest) {
        *lock(&self.rehearsal) = Some(Box::new((connection.clone(), rehearsal)));
    }

    /// Forgets the last rehearsal, and the key of what was rehearsed.
    pub fn forget_rehearsal(&self) {
        *lock(&self.rehearsal) = None;
    }

    /// The last rehearsal, if it was of just this connection.
    pub fn rehearsal(&self, connection: &Connection) -> Option<RekeyTest> {
        let last = lock(&self.rehearsal);
        last.as_deref().filter(|(of, _)| of == connection).map(|(_, rehearsal)| rehearsal.clone())
    }

    /// Remembers the files as they are now.
    pub fn record_files(&self, paths: &[PathBuf]) {
        *lock(&self.stamps) = stamps(paths);
    }

    /// Remembers the files as they were at `moment`.
    pub fn record_moment(&self, moment: Moment) {
        *lock(&self.stamps) = moment.0;
    }

    /// Whether the files are not as they were remembered.
    pub fn files_changed(&self, paths: &[PathBuf]) -> bool {
        // Looked at first: the lock is not held over the disk.
        let now = stamps(paths);
        *lock(&self.stamps) != now
    }
}

/// The files as they were when they were looked at.
pub struct Moment(Vec<Option<Stamp>>);

impl Moment {
    /// The files as they are now.
    pub fn of(paths: &[PathBuf]) -> Self {
        Self(stamps(paths))
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let data = std::fs::symlink_metadata(path).ok()?;
    Some(Stamp { inode: data.ino(), changed: (data.ctime(), data.ctime_nsec()), length: data.len() })
}

/// The value; a panic elsewhere cannot leave it half changed, so its poison is not passed on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
