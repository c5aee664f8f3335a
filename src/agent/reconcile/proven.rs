//! Observations that a record stores: whether no stale SA runs, and with which version of IKE the tunnel was up.

use crate::{
    agent::{Agent, Entry, Speaker, reconcile::sa_planner::SaPlanner},
    error::Result,
    ipsec::{ConnectionId, IkeSa},
    store::Record,
    strongswan::Charon,
};
use std::sync::Arc;
use tokio::{task::block_in_place, time::Instant};

impl Agent {
    /// Stores that no stale SA runs, and the version of IKE that carries everything; returns whether the version changed.
    /// If storing fails, the next start replaces the SAs or tries the other version first, which does no harm.
    pub(in crate::agent) async fn record_proven(
        &self,
        record: &Arc<Record>,
        entry: &Entry,
        planner: &mut SaPlanner,
        charon: &Charon,
        running: &[IkeSa],
    ) -> Result<bool> {
        let carrying = planner.carrying_version(&record.accepting(), running);
        let known = (record.worked(), record.connection.initiates());
        // Networks that IKEv1 cannot have: only the peer can have initiated it.
        let learnt = carrying.filter(|version| known != (*version, *version));
        let learnt = learnt.and_then(|version| record.having_worked(version).ok());
        let is_proven = record.unproven && planner.is_proven();
        if learnt.is_none() && !is_proven {
            return Ok(false);
        }
        let new = learnt.clone().unwrap_or_else(|| Record::clone(record));
        let unproven = new.unproven && !is_proven;
        let stored = block_in_place(|| self.store.commit(self.store.stage(Record { unproven, ..new })?));
        if let Err(error) = stored {
            tracing::warn!(uuid = %record.id, %error, "{}: cannot store that the connection runs as wanted: {error}", record.label());
            return Ok(false);
        }
        let Some(learnt) = learnt else { return Ok(false) };
        let text = format!("the tunnel is up with {}, which is tried first from now on", learnt.worked().name());
        tracing::info!(uuid = %record.id, "{}: {text}", record.label());
        self.record_line(record.id, Speaker::Agent, &text);
        self.configured(record.id, entry, planner, charon).await?;
        self.reconciler.enqueue(record.id, Instant::now());
        Ok(true)
    }

    /// Marks all SAs as stale if some may belong to an earlier configuration and the planner does not know which. This
    /// raises the generation: charon would take a second SA for a duplicate (facts 3.1).
    pub(in crate::agent) fn mark_all_stale(&self, id: ConnectionId, running: &[IkeSa], planner: &mut SaPlanner) {
        let doubtful = |record: &Arc<Record>| record.is_loaded() && record.unproven && !running.is_empty();
        let Some(record) = self.store.get(id).filter(doubtful) else { return };
        match block_in_place(|| self.store.commit(self.store.stage(record.renewed(record.changed))?)) {
            Ok(_) => {
                tracing::info!(uuid = %id, "{}: the running SAs may belong to an earlier configuration; replacing them", record.label());
                planner.stale.ike.extend(running.iter().map(|ike| ike.unique_id));
            }
            // In the old generation charon would never negotiate another.
            Err(error) => {
                tracing::error!(uuid = %id, %error, "{}: the running SAs may belong to an earlier configuration, and cannot be replaced: {error}", record.label());
            }
        }
    }
}
