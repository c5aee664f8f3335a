//! Deletion: unload from charon, close the SAs, then remove the record.

use crate::{
    agent::{
        Agent, Entry,
        change::transaction::uncancelled,
        observe::events::EventKind,
        reconcile::sa_planner::{Loaded, SaPlanner},
        refusal::not_found,
    },
    disk,
    error::Result,
    ipsec::ConnectionId,
    store::Record,
    strongswan::Asker,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{task::block_in_place, time::Instant};

/// How long the peer may take to confirm the closure of SAs.
const CLOSING: Duration = Duration::from_secs(2);

impl Agent {
    /// Deletes the connection `id`: unloads it, closes its SAs, and removes its record.
    ///
    /// # Errors
    /// When it does not exist, charon does not answer (unless the caller sets `enforce`), or its files cannot be
    /// removed: the connection then stays.
    pub async fn remove(self: &Arc<Self>, id: ConnectionId, enforce: bool) -> Result<()> {
        self.remove_if(id, enforce, |_| Ok(())).await
    }

    /// The same, unless `is_meant` refuses what is stored.
    ///
    /// # Errors
    /// As [`Agent::remove`], and those of `is_meant`.
    pub async fn remove_if(
        self: &Arc<Self>,
        id: ConnectionId,
        enforce: bool,
        is_meant: impl FnOnce(&Record) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let agent = Arc::clone(self);
        uncancelled(async move { agent.delete(id, enforce, is_meant).await }).await
    }

    async fn delete(
        &self,
        id: ConnectionId,
        enforce: bool,
        is_meant: impl FnOnce(&Record) -> Result<()> + Send,
    ) -> Result<()> {
        let entry = self.entry(id);
        let mut planner = entry.planner.lock().await;
        self.refuse_damaged(id)?;
        let record = self.store.get(id).ok_or_else(|| not_found(id))?;
        is_meant(&record)?;
        self.erase(&entry, &record, enforce, &mut planner).await
    }

    /// Deletes the connection `record` with the lock held.
    pub(in crate::agent) async fn erase(
        &self,
        entry: &Entry,
        record: &Record,
        enforce: bool,
        planner: &mut SaPlanner,
    ) -> Result<()> {
        let id = record.id;
        let gone = match self.strongswan.unload(id).await {
            Ok(()) => self.close_and_verify(id).await,
            failed => failed,
        };
        self.invalidate_after(id, gone.as_ref().err(), planner);
        match gone {
            Err(error) if enforce => {
                tracing::warn!(uuid = %id, %error, "{}: deleting the connection even though charon does not answer: {error}", record.label());
            }
            other => other?,
        }
        self.record_dropped_cas(Some(record), None);
        // The record goes last: while it exists, the connection exists.
        let erased = match self.discard_all(record, enforce).await {
            Ok(()) => block_in_place(|| disk::remove(&self.conf_path(id)).and_then(|()| self.store.remove(id))),
            failed => failed,
        };
        if let Err(error) = erased {
            // The connection stays: the reconciler writes, loads and initiates it again.
            entry.unsaved.store(true, Ordering::Relaxed);
            planner.invalidate_loaded();
            planner.reset_attempts();
            self.reconciler.enqueue(id, Instant::now());
            return Err(error);
        }
        self.release(Some(record));
        self.publish(id, EventKind::Deleted);
        // The entry stays while others wait for its lock: two entries would not exclude each other.
        *planner = SaPlanner::default();
        planner.loaded = Loaded::Nothing;
        entry.forget_rekey_test();
        entry.share(planner);
        entry.happened.notify_waiters();
        Ok(())
    }

    /// Closes all SAs of `id` and waits until they are gone.
    pub(in crate::agent) async fn close_and_verify(&self, id: ConnectionId) -> Result<()> {
        self.close_all(id).await?;
        let end = Instant::now() + CLOSING;
        let mut pause = Duration::from_millis(5);
        while !self.strongswan.observe(id, Asker::Writer).await?.is_empty() {
            if Instant::now() >= end {
                // The peer does not confirm. charon retransmits the DELETE, and drops the SA by itself.
                tracing::warn!(uuid = %id, "{}: the peer does not confirm the closure of the tunnel", self.store.label(id));
                return self.strongswan.drop_all(id).await;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
        Ok(())
    }
}
