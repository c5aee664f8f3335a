//! What is remembered of a connection between two looks at its SAs, and what that says of those that run.

use super::{pace::Pace, stale::Stale, twins};
use crate::{
    ipsec::{Child, ChildSa, ChildState, Connection, IkeSa, IkeState, Pass, coverage},
    store::Record,
    strongswan::{requests::Digest, section::Section},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// A tunnel that hears nothing is made anew at most this often.
const HEALED: Duration = Duration::from_mins(10);

/// How long what is wanted is not offered alone again, at first and at most: a peer that has not been changed refuses it.
const OFFER_FIRST: Duration = Duration::from_mins(1);
const OFFER_MOST: Duration = Duration::from_hours(1);

/// What charon holds of a connection's configuration, as far as we know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Loaded {
    /// It was not asked, or may have changed without us.
    #[default]
    Unknown,
    /// charon was asked and has neither the connection nor its secret.
    Nothing,
    /// What the requests of this digest say.
    These(Digest),
}

/// What is remembered of a connection, as long as this charon lives.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that is remembered")]
pub struct SaPlanner {
    /// What charon holds.
    pub loaded: Loaded,
    /// SAs of an earlier configuration.
    pub stale: Stale,
    /// How often the record is still to be loaded into charon anew; see [`SaPlanner::invalidate_loaded`].
    reloads: u8,
    /// What the connection left alone when charon was last given it; the host's networks change without a word of ours.
    pub passes: Vec<Pass>,
    /// It was given to charon without traps, because this gateway is a standby for it.
    pub is_held_back: bool,
    /// The tunnel carried everything when charon went, or since.
    pub was_alive: bool,
    /// The record for which charon's configuration and the files were last found, or made, as wanted.
    configured: Option<Arc<Record>>,
    /// The outdated SAs are to go at once, whether a new one carries or not.
    pub(super) impatient: bool,
    /// Since when each wanted child is carried as wanted without a break.
    pub(super) carried_since: BTreeMap<String, Instant>,
    pub(super) is_complete: bool,
    pub(super) duplicate_since: BTreeMap<u64, Duplicate>,
    /// Since when the peer is at work on children that are wanted, and we let it.
    pub(super) let_go_on: Option<Instant>,
    pub(super) pace: Pace,
    pub(super) turns: Turns,
    pub(super) away: Away,
    /// When it was healed last, if nothing came from the peer since.
    healed: Option<Instant>,
    /// Of a connection in transition.
    pub(super) offers: Offers,
    /// Since when the peer carries some of the networks of a child, and nothing of others.
    pub narrowed_since: Option<Instant>,
}

/// A second SA for the same traffic, or an IKE SA that is not needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Duplicate {
    pub(super) since: Instant,
    /// Whether the wait was begun anew; that is done once.
    pub(super) is_late: bool,
}

/// Whether the local address is here.
#[derive(Debug, Clone, Default)]
pub(super) struct Away {
    /// It was not at the last look.
    pub(super) lacks_address: bool,
    /// Another gateway works for it.
    pub(super) stands_by: bool,
    /// Whether everything was carried when it went.
    pub(super) was_complete: bool,
}

/// How often what is wanted was offered alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Offers {
    count: u32,
    due: Option<Instant>,
    /// How many children had not moved the last time.
    behind: usize,
}

/// The attempts so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    /// Attempts with the version that is tried.
    pub(super) attempts: u32,
    /// Both were tried.
    pub(super) both: bool,
    /// The last attempt was for one child of several.
    pub(super) probed: bool,
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

    /// The earlier proposals are accepted from now on, or others: what is wanted may be offered alone at once.
    pub fn begin_transition(&mut self) {
        self.offers = Offers::default();
    }

    /// When what is wanted may be offered alone, if so many children have not moved. A peer that has taken it for one may
    /// be asked for the others at once.
    #[must_use]
    pub fn offer_due(&self, behind: usize, now: Instant) -> Instant {
        self.offers.due.filter(|_| behind >= self.offers.behind).unwrap_or(now)
    }

    /// It is offered at `now`; returns when it is due again.
    pub fn record_offer(&mut self, behind: usize, now: Instant) -> Instant {
        let wait = OFFER_FIRST.saturating_mul(2_u32.saturating_pow(self.offers.count));
        let due = now + wait.min(OFFER_MOST);
        self.offers = Offers { count: self.offers.count.saturating_add(1), due: Some(due), behind };
        due
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

    /// The SAs that together carry the child as wanted, none of them needless: the numbers of the IKE SA and of the
    /// CHILD_SA. None if a part is not carried.
    ///
    /// Of several for the same networks the better one stays: see [`twins`].
    pub(super) fn carriers(&self, wanted: &Connection, running: &[IkeSa], child: &Child) -> Vec<(u64, u64)> {
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
    pub(super) fn counting<'a>(
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

    pub(super) fn has_stale_child(&self, ike: &IkeSa) -> bool {
        ike.children.iter().any(|sa| self.stale.has_child(sa.unique_id))
    }

    pub(super) fn is_current(&self, ike: &IkeSa) -> bool {
        !self.stale.has_ike(ike.unique_id)
    }
}
