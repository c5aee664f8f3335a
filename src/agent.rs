//! The agent: the use cases, and the only place that orders effects.
//!
//! The record in the store is the truth. What stands in conf.d, what charon holds and which SAs run
//! are made to follow it, by one function for every cause: `Agent::reconcile`.

pub(crate) mod change;
mod entry;
mod maintenance;
mod observe;
mod reconcile;
mod refusal;
mod start;

pub use change::plan::{Impact, Plan, impact};
pub use change::plan_set::{Member, Wish};
pub use change::rekey_outcome::{Outcome, RekeyTest};
pub use change::restore::Found;
pub use change::said::said;
pub use change::settings_drift::{SettingDrift, follow_settings, reconnected};
pub use change::warning::Warning;
pub use change::write::{Companion, TransitionOptions, WriteOptions, Written};
pub use entry::Drift;
pub use observe::availability::Turn;
pub use observe::connection_log::{Entry as LogEntry, Speaker};
pub use observe::events::{Event, EventKind, EventStream};
pub use observe::foreign::Stranger;
pub use observe::local_addresses::{LocalAddresses, Presence};
pub use observe::tally::Tally;
pub use observe::traffic::Seen;
pub use observe::view::{Discount, View};
pub use reconcile::address_news::standby_addresses;
pub use reconcile::charon_link::CharonLink;
pub use reconcile::reconciler::configure;
pub use reconcile::sa_planner::{Loaded, Step};
pub use reconcile::watchdog::Ticks;

use crate::{
    error::Result,
    ipsec::ConnectionId,
    ranked::{ENTRIES, Guard, Ranked},
    settings::{Gateway, policy::Stance},
    store::{Record, Store},
    strongswan::{Charon, StrongSwan, names, vici::RoundTrips},
};
use change::Changes;
use entry::Entry;
use jiff::Timestamp;
use observe::Observer;
use reconcile::Reconciler;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

/// The agent, shared by the HTTP server and its own tasks. It joins the owners of the state of changes, of the
/// reconciler and of the observer, and owns the state that all of them need.
pub struct Agent {
    store: Store,
    strongswan: StrongSwan,
    conf_dir: PathBuf,
    swanctl_dir: PathBuf,
    gateway: RwLock<Arc<Gateway>>,
    entries: Ranked<HashMap<ConnectionId, Arc<Entry>>, ENTRIES>,
    changes: Changes,
    reconciler: Reconciler,
    observer: Observer,
}

impl Agent {
    /// Replaces the gateway's addresses and networks for later calls. Publishes an event for each connection that differs.
    pub fn set_gateway(&self, gateway: Gateway) {
        let (before, now) = (self.gateway(), Arc::new(gateway));
        *self.gateway.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&now);
        self.publish_settings_drift(Some(&before), &now);
    }

    /// The gateway's addresses and networks.
    pub fn gateway(&self) -> Arc<Gateway> {
        Arc::clone(&self.gateway.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The records of the connections, for those who read them without a write.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The record of `id`, whatever runs of it.
    ///
    /// # Errors
    /// When there is none, or its file is damaged.
    pub fn stored_record(&self, id: ConnectionId) -> Result<Arc<Record>> {
        self.refuse_damaged(id)?;
        self.store.get(id).ok_or_else(|| refusal::not_found(id))
    }

    /// Whether charon answers, and since when it does not.
    pub fn link(&self) -> CharonLink {
        self.reconciler.link()
    }

    /// The connection to charon.
    pub(crate) fn strongswan(&self) -> &StrongSwan {
        &self.strongswan
    }

    /// How long charon's answers took, if the backend measures it.
    pub fn round_trips(&self) -> Option<&RoundTrips> {
        self.strongswan.round_trips()
    }

    /// How often the connection was negotiated, rekeyed, and failed.
    pub fn tally(&self, id: ConnectionId) -> Tally {
        self.entry(id).tally().clone()
    }

    /// The policy for a weak choice.
    pub(crate) fn stance(&self, setting: &str) -> Stance {
        self.changes.stance(setting)
    }

    /// The recent events.
    pub fn events(&self) -> &EventStream {
        self.observer.events()
    }

    /// The turns of the agent's loops, which grow unless a loop hangs.
    pub fn ticks(&self) -> Ticks {
        self.reconciler.heartbeat().ticks()
    }

    /// The last `count` lines of the log of `id` after its line `after`.
    pub fn log(&self, id: ConnectionId, count: usize, after: u64) -> Vec<LogEntry> {
        self.entry(id).history().log.lines(count, after)
    }

    /// The number of the last line that a reader has who read up to the line `number` of the time `at`.
    pub fn known_lines(&self, id: ConnectionId, number: u64, at: Timestamp) -> u64 {
        self.entry(id).history().log.known(number, at)
    }

    fn entry(&self, id: ConnectionId) -> Arc<Entry> {
        Arc::clone(self.lock_entries().entry(id).or_default())
    }

    fn lock_entries(&self) -> Guard<'_, HashMap<ConnectionId, Arc<Entry>>> {
        self.entries.lock()
    }

    /// charon's abilities; asks again if charon did not answer before.
    async fn charon(&self) -> Result<Arc<Charon>> {
        match self.link() {
            CharonLink::Up(charon) => Ok(charon),
            CharonLink::Starting | CharonLink::Down { .. } => Ok(Arc::new(self.strongswan.probe().await?)),
        }
    }

    fn conf_path(&self, id: ConnectionId) -> PathBuf {
        self.conf_dir.join(names::file(id))
    }
}
