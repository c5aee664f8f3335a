//! What is remembered of a connection's SAs, and the steps from what runs to what is wanted. No effects.
//!
//! Make before break: an SA that does not run what is wanted is closed only after one that does
//! carries traffic. So whatever fails, traffic goes on over what there is.

use crate::{
    ipsec::{Child, ChildSa, ChildState, Connection, ConnectionId, IkeSa, IkeState, coverage},
    store::Record,
    swan::{plan::Digest, section::Section},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// The old SA goes this long after the new one came: packets on the way are not lost (facts 3.4).
const OVERLAP: Duration = Duration::from_millis(500);
/// A second SA for the same traffic is closed after this time; a rekeying shows two for a moment.
const DUPLICATE: Duration = Duration::from_secs(3);
/// The end with the higher address lets the other begin: two attempts that meet make duplicates, and under IKEv1 charon
/// spoils one of them (it adopts the other's quick mode before the keys are agreed on).
const COURTESY: Duration = Duration::from_millis(500);
/// When to look again after closing what stood in the way.
const AGAIN: Duration = Duration::from_millis(50);
/// While charon is at work, the first look comes after as long a pause as that before an attempt of this number.
const LOOKS: u32 = 3;
/// The waits between attempts.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// The SAs that were made for an earlier configuration; they keep it for ever (facts 3.1).
#[derive(Debug, Clone, Default)]
pub struct Outdated {
    /// The numbers of IKE SAs.
    pub ike: BTreeSet<u64>,
    /// The numbers of CHILD_SAs, each with the section of the file that it was made for, if there was one.
    pub children: BTreeMap<u64, Option<Section>>,
}

/// An SA was replaced by another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rekeying {
    /// Whether it is an IKE SA.
    pub ike: bool,
    /// The number of the old one.
    pub old: u64,
    /// The number of the new one.
    pub new: u64,
}

impl Outdated {
    /// A rekeyed SA keeps the configuration of the one it replaces.
    pub fn rekeyed(&mut self, Rekeying { ike, old, new }: Rekeying) {
        if ike {
            self.ike.extend(self.ike.get(&old).map(|_| new));
        } else {
            let made_for = self.children.get(&old).cloned();
            self.children.extend(made_for.map(|made_for| (new, made_for)));
        }
    }
}

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
pub struct Memory {
    /// What charon holds.
    pub loaded: Loaded,
    /// SAs of an earlier configuration.
    pub outdated: Outdated,
    /// How often the record is still to be loaded into charon anew; see [`Memory::doubt`].
    reloads: u8,
    /// The record for which charon's configuration and the files were last found, or made, as wanted.
    configured: Option<Arc<Record>>,
    /// The outdated SAs are to go at once, whether a new one carries or not.
    impatient: bool,
    complete_since: Option<Instant>,
    duplicate_since: BTreeMap<u64, Instant>,
    attempts: u32,
    /// How often charon was found at work since the last attempt.
    looks: u32,
    not_before: Option<Instant>,
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

impl Memory {
    /// The configuration was changed: attempts may start at once.
    pub fn restart(&mut self) {
        self.attempts = 0;
        self.not_before = None;
        self.complete_since = None;
        self.narrowed_since = None;
    }

    /// charon did not answer a request that it may yet obey, after we gave up on it: a stopped charon
    /// reads what waits in its sockets when it goes on. So the record is loaded twice, the second time
    /// when everything that waited has been read.
    pub fn doubt(&mut self) {
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
    pub fn note_configured(&mut self, record: Option<Arc<Record>>) {
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
    pub fn hurry(&mut self) {
        self.impatient = true;
    }

    /// Whether at the last look everything wanted was carried.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete_since.is_some()
    }

    /// Whether at the last look everything wanted was carried, and nothing older ran beside it.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.is_complete() && self.outdated.ike.is_empty() && self.outdated.children.is_empty()
    }

    /// Others negotiate first: the attempt that [`Memory::steps`] asked for at `now` was not made.
    pub fn postpone(&mut self, now: Instant) {
        self.attempts = self.attempts.saturating_sub(1);
        self.not_before = Some(now);
    }

    /// Whether an attempt was made that did not lead to what is wanted, and another since, or now.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.attempts > 1
    }

    /// The SAs seen were made before the connection `before` became `after`. A child that is wanted again as it was
    /// made is not outdated any more: charon takes it for what it is asked for, and makes no other.
    pub fn outdate(&mut self, running: &[IkeSa], before: &Section, after: &Section) {
        let whole = !before.iter_but("children").eq(after.iter_but("children"));
        let child = |section: &Section, name| section.section("children").and_then(|c| c.section(name)).cloned();
        for ike in running {
            if whole {
                self.outdated.ike.insert(ike.unique_id);
            }
            for sa in &ike.children {
                let made_for = self.outdated.children.remove(&sa.unique_id).unwrap_or_else(|| child(before, &sa.name));
                if self.outdated.ike.contains(&ike.unique_id) || made_for != child(after, &sa.name) {
                    self.outdated.children.insert(sa.unique_id, made_for);
                }
            }
        }
    }

    /// The steps from `running` to `wanted`, and when to look again if nothing happens until then.
    pub fn steps(&mut self, wanted: &Connection, running: &[IkeSa], now: Instant) -> (Vec<Step>, Option<Instant>) {
        self.forget_gone(running);
        if std::mem::take(&mut self.impatient) {
            let outdated = running.iter().filter(|ike| !self.is_current(ike) || self.has_outdated_child(ike));
            let closings: Vec<_> = outdated.map(|ike| Step::CloseIke(ike.unique_id)).collect();
            if !closings.is_empty() {
                return (closings, Some(now + AGAIN));
            }
        }
        let carriers: Vec<_> = wanted.children.iter().map(|child| self.carriers(wanted, running, child)).collect();
        if carriers.iter().all(|carriers| !carriers.is_empty()) {
            self.attempts = 0;
            self.not_before = None;
            let kept: Vec<_> = carriers.concat();
            return self.tidy(wanted, running, &kept, now);
        }
        self.complete_since = None;
        let surplus = self.surplus(wanted, running);
        if !surplus.is_empty() {
            return (surplus, Some(now + AGAIN));
        }
        let missing = wanted.children.iter().zip(&carriers).filter(|(_, carriers)| carriers.is_empty());
        let missing: Vec<_> =
            missing.map(|(child, _)| child.name.as_str()).filter(|name| !self.in_flight(running, name)).collect();
        if missing.is_empty() {
            // What comes of it, an event or a line of the log tells, but not always that charon gave up.
            let pause = back_off(self.looks + LOOKS, wanted.id());
            self.looks = self.looks.saturating_add(1);
            return (Vec::new(), Some(now + pause));
        }
        if self.attempts == 0 && wanted.local_addr > wanted.remote_addr {
            self.not_before.get_or_insert(now + COURTESY);
        }
        if let Some(later) = self.not_before.filter(|later| *later > now) {
            return (Vec::new(), Some(later));
        }
        let pause = back_off(self.attempts, wanted.id());
        self.looks = 0;
        self.attempts = self.attempts.saturating_add(1);
        self.not_before = Some(now + pause);
        (missing.into_iter().map(|name| Step::Initiate(name.into())).collect(), self.not_before)
    }

    fn forget_gone(&mut self, running: &[IkeSa]) {
        let children: BTreeSet<_> = running.iter().flat_map(|ike| &ike.children).map(|sa| sa.unique_id).collect();
        self.outdated.ike.retain(|id| running.iter().any(|ike| ike.unique_id == *id));
        self.outdated.children.retain(|id, _| children.contains(id));
    }

    /// The SAs that together carry the child as wanted, none of them needless; none if a part is not carried. Preferred are
    /// the first by numbers that both ends see, so that of two SAs made at once both ends keep the same.
    fn carriers(&self, wanted: &Connection, running: &[IkeSa], child: &Child) -> Vec<(u64, u64)> {
        let current = |ike: &&IkeSa| self.is_current(ike) && ike.state == IkeState::Established && ike.runs(wanted);
        let carries = |sa: &&ChildSa| {
            !self.outdated.children.contains_key(&sa.unique_id)
                && sa.state == ChildState::Installed
                && coverage::counts(sa, wanted)
        };
        let pairs =
            running.iter().filter(current).flat_map(|ike| ike.children.iter().filter(carries).map(move |sa| (ike, sa)));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by_key(|(ike, sa)| (&ike.initiator_spi, (&sa.spis.0).min(&sa.spis.1)));
        let chosen = coverage::carriers(child, pairs.iter().map(|(_, sa)| *sa));
        let owner = |sa: &ChildSa| {
            pairs.iter().find(|(_, other)| other.unique_id == sa.unique_id).map(|(ike, _)| ike.unique_id)
        };
        chosen.into_iter().filter_map(|sa| Some((owner(sa)?, sa.unique_id))).collect()
    }

    fn has_outdated_child(&self, ike: &IkeSa) -> bool {
        ike.children.iter().any(|sa| self.outdated.children.contains_key(&sa.unique_id))
    }

    /// Until what is wanted carries, the newest outdated SA that does is enough. Changes in quick succession would pile up
    /// others, and after 32 of them charon would take one for what is wanted (`Connection::ike_generation`).
    fn surplus(&self, wanted: &Connection, running: &[IkeSa]) -> Vec<Step> {
        let carries = |ike: &IkeSa| {
            let installed = |name: &str| {
                ike.children.iter().any(|sa| sa.name == name && sa.state == ChildState::Installed && sa.age > 0)
            };
            ike.state == IkeState::Established && wanted.children.iter().all(|child| installed(&child.name))
        };
        let outdated = || running.iter().filter(|ike| !self.is_current(ike) && ike.state != IkeState::Closing);
        let newest = outdated().filter(|ike| carries(ike)).map(|ike| ike.unique_id).max();
        outdated().filter(|ike| Some(ike.unique_id) < newest).map(|ike| Step::CloseIke(ike.unique_id)).collect()
    }

    fn is_current(&self, ike: &IkeSa) -> bool {
        !self.outdated.ike.contains(&ike.unique_id)
    }

    /// Whether charon is at work on the child, or on the IKE SA that it will be part of.
    fn in_flight(&self, running: &[IkeSa], child: &str) -> bool {
        running.iter().filter(|ike| self.is_current(ike)).any(|ike| {
            let pending = |sa: &ChildSa| sa.name == child && sa.state == ChildState::Pending;
            ike.state == IkeState::Connecting || ike.busy || ike.children.iter().any(pending)
        })
    }

    /// Everything wanted is carried: close what is not, the old soon and duplicates later.
    fn tidy(
        &mut self,
        wanted: &Connection,
        running: &[IkeSa],
        kept: &[(u64, u64)],
        now: Instant,
    ) -> (Vec<Step>, Option<Instant>) {
        let since = *self.complete_since.get_or_insert(now);
        let mut closings = Closings { steps: Vec::new(), again: None, now };
        let mut duplicates = BTreeMap::new();
        for ike in running.iter().filter(|ike| ike.state != IkeState::Closing) {
            let keeps = |sa: &ChildSa| kept.contains(&(ike.unique_id, sa.unique_id));
            if !ike.children.iter().any(keeps) {
                let stale = !self.is_current(ike) || (ike.state == IkeState::Established && !ike.runs(wanted));
                let first = self.duplicate_since.get(&ike.unique_id).copied().unwrap_or(now);
                duplicates.insert(ike.unique_id, first);
                closings.add(Step::CloseIke(ike.unique_id), if stale { since + OVERLAP } else { first + DUPLICATE });
                continue;
            }
            let is_left = |sa: &&ChildSa| match sa.state {
                ChildState::Installed => !keeps(sa),
                // charon would keep a replaced IKEv1 child until its end, also one whose end at the peer is gone.
                ChildState::Replaced => ike.version == 1,
                ChildState::Pending | ChildState::Closing => false,
            };
            for sa in ike.children.iter().filter(is_left) {
                let stale = self.outdated.children.contains_key(&sa.unique_id)
                    || !wanted.children.iter().any(|c| c.name == sa.name);
                // Numbers of IKE SAs and CHILD_SAs are counted apart: shift one to keep them apart here too.
                let number = sa.unique_id | 1 << 63;
                let first = self.duplicate_since.get(&number).copied().unwrap_or(now);
                duplicates.insert(number, first);
                closings.add(Step::CloseChild(sa.unique_id), if stale { since + OVERLAP } else { first + DUPLICATE });
            }
        }
        self.duplicate_since = duplicates;
        (closings.steps, closings.again)
    }
}

/// Steps that are due, and when the next one will be.
struct Closings {
    steps: Vec<Step>,
    again: Option<Instant>,
    now: Instant,
}

impl Closings {
    fn add(&mut self, step: Step, when: Instant) {
        if when <= self.now {
            self.steps.push(step);
        } else {
            self.again = Some(self.again.map_or(when, |again| again.min(when)));
        }
    }
}

/// Doubles with each attempt, and differs between connections so that they do not move in step.
fn back_off(attempts: u32, id: ConnectionId) -> Duration {
    let full = BACK_OFF.0.saturating_mul(1 << attempts.min(6)).min(BACK_OFF.1);
    let spread = id.to_string().bytes().fold(attempts, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into())) % 256;
    full.mul_f64(0.75) + full.mul_f64(f64::from(spread) / 1024.0)
}
