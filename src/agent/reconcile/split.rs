//! A peer that makes one CHILD_SA per pair of networks takes a part of a child that has them all, and nothing more comes.
//! Such a connection goes over to one child per pair. That is kept: the peer will be like this tomorrow, too.

use crate::{
    agent::{Agent, Speaker, reconcile::sa_planner::SaPlanner},
    error::Result,
    ipsec::{ChildSa, ChildState, IkeSa, IkeState, coverage},
    store::Record,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A peer that gets a network later than this end, as in every change of both ends, narrows for a moment too.
const PATIENCE: Duration = Duration::from_secs(5);

impl Agent {
    /// Goes over to one child per pair of networks if `running` shows that the peer has them so; whether it did.
    ///
    /// # Errors
    /// When the other children cannot be loaded or stored: all is then as before.
    pub(in crate::agent) async fn follow_split(
        &self,
        record: &Arc<Record>,
        running: &[IkeSa],
        planner: &mut SaPlanner,
    ) -> Result<bool> {
        if planner.is_complete() {
            planner.narrowed_since = None;
        }
        if !record.spec.options.split.follows_peer() || !has_pairs_left(record, running, planner) {
            return Ok(false);
        }
        let (id, now) = (record.id, Instant::now());
        let due = *planner.narrowed_since.get_or_insert(now) + PATIENCE;
        if now < due {
            self.queue.enqueue(id, due);
            return Ok(false);
        }
        let new = match record.split() {
            Ok(new) => new,
            Err(conflict) => {
                tracing::warn!(uuid = %id, why = %conflict, "the peer wants a child per pair of networks, which is impossible");
                return Ok(false);
            }
        };
        tracing::info!(uuid = %id, "the peer narrows to a part of the networks: from now on, each pair has its own child");
        self.record_line(
            id,
            Speaker::Agent,
            "the peer narrows to a part of the networks: from now on, each pair has its own child",
        );
        self.in_force(&self.entry(id), Some(Arc::clone(record)), new, planner).await?;
        Ok(true)
    }
}

/// Whether a child that has several pairs of networks runs, and of some of them nothing is carried.
fn has_pairs_left(record: &Record, running: &[IkeSa], planner: &SaPlanner) -> bool {
    let wanted = &record.connection;
    let established = |ike: &&IkeSa| {
        ike.state == IkeState::Established && ike.runs(wanted) && !planner.stale.ike.contains(&ike.unique_id)
    };
    let is_current = |sa: &&ChildSa| {
        sa.state == ChildState::Installed
            && !planner.stale.children.contains_key(&sa.unique_id)
            && coverage::counts(sa, wanted)
    };
    let current: Vec<_> = running.iter().filter(established).flat_map(|ike| &ike.children).filter(is_current).collect();
    let several = wanted.children.iter().filter(|child| child.local.len() * child.remote.len() > 1);
    several
        .filter(|child| current.iter().any(|sa| sa.name == child.name))
        .any(|child| !coverage::untouched(child, current.iter().copied()).is_empty())
}
