//! When to negotiate: how long to wait between attempts, and what a tunnel that does not stay up does to that.
//!
//! The waits grow with each attempt until the tunnel has stayed up for a while. When the peer closes or replaces an SA that
//! was up for long, or that is of an earlier configuration, its operator is at work: the waits begin anew. A tunnel that is
//! closed soon after it came up is flapping: its waits go on growing.

use super::tidy;
use crate::ipsec::{ChildSa, ChildState, Connection, ConnectionId, IkeSa, IkeState};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

/// While charon is at work, the first look comes after as long a pause as that before an attempt of this number.
const LOOKS: u32 = 4;
/// The first wait between attempts; the next ones are about 1, 2, 4 s and so on.
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
/// The longest wait between attempts.
const BACK_OFF_MOST: Duration = Duration::from_mins(1);
/// A tunnel that was up for so long is well; one that flapped must be up for as many times that.
const CALM: Duration = Duration::from_secs(30);
/// The most flaps that count for it.
const CALM_FLAPS: u32 = 4;
/// The longest wait where traffic waits for the tunnel, and for how many attempts that holds: about ten minutes.
const HASTY: Duration = Duration::from_secs(8);
const HASTY_ATTEMPTS: u32 = 80;
/// What is closed sooner than this was closed at once.
const AT_ONCE: Duration = Duration::from_secs(3);
/// A tunnel flaps that was closed so many times in a row at once, or twice as often before it was calm.
const FLAPS: u32 = 4;

/// What is remembered of the attempts of a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    pub attempts: u32,
    /// How often charon was found at work since the last attempt.
    pub looks: u32,
    pub not_before: Option<Instant>,
    /// When the CHILD_SAs that carry something were installed.
    installed: BTreeMap<u64, Instant>,
    /// Those that we close: that says nothing of the peer.
    closed_here: BTreeSet<u64>,
    complete_since: Option<Instant>,
    /// The last attempt.
    pub attempted: Option<Instant>,
    /// The waits stay short: traffic waits for the peer to be back.
    is_hasty: bool,
    /// How often in a row it was closed before it was calm.
    flaps: u32,
    /// The same, where those that were closed at once count twice.
    unrest: u32,
}

impl Pace {
    /// The configuration was changed: attempts may start at once.
    pub fn begin_anew(&mut self) {
        (self.attempts, self.not_before, self.complete_since) = (0, None, None);
        (self.flaps, self.unrest) = (0, 0);
    }

    /// The tunnel carried until now, and carries nothing: attempts may start at once, and come often until it is up.
    pub fn hasten(&mut self) {
        self.begin_anew();
        self.is_hasty = true;
    }

    /// Whether the last attempt has taken so long that another one is better, where traffic waits for it.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.is_hasty && self.attempted.is_some_and(|at| now.duration_since(at) >= HASTY)
    }

    /// Takes in what runs, which CHILD_SAs are of an earlier configuration, and whether all that is wanted is carried.
    /// Returns when to look again.
    pub fn look(
        &mut self,
        wanted: &Connection,
        running: &[IkeSa],
        stale: &BTreeSet<u64>,
        is_complete: bool,
        now: Instant,
    ) -> Option<Instant> {
        let carries = |sa: &&ChildSa| matches!(sa.state, ChildState::Installed | ChildState::Replaced);
        let established = running.iter().filter(|ike| ike.state == IkeState::Established);
        let present = established.flat_map(|ike| &ike.children).filter(carries).map(|sa| {
            let at = now.checked_sub(Duration::from_secs(sa.age)).unwrap_or(now);
            (sa.unique_id, self.installed.get(&sa.unique_id).map_or(at, |known| at.min(*known)))
        });
        let present = present.collect();
        let before = std::mem::replace(&mut self.installed, present);
        let gone = |id: &u64| !self.installed.contains_key(id) && !self.closed_here.contains(id);
        let lives: Vec<_> =
            before.iter().filter(|(id, _)| gone(id)).map(|(_, installed)| now.duration_since(*installed)).collect();
        // Each of them goes but once, so this cannot go round in circles.
        let is_of_the_past = before.keys().any(|id| gone(id) && stale.contains(id))
            && !self.installed.keys().any(|id| stale.contains(id));
        let is_bare = wanted.children.iter().any(|child| tidy::installed(running, &child.name).next().is_none());
        if is_of_the_past || lives.iter().any(|life| *life >= self.calm()) {
            self.begin_anew();
        } else if !lives.is_empty() && is_bare {
            self.flaps = self.flaps.saturating_add(1);
            let at_once = lives.iter().any(|life| *life < AT_ONCE);
            self.unrest = self.unrest.saturating_add(if at_once { 2 } else { 1 });
        }
        self.closed_here.retain(|id| self.installed.contains_key(id));
        if !is_complete {
            self.complete_since = None;
            return None;
        }
        self.is_hasty = false;
        let calm_at = *self.complete_since.get_or_insert(now) + self.calm();
        if calm_at <= now {
            (self.flaps, self.unrest) = (0, 0);
        }
        // What came up goes on from as many attempts as it flapped: those before say nothing any more.
        if self.attempts > self.unrest / 2 {
            self.attempts = self.unrest / 2;
            let latest = (self.attempts > 0).then(|| now + back_off(self.attempts, wanted.id()));
            self.not_before = latest.map(|latest| self.not_before.map_or(latest, |earlier| earlier.min(latest)));
        }
        (self.unrest > 0).then_some(calm_at)
    }

    /// We close these CHILD_SAs.
    pub fn record_closed_here(&mut self, children: impl IntoIterator<Item = u64>) {
        self.closed_here.extend(children);
    }

    /// How often the tunnel was closed soon after it came up, if that is often.
    pub fn flapping(&self) -> Option<u32> {
        (self.unrest >= 2 * FLAPS).then_some(self.flaps)
    }

    /// An attempt begins now.
    pub fn attempt(&mut self, id: ConnectionId, now: Instant) -> Option<Instant> {
        let pause = self.limited(back_off(self.attempts, id));
        self.looks = 0;
        self.attempted = Some(now);
        self.attempts = self.attempts.saturating_add(1);
        self.not_before = Some(now + pause);
        self.not_before
    }

    /// charon is at work: when to look what came of it, if nothing tells before.
    pub fn look_later(&mut self, id: ConnectionId, now: Instant) -> Instant {
        let pause = self.limited(back_off(self.looks + LOOKS, id));
        self.looks = self.looks.saturating_add(1);
        now + pause
    }

    /// After many attempts in haste, the peer is not just starting anew.
    fn limited(&self, pause: Duration) -> Duration {
        if self.is_hasty && self.attempts < HASTY_ATTEMPTS { pause.min(HASTY) } else { pause }
    }

    fn calm(&self) -> Duration {
        CALM * self.flaps.clamp(1, CALM_FLAPS)
    }
}

/// Doubles with each attempt, and differs between connections so that they do not move in step.
fn back_off(attempts: u32, id: ConnectionId) -> Duration {
    let full = BACK_OFF_FIRST.saturating_mul(1 << attempts.min(7)).min(BACK_OFF_MOST);
    let spread = id.to_string().bytes().fold(attempts, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into())) % 256;
    full.mul_f64(0.75) + full.mul_f64(f64::from(spread) / 1024.0)
}
