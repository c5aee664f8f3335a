//! Limits the negotiations that are under way. Each costs charon a key exchange, and half-open SAs keep it busy: thousands of
//! silent peers must not exhaust the gateway, and a tunnel that was up a moment ago must not queue behind them.
//!
//! So many may be young at once, and so many half open, of each priority: the window, and eight times the window. They begin
//! spread over the time. Where peers answer, the next begins when one is up, as fast as charon negotiates. Where they are
//! silent, the oldest is given up for one that waits. The window grows with each tunnel that comes up, and shrinks when charon
//! takes long to begin, or no tunnel comes up any more; while charon begins at once, it grows back to where it was at first.
//! What failed before is begun more rarely still. This file has no effects; the time is an argument.

use crate::ipsec::ConnectionId;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};
use tokio::time::Instant;

/// The window at first, at least, and at most while tunnels come up.
const WINDOW: usize = 64;
const LEAST: usize = 32;
const MOST: usize = 128;
/// How many tunnels that come up, or negotiations that charon begins at once, let the window grow by one.
const GROWTH: usize = 8;
/// So many negotiations begin at once; more only as fast as fills the window in the time of [`YOUNG`]. A peer with charon's
/// protection drops what comes while five from one address are half open, and has it sent again after four seconds.
const FEW: usize = 2;
/// A peer that is there has answered by then; after that, a negotiation does not count as young.
const YOUNG: Duration = Duration::from_secs(1);
/// A peer without an answer for this time, in which charon sends its first packet three times, is silent.
const SILENT: Duration = Duration::from_secs(12);
/// charon is slow if it takes so long to begin a negotiation; the window shrinks once in a while at most.
const SLOW: Duration = Duration::from_millis(50);
/// It has no trouble if it takes less than this.
const QUICK: Duration = Duration::from_millis(10);
const SHRINKS: Duration = Duration::from_secs(1);
/// The interval between attempts of what failed before, how many may be begun at once after a pause, and how many more each
/// success releases: when the path to all peers works again, they return at the rate of the others.
const AGAIN: Duration = Duration::from_millis(400);
const BURST: u32 = 32;
const CREDIT: u32 = 4;

/// The priorities of initiations, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// The tunnel carried traffic when charon went.
    Alive,
    /// The tunnel was up in its current configuration.
    Known,
    /// The current configuration was not tried yet.
    New,
    /// Attempts have failed.
    Again,
}

impl Priority {
    const ALL: [Self; 4] = [Self::Alive, Self::Known, Self::New, Self::Again];

    /// How many of this kind may be half open.
    fn half_open(self, window: usize) -> usize {
        // That some peers answer does not make room for more silent ones.
        window.min(WINDOW) * if self == Self::Again { 2 } else { 8 }
    }
}

/// The negotiations of one priority.
#[derive(Debug, Default)]
struct Kind {
    waiting: BTreeMap<u64, ConnectionId>,
    /// Those under way, by their beginnings.
    under_way: BTreeSet<(Instant, ConnectionId)>,
}

impl Kind {
    /// When the next may begin; `None` if at once.
    fn room(&self, window: usize, half_open: usize) -> Option<Instant> {
        let begun = |place: usize| self.under_way.iter().nth_back(place).map(|(at, _)| *at);
        let by_age = begun(window - 1).map(|at| at + YOUNG);
        let pace = YOUNG / u32::try_from(window).unwrap_or(1);
        let by_pace = begun(FEW - 1).zip(begun(0)).map(|(few, last)| (few + YOUNG).min(last + pace));
        let oldest = self.under_way.first().filter(|_| self.under_way.len() >= half_open);
        by_age.into_iter().chain(by_pace).chain(oldest.map(|(at, _)| *at + SILENT)).max()
    }
}

/// The queues of waiting connections, and what is under way.
#[derive(Debug)]
pub struct InitiationLimiter {
    window: usize,
    /// Tunnels that came up since the window grew, and when the last one did.
    came_up: (usize, Instant),
    /// Negotiations that charon began at once since then.
    quick: usize,
    shrunk: Instant,
    /// When the next that failed before may begin.
    again: Instant,
    kinds: [Kind; 4],
    places: HashMap<ConnectionId, (Priority, u64)>,
    granted: HashSet<ConnectionId>,
    begun: HashMap<ConnectionId, (Priority, Instant)>,
    /// Those whose silent peers are given up.
    vain: HashSet<ConnectionId>,
    count: u64,
}

impl InitiationLimiter {
    /// Empty queues.
    pub fn new(now: Instant) -> Self {
        Self {
            window: WINDOW,
            came_up: (0, now),
            quick: 0,
            shrunk: now,
            again: now,
            kinds: Default::default(),
            places: HashMap::new(),
            granted: HashSet::new(),
            begun: HashMap::new(),
            vain: HashSet::new(),
            count: 0,
        }
    }

    /// Whether `id` may initiate now. If not, it is queued until [`InitiationLimiter::grant`] returns it.
    pub fn ask(&mut self, id: ConnectionId, claim: Priority, now: Instant) -> bool {
        // One more child of a negotiation under way.
        if self.granted.remove(&id) || self.begun.contains_key(&id) {
            return true;
        }
        match self.places.get(&id) {
            // It keeps its place, unless it is more urgent now.
            Some((earlier, _)) if *earlier <= claim => return false,
            Some(_) => self.cancel(id),
            None => {}
        }
        if self.kinds[claim as usize].waiting.is_empty() && self.has_room(claim, now) && !self.is_full(claim, now) {
            self.begin(id, claim, now);
            return true;
        }
        self.count += 1;
        self.kinds[claim as usize].waiting.insert(self.count, id);
        self.places.insert(id, (claim, self.count));
        false
    }

    /// `id` has nothing to negotiate.
    pub fn cancel(&mut self, id: ConnectionId) {
        if self.granted.remove(&id) {
            self.ended(id);
        }
        if let Some((claim, place)) = self.places.remove(&id) {
            self.kinds[claim as usize].waiting.remove(&place);
        }
    }

    /// Nothing of `id` is half open, unless it was just granted; returns whether that makes room.
    pub fn ended(&mut self, id: ConnectionId) -> bool {
        if self.granted.contains(&id) {
            return false;
        }
        self.vain.remove(&id);
        let Some((claim, at)) = self.begun.remove(&id) else { return false };
        self.kinds[claim as usize].under_way.remove(&(at, id))
    }

    /// The tunnel of `id` came up.
    pub fn succeeded(&mut self, id: ConnectionId, now: Instant) {
        let claim = self.begun.get(&id).map(|(claim, _)| *claim);
        self.ended(id);
        if claim.is_some() {
            let (window, count) = (self.window(now), self.came_up.0 + 1);
            self.window = (window + count / GROWTH).min(MOST);
            self.came_up = (count % GROWTH, now);
        }
        if claim == Some(Priority::Again) {
            self.again = self.again.checked_sub(AGAIN * CREDIT).unwrap_or(self.again).max(earliest(now));
        }
    }

    /// charon took so long to begin a negotiation. While tunnels come up, it is busy with what it is to do.
    pub fn answered(&mut self, took: Duration, now: Instant) {
        if took >= SLOW && self.is_vain(now) && now.duration_since(self.shrunk) >= SHRINKS {
            (self.window, self.shrunk) = ((self.window(now) * 3 / 4).max(LEAST), now);
        }
        // A charon that was slow for a while must not stay bounded where no peer answers.
        if took < QUICK && self.window < WINDOW {
            self.quick += 1;
            if self.quick >= GROWTH {
                (self.quick, self.window) = (0, self.window + 1);
            }
        }
    }

    /// Whether `id` waits for its turn.
    pub fn is_waiting(&self, id: ConnectionId) -> bool {
        self.places.contains_key(&id)
    }

    /// Whether the half-open SA of `id` is to make room for others; once.
    pub fn take_vain(&mut self, id: ConnectionId) -> bool {
        self.vain.remove(&id)
    }

    /// When the next waiting connection may start; `now` if at once.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let waits = Priority::ALL.into_iter().filter(|claim| !self.kinds[*claim as usize].waiting.is_empty());
        waits.map(|claim| self.ready(claim, now).unwrap_or(now)).min()
    }

    /// The connection to look at: the one that waited longest and may start now, whose next request succeeds, or one whose
    /// silent peer is given up.
    pub fn grant(&mut self, now: Instant) -> Option<ConnectionId> {
        let is_due = |claim: &Priority| !self.kinds[*claim as usize].waiting.is_empty() && self.has_room(*claim, now);
        let claim = Priority::ALL.into_iter().find(is_due)?;
        if self.is_full(claim, now) {
            let (_, id) = self.kinds[claim as usize].under_way.pop_first()?;
            self.begun.remove(&id);
            self.vain.insert(id);
            return Some(id);
        }
        let (_, id) = self.kinds[claim as usize].waiting.pop_first()?;
        self.places.remove(&id);
        self.granted.insert(id);
        self.begin(id, claim, now);
        Some(id)
    }

    /// Whether no tunnel comes up.
    fn is_vain(&self, now: Instant) -> bool {
        now.duration_since(self.came_up.1) >= YOUNG
    }

    /// Where no tunnel comes up any more, the window is no wider than at first.
    fn window(&self, now: Instant) -> usize {
        if self.is_vain(now) { self.window.min(WINDOW) } else { self.window }
    }

    fn is_full(&self, claim: Priority, now: Instant) -> bool {
        self.kinds[claim as usize].under_way.len() >= claim.half_open(self.window(now))
    }

    /// When the next of this kind may start, or another one of it be given up.
    fn ready(&self, claim: Priority, now: Instant) -> Option<Instant> {
        let window = self.window(now);
        let room = self.kinds[claim as usize].room(window, claim.half_open(window));
        let again = (claim == Priority::Again).then_some(self.again);
        room.into_iter().chain(again).max()
    }

    fn has_room(&self, claim: Priority, now: Instant) -> bool {
        self.ready(claim, now).is_none_or(|at| at <= now)
    }

    fn begin(&mut self, id: ConnectionId, claim: Priority, now: Instant) {
        self.begun.insert(id, (claim, now));
        self.kinds[claim as usize].under_way.insert((now, id));
        if claim == Priority::Again {
            self.again = self.again.max(earliest(now)) + AGAIN;
        }
    }
}

/// Unused time before this does not count.
fn earliest(now: Instant) -> Instant {
    now.checked_sub(AGAIN * BURST).unwrap_or(now)
}

#[cfg(test)]
mod tests;
