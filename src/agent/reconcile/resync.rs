//! Resynchronises everything: makes charon and conf.d equal to the store when charon starts, and compares them
//! periodically, because no event reports an edited file or an unloaded connection.

use crate::{
    agent::{
        Agent, Entry,
        reconcile::{
            reconciler::{Listed, RETRY_SILENT},
            sa_planner::{Loaded, SaPlanner},
        },
    },
    disk,
    error::{Error, Result},
    ipsec::{Auth, ConnectionId},
    store::Record,
    strongswan::{Asker, Charon, Sas, names},
};
use futures_util::StreamExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{task::block_in_place, time::Instant};
use tokio_util::task::AbortOnDropHandle;

/// How often conf.d and charon's lists are compared with the store; see [`Agent::pause`].
pub(in crate::agent) const SWEEP: Duration = Duration::from_secs(5);
/// How often the counters of all SAs are sampled; one-way traffic shows in them. [`Agent::pause`] applies too.
pub(in crate::agent) const SAMPLE: Duration = Duration::from_secs(3);
/// The number of connections that adds one usual pause, and the most pauses: lists of thousands take long.
const SWEPT: usize = 500;
const LONGEST: usize = 20;
/// How many connections are loaded concurrently: enough to keep all sockets of charon busy.
const PARALLEL: usize = 16;

impl Agent {
    /// Reconciles every connection of cygnet, wanted or not, with the store.
    pub(in crate::agent) async fn synchronise(self: &Arc<Self>, charon: &Arc<Charon>) -> Result<()> {
        let life = self.strongswan.charon_epoch().await;
        self.follow_dropped_cas().await?;
        let (present, mut running) = self.present().await?;
        let stored: BTreeSet<_> = self.store.all().iter().map(|record| record.id).collect();
        // Unwanted connections first: their keys may conflict with others.
        let strangers =
            present.difference(&stored).copied().filter(|id| !self.is_left_alone(*id)).inspect(record_stranger);
        let all: Vec<_> = strangers.chain(stored.iter().copied()).collect();
        let all = all
            .into_iter()
            .map(|id| (id, Listed { life, sas: running.remove(&id).map(Arc::unwrap_or_clone).unwrap_or_default() }));
        // Each renders and compares a file: on tasks of their own, all processors take part. They end with this call.
        let restored = |(id, listed)| {
            let (agent, charon) = (Arc::clone(self), Arc::clone(charon));
            let task = tokio::spawn(async move { agent.restore(id, listed, &charon).await });
            async move {
                let ended = |e| (id, Err(Error::Internal(format!("the task of the connection ended: {e}"))));
                AbortOnDropHandle::new(task).await.unwrap_or_else(ended)
            }
        };
        let outcomes = futures_util::stream::iter(all).map(restored);
        let mut outcomes = std::pin::pin!(outcomes.buffer_unordered(PARALLEL));
        while let Some((id, outcome)) = outcomes.next().await {
            self.reconciler.heartbeat().watch_ticked();
            self.record_restored(id, outcome);
        }
        self.sweep_credentials().await;
        Ok(())
    }

    /// Reconciles with the SAs in `listed`, which may be a moment old; the events since then follow. A connection that is
    /// being changed comes after its change: the start of a session waits for no caller.
    async fn restore(
        self: &Arc<Self>,
        id: ConnectionId,
        listed: Listed,
        charon: &Arc<Charon>,
    ) -> (ConnectionId, Result<()>) {
        let entry = self.entry(id);
        let Ok(mut planner) = entry.planner.try_lock() else {
            let (agent, charon) = (Arc::clone(self), Arc::clone(charon));
            tokio::spawn(async move {
                let entry = agent.entry(id);
                let mut planner = entry.planner.lock().await;
                let outcome = match agent.listed(id).await {
                    Ok(listed) => agent.restore_locked(id, &entry, &mut planner, listed, &charon).await,
                    Err(error) => Err(error),
                };
                agent.record_restored(id, outcome);
            });
            return (id, Ok(()));
        };
        let outcome = self.restore_locked(id, &entry, &mut planner, listed, charon).await;
        (id, outcome)
    }

    async fn restore_locked(
        &self,
        id: ConnectionId,
        entry: &Entry,
        planner: &mut SaPlanner,
        listed: Listed,
        charon: &Charon,
    ) -> Result<()> {
        // What carried traffic goes first.
        let came_up = entry.came_up.swap(false, Ordering::Relaxed);
        let was_alive = came_up || planner.is_complete() || planner.was_alive && !planner.has_failed();
        *planner = SaPlanner::default();
        planner.was_alive = was_alive;
        self.mark_all_stale(id, &listed.sas, planner);
        entry.record_idle(entry.told(), listed.life, &listed.sas);
        self.converge(id, entry, planner, charon, Some(listed)).await
    }

    /// Logs a connection that cannot be loaded and retries it; the others continue.
    fn record_restored(&self, id: ConnectionId, outcome: Result<()>) {
        let Err(error) = outcome else { return };
        tracing::error!(uuid = %id, %error, "{}: the connection cannot be loaded into charon: {error}; it is tried again", self.store.label(id));
        if matches!(error, Error::Unreachable { .. }) {
            self.reconciler.suspect(&error);
            self.reconciler.enqueue(id, Instant::now() + RETRY_SILENT);
        }
    }

    /// The owners of all objects in charon's lists, among its SAs and in conf.d; and the SAs.
    async fn present(&self) -> Result<(BTreeSet<ConnectionId>, Sas)> {
        let listed = self.strongswan.loaded(self.store.count()).await?;
        let running = self.strongswan.all().await?;
        let present = listed.owners().copied().chain(running.keys().copied()).chain(self.files()).collect();
        Ok((present, running))
    }

    /// The owners of the files in conf.d. An unreadable directory does not stop the work on charon.
    fn files(&self) -> BTreeSet<ConnectionId> {
        let listed = block_in_place(|| disk::list(&self.conf_dir));
        let names =
            listed.inspect_err(|error| tracing::error!(%error, "conf.d cannot be read: {error}")).unwrap_or_default();
        names.iter().filter_map(|name| names::file_owner(name)).collect()
    }

    /// The private keys in charon, if a connection needs one and charon can list them.
    async fn private_keys(&self) -> Result<Option<BTreeSet<String>>> {
        let needed = |record: &Arc<Record>| record.is_loaded() && record.connection.auth.certs().is_some();
        if self.store.all().iter().any(needed) { self.strongswan.private_keys().await } else { Ok(None) }
    }

    /// The pause until the next resync, from its `usual` pause and the number of connections. The time of the last one
    /// does not count: a busy host must not repair drift later.
    pub(in crate::agent) fn pause(&self, usual: Duration) -> Duration {
        let times = self.store.count().div_ceil(SWEPT).clamp(1, LONGEST);
        usual.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX))
    }

    /// Finds drift that no event reports: an edited or removed file, a connection or secret that was unloaded or loaded.
    /// The reconciler repairs it.
    pub(in crate::agent) async fn sweep(&self) -> Result<()> {
        let listed = self.strongswan.loaded(self.store.count()).await?;
        let mut counts: BTreeMap<_, usize> = BTreeMap::new();
        for id in &listed.connections {
            *counts.entry(*id).or_default() += 1;
        }
        let keys = self.private_keys().await?;
        let files = self.files();
        let now = Instant::now();
        self.follow_dropped_cas().await?;
        self.sweep_credentials().await;
        self.forget_entries();
        let records = self.store.all();
        // Thousands of files take a while, which must not block a worker of the runtime.
        let is_edited = |id: &ConnectionId| self.entry(*id).files_changed(&self.paths(*id));
        let edited: BTreeSet<_> = block_in_place(|| records.iter().map(|record| record.id).filter(is_edited).collect());
        for record in records {
            let (id, entry) = (record.id, self.entry(record.id));
            let has_secret = match &record.connection.auth {
                Auth::Psk(_) => listed.keys.as_ref().is_none_or(|keys| keys.contains(&id)),
                Auth::Certs(certs) => keys.as_ref().is_none_or(|keys| keys.contains(&certs.key_id())),
            };
            let is_ppk = record.connection.native.ppk.is_some();
            let has_secrets = has_secret && listed.ppks.as_ref().is_none_or(|ppks| ppks.contains(&id) == is_ppk);
            let lost =
                record.is_loaded() && !(counts.get(&id) >= Some(&names::count(&record.connection)) && has_secrets);
            if lost {
                // A change in progress is compared the next time.
                let Ok(mut planner) = entry.planner.try_lock() else { continue };
                planner.loaded = Loaded::Nothing;
            }
            if lost || edited.contains(&id) || !self.strongswan.has_events() {
                self.reconciler.enqueue(id, now);
            }
        }
        let strangers: BTreeSet<_> = listed.owners().chain(&files).collect();
        for id in strangers.into_iter().filter(|id| self.store.get(**id).is_none() && !self.is_left_alone(**id)) {
            record_stranger(id);
            self.reconciler.enqueue(*id, now);
        }
        Ok(())
    }

    /// Closes all SAs of a connection that is not wanted.
    pub(in crate::agent) async fn close_all(&self, id: ConnectionId) -> Result<()> {
        let life = self.strongswan.charon_epoch().await;
        for ike in self.strongswan.observe(id, Asker::Writer).await? {
            self.strongswan.close_ike(ike.unique_id, life).await?;
        }
        Ok(())
    }

    /// Drops the working state of connections that do not exist, unless it is in use.
    fn forget_entries(&self) {
        let is_wanted = |id: &ConnectionId, entry: &mut Arc<Entry>| {
            Arc::strong_count(entry) > 1 || self.store.get(*id).is_some() || entry.unsaved.load(Ordering::Relaxed)
        };
        self.lock_entries().retain(is_wanted);
    }

    /// Whether the record of `id` is damaged: then its objects are not changed.
    pub(in crate::agent) fn is_left_alone(&self, id: ConnectionId) -> bool {
        self.store.damaged().iter().any(|damaged| damaged.id == Some(id))
    }
}

fn record_stranger(id: &ConnectionId) {
    tracing::warn!(uuid = %id, "{id}: charon or conf.d has a connection of cygnet that is not stored; removing it");
}
