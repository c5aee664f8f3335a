//! Plans the steps from the running SAs of a connection to the wanted ones. It has no effects.
//!
//! Make before break: an SA that is not as wanted is closed only after one that is carries traffic. If anything fails,
//! traffic continues over the old SA.

mod away;
mod pace;
mod running;
mod stale;
mod start;
mod state;
mod step;
mod tidy;
mod turns;
mod twins;

#[cfg(test)]
mod tests;

use crate::ipsec::{ChildSa, ChildState, Connection, IkeSa, IkeState};
pub use stale::{Rekeying, Stale};
use state::Turns;
pub use state::{Loaded, SaPlanner};
use std::{collections::BTreeSet, time::Duration};
pub use step::Step;
use tokio::time::Instant;
pub use turns::{Answer, Known, Turn};

/// The end with the higher address lets the other begin: two attempts that meet make duplicates, and under IKEv1 charon
/// spoils one of them (it adopts the other's quick mode before the keys are agreed on).
const COURTESY: Duration = Duration::from_millis(500);
/// While the peer is at work on more children than `FEW`, this end waits: two ends that begin all would make each twice.
const FEW: usize = 4;
const AT_WORK_EACH: Duration = Duration::from_secs(1);
const AT_WORK_MOST: Duration = Duration::from_secs(30);
/// When to look again after closing what stood in the way.
const AGAIN: Duration = Duration::from_millis(50);

impl SaPlanner {
    /// The steps from `running` to `wanted`, and when to look again if nothing happens until then.
    pub fn steps(&mut self, wanted: &Connection, running: &[IkeSa], now: Instant) -> (Vec<Step>, Option<Instant>) {
        let stale: BTreeSet<_> = self.stale.children.keys().copied().collect();
        self.stale.keep(running);
        if std::mem::take(&mut self.impatient) {
            let stale = running.iter().filter(|ike| !self.is_current(ike) || self.has_stale_child(ike));
            let closings: Vec<_> = stale.map(|ike| Step::CloseIke(ike.unique_id)).collect();
            if !closings.is_empty() {
                self.record_closings(&closings, running);
                return (closings, Some(now + AGAIN));
            }
        }
        let carriers: Vec<_> = wanted.children.iter().map(|child| self.carriers(wanted, running, child)).collect();
        self.is_complete = carriers.iter().all(|carriers| !carriers.is_empty());
        if self.is_complete {
            self.turns = Turns::default();
        }
        let calm_at = self.pace.update(wanted, running, &stale, self.is_complete, now);
        let (closings, tidy_again) = self.tidy(wanted, running, &carriers, now);
        self.record_closings(&closings, running);
        if self.is_complete {
            self.let_go_on = None;
            return (closings, tidy_again.into_iter().chain(calm_at).min());
        }
        if !closings.is_empty() {
            return (closings, Some(now + AGAIN));
        }
        let (steps, again) = self.begin(wanted, running, &carriers, now);
        (steps, again.into_iter().chain(tidy_again).min())
    }

    /// The negotiations that are due. None begins while a second SA of the child is installed or being negotiated.
    fn negotiate(
        &mut self,
        wanted: &Connection,
        running: &[IkeSa],
        carriers: &[Vec<(u64, u64)>],
        now: Instant,
    ) -> (Vec<Step>, Option<Instant>) {
        let missing = wanted.children.iter().zip(carriers).filter(|(_, carriers)| carriers.is_empty());
        let may_begin = |name: &&str| !self.in_flight(wanted, running, name) && running::has_room(running, name);
        let mut missing: Vec<_> = missing.map(|(child, _)| child.name.as_str()).filter(may_begin).collect();
        self.probe(wanted, running, &mut missing);
        if missing.is_empty() && self.pace.is_overdue(now) {
            // charon would send its first packet again ever more rarely, and miss that the peer is back.
            let vain = |ike: &&IkeSa| self.is_current(ike) && ike.state == IkeState::Connecting;
            let vain: Vec<_> = running.iter().filter(vain).map(|ike| Step::CloseIke(ike.unique_id)).collect();
            if !vain.is_empty() {
                return (vain, Some(now + AGAIN));
            }
        }
        if missing.is_empty() {
            // What comes of it, an event or a line of the log tells, but not always that charon gave up.
            return (Vec::new(), Some(self.pace.look_later(wanted.id(), now)));
        }
        if self.pace.attempts == 0 && wanted.remote_addr.ip().is_some_and(|peer| wanted.local_addr > peer) {
            self.pace.not_before.get_or_insert(now + COURTESY);
        }
        if let Some(later) = self.pace.not_before.filter(|later| *later > now) {
            return (Vec::new(), Some(later));
        }
        if self.is_peer_at_work(wanted, running) && now < *self.let_go_on.get_or_insert(now) + AT_WORK_MOST {
            return (Vec::new(), Some(now + AT_WORK_EACH));
        }
        self.turns.attempts = self.turns.attempts.saturating_add(1);
        let again = self.pace.attempt(wanted.id(), now);
        (missing.into_iter().map(|name| Step::Initiate(name.into())).collect(), again)
    }

    /// Whether the peer is making children, of which there are many: one that is wanted has just come. What we have begun
    /// ourselves is in flight, or failed: also after vain attempts, who begins now may meet the peer.
    fn is_peer_at_work(&self, wanted: &Connection, running: &[IkeSa]) -> bool {
        let is_new = |(_, sa): (&IkeSa, &ChildSa)| sa.age <= AT_WORK_EACH.as_secs();
        wanted.children.len() > FEW && self.counting(wanted, running).any(is_new)
    }

    fn record_closings(&mut self, closings: &[Step], running: &[IkeSa]) {
        for ike in running {
            let whole = closings.contains(&Step::CloseIke(ike.unique_id));
            let closed = |sa: &&ChildSa| whole || closings.contains(&Step::CloseChild(sa.unique_id));
            self.pace.record_closed_here(ike.children.iter().filter(closed).map(|sa| sa.unique_id));
        }
    }

    /// Whether charon is at work on the child, or on the IKE SA that it will be part of.
    fn in_flight(&self, wanted: &Connection, running: &[IkeSa], child: &str) -> bool {
        // Beside IKEv1, traffic may have charon try IKEv2 by a trap: that says nothing of ours.
        let other = |ike: &IkeSa| wanted.falls_back() && ike.version != 1 && ike.state == IkeState::Connecting;
        running.iter().filter(|ike| self.is_current(ike) && !other(ike)).any(|ike| {
            let pending = |sa: &ChildSa| sa.name == child && sa.state == ChildState::Pending;
            ike.state == IkeState::Connecting || ike.busy || ike.children.iter().any(pending)
        })
    }
}
