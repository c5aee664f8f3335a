//! Deletion: out of charon, its SAs seen gone, then forgotten.

use crate::{
    agent::{
        Agent, Entry,
        change::transaction::{not_found, uncancelled},
        observe::events::EventKind,
        reconcile::sa_planner::{Loaded, SaPlanner},
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

/// How long closing SAs may take before the peer is no longer waited for.
const CLOSING: Duration = Duration::from_secs(2);

impl Agent {
    /// Deletes the connection `id`: unloads it, closes its SAs, forgets it.
    ///
    /// # Errors
    /// When there is none, charon does not answer (unless the caller will `enforce` it), or its files
    /// cannot be removed: then it stays.
    pub async fn remove(self: &Arc<Self>, id: ConnectionId, enforce: bool) -> Result<()> {
        let agent = Arc::clone(self);
        uncancelled(async move { agent.delete(id, enforce).await }).await
    }

    async fn delete(&self, id: ConnectionId, enforce: bool) -> Result<()> {
        let entry = self.entry(id);
        let mut planner = entry.planner.lock().await;
        self.refuse_damaged(id)?;
        let record = self.store.get(id).ok_or_else(|| not_found(id))?;
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
        self.record_doubt(id, gone.as_ref().err(), planner);
        match gone {
            Err(error) if enforce => tracing::warn!(uuid = %id, %error, "deleting although charon does not answer"),
            other => other?,
        }
        // The record last: as long as it is there, the connection is.
        let erased = match self.discard_all(record, enforce).await {
            Ok(()) => block_in_place(|| disk::remove(&self.conf_path(id)).and_then(|()| self.store.remove(id))),
            failed => failed,
        };
        if let Err(error) = erased {
            // It stays: the reconciler writes and loads it again and brings it up.
            entry.unsaved.store(true, Ordering::Relaxed);
            planner.invalidate_loaded();
            planner.reset_attempts();
            self.queue.enqueue(id, Instant::now());
            return Err(error);
        }
        self.release(Some(record));
        self.publish(id, EventKind::Deleted);
        // The entry stays while others wait for it: two of them would not exclude each other.
        *planner = SaPlanner::default();
        planner.loaded = Loaded::Nothing;
        entry.forget_rehearsal();
        entry.share(planner);
        entry.happened.notify_waiters();
        Ok(())
    }

    /// Closes all SAs of `id` and sees them gone.
    pub(in crate::agent) async fn close_and_verify(&self, id: ConnectionId) -> Result<()> {
        self.close_all(id).await?;
        let end = Instant::now() + CLOSING;
        let mut pause = Duration::from_millis(5);
        while !self.strongswan.observe(id, Asker::Writer).await?.is_empty() {
            if Instant::now() >= end {
                // The peer does not confirm. charon goes on telling it, and drops the SA by itself.
                tracing::warn!(uuid = %id, "the peer does not confirm that the tunnel is closed");
                return self.strongswan.drop_all(id).await;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
        Ok(())
    }
}
