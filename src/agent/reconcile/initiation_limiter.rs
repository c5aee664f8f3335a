//! Limits the negotiations that are under way. Each costs charon a key exchange, and half-open SAs keep it busy: thousands of
//! silent peers must not exhaust the gateway, and a tunnel that was up a moment ago must not queue behind them.
//!
//! So many may be young at once, and so many half open, of each priority: the window, and eight times the window. Where
//! peers answer, the next begins when one is up, as fast as charon negotiates. Where they are silent, the oldest is given up
//! for one that waits. The window shrinks when charon takes long to begin, and grows with each tunnel that comes up; while
//! charon begins at once, back to where it was at first. What failed before is begun more rarely still. This file has no effects; the time is an argument.

use crate::ipsec::ConnectionId;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};
use tokio::time::Instant;

/// The window at first, at least and at most.
const WINDOW: usize = 64;
const LEAST: usize = 32;
const MOST: usize = 96;
/// How many tunnels that come up, or negotiations that charon begins at once, let the window grow by one.
const GROWTH: usize = 8;
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
        window * if self == Self::Again { 2 } else { 8 }
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
        let oldest = self.under_way.first().filter(|_| self.under_way.len() >= half_open);
        by_age.into_iter().chain(oldest.map(|(at, _)| *at + SILENT)).max()
    }
}

/// The queues of waiting connections, and what is under way.
#[derive(Debug)]
pub struct InitiationLimiter {
    window: usize,
    /// Tunnels that came up since the window grew, and negotiations that charon began at once.
    grown: usize,
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
            grown: 0,
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
        if self.kinds[claim as usize].waiting.is_empty() && self.has_room(claim, now) && !self.is_full(claim) {
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
            self.grown += 1;
            if self.grown >= GROWTH {
                (self.grown, self.window) = (0, (self.window + 1).min(MOST));
            }
        }
        if claim == Some(Priority::Again) {
            self.again = self.again.checked_sub(AGAIN * CREDIT).unwrap_or(self.again).max(earliest(now));
        }
    }

    /// charon took so long to begin a negotiation.
    pub fn answered(&mut self, took: Duration, now: Instant) {
        if took >= SLOW && now.duration_since(self.shrunk) >= SHRINKS {
            (self.window, self.shrunk) = ((self.window * 3 / 4).max(LEAST), now);
        }
        // A charon that was slow for a while must not stay bounded where no peer answers.
        if took < QUICK && self.window < WINDOW {
            self.quick += 1;
            if self.quick >= GROWTH {
                (self.quick, self.window) = (0, self.window + 1);
            }
        }
    }

    /// Whether the half-open SA of `id` is to make room for others; once.
    pub fn take_vain(&mut self, id: ConnectionId) -> bool {
        self.vain.remove(&id)
    }

    /// When the next waiting connection may start; `now` if at once.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let waits = Priority::ALL.into_iter().filter(|claim| !self.kinds[*claim as usize].waiting.is_empty());
        waits.map(|claim| self.ready(claim).unwrap_or(now)).min()
    }

    /// The connection to look at: the one that waited longest and may start now, whose next request succeeds, or one whose
    /// silent peer is given up.
    pub fn grant(&mut self, now: Instant) -> Option<ConnectionId> {
        let is_due = |claim: &Priority| !self.kinds[*claim as usize].waiting.is_empty() && self.has_room(*claim, now);
        let claim = Priority::ALL.into_iter().find(is_due)?;
        if self.is_full(claim) {
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

    fn is_full(&self, claim: Priority) -> bool {
        self.kinds[claim as usize].under_way.len() >= claim.half_open(self.window)
    }

    /// When the next of this kind may start, or another one of it be given up.
    fn ready(&self, claim: Priority) -> Option<Instant> {
        let room = self.kinds[claim as usize].room(self.window, claim.half_open(self.window));
        let again = (claim == Priority::Again).then_some(self.again);
        room.into_iter().chain(again).max()
    }

    fn has_room(&self, claim: Priority, now: Instant) -> bool {
        self.ready(claim).is_none_or(|at| at <= now)
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
mod tests {
    use super::*;

    fn id(n: u128) -> ConnectionId {
        format!("{n:032x}").parse().expect("an id")
    }

    /// A charon: those of whom `answers` is true are up after so many milliseconds, the others stay half open.
    struct Storm {
        turns: InitiationLimiter,
        now: Instant,
        half_open: BTreeMap<ConnectionId, Instant>,
        /// The most of the half-open ones, those that are up, and those that were given up.
        most: usize,
        up: usize,
        given_up: usize,
    }

    impl Storm {
        fn of(asked: std::ops::Range<u128>, claim: Priority) -> Self {
            let now = Instant::now();
            let mut storm = Self {
                turns: InitiationLimiter::new(now),
                now,
                half_open: BTreeMap::new(),
                most: 0,
                up: 0,
                given_up: 0,
            };
            asked.for_each(|n| storm.ask(n, claim));
            storm
        }

        fn ask(&mut self, n: u128, claim: Priority) {
            if self.turns.ask(id(n), claim, self.now) {
                self.half_open.insert(id(n), self.now);
            }
        }

        /// Time goes on; `each` is how many come up in 10 ms of those whose peers answer.
        fn go_on(&mut self, time: Duration, each: usize, answers: impl Fn(ConnectionId) -> bool) {
            let end = self.now + time;
            while self.now < end {
                self.now += Duration::from_millis(10);
                while self.turns.next(self.now).is_some_and(|at| at <= self.now) {
                    let id = self.turns.grant(self.now).expect("one is due");
                    if self.turns.take_vain(id) {
                        assert!(self.half_open.remove(&id).is_some_and(|at| self.now - at >= SILENT), "a silent one");
                        self.given_up += 1;
                    } else {
                        assert!(self.turns.ask(id, Priority::Again, self.now), "who was named begins");
                        self.half_open.insert(id, self.now);
                    }
                }
                self.most = self.most.max(self.half_open.len());
                let done: Vec<_> = self.half_open.keys().copied().filter(|id| answers(*id)).take(each).collect();
                for id in done {
                    self.half_open.remove(&id);
                    self.turns.succeeded(id, self.now);
                    self.up += 1;
                }
            }
        }
    }

    #[test]
    fn silent_peers_are_half_open_in_a_bounded_number_and_all_are_tried() {
        for claim in [Priority::Alive, Priority::Known, Priority::New] {
            let mut storm = Storm::of(0..5000, claim);
            storm.go_on(Duration::from_mins(3), 0, |_| false);
            assert!(storm.most <= 8 * WINDOW, "{claim:?}: {} half open", storm.most);
            assert!(storm.turns.next(storm.now).is_none(), "{claim:?}: all were tried");
            assert_eq!(storm.given_up, 5000 - 8 * WINDOW, "{claim:?}: no more are given up than others need");
        }
    }

    #[test]
    fn where_peers_answer_the_rate_is_that_of_charon() {
        let mut storm = Storm::of(0..1000, Priority::Known);
        storm.go_on(Duration::from_millis(5100), 2, |_| true);
        assert_eq!(storm.up, 1000, "two in 10 ms, as fast as this charon is");
        assert!(storm.most <= MOST, "{} half open", storm.most);
    }

    #[test]
    fn those_that_were_alive_do_not_wait_for_silent_ones() {
        let mut storm = Storm::of(0..5000, Priority::Known);
        storm.go_on(Duration::from_secs(20), 0, |_| false);
        (10_000..10_200).for_each(|n| storm.ask(n, Priority::Alive));
        storm.go_on(Duration::from_millis(1100), 2, |tunnel| tunnel >= id(10_000));
        assert_eq!(storm.up, 200);
        storm.ask(20_000, Priority::New);
        assert!(storm.half_open.contains_key(&id(20_000)), "what a caller changes begins at once");
    }

    #[test]
    fn the_window_follows_what_charon_answers() {
        let mut storm = Storm::of(0..10_000, Priority::Known);
        (1..=10).for_each(|second| {
            storm.turns.answered(SLOW, storm.now + Duration::from_secs(second));
            storm.turns.answered(SLOW, storm.now + Duration::from_secs(second));
        });
        assert_eq!(storm.turns.window, LEAST, "it shrinks once a second, and not to nothing");
        (0..GROWTH * WINDOW).for_each(|_| storm.turns.answered(QUICK / 2, storm.now));
        assert_eq!(storm.turns.window, WINDOW, "it is as it was when charon begins at once again, and no wider");
        storm.go_on(Duration::from_secs(3), 10, |_| true);
        assert!(storm.turns.window == MOST && storm.most <= MOST + WINDOW, "{} half open", storm.most);
    }

    #[test]
    fn what_failed_before_is_tried_more_rarely() {
        let in_one_second = |before: Duration| {
            let mut storm = Storm::of(0..0, Priority::Again);
            storm.now += before;
            (0..10_000).for_each(|n| storm.ask(n, Priority::Again));
            storm.go_on(Duration::from_millis(990), 0, |_| false);
            storm.half_open.len()
        };
        assert_eq!(in_one_second(Duration::ZERO), 3);
        assert_eq!(in_one_second(Duration::from_mins(1)), 3 + 32);
    }

    #[test]
    fn success_opens_the_way() {
        let mut storm = Storm::of(0..10_000, Priority::Again);
        storm.go_on(Duration::from_mins(2), 1, |_| true);
        assert!(storm.up > 9500, "at the pace of others: {}", storm.up);
    }

    #[test]
    fn who_needs_no_turn_takes_none() {
        let now = Instant::now();
        let mut turns = InitiationLimiter::new(now);
        let many = WINDOW as u128;
        assert_eq!((0..many + 3).filter(|n| turns.ask(id(*n), Priority::New, now)).count(), WINDOW);
        assert!(turns.ask(id(0), Priority::New, now), "one more child of what is under way");
        turns.cancel(id(many));
        assert_eq!(turns.grant(now), None);
        turns.ended(id(1));
        assert_eq!(turns.grant(now), Some(id(many + 1)));
        turns.ended(id(many + 1));
        assert_eq!(turns.grant(now), None, "what was granted has not begun yet");
        turns.cancel(id(many + 1));
        assert!(!turns.ask(id(many + 1), Priority::New, now), "what was granted is gone");
        assert_eq!(turns.grant(now), Some(id(many + 2)));
        assert!(turns.ask(id(many + 1), Priority::Alive, now), "it is more urgent now");
        assert!(turns.next(now).is_none(), "and its place is free");
    }
}
