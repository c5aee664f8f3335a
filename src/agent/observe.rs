//! What is seen of a connection: its state, its traffic, why it is down, and what happened to it.

mod charon_log;
pub(super) mod connection_log;
mod down_reason;
pub(super) mod events;
pub(super) mod failure_history;
pub(super) mod local_addresses;
mod rekeys;
mod same_networks;
mod traces;
pub(super) mod traffic;
pub(super) mod view;

use crate::{ipsec::Limits, settings::condition::Condition};
use events::EventStream;
use ipnet::IpNet;
use local_addresses::LocalAddresses;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use traces::Traces;

/// So long what the host said holds for [`Observer::local_addresses`].
const MOMENT: Duration = Duration::from_millis(500);

/// What those who look share: what happened, what charon said, what this host has, and the clock of the counters.
pub(crate) struct Observer {
    events: EventStream,
    traces: Mutex<Traces>,
    /// The networks that this host was directly connected to when it last told.
    networks: Mutex<Arc<BTreeSet<IpNet>>>,
    /// What this host has, and when it was asked.
    addresses: Mutex<Option<(Instant, Arc<LocalAddresses>)>>,
    limits: Limits,
    /// The zero of the clock for the counters.
    started: std::time::Instant,
}

impl Observer {
    /// With nothing seen yet.
    pub fn new(settings: &Condition) -> Self {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self {
            events: EventStream::new(jiff::Timestamp::now()),
            traces: Mutex::default(),
            networks: Mutex::default(),
            addresses: Mutex::default(),
            limits: Limits { idle: seconds(settings.idle_after), one_way: seconds(settings.one_way_after) },
            started: std::time::Instant::now(),
        }
    }

    /// What happened lately.
    pub fn events(&self) -> &EventStream {
        &self.events
    }

    /// What charon's log said of each IKE SA.
    pub fn traces(&self) -> MutexGuard<'_, Traces> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long traffic may pause, or go one way, before that has a name.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Seconds since the agent was made.
    pub fn seconds(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_secs()).unwrap_or(i64::MAX)
    }

    /// This host as it was a moment ago: when thousands of tunnels go down at once, each has its reason told.
    pub fn local_addresses(&self) -> Arc<LocalAddresses> {
        let now = Instant::now();
        let mut seen = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, addresses) = match seen.take() {
            Some((at, addresses)) if now.duration_since(at) < MOMENT => (at, addresses),
            Some((_, earlier)) => (now, Arc::new(LocalAddresses::look_after(&earlier))),
            None => (now, Arc::new(LocalAddresses::look())),
        };
        *seen = Some((at, Arc::clone(&addresses)));
        addresses
    }

    /// The networks that this host is directly connected to. A host that does not tell them has those of before.
    pub fn networks(&self) -> Arc<BTreeSet<IpNet>> {
        let now = self.local_addresses();
        let mut known = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(networks) = now.networks.as_ref().filter(|networks| *networks != known.as_ref()) {
            *known = Arc::new(networks.clone());
        }
        Arc::clone(&known)
    }
}
