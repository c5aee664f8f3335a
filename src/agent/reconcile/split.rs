//! Adapts the children to the peer. A peer that makes one CHILD_SA for each pair of networks narrows a child that has all
//! of them. Such a connection changes to one child for each pair, and stays so.
//!
//! A peer that has all networks in one CHILD_SA may accept one child for each pair, and use only the newest. Connections
//! from before `split` could be chosen change to one child for all pairs, once.

use crate::{
    agent::{Agent, Speaker, reconcile::sa_planner::SaPlanner},
    error::Result,
    ipsec::{Child, ChildSa, ChildState, IkeSa, IkeState, coverage},
    store::Record,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long narrowing must last: a peer whose operator adds a network later than here narrows for a moment too.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long new children must receive nothing before the peer is known not to use them.
const DEAF: Duration = Duration::from_secs(15);

impl Agent {
    /// Changes to one child for each pair of networks if `running` shows that the peer has them so; returns whether it did.
    ///
    /// # Errors
    /// When the new children cannot be loaded or stored: nothing has changed then.
    pub(in crate::agent) async fn follow_split(
        &self,
        record: &Arc<Record>,
        running: &[IkeSa],
        planner: &mut SaPlanner,
    ) -> Result<bool> {
        if planner.is_complete() {
            planner.narrowed_since = None;
        }
        if !record.spec.options.native.split.follows_peer() || !has_pairs_left(record, running, planner) {
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
                tracing::warn!(uuid = %id, why = %conflict, "{}: the peer wants one child for each pair of networks, which this connection cannot have: {conflict}", record.label());
                return Ok(false);
            }
        };
        let why = "the peer narrows to a part of the networks; from now on, each pair has its own child";
        self.go_over(record, new, planner, why).await
    }

    /// Changes to one child for all pairs of networks if `running` shows that the peer has them so; returns whether it
    /// did. For a peer that narrows it then, the connection changes back for good.
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
        // The trial decides whether a change on trial carries traffic.
        if !options.native.split.joins_for_peer(options.version)
            || record.trial.is_some()
            || !planner.healed_in_vain(Instant::now(), DEAF)
        {
            return Ok(false);
        }
        if !hears_with_one_alone(record, running, planner) {
            return Ok(false);
        }
        let Ok(new) = record.joined() else { return Ok(false) };
        let why = "the peer uses the CHILD_SA of one pair of networks alone; from now on, one child has all pairs";
        self.go_over(record, new, planner, why).await
    }

    async fn go_over(&self, record: &Arc<Record>, new: Record, planner: &mut SaPlanner, why: &str) -> Result<bool> {
        tracing::info!(uuid = %record.id, "{}: {why}", record.label());
        self.record_line(record.id, Speaker::Agent, why);
        self.in_force(&self.entry(record.id), Some(Arc::clone(record)), new, planner).await?;
        Ok(true)
    }
}

/// The SAs that are as wanted except for their networks, each with its IKE_SA.
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

/// Whether several children of an IKEv2 peer send and just one receives.
fn hears_with_one_alone(record: &Record, running: &[IkeSa], planner: &SaPlanner) -> bool {
    // The packets of each child, in and out.
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

/// Whether a running child with several pairs of networks does not carry some of them.
fn has_pairs_left(record: &Record, running: &[IkeSa], planner: &SaPlanner) -> bool {
    let current: Vec<_> = current(record, running, planner).map(|(_, sa)| sa).collect();
    let several = record.connection.children.iter().filter(|child| child.local.len() * child.remote.len() > 1);
    several
        .filter(|child| current.iter().any(|sa| sa.name == child.name))
        .any(|child| !coverage::untouched(child, current.iter().copied()).is_empty())
}
