//! Everything at once: what charon and conf.d hold of ours is made equal to the store when charon comes, and looked
//! after from time to time, since no event tells that somebody edited a file or unloaded a connection.

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
    strongswan::{Charon, Sas, names},
};
use futures_util::StreamExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{task::block_in_place, time::Instant};

/// How often conf.d and charon's lists are compared with what they should be; see [`Agent::pause`].
pub(in crate::agent) const SWEEP: Duration = Duration::from_secs(5);
/// How often the counters of all SAs are looked at, so that one-way traffic is known when somebody asks; the same holds.
pub(in crate::agent) const SAMPLE: Duration = Duration::from_secs(3);
/// The pause grows with each so many connections, up to so many times the usual: of thousands the lists are long.
const SWEPT: usize = 500;
const LONGEST: usize = 20;
/// How many connections are brought into charon side by side: none of its sockets waits for us meanwhile.
const PARALLEL: usize = 8;

impl Agent {
    /// Brings every connection of ours, wanted or not, to where the store wants it.
    pub(in crate::agent) async fn synchronise(self: &Arc<Self>, charon: &Arc<Charon>) -> Result<()> {
        let life = self.strongswan.charon_epoch().await;
        self.follow_dropped_cas().await?;
        let (present, mut running) = self.present().await?;
        let stored: BTreeSet<_> = self.store.all().iter().map(|record| record.id).collect();
        // What is not wanted goes first: its key may be in the way of another's.
        let strangers =
            present.difference(&stored).copied().filter(|id| !self.is_left_alone(*id)).inspect(record_stranger);
        let all: Vec<_> = strangers.chain(stored.iter().copied()).collect();
        let all = all
            .into_iter()
            .map(|id| (id, Listed { life, sas: running.remove(&id).map(Arc::unwrap_or_clone).unwrap_or_default() }));
        let outcomes = futures_util::stream::iter(all).map(|(id, listed)| self.restore(id, listed, charon));
        let mut outcomes = std::pin::pin!(outcomes.buffer_unordered(PARALLEL));
        while let Some((id, outcome)) = outcomes.next().await {
            self.reconciler.heartbeat().watch_ticked();
            self.record_restored(id, outcome);
        }
        self.sweep_credentials().await;
        Ok(())
    }

    /// What `listed` tells may be a moment old; the events since then are worked off afterwards. A connection that is being
    /// changed comes when that is over: charon's return waits for no caller's change.
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
        *planner = SaPlanner::default();
        self.mark_all_stale(id, &listed.sas, planner);
        self.converge(id, entry, planner, charon, Some(listed)).await
    }

    /// One connection that cannot be put in force does not keep the others from it; it is tried again.
    fn record_restored(&self, id: ConnectionId, outcome: Result<()>) {
        let Err(error) = outcome else { return };
        tracing::error!(uuid = %id, %error, "a stored connection cannot be put in force");
        if matches!(error, Error::Unreachable { .. }) {
            self.reconciler.suspect(&error);
            self.reconciler.enqueue(id, Instant::now() + RETRY_SILENT);
        }
    }

    /// Whose objects there are, in charon's lists, among its SAs and in conf.d; and the SAs.
    async fn present(&self) -> Result<(BTreeSet<ConnectionId>, Sas)> {
        let (connections, secrets) = self.strongswan.loaded(self.store.count()).await?;
        let running = self.strongswan.all().await?;
        let loaded = connections.into_iter().chain(secrets.into_iter().flatten());
        let present = loaded.chain(running.keys().copied()).chain(self.files()).collect();
        Ok((present, running))
    }

    /// Whose files there are in conf.d. A directory that cannot be read is no reason to leave charon alone.
    fn files(&self) -> BTreeSet<ConnectionId> {
        let listed = block_in_place(|| disk::list(&self.conf_dir));
        let names =
            listed.inspect_err(|error| tracing::error!(%error, "conf.d cannot be looked after")).unwrap_or_default();
        names.iter().filter_map(|name| names::file_owner(name)).collect()
    }

    /// The private keys that charon holds, if there is a connection that needs one and charon can tell.
    async fn private_keys(&self) -> Result<Option<BTreeSet<String>>> {
        let needed = |record: &Arc<Record>| record.is_loaded() && record.connection.auth.certs().is_some();
        if self.store.all().iter().any(needed) { self.strongswan.private_keys().await } else { Ok(None) }
    }

    /// How long until everything is looked at again that is `usual`ly looked at this often. It depends on the number of
    /// connections and not on the time that it took: a busy machine must not make drift stay for longer.
    pub(in crate::agent) fn pause(&self, usual: Duration) -> Duration {
        let times = self.store.count().div_ceil(SWEPT).clamp(1, LONGEST);
        usual.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX))
    }

    /// Looks for what no event tells: a file that was edited or removed, a connection or secret that
    /// somebody unloaded or loaded. What is found is put back by the reconciler.
    pub(in crate::agent) async fn sweep(&self) -> Result<()> {
        let (connections, secrets) = self.strongswan.loaded(self.store.count()).await?;
        let mut counts: BTreeMap<_, usize> = BTreeMap::new();
        for id in &connections {
            *counts.entry(*id).or_default() += 1;
        }
        let secrets: Option<BTreeSet<_>> = secrets.map(|secrets| secrets.into_iter().collect());
        let keys = self.private_keys().await?;
        let files = self.files();
        let now = Instant::now();
        self.follow_dropped_cas().await?;
        self.sweep_credentials().await;
        self.forget_entries();
        let records = self.store.all();
        // Of thousands of files that takes a while, which no runtime worker should spend.
        let is_edited = |id: &ConnectionId| self.entry(*id).files_changed(&self.paths(*id));
        let edited: BTreeSet<_> = block_in_place(|| records.iter().map(|record| record.id).filter(is_edited).collect());
        for record in records {
            let (id, entry) = (record.id, self.entry(record.id));
            let has_secret = match &record.connection.auth {
                Auth::Psk(_) => secrets.as_ref().is_none_or(|secrets| secrets.contains(&id)),
                Auth::Certs(certs) => keys.as_ref().is_none_or(|keys| keys.contains(&certs.key_id())),
            };
            let lost =
                record.is_loaded() && !(counts.get(&id) >= Some(&names::count(&record.connection)) && has_secret);
            if lost {
                // A change in progress knows better, and is looked at the next time.
                let Ok(mut planner) = entry.planner.try_lock() else { continue };
                planner.loaded = Loaded::Nothing;
            }
            let has_left = self.observer.local_addresses().has_left(record.connection.local_addr);
            if lost || edited.contains(&id) || has_left || !self.strongswan.has_events() {
                self.reconciler.enqueue(id, now);
            }
        }
        let strangers: BTreeSet<_> = connections.iter().chain(secrets.iter().flatten()).chain(&files).collect();
        for id in strangers.into_iter().filter(|id| self.store.get(**id).is_none() && !self.is_left_alone(**id)) {
            record_stranger(id);
            self.reconciler.enqueue(*id, now);
        }
        Ok(())
    }

    /// Forgets the working state of connections that do not exist, unless somebody is at work with it.
    fn forget_entries(&self) {
        let is_wanted = |id: &ConnectionId, entry: &mut Arc<Entry>| {
            Arc::strong_count(entry) > 1 || self.store.get(*id).is_some() || entry.unsaved.load(Ordering::Relaxed)
        };
        self.lock_entries().retain(is_wanted);
    }

    /// Whether the record of `id` is damaged: then nothing of it is touched.
    pub(in crate::agent) fn is_left_alone(&self, id: ConnectionId) -> bool {
        self.store.damaged().iter().any(|damaged| damaged.id == Some(id))
    }
}

fn record_stranger(id: &ConnectionId) {
    tracing::warn!(uuid = %id, "a connection under our names that is not stored, in charon or in conf.d; it is removed");
}
