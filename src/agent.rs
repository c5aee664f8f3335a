//! The agent: the use cases, and the only place that orders effects.
//!
//! The record in the store is the truth. What stands in conf.d, what charon holds and which SAs run
//! are made to follow it, by one function for every cause: [`Agent::reconcile`].

mod admission;
mod apply;
mod aside;
mod claims;
mod conditions;
mod confirm;
pub mod doctor;
mod entry;
mod feed;
mod files;
mod heal;
mod hear;
mod log;
mod memory;
mod neighbours;
mod overlaps;
mod plan;
mod proven;
mod pulse;
mod reasons;
mod reconcile;
mod rehearse;
mod remove;
mod same;
mod schedule;
mod settings_drift;
mod split;
mod story;
mod sweep;
mod together;
mod versions;
mod view;
mod warnings;
mod watch;

pub use apply::{How, Written};
pub use conditions::Seen;
pub use entry::Drift;
pub use feed::{Event, Feed, Happening};
pub use log::{Entry as LogEntry, Speaker};
pub use memory::{Loaded, Step};
pub use plan::{Impact, Plan, impact};
pub use pulse::Turns;
pub use reasons::Host;
pub use reconcile::configure;
pub use rehearse::{Outcome, Rehearsal};
pub use settings_drift::{SettingDrift, follow_settings, reconnected};
pub use together::Companion;
pub use view::{Discount, View};
pub use warnings::Warning;
pub use watch::Life;

use crate::{
    error::{Error, Result},
    ipsec::{Code, Connection, ConnectionId, IkeVersion, Limits},
    settings::{Gateway, Settings, policy::Policy},
    store::Store,
    swan::{Charon, Swan},
};
use claims::Claims;
use entry::Entry;
use hear::Tales;
use ipnet::IpNet;
use pulse::Pulse;
use schedule::Schedule;
use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch as channel},
    time::Instant,
};

/// The agent; shared by the HTTP server and its own tasks.
pub struct Agent {
    store: Store,
    swan: Swan,
    conf_dir: PathBuf,
    swanctl_dir: PathBuf,
    wait: Duration,
    gateway: RwLock<Arc<Gateway>>,
    claims: Mutex<Claims>,
    entries: Mutex<HashMap<ConnectionId, Arc<Entry>>>,
    life: channel::Sender<Life>,
    schedule: Schedule,
    /// Told when charon did not answer somebody.
    doubts: Notify,
    /// Connections to be looked at when charon is there.
    deferred: Mutex<BTreeSet<ConnectionId>>,
    tales: Mutex<Tales>,
    /// The networks that this host was directly connected to when it was last asked.
    networks: Mutex<Arc<BTreeSet<IpNet>>>,
    /// What this host has, and when it was asked.
    host: Mutex<Option<(Instant, Arc<Host>)>>,
    feed: Feed,
    policy: Policy,
    /// Whether changes are rehearsed that do not say.
    rehearses: bool,
    limits: Limits,
    /// The zero of the clock for flows.
    started: std::time::Instant,
    pulse: Arc<Pulse>,
}

impl Agent {
    /// An agent on `store` and `swan`; it does nothing before [`Agent::start`].
    #[must_use]
    pub fn new(settings: &Settings, store: Store, swan: Swan) -> Arc<Self> {
        let (schedule, queue) = Schedule::new();
        let (claims, aside) = aside::compare(&store.all());
        for record in aside {
            let why = record.aside.as_deref().unwrap_or_default();
            tracing::error!(uuid = %record.id, why, "a stored connection clashes with another and is set aside: it is not loaded");
            store.note(record);
        }
        let agent = Arc::new(Self {
            store,
            swan,
            conf_dir: settings.conf_dir(),
            swanctl_dir: settings.swanctl_dir.clone(),
            wait: settings.charon.wait,
            gateway: RwLock::new(Arc::new(settings.gateway.clone())),
            claims: Mutex::new(claims),
            entries: Mutex::default(),
            life: channel::Sender::new(Life::Starting),
            schedule,
            doubts: Notify::new(),
            deferred: Mutex::default(),
            host: Mutex::default(),
            networks: Mutex::default(),
            tales: Mutex::default(),
            feed: Feed::new(jiff::Timestamp::now()),
            policy: settings.policy.clone(),
            rehearses: settings.charon.rehearse_rekey,
            limits: conditions::limits(&settings.condition),
            started: std::time::Instant::now(),
            pulse: Arc::default(),
        });
        tokio::spawn(schedule::run(Arc::downgrade(&agent), queue, Arc::clone(&agent.pulse)));
        agent
    }

    /// Replaces what the gateway has, for later calls. Of stored connections that it moves away from, listeners are told.
    pub fn set_gateway(&self, gateway: Gateway) {
        let (before, now) = (self.gateway(), Arc::new(gateway));
        *self.gateway.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&now);
        self.tell_settings_drift(Some(&before), &now);
    }

    /// What the gateway has.
    pub fn gateway(&self) -> Arc<Gateway> {
        Arc::clone(&self.gateway.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether charon is there, and since when not.
    pub fn life(&self) -> Life {
        self.life.borrow().clone()
    }

    /// What happened lately.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// How often the agent's loops have turned: both go on for as long as nothing hangs.
    pub fn turns(&self) -> Turns {
        self.pulse.turns()
    }

    /// The last `count` lines of the log of `id` that stand behind its line `after`.
    pub fn log(&self, id: ConnectionId, count: usize, after: u64) -> Vec<LogEntry> {
        self.entry(id).story().log.lines(count, after)
    }

    fn lock_tales(&self) -> MutexGuard<'_, Tales> {
        self.tales.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, id: ConnectionId) -> Arc<Entry> {
        Arc::clone(self.lock_entries().entry(id).or_default())
    }

    fn lock_entries(&self) -> MutexGuard<'_, HashMap<ConnectionId, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has charon looked after at once if `error` says that it did not answer.
    fn suspect(&self, error: &Error) {
        if matches!(error, Error::Unreachable { .. }) {
            self.doubts.notify_one();
        }
    }

    /// What charon can do, asked anew if it was not there a moment ago.
    async fn charon(&self) -> Result<Arc<Charon>> {
        match self.life() {
            Life::Up(charon) => Ok(charon),
            Life::Starting | Life::Down { .. } => Ok(Arc::new(self.swan.probe().await?)),
        }
    }

    fn conf_path(&self, id: ConnectionId) -> PathBuf {
        self.conf_dir.join(crate::swan::names::file(id))
    }
}

/// A refusal for a cause that has a name.
fn named(code: Code, text: String) -> Error {
    Error::Named { text, elaboration: format!("{}: {}", code.name(), code.advice()) }
}

/// Why `charon` cannot speak the connection's version of IKE, if so.
fn unspoken(connection: &Connection, charon: &Charon) -> Option<String> {
    let lacks = connection.version == IkeVersion::V1 && !charon.ikev1;
    let version = &charon.version;
    lacks.then(|| format!("this gateway's strongSwan {version} has no ikev1 (it was built without it; ikev2 is there)"))
}

/// Refuses `connection` if charon lacks an algorithm of it, or its IKE version.
fn check_abilities(connection: &Connection, charon: &Charon) -> Result<()> {
    if let Some(text) = unspoken(connection, charon) {
        return Err(named(Code::IkeVersionMismatch, text));
    }
    let missing = charon.missing(connection);
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = missing.iter().map(|(name, package)| format!("{name} (Debian package {package})")).collect();
    let text = format!("this gateway's strongSwan {} has no {}", charon.version, list.join(", "));
    Err(named(Code::AlgorithmUnsupported, text))
}
