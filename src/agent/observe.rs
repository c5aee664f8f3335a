//! Observation of connections: state, traffic, reasons, events and logs.

pub(super) mod availability;
mod charon_log;
pub(super) mod connection_log;
mod down_reason;
pub(super) mod events;
pub(super) mod failure_history;
pub(super) mod foreign;
mod given_up;
pub(super) mod local_addresses;
mod log_file;
mod log_keeper;
pub(super) mod peer_names;
mod rekey_failures;
mod rekeys;
mod same_networks;
pub(crate) mod seen_addresses;
pub(super) mod tally;
pub(super) mod totals;
mod traces;
pub(super) mod traffic;
pub(super) mod view;

use crate::{
    ipsec::Limits,
    settings::{HaRole, Settings},
};
use events::EventStream;
use given_up::GivenUp;
use ipnet::IpNet;
use local_addresses::{LocalAddresses, Presence};
use log_file::LogFile;
use peer_names::PeerNames;
use seen_addresses::SeenAddresses;
use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use totals::Counts;
use traces::Traces;

/// How long the answer of [`Observer::local_addresses`] is reused.
const MOMENT: Duration = Duration::from_millis(500);

/// The state that observation shares: events, traces of charon's log, this host's addresses, and the clock of counters.
pub(crate) struct Observer {
    events: EventStream,
    log_file: LogFile,
    traces: Mutex<Traces>,
    /// This host's directly connected networks, as last read.
    networks: Mutex<Arc<BTreeSet<IpNet>>>,
    /// This host's addresses, and when they were read.
    addresses: Mutex<Option<(Instant, Arc<LocalAddresses>)>>,
    seen_addresses: SeenAddresses,
    role: HaRole,
    given_up: GivenUp,
    /// The local addresses of which was told that the gateway stands by.
    standing_by: Mutex<BTreeSet<IpAddr>>,
    names: Arc<PeerNames>,
    counts: Counts,
    limits: Limits,
    /// The start of the counters' clock.
    started: std::time::Instant,
    /// The same by the clock of the wall.
    began: jiff::Timestamp,
}

impl Observer {
    /// Without observations.
    pub fn new(settings: &Settings) -> Self {
        let condition = &settings.condition;
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self {
            events: EventStream::new(jiff::Timestamp::now()),
            log_file: LogFile::new(&settings.state_dir),
            traces: Mutex::default(),
            networks: Mutex::default(),
            addresses: Mutex::default(),
            seen_addresses: SeenAddresses::new(&settings.state_dir),
            role: settings.ha.role,
            given_up: GivenUp::new(&settings.state_dir),
            standing_by: Mutex::default(),
            names: Arc::default(),
            counts: Counts::new(&settings.state_dir),
            limits: Limits { idle: seconds(condition.idle_after), one_way: seconds(condition.one_way_after) },
            started: std::time::Instant::now(),
            began: jiff::Timestamp::now(),
        }
    }

    /// The recent events.
    pub fn events(&self) -> &EventStream {
        &self.events
    }

    /// The file of the connections' logs.
    pub fn log_file(&self) -> &LogFile {
        &self.log_file
    }

    /// The trace of charon's log for each IKE_SA.
    pub fn traces(&self) -> MutexGuard<'_, Traces> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of peers, with their addresses.
    pub fn names(&self) -> &Arc<PeerNames> {
        &self.names
    }

    /// Where the totals of traffic are saved.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The limits after which idle or one-way traffic is a condition.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// When the agent started.
    pub fn began(&self) -> jiff::Timestamp {
        self.began
    }

    /// Seconds since the start of the agent.
    pub fn seconds(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_secs()).unwrap_or(i64::MAX)
    }

    /// This host's addresses, at most a moment old: thousands of tunnels that go down at once share one reading. A change
    /// of an address is told by the kernel, and read at once.
    pub fn local_addresses(&self) -> Arc<LocalAddresses> {
        self.read_addresses(MOMENT, [])
    }

    /// The same, read now; `had` are addresses that the host is known to have had.
    pub fn reread_addresses(&self, had: impl IntoIterator<Item = IpAddr>) -> Arc<LocalAddresses> {
        self.read_addresses(Duration::ZERO, had)
    }

    fn read_addresses(&self, age: Duration, had: impl IntoIterator<Item = IpAddr>) -> Arc<LocalAddresses> {
        let now = Instant::now();
        let mut seen = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, addresses) = match seen.take() {
            Some((at, addresses)) if now.duration_since(at) < age => (at, addresses),
            Some((_, earlier)) => (now, Arc::new(LocalAddresses::read_after(&earlier).having_had(had))),
            None => (now, Arc::new(LocalAddresses::read_host().having_had(had))),
        };
        *seen = Some((at, Arc::clone(&addresses)));
        addresses
    }

    /// What this gateway is for a local address.
    pub fn presence(&self, address: IpAddr) -> Presence {
        if self.given_up.get() { Presence::Standby } else { self.local_addresses().presence(address, self.role) }
    }

    /// Whether the gateway was made a standby on purpose.
    pub fn given_up(&self) -> &GivenUp {
        &self.given_up
    }

    /// The local addresses of which was told that the gateway stands by.
    pub fn standing_by(&self) -> MutexGuard<'_, BTreeSet<IpAddr>> {
        self.standing_by.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of the local addresses that this host has or had.
    pub fn seen_addresses(&self) -> &SeenAddresses {
        &self.seen_addresses
    }

    /// This host's directly connected networks; those of the last reading if they cannot be read now.
    pub fn networks(&self) -> Arc<BTreeSet<IpNet>> {
        let now = self.local_addresses();
        let mut known = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(networks) = now.networks.as_ref().filter(|networks| *networks != known.as_ref()) {
            *known = Arc::new(networks.clone());
        }
        Arc::clone(&known)
    }
}
