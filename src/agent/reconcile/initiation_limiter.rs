//! Limits the negotiations that are under way. Each costs charon a key exchange, and half-open SAs keep it busy: thousands of
//! silent peers must not exhaust the gateway, and a tunnel that was up a moment ago must not queue behind them.
//!
//! So many may be young at once, and so many half open, of each priority: the window, and eight times the window. A few begin
//! at once, fewer still of one peer, and the rest spread over the time. Where peers answer, the next begins when one is up, as
//! fast as charon negotiates. Where they are silent, the oldest is given up for one that waits. The window grows with each
//! tunnel that comes up, and shrinks when charon takes long to begin, or no tunnel comes up any more; while charon begins at
//! once, it grows back to where it was at first. What failed before is begun more rarely still. This file has no effects; the
//! time is an argument.

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
/// So many negotiations begin at once, and so many of one peer; more only as fast as fills the window in the time of
/// [`YOUNG`]. A peer with charon's protection drops what comes while five from one address are half open, and has it sent again
/// after four seconds.
const AT_ONCE: usize = 32;
const OF_ONE_PEER: usize = 2;
/// How many of those that wait are looked at: the first of them may wait for their peers.
const LOOKED_AT: usize = 128;
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

/// A peer: what its address is hashed to. Two with the same hash only wait for each other.
pub type Peer = u64;

/// Negotiations under way, by their beginnings.
#[derive(Debug, Default)]
struct UnderWay(BTreeSet<(Instant, ConnectionId)>);

impl UnderWay {
    /// The beginning of the youngest but so many.
    fn begun(&self, place: usize) -> Option<Instant> {
        self.0.iter().nth_back(place).map(|(at, _)| *at)
    }

    /// When the next may begin, if `few` begin at once, and others as fast as fills the window; `None` if at once.
    fn paced(&self, few: usize, window: usize) -> Option<Instant> {
        let pace = YOUNG / u32::try_from(window).unwrap_or(1);
        self.begun(few - 1).zip(self.begun(0)).map(|(few, last)| (few + YOUNG).min(last + pace))
    }
}

/// The negotiations of one priority.
#[derive(Debug, Default)]
struct Kind {
    waiting: BTreeMap<u64, (ConnectionId, Peer)>,
    under_way: UnderWay,
}

impl Kind {
    /// When the next may begin, whatever its peer; `None` if at once.
    fn room(&self, window: usize, half_open: usize) -> Option<Instant> {
        let by_age = self.under_way.begun(window - 1).map(|at| at + YOUNG);
        let by_pace = self.under_way.paced(AT_ONCE, window);
        let oldest = self.under_way.0.first().filter(|_| self.under_way.0.len() >= half_open);
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
    begun: HashMap<ConnectionId, (Priority, Instant, Peer)>,
    /// What is under way with each peer, of all priorities.
    peers: HashMap<Peer, UnderWay>,
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
            peers: HashMap::new(),
            vain: HashSet::new(),
            count: 0,
        }
    }

    /// Whether `id` may initiate to `peer` now. If not, it is queued until [`InitiationLimiter::grant`] returns it.
    pub fn ask(&mut self, id: ConnectionId, peer: Peer, claim: Priority, now: Instant) -> bool {
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
        let is_next = self.kinds[claim as usize].waiting.is_empty();
        let is_due = |at: Option<Instant>| at.is_none_or(|at| at <= now);
        if is_next && is_due(self.room(claim, now)) && is_due(self.room_of(peer, now)) && !self.is_full(claim, now) {
            self.begin((id, peer), claim, now);
            return true;
        }
        self.count += 1;
        self.kinds[claim as usize].waiting.insert(self.count, (id, peer));
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
        self.forget(id)
    }

    /// It counts no longer; returns whether it did.
    fn forget(&mut self, id: ConnectionId) -> bool {
        let Some((claim, at, peer)) = self.begun.remove(&id) else { return false };
        if let Some(its) = self.peers.get_mut(&peer) {
            its.0.remove(&(at, id));
            if its.0.is_empty() {
                self.peers.remove(&peer);
            }
        }
        self.kinds[claim as usize].under_way.0.remove(&(at, id))
    }

    /// The tunnel of `id` came up.
    pub fn succeeded(&mut self, id: ConnectionId, now: Instant) {
        let claim = self.begun.get(&id).map(|(claim, ..)| *claim);
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
        Priority::ALL.into_iter().filter_map(|claim| self.first(claim, now)).map(|(_, at)| at).min()
    }

    /// The connection to look at: the one that waited longest and may start now, whose next request succeeds, or one whose
    /// silent peer is given up.
    pub fn grant(&mut self, now: Instant) -> Option<ConnectionId> {
        let due =
            |claim: Priority| self.first(claim, now).filter(|(_, at)| *at <= now).map(|(place, _)| (claim, place));
        let (claim, place) = Priority::ALL.into_iter().find_map(due)?;
        if self.is_full(claim, now) {
            let (_, id) = *self.kinds[claim as usize].under_way.0.first()?;
            self.forget(id);
            self.vain.insert(id);
            return Some(id);
        }
        let (id, peer) = self.kinds[claim as usize].waiting.remove(&place)?;
        self.places.remove(&id);
        self.granted.insert(id);
        self.begin((id, peer), claim, now);
        Some(id)
    }

    /// The one of this kind that may start next: its place, and when.
    fn first(&self, claim: Priority, now: Instant) -> Option<(u64, Instant)> {
        let room = self.room(claim, now).unwrap_or(now);
        let mut first: Option<(u64, Instant)> = None;
        for (place, (_, peer)) in self.kinds[claim as usize].waiting.iter().take(LOOKED_AT) {
            let at = self.room_of(*peer, now).unwrap_or(now).max(room);
            if first.is_none_or(|(_, earliest)| at < earliest) {
                first = Some((*place, at));
            }
            if at <= room.max(now) {
                break;
            }
        }
        first
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
        self.kinds[claim as usize].under_way.0.len() >= claim.half_open(self.window(now))
    }

    /// When the next of this kind may start, or another one of it be given up; `None` if at once.
    fn room(&self, claim: Priority, now: Instant) -> Option<Instant> {
        let window = self.window(now);
        let room = self.kinds[claim as usize].room(window, claim.half_open(window));
        let again = (claim == Priority::Again).then_some(self.again);
        room.into_iter().chain(again).max()
    }

    /// When the next may start with this peer; `None` if at once.
    fn room_of(&self, peer: Peer, now: Instant) -> Option<Instant> {
        self.peers.get(&peer)?.paced(OF_ONE_PEER, self.window(now))
    }

    fn begin(&mut self, (id, peer): (ConnectionId, Peer), claim: Priority, now: Instant) {
        self.begun.insert(id, (claim, now, peer));
        self.kinds[claim as usize].under_way.0.insert((now, id));
        self.peers.entry(peer).or_default().0.insert((now, id));
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
