//! The back-off between attempts to negotiate, and its treatment of tunnels that do not stay up.
//!
//! The waits grow with each attempt until the tunnel has stayed up for a while. If the peer closes or replaces an SA that
//! was up for long or is stale, its operator is at work: the waits start again. A tunnel that is closed soon after it came
//! up flaps: its waits keep growing.

use super::running::installed;
use crate::ipsec::{ChildSa, ChildState, Connection, ConnectionId, IkeSa, IkeState};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

/// While charon negotiates, the first check comes after the wait of an attempt with this number.
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
/// A tunnel closed sooner than this was closed at once.
const AT_ONCE: Duration = Duration::from_secs(3);
/// A tunnel flaps after so many closures at once in a row, or twice as many before it was stable.
const FLAPS: u32 = 4;

/// The attempts of a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    pub attempts: u32,
    /// How often charon was found negotiating since the last attempt.
    pub looks: u32,
    pub not_before: Option<Instant>,
    /// When the CHILD_SAs that carry traffic were installed.
    installed: BTreeMap<u64, Instant>,
    /// The CHILD_SAs that the agent closes: their end says nothing about the peer.
    closed_here: BTreeSet<u64>,
    complete_since: Option<Instant>,
    /// The last attempt.
    pub attempted: Option<Instant>,
    /// The waits stay short, because traffic waits for the peer.
    is_hasty: bool,
    /// How often in a row it was closed before it was stable.
    flaps: u32,
    /// The same, with closures at once counted twice.
    unrest: u32,
}

impl Pace {
    /// The configuration changed: attempts may start at once.
    pub fn begin_anew(&mut self) {
        (self.attempts, self.not_before, self.complete_since) = (0, None, None);
        (self.flaps, self.unrest) = (0, 0);
    }

    /// The tunnel stopped carrying traffic: attempts may start at once, and repeat often until it is up.
    pub fn hasten(&mut self) {
        self.begin_anew();
        self.is_hasty = true;
    }

    /// Whether traffic waits and the last attempt has taken so long that a new one is better.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.is_hasty && self.attempted.is_some_and(|at| now.duration_since(at) >= HASTY)
    }

    /// Updates the attempts with the running SAs, the stale CHILD_SAs, and whether everything wanted is carried.
    /// Returns when to observe again.
    pub fn update(
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
        // Each SA ends only once, so this cannot repeat.
        let is_of_the_past = before.keys().any(|id| gone(id) && stale.contains(id))
            && !self.installed.keys().any(|id| stale.contains(id));
        let is_bare = wanted.children.iter().any(|child| installed(running, &child.name).next().is_none());
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
        // A tunnel that came up continues from as many attempts as it flapped.
        if self.attempts > self.unrest / 2 {
            self.attempts = self.unrest / 2;
            let latest = (self.attempts > 0).then(|| now + back_off(self.attempts, wanted.id()));
            self.not_before = latest.map(|latest| self.not_before.map_or(latest, |earlier| earlier.min(latest)));
        }
        (self.unrest > 0).then_some(calm_at)
    }

    /// The agent closes these CHILD_SAs.
    pub fn record_closed_here(&mut self, children: impl IntoIterator<Item = u64>) {
        self.closed_here.extend(children);
    }

    /// The local address has gone, and with it all SAs: their end says nothing about the peer.
    pub fn forget_installed(&mut self) {
        self.installed.clear();
        self.closed_here.clear();
    }

    /// The number of closures soon after it came up, if the tunnel flaps.
    pub fn flapping(&self) -> Option<u32> {
        (self.unrest >= 2 * FLAPS).then_some(self.flaps)
    }

    /// An attempt starts now.
    pub fn attempt(&mut self, id: ConnectionId, now: Instant) -> Option<Instant> {
        let pause = self.limited(back_off(self.attempts, id));
        self.looks = 0;
        self.attempted = Some(now);
        self.attempts = self.attempts.saturating_add(1);
        self.not_before = Some(now + pause);
        self.not_before
    }

    /// charon negotiates: when to check the result if no event comes before.
    pub fn look_later(&mut self, id: ConnectionId, now: Instant) -> Instant {
        let pause = self.limited(back_off(self.looks + LOOKS, id));
        self.looks = self.looks.saturating_add(1);
        now + pause
    }

    /// After many quick attempts, the peer is not just restarting.
    fn limited(&self, pause: Duration) -> Duration {
        if self.is_hasty && self.attempts < HASTY_ATTEMPTS { pause.min(HASTY) } else { pause }
    }

    fn calm(&self) -> Duration {
        CALM * self.flaps.clamp(1, CALM_FLAPS)
    }
}

/// The wait doubles with each attempt, with jitter so that connections do not retry together.
fn back_off(attempts: u32, id: ConnectionId) -> Duration {
    let full = BACK_OFF_FIRST.saturating_mul(1 << attempts.min(7)).min(BACK_OFF_MOST);
    let spread = id.to_string().bytes().fold(attempts, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into())) % 256;
    full.mul_f64(0.75) + full.mul_f64(f64::from(spread) / 1024.0)
}
