//! What each child has carried since it was first seen, across rekeyings and restarts of the agent.
//!
//! Monitoring takes a counter that goes back for one that began anew, and adds all of it: traffic that never was. So after
//! a crash, if SAs have ended meanwhile whose last counters nobody saved, the count really begins anew.

use crate::{
    disk,
    error::{Error, Result},
    ipsec::{ChildSa, IkeSa, InOut, totals::Amount, totals::Totals},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// The name of the file in `state_dir`.
const FILE: &str = "traffic.json";
/// How often the totals are saved while no SA comes or goes.
const USUALLY: Duration = Duration::from_secs(30);
/// Saving takes at most this share of the time, as a divisor: thousands of connections are saved more rarely.
const SHARE: u32 = 50;

/// The totals of one connection.
#[derive(Default)]
pub struct Count {
    totals: Totals,
    /// They were saved before a crash: the first list of SAs shows whether anything is missing.
    is_doubtful: bool,
}

impl Count {
    /// Goes on with saved totals.
    pub fn resumed(totals: Totals, is_complete: bool) -> Self {
        Self { totals, is_doubtful: !is_complete }
    }

    /// Takes in one SA, such as one that ends.
    pub fn record(&mut self, sa: &ChildSa) {
        // Before the first list, nobody knows where the count begins.
        if !self.is_doubtful {
            self.totals.record(sa);
        }
    }

    /// Takes in the bytes of an SA of `child` that is closed, by its inbound SPI.
    pub fn record_closed(&mut self, child: &str, spi: &str, bytes: InOut<u64>) {
        self.totals.record_closed(child, spi, bytes);
    }

    /// Takes in all SAs of the connection. Returns whether one has come or gone.
    pub fn record_all(&mut self, running: &[IkeSa]) -> bool {
        let sas = running.iter().flat_map(|ike| &ike.children);
        if std::mem::take(&mut self.is_doubtful) && !self.totals.are_all_in(sas.clone()) {
            self.totals.begin(sas);
            return true;
        }
        self.totals.record_all(sas)
    }

    /// What is saved of them: nothing of a connection that never carried anything.
    pub fn saved(&self) -> Option<Totals> {
        Some(self.totals.clone()).filter(|totals| !totals.is_empty())
    }

    /// The bytes of all children.
    pub fn bytes(&self) -> InOut<u64> {
        let add = |sum: InOut<u64>, (_, amount): (&str, InOut<Amount>)| InOut {
            inbound: sum.inbound.saturating_add(amount.inbound.bytes),
            outbound: sum.outbound.saturating_add(amount.outbound.bytes),
        };
        self.totals.iter().fold(InOut::default(), add)
    }

    /// Each child with what it has carried.
    pub fn of_children(&self) -> Vec<(String, InOut<Amount>)> {
        self.totals.iter().map(|(child, sum)| (child.to_owned(), sum)).collect()
    }
}

/// The file with the totals of all connections.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// Whether the agent was stopped after it was written: then nothing is missing in it.
    pub complete: bool,
    /// By the connections' uuids.
    pub connections: BTreeMap<String, Totals>,
}

/// Where the totals are saved, and when.
pub struct Counts {
    file: PathBuf,
    /// An SA has come or gone.
    is_urgent: AtomicBool,
    /// When they are saved next, unless it is urgent; and when at the earliest.
    due: Mutex<(Instant, Instant)>,
}

impl Counts {
    /// Those in `state_dir`.
    pub fn new(state_dir: &Path) -> Self {
        let now = Instant::now();
        Self { file: state_dir.join(FILE), is_urgent: AtomicBool::default(), due: Mutex::new((now, now)) }
    }

    /// What an earlier start has saved.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load(&self) -> Result<Option<Saved>> {
        let damaged = |error: serde_json::Error| Error::Damaged { path: self.file.clone(), why: error.to_string() };
        // A crash may have left a file that was being written.
        self.file.parent().map(disk::clean).transpose()?;
        disk::read(&self.file)?.map(|bytes| serde_json::from_slice(&bytes).map_err(damaged)).transpose()
    }

    /// Saves them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, saved: &Saved) -> Result<()> {
        let begun = Instant::now();
        self.is_urgent.store(false, Ordering::Relaxed);
        let bytes =
            serde_json::to_vec(saved).map_err(|e| Error::Internal(format!("the traffic cannot be saved: {e}")))?;
        disk::replace(&self.file, &bytes, 0o600)?;
        let (now, pause) = (Instant::now(), begun.elapsed() * SHARE);
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = (now + USUALLY.max(pause), now + pause);
        Ok(())
    }

    /// An SA has come or gone: they are saved soon.
    pub fn hurry(&self) {
        self.is_urgent.store(true, Ordering::Relaxed);
    }

    /// Whether they are to be saved now.
    pub fn are_due(&self) -> bool {
        let now = Instant::now();
        let (usual, earliest) = *self.due.lock().unwrap_or_else(PoisonError::into_inner);
        now >= usual || (now >= earliest && self.is_urgent.load(Ordering::Relaxed))
    }
}
