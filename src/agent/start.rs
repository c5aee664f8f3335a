//! The start of the agent.

use super::{
    Agent,
    change::{Changes, set_aside},
    observe::Observer,
    reconcile::{Reconciler, charon_session, worker},
};
use crate::{disk, ranked::Ranked, settings::Settings, store::Store, strongswan::StrongSwan};
use std::sync::{Arc, RwLock};
use tokio::task::block_in_place;

impl Agent {
    /// An agent on `store` and `strongswan`; it does nothing before [`Agent::start`].
    #[must_use]
    pub fn new(settings: &Settings, store: Store, strongswan: StrongSwan) -> Arc<Self> {
        let (uniqueness, aside) = set_aside::compare(&store.all());
        for record in aside {
            let why = record.aside.as_deref().unwrap_or_default();
            tracing::error!(uuid = %record.id, why, "{}: the connection conflicts with another and is set aside, not loaded: {why}", record.label());
            store.note(record);
        }
        let (reconciler, due) = Reconciler::new();
        let agent = Arc::new(Self {
            store,
            strongswan,
            conf_dir: settings.conf_dir(),
            swanctl_dir: settings.swanctl_dir.clone(),
            gateway: RwLock::new(Arc::new(settings.gateway.clone())),
            entries: Ranked::default(),
            changes: Changes::new(settings, uniqueness),
            reconciler,
            observer: Observer::new(settings),
        });
        tokio::spawn(worker::run(Arc::downgrade(&agent), due, Arc::clone(agent.reconciler.heartbeat())));
        agent
    }

    /// Makes charon and conf.d equal to the store, and starts the loops that keep them so. Returns after the first
    /// attempt, successful or not; [`Agent::link`] has the result.
    pub async fn start(self: &Arc<Self>) {
        if let Err(error) = block_in_place(|| disk::clean(&self.conf_dir)) {
            tracing::error!(%error, "leftovers of a crash in conf.d cannot be removed: {error}");
        }
        self.clean_credentials();
        for damaged in self.store.damaged() {
            tracing::error!(path = %damaged.path.display(), why = %damaged.why, "{}: a stored connection cannot be read and is not changed: {}; repair or remove its file, then restart cygnet", damaged.path.display(), damaged.why);
        }
        block_in_place(|| self.restore_logs());
        tokio::spawn(Self::keep_logs(Arc::downgrade(self)));
        self.load_totals();
        block_in_place(|| self.follow_addresses());
        self.publish_settings_drift(None, &self.gateway());
        tokio::spawn(charon_session::watch(Arc::downgrade(self)));
        self.reconciler.first_answer().await;
    }
}
