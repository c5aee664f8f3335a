//! Plans the steps from the running SAs of a connection to the wanted ones. It has no effects.
//!
//! Make before break: an SA that is not as wanted is closed only after one that is carries traffic. If anything fails,
//! traffic continues over the old SA.

mod pace;
mod stale;
mod start;
mod tidy;
mod turns;
mod twins;

#[cfg(test)]
mod tests;

use crate::{
    agent::reconcile::sa_planner::{pace::Pace, turns::Turns},
    ipsec::{Child, ChildSa, ChildState, Connection, IkeSa, IkeState, Pass, coverage},
    store::Record,
    strongswan::{requests::Digest, section::Section},
};
pub use stale::{Rekeying, Stale};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
pub use turns::{Answer, Known, Turn};

/// The end with the higher address lets the other begin: two attempts that meet make duplicates, and under IKEv1 charon
/// spoils one of them (it adopts the other's quick mode before the keys are agreed on).
const COURTESY: Duration = Duration::from_millis(500);
/// While the peer is at work on more children than `FEW`, this end waits: two ends that begin all would make each twice.
const FEW: usize = 4;
const AT_WORK_EACH: Duration = Duration::from_secs(1);
const AT_WORK_MOST: Duration = Duration::from_secs(30);
/// A tunnel that hears nothing is made anew at most this often.
const HEALED: Duration = Duration::from_mins(10);
/// When to look again after closing what stood in the way.
const AGAIN: Duration = Duration::from_millis(50);

/// What charon holds of a connection's configuration, as far as we know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Loaded {
    /// It was not asked, or may have changed without us.
    #[default]
    Unknown,
    /// Nothing.
    Nothing,
    /// What the requests of this digest say.
    These(Digest),
}

/// What is remembered of a connection, as long as this charon lives.
#[derive(Debug, Clone, Default)]
pub struct SaPlanner {
    /// What charon holds.
    pub loaded: Loaded,
    /// SAs of an earlier configuration.
    pub stale: Stale,
    /// How often the record is still to be loaded into charon anew; see [`SaPlanner::invalidate_loaded`].
    reloads: u8,
    /// What the connection left alone when charon was last given it; the host's networks change without a word of ours.
    pub passes: Vec<Pass>,
    /// The record for which charon's configuration and the files were last found, or made, as wanted.
    configured: Option<Arc<Record>>,
    /// The outdated SAs are to go at once, whether a new one carries or not.
    impatient: bool,
    /// Since when each wanted child is carried as wanted without a break.
    carried_since: BTreeMap<String, Instant>,
    is_complete: bool,
    duplicate_since: BTreeMap<u64, tidy::Duplicate>,
    /// Since when the peer is at work on children that are wanted, and we let it.
    let_go_on: Option<Instant>,
    pace: Pace,
    turns: Turns,
    /// When it was healed last, if nothing came from the peer since.
    healed: Option<Instant>,
    /// Since when the peer carries some of the networks of a child, and nothing of others.
    pub narrowed_since: Option<Instant>,
}

/// A step towards what is wanted, in the order in which they are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Load the connection and its secret into charon.
    Load,
    /// Make charon forget them.
    Unload,
    /// Write the file in conf.d.
    Write,
    /// Remove the file from conf.d.
    Erase,
    /// Negotiate the child of this name.
    Initiate(String),
    /// Close the IKE SA of this number.
    CloseIke(u64),
    /// Close the CHILD_SA of this number.
    CloseChild(u64),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load => f.write_str("load into charon"),
            Self::Unload => f.write_str("unload from charon and close its SAs"),
            Self::Write => f.write_str("write the file in conf.d"),
            Self::Erase => f.write_str("remove the file from conf.d"),
            Self::Initiate(child) => write!(f, "negotiate {child}"),
            Self::CloseIke(number) => write!(f, "close the IKE SA {number}"),
            Self::CloseChild(number) => write!(f, "close the CHILD_SA {number}"),
        }
    }
}

impl SaPlanner {
    /// The configuration was changed: attempts may start at once.
    pub fn reset_attempts(&mut self) {
        self.pace.begin_anew();
        self.turns = Turns::default();
        self.is_complete = false;
        self.let_go_on = None;
        self.carried_since.clear();
        self.narrowed_since = None;
    }

    /// charon did not answer a request that it may yet obey, after we gave up on it: a stopped charon
    /// reads what waits in its sockets when it goes on. So the record is loaded twice, the second time
    /// when everything that waited has been read.
    pub fn invalidate_loaded(&mut self) {
        self.loaded = Loaded::Unknown;
        self.reloads = 2;
    }

    /// `now_loaded` was loaded; true if it must be done once more.
    pub fn loaded(&mut self, now_loaded: Loaded) -> bool {
        self.reloads = self.reloads.saturating_sub(1);
        self.loaded = if self.reloads > 0 { Loaded::Unknown } else { now_loaded };
        self.reloads > 0
    }

    /// Charon's configuration and the files are as `record` wants them.
    pub fn record_configured(&mut self, record: Option<Arc<Record>>) {
        self.configured = record;
    }

    /// Whether that is known of `record`, as long as nobody touches the files: rendering it anew for each event would
    /// cost more than all the rest.
    #[must_use]
    pub fn is_configured(&self, record: Option<&Arc<Record>>) -> bool {
        let same = self.configured.as_ref().zip(record).is_some_and(|(known, record)| Arc::ptr_eq(known, record));
        same && matches!(self.loaded, Loaded::These(_))
    }

    /// The caller wants the outdated SAs gone even if that costs traffic, because their key leaked.
    pub fn close_stale_now(&mut self) {
        self.impatient = true;
    }

    /// Whether at the last look everything wanted was carried.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether at the last look everything wanted was carried, and nothing older ran beside it.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.is_complete() && self.stale.ike.is_empty() && self.stale.children.is_empty()
    }

    /// Others negotiate first: the attempt that [`SaPlanner::steps`] asked for at `now` was not made.
    pub fn postpone(&mut self, now: Instant) {
        self.pace.attempts = self.pace.attempts.saturating_sub(1);
        self.turns.attempts = self.turns.attempts.saturating_sub(1);
        self.pace.not_before = Some(now);
    }

    /// Whether an attempt was made that did not lead to what is wanted, and another since, or now.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.pace.attempts > 1
    }

    /// Something comes from the peer.
    pub fn record_heard(&mut self) {
        self.healed = None;
    }

    /// Whether a tunnel that hears nothing may be made anew: it is up, and was not just made anew for the same reason.
    #[must_use]
    pub fn may_heal(&self, now: Instant) -> bool {
        self.is_complete && self.healed.is_none_or(|at| now.duration_since(at) >= HEALED)
    }

    /// Whether it was made anew at least so long ago because nothing came from the peer, and still nothing comes.
    #[must_use]
    pub fn healed_in_vain(&self, now: Instant, patience: Duration) -> bool {
        self.is_complete && self.healed.is_some_and(|at| now.duration_since(at) >= patience)
    }

    /// All that runs is to be made anew, with a generation of its own, because nothing comes from the peer.
    pub fn begin_healing(&mut self, running: &[IkeSa], now: Instant) {
        self.stale.ike.extend(running.iter().map(|ike| ike.unique_id));
        self.healed = Some(now);
        self.is_complete = false;
        self.pace.hasten();
    }

    /// How often the tunnel was closed soon after it came up, if that is often and it has not stayed up since.
    #[must_use]
    pub fn flapping(&self) -> Option<u32> {
        self.pace.flapping()
    }

    /// The SAs seen were made before the connection `before` became `after`. A child that is wanted again as it was
    /// made is not outdated any more: charon takes it for what it is asked for, and makes no other.
    pub fn mark_stale(&mut self, running: &[&IkeSa], before: &Section, after: &Section) {
        let whole = !before.iter_but("children").eq(after.iter_but("children"));
        // Who begins says nothing of what runs.
        let child = |section: &Section, name| {
            section
                .section("children")
                .and_then(|c| c.section(name))
                .map(|child| child.without(&["start_action", "dpd_action"]))
        };
        for ike in running {
            if whole {
                self.stale.ike.insert(ike.unique_id);
            }
            for sa in &ike.children {
                let made_for = self.stale.children.remove(&sa.unique_id).unwrap_or_else(|| child(before, &sa.name));
                if self.stale.ike.contains(&ike.unique_id) || made_for != child(after, &sa.name) {
                    self.stale.children.insert(sa.unique_id, made_for);
                }
            }
        }
    }

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
        let may_begin = |name: &&str| !self.in_flight(wanted, running, name) && tidy::has_room(running, name);
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

    /// The SAs that together carry the child as wanted, none of them needless: the numbers of the IKE SA and of the
    /// CHILD_SA. None if a part is not carried.
    ///
    /// Of several for the same networks the better one stays: see [`twins`].
    fn carriers(&self, wanted: &Connection, running: &[IkeSa], child: &Child) -> Vec<(u64, u64)> {
        let mut pairs: Vec<_> = self.counting(wanted, running).collect();
        twins::sort(&mut pairs);
        let of_v2 = pairs.iter().filter(|(ike, _)| wanted.falls_back() && ike.version == 2).map(|(_, sa)| *sa);
        let chosen = match coverage::carriers(child, of_v2) {
            none if none.is_empty() => coverage::carriers(child, pairs.iter().map(|(_, sa)| *sa)),
            // Who calls with IKEv2 beside IKEv1 speaks it.
            better => better,
        };
        let owner = |sa: &ChildSa| {
            pairs.iter().find(|(_, other)| other.unique_id == sa.unique_id).map(|(ike, _)| ike.unique_id)
        };
        chosen.into_iter().filter_map(|sa| Some((owner(sa)?, sa.unique_id))).collect()
    }

    /// The SAs that are as wanted, but for their networks, of which they have none that are not wanted.
    fn counting<'a>(
        &'a self,
        wanted: &'a Connection,
        running: &'a [IkeSa],
    ) -> impl Iterator<Item = (&'a IkeSa, &'a ChildSa)> {
        let current = |ike: &&IkeSa| self.is_current(ike) && ike.state == IkeState::Established && ike.runs(wanted);
        let counts = |sa: &&ChildSa| {
            !self.stale.has_child(sa.unique_id) && sa.state == ChildState::Installed && coverage::counts(sa, wanted)
        };
        running.iter().filter(current).flat_map(move |ike| ike.children.iter().filter(counts).map(move |sa| (ike, sa)))
    }

    fn has_stale_child(&self, ike: &IkeSa) -> bool {
        ike.children.iter().any(|sa| self.stale.has_child(sa.unique_id))
    }

    fn is_current(&self, ike: &IkeSa) -> bool {
        !self.stale.has_ike(ike.unique_id)
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
