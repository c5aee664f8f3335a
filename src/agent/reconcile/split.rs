//! A peer that makes one CHILD_SA per pair of networks takes a part of a child that has them all, and nothing more comes.
//! Such a connection goes over to one child per pair. That is kept: the peer will be like this tomorrow, too.
//!
//! A peer that has all networks in one CHILD_SA may take one child per pair, and use the newest alone: all are installed,
//! and one carries. Connections that were stored before there was a choice ask so; they go over to one child for all, once.

use crate::{
    agent::{Agent, Speaker, reconcile::sa_planner::SaPlanner},
    error::Result,
    ipsec::{Child, ChildSa, ChildState, IkeSa, IkeState, coverage},
    store::Record,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A peer that gets a network later than this end, as in every change of both ends, narrows for a moment too.
const PATIENCE: Duration = Duration::from_secs(5);
/// For so long children hear nothing after they were made anew for that, before the peer is known not to use them.
const DEAF: Duration = Duration::from_secs(15);

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
            self.reconciler.enqueue(id, due);
            return Ok(false);
        }
        let new = match record.split() {
            Ok(new) => new,
            Err(conflict) => {
                tracing::warn!(uuid = %id, why = %conflict, "the peer wants a child per pair of networks, which is impossible");
                return Ok(false);
            }
        };
        let why = "the peer narrows to a part of the networks: from now on, each pair has its own child";
        self.go_over(record, new, planner, why).await
    }

    /// Goes over to one child for all pairs of networks if `running` shows that the peer has them so; whether it did. A
    /// peer that narrows it then gets one child per pair again, for good.
    ///
    /// # Errors
    /// As [`Agent::follow_split`].
    pub(in crate::agent) async fn follow_joined(
        &self,
        record: &Arc<Record>,
        running: &[IkeSa],
        planner: &mut SaPlanner,
    ) -> Result<bool> {
        let options = &record.spec.options;
        // Whether a change on trial carries is for the trial to say.
        if !options.split.joins_for_peer(options.version)
            || record.trial.is_some()
            || !planner.healed_in_vain(Instant::now(), DEAF)
        {
            return Ok(false);
        }
        if !hears_with_one_alone(record, running, planner) {
            return Ok(false);
        }
        let Ok(new) = record.joined() else { return Ok(false) };
        let why = "of all pairs of networks, the peer uses the CHILD_SA of one: from now on, one child has them all";
        self.go_over(record, new, planner, why).await
    }

    async fn go_over(&self, record: &Arc<Record>, new: Record, planner: &mut SaPlanner, why: &str) -> Result<bool> {
        tracing::info!(uuid = %record.id, "{why}");
        self.record_line(record.id, Speaker::Agent, why);
        self.in_force(&self.entry(record.id), Some(Arc::clone(record)), new, planner).await?;
        Ok(true)
    }
}

/// The SAs that are as wanted, but for their networks, each with its IKE SA.
fn current<'a>(
    record: &'a Record,
    running: &'a [IkeSa],
    planner: &'a SaPlanner,
) -> impl Iterator<Item = (&'a IkeSa, &'a ChildSa)> {
    let wanted = &record.connection;
    let established =
        |ike: &&IkeSa| ike.state == IkeState::Established && ike.runs(wanted) && !planner.stale.has_ike(ike.unique_id);
    let is_current = |sa: &&ChildSa| {
        sa.state == ChildState::Installed && !planner.stale.has_child(sa.unique_id) && coverage::counts(sa, wanted)
    };
    running
        .iter()
        .filter(established)
        .flat_map(move |ike| ike.children.iter().filter(is_current).map(move |sa| (ike, sa)))
}

/// Whether several children of an IKEv2 peer send, and something comes for just one of them.
fn hears_with_one_alone(record: &Record, running: &[IkeSa], planner: &SaPlanner) -> bool {
    // Packets in and out.
    let of = |child: &Child| {
        let sas = current(record, running, planner).filter(|(ike, sa)| ike.version == 2 && sa.name == child.name);
        sas.fold((0_u64, 0_u64), |(received, sent), (_, sa)| {
            (received.saturating_add(sa.packets.inbound), sent.saturating_add(sa.packets.outbound))
        })
    };
    let packets: Vec<_> = record.connection.children.iter().map(of).collect();
    let hearing = packets.iter().filter(|(received, _)| *received > 0).count();
    hearing == 1 && packets.iter().any(|(received, sent)| *received == 0 && *sent > 0)
}

/// Whether a child that has several pairs of networks runs, and of some of them nothing is carried.
fn has_pairs_left(record: &Record, running: &[IkeSa], planner: &SaPlanner) -> bool {
    let current: Vec<_> = current(record, running, planner).map(|(_, sa)| sa).collect();
    let several = record.connection.children.iter().filter(|child| child.local.len() * child.remote.len() > 1);
    several
        .filter(|child| current.iter().any(|sa| sa.name == child.name))
        .any(|child| !coverage::untouched(child, current.iter().copied()).is_empty())
}
