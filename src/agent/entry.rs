//! The working state of a connection, beside its record.

use crate::{
    agent::{
        change::rekey_outcome::RekeyTest,
        observe::{availability::Availability, failure_history::FailureHistory, tally::Tally, totals::Count},
        reconcile::sa_planner::{Rekeying, SaPlanner, Stale, Step},
    },
    ipsec::{Carried, Connection, Flows, IkeSa, rates::Rates},
    ranked::{Guard, HISTORY, Ranked},
};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// The most rekeys that wait for the planner: it bounds the cost of a peer that rekeys without end.
const REKEYINGS: usize = 256;

/// One connection's working state.
#[derive(Default)]
pub struct Entry {
    /// Held while the connection or its SAs are changed.
    pub planner: tokio::sync::Mutex<SaPlanner>,
    /// Notified when its SAs change.
    pub happened: Notify,
    /// A copy of the stale SAs that the planner knows: readers of the status need no lock of a change.
    stale: Mutex<Stale>,
    /// How often the tunnel flapped, if it flaps.
    flapping: Mutex<Option<u32>>,
    /// The rekeys since the planner took them in: the task that reads events does not wait for the planner.
    rekeyed: Mutex<Vec<Rekeying>>,
    drift: Mutex<Option<Drift>>,
    /// When the peer's name got another address last.
    moved: Mutex<Option<Instant>>,
    /// What carried traffic when it was last observed.
    carried: Mutex<Option<Carried>>,
    /// A failure may have left another record on disk than the one in force.
    pub unsaved: AtomicBool,
    stamps: Mutex<Vec<Option<Stamp>>>,
    history: Ranked<FailureHistory, HISTORY>,
    /// The history of the traffic counters of its children, by name.
    flows: Mutex<Flows>,
    /// What its children have carried.
    count: Mutex<Count>,
    /// How much they carried of late.
    rates: Mutex<Rates>,
    /// When it went up and down of late.
    availability: Mutex<Availability>,
    /// How often it was negotiated, rekeyed, and failed.
    tally: Mutex<Tally>,
    /// The newest SA of each child that runs as wanted, by name.
    pub newest: Mutex<BTreeMap<String, u64>>,
    /// Whether charon's last event of a child was that it is up: lists that say so may come later than charon's end.
    pub came_up: AtomicBool,
    /// How often charon told something of the connection, or something was begun on its SAs.
    told: AtomicU64,
    /// Since when, by `told`, it has no SAs, and in which start of charon.
    idle: Mutex<Option<(u64, u64)>>,
    /// The SAs that a change has listed.
    sighting: Mutex<Option<Sighting>>,
    /// The last rekey test, and the connection that it tested.
    rekey_test: Mutex<Option<Box<(Connection, RekeyTest)>>>,
}

/// SAs as they were listed.
#[derive(Debug)]
struct Sighting {
    told: u64,
    at: Instant,
    sas: Vec<IkeSa>,
}

/// For how long a sighting is as good as a list.
const SIGHTING: Duration = Duration::from_secs(1);

/// A repaired difference between a connection and its record.
#[derive(Debug, Clone)]
pub struct Drift {
    /// The steps of the repair.
    pub repaired: Vec<&'static str>,
    /// The time of the last repair.
    pub last: Timestamp,
    /// The number of repairs since the start of the agent.
    pub count: u64,
}

/// The attributes of a file that change with every write.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    /// ctime in seconds and nanoseconds; no program can set it.
    changed: (i64, i64),
    length: u64,
}

impl Entry {
    /// charon told something of the connection, or something is begun on its SAs: what was listed before is no longer so.
    pub fn tell(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }

    /// To be read before a list is asked for; see [`Entry::record_idle`] and [`Entry::record_sighting`].
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    /// Records a list that was asked for when charon had told so much, in this start of it.
    pub fn record_idle(&self, told: u64, life: u64, sas: &[IkeSa]) {
        *lock(&self.idle) = sas.is_empty().then_some((told, life));
    }

    /// Whether the last list had no SAs, and nothing was told since.
    pub fn is_known_idle(&self, life: u64) -> bool {
        *lock(&self.idle) == Some((self.told(), life))
    }

    /// Records the SAs that a change has listed; the request was made at `at`, when charon had told so much.
    pub fn record_sighting(&self, told: u64, at: Instant, sas: &[IkeSa]) {
        *lock(&self.sighting) = Some(Sighting { told, at, sas: sas.to_vec() });
    }

    /// These SAs, if they were listed a moment ago and nothing was told since; once.
    pub fn take_sighting(&self) -> Option<Vec<IkeSa>> {
        let is_fresh = |seen: &Sighting| seen.told == self.told() && seen.at.elapsed() < SIGHTING;
        lock(&self.sighting).take().filter(is_fresh).map(|seen| seen.sas)
    }

    /// The history of failures.
    pub fn history(&self) -> Guard<'_, FailureHistory> {
        self.history.lock()
    }

    /// Must be called after every change of the planner.
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

    /// Records a rekey for the planner; see [`Entry::take_in_rekeyings`].
    pub fn record_rekeying(&self, rekeying: Rekeying) {
        lock(&self.stale).rekeyed(rekeying);
        let mut rekeyed = lock(&self.rekeyed);
        if rekeyed.len() == REKEYINGS {
            rekeyed.remove(0);
        }
        rekeyed.push(rekeying);
    }

    /// Must be called before listed SAs are compared with the planner.
    pub fn take_in_rekeyings(&self, planner: &mut SaPlanner) {
        let rekeyed = std::mem::take(&mut *lock(&self.rekeyed));
        for rekeying in rekeyed {
            planner.stale.rekeyed(rekeying);
        }
    }

    /// When the peer's name got another address last.
    pub fn moved(&self) -> Option<Instant> {
        *lock(&self.moved)
    }

    /// Records that the peer's name got another address.
    pub fn record_moved(&self, at: Instant) {
        *lock(&self.moved) = Some(at);
    }

    /// Records what carries traffic now.
    pub fn record_carried(&self, carried: Carried) {
        *lock(&self.carried) = Some(carried);
    }

    /// What carried traffic when it was last observed, if it was.
    pub fn carried(&self) -> Option<Carried> {
        *lock(&self.carried)
    }

    /// Marks the SAs that were made for an earlier configuration.
    pub fn mark(&self, running: &mut [IkeSa]) {
        lock(&self.stale).mark(running);
    }

    /// Records steps that were needed without a change, and returns their names for the event.
    pub fn record_drift(&self, repaired: &[Step]) -> Vec<&'static str> {
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
        let mut drift = lock(&self.drift);
        let count = drift.as_ref().map_or(0, |drift| drift.count) + 1;
        *drift = Some(Drift { repaired: words.clone(), last: Timestamp::now(), count });
        words
    }

    /// The last drift, if there was one.
    pub fn drift(&self) -> Option<Drift> {
        lock(&self.drift).clone()
    }

    /// Calls `work` with the counters of the children, and drops those of children that no longer exist.
    pub fn with_flows<T>(&self, wanted: &Connection, work: impl FnOnce(&mut Flows) -> T) -> T {
        let mut flows = lock(&self.flows);
        flows.retain(|name| wanted.children.iter().any(|child| child.name == name));
        work(&mut flows)
    }

    /// What its children have carried.
    pub fn count(&self) -> MutexGuard<'_, Count> {
        lock(&self.count)
    }

    /// How much its children carried of late.
    pub fn rates(&self) -> MutexGuard<'_, Rates> {
        lock(&self.rates)
    }

    /// When it went up and down of late.
    pub fn availability(&self) -> MutexGuard<'_, Availability> {
        lock(&self.availability)
    }

    /// How often it was negotiated, rekeyed, and failed.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    /// Records the result of the rekey test of `connection`.
    pub fn record_rekey_test(&self, connection: &Connection, test: RekeyTest) {
        *lock(&self.rekey_test) = Some(Box::new((connection.clone(), test)));
    }

    /// Forgets the last rekey test, and the key of the tested connection.
    pub fn forget_rekey_test(&self) {
        *lock(&self.rekey_test) = None;
    }

    /// The last rekey test, if it was of this very configuration.
    pub fn rekey_test(&self, connection: &Connection) -> Option<RekeyTest> {
        let last = lock(&self.rekey_test);
        last.as_deref().filter(|(of, _)| of == connection).map(|(_, test)| test.clone())
    }

    /// Records the current attributes of the files.
    pub fn record_files(&self, paths: &[PathBuf]) {
        *lock(&self.stamps) = stamps(paths);
    }

    /// Records the attributes that `moment` holds.
    pub fn record_moment(&self, moment: Moment) {
        *lock(&self.stamps) = moment.0;
    }

    /// Whether the files differ from the recorded attributes.
    pub fn files_changed(&self, paths: &[PathBuf]) -> bool {
        // Read before the lock: it is not held during disk access.
        let now = stamps(paths);
        *lock(&self.stamps) != now
    }
}

/// The attributes of files at one time.
pub struct Moment(Vec<Option<Stamp>>);

impl Moment {
    /// The current attributes.
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

/// Locks and ignores poison: a panic cannot leave the value half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
