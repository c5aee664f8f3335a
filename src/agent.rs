//! The agent: the use cases, and the only place that orders effects.
//!
//! The record in the store is the truth. What stands in conf.d, what charon holds and which SAs run
//! are made to follow it, by one function for every cause: [`Agent::reconcile`].

pub(crate) mod change;
mod entry;
pub(crate) mod observe;
mod proven;
pub(crate) mod reconcile;
mod versions;

pub use change::plan::{Impact, Plan, impact};
pub use change::policy::Warning;
pub use change::rekey_test::{Outcome, RekeyTest};
pub use change::settings_drift::{SettingDrift, follow_settings, reconnected};
pub use change::together::Companion;
pub use change::transaction::{WriteOptions, Written};
pub use entry::Drift;
pub use observe::connection_log::{Entry as LogEntry, Speaker};
pub use observe::down_reason::LocalAddresses;
pub use observe::events::{Event, EventKind, EventStream};
pub use observe::traffic::Seen;
pub use observe::view::{Discount, View};
pub use reconcile::charon_session::CharonLink;
pub use reconcile::reconciler::configure;
pub use reconcile::sa_planner::{Loaded, Step};
pub use reconcile::watchdog::Ticks;

use crate::{
    agent::{
        change::conflicts::UniquenessIndex,
        entry::Entry,
        observe::charon_log::Traces,
        reconcile::{queue::ReconcileQueue, watchdog::Heartbeat},
    },
    error::{Error, Result},
    ipsec::{Code, Connection, ConnectionId, IkeVersion, Limits},
    settings::{
        Gateway, Settings,
        policy::{Policy, Stance},
    },
    store::Store,
    strongswan::{Charon, StrongSwan},
};
use ipnet::IpNet;
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
    strongswan: StrongSwan,
    conf_dir: PathBuf,
    swanctl_dir: PathBuf,
    wait: Duration,
    gateway: RwLock<Arc<Gateway>>,
    uniqueness: Mutex<UniquenessIndex>,
    entries: Mutex<HashMap<ConnectionId, Arc<Entry>>>,
    link: channel::Sender<CharonLink>,
    queue: ReconcileQueue,
    /// Told when charon did not answer somebody.
    doubts: Notify,
    /// Connections to be looked at when charon is there.
    deferred: Mutex<BTreeSet<ConnectionId>>,
    traces: Mutex<Traces>,
    /// The networks that this host was directly connected to when it was last asked.
    networks: Mutex<Arc<BTreeSet<IpNet>>>,
    /// What this host has, and when it was asked.
    host: Mutex<Option<(Instant, Arc<LocalAddresses>)>>,
    events: EventStream,
    policy: Policy,
    /// Whether changes are rehearsed that do not say.
    rehearses: bool,
    limits: Limits,
    /// The zero of the clock for flows.
    started: std::time::Instant,
    heartbeat: Arc<Heartbeat>,
}

impl Agent {
    /// An agent on `store` and `swan`; it does nothing before [`Agent::start`].
    #[must_use]
    pub fn new(settings: &Settings, store: Store, strongswan: StrongSwan) -> Arc<Self> {
        let (queue, due) = ReconcileQueue::new();
        let (uniqueness, aside) = crate::agent::change::set_aside::compare(&store.all());
        for record in aside {
            let why = record.aside.as_deref().unwrap_or_default();
            tracing::error!(uuid = %record.id, why, "a stored connection clashes with another and is set aside: it is not loaded");
            store.note(record);
        }
        let agent = Arc::new(Self {
            store,
            strongswan,
            conf_dir: settings.conf_dir(),
            swanctl_dir: settings.swanctl_dir.clone(),
            wait: settings.charon.wait,
            gateway: RwLock::new(Arc::new(settings.gateway.clone())),
            uniqueness: Mutex::new(uniqueness),
            entries: Mutex::default(),
            link: channel::Sender::new(CharonLink::Starting),
            queue,
            doubts: Notify::new(),
            deferred: Mutex::default(),
            host: Mutex::default(),
            networks: Mutex::default(),
            traces: Mutex::default(),
            events: EventStream::new(jiff::Timestamp::now()),
            policy: settings.policy.clone(),
            rehearses: settings.charon.rehearse_rekey,
            limits: crate::agent::observe::traffic::limits(&settings.condition),
            started: std::time::Instant::now(),
            heartbeat: Arc::default(),
        });
        tokio::spawn(crate::agent::reconcile::queue::run(Arc::downgrade(&agent), due, Arc::clone(&agent.heartbeat)));
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
    pub fn link(&self) -> CharonLink {
        self.link.borrow().clone()
    }

    /// The ways to charon.
    pub(crate) fn strongswan(&self) -> &StrongSwan {
        &self.strongswan
    }

    /// What the settings say of `weakness`.
    pub(crate) fn stance(&self, setting: &str) -> Stance {
        self.policy.stance(setting)
    }

    /// What happened lately.
    pub fn events(&self) -> &EventStream {
        &self.events
    }

    /// How often the agent's loops have turned: both go on for as long as nothing hangs.
    pub fn ticks(&self) -> Ticks {
        self.heartbeat.ticks()
    }

    /// The last `count` lines of the log of `id` that stand behind its line `after`.
    pub fn log(&self, id: ConnectionId, count: usize, after: u64) -> Vec<LogEntry> {
        self.entry(id).history().log.lines(count, after)
    }

    fn lock_traces(&self) -> MutexGuard<'_, Traces> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, id: ConnectionId) -> Arc<Entry> {
        Arc::clone(self.lock_entries().entry(id).or_default())
    }

    fn lock_entries(&self) -> MutexGuard<'_, HashMap<ConnectionId, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_uniqueness(&self) -> MutexGuard<'_, UniquenessIndex> {
        self.uniqueness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has charon looked after at once if `error` says that it did not answer.
    fn suspect(&self, error: &Error) {
        if matches!(error, Error::Unreachable { .. }) {
            self.doubts.notify_one();
        }
    }

    /// What charon can do, asked anew if it was not there a moment ago.
    async fn charon(&self) -> Result<Arc<Charon>> {
        match self.link() {
            CharonLink::Up(charon) => Ok(charon),
            CharonLink::Starting | CharonLink::Down { .. } => Ok(Arc::new(self.strongswan.probe().await?)),
        }
    }

    fn conf_path(&self, id: ConnectionId) -> PathBuf {
        self.conf_dir.join(crate::strongswan::names::file(id))
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
