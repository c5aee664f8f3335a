//! The limiter with a charon that is not there.

use super::*;
use std::hash::{DefaultHasher, Hash, Hasher};

fn id(n: u128) -> ConnectionId {
    format!("{n:032x}").parse().expect("an id")
}

fn peer(of: ConnectionId) -> Peer {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// A charon: those of whom `answers` is true are up after so many milliseconds, the others stay half open.
struct Storm {
    turns: InitiationLimiter,
    now: Instant,
    half_open: BTreeMap<ConnectionId, Instant>,
    /// How long a peer that answers takes until the tunnel is up.
    takes: Duration,
    /// The peer of all, unless each has its own.
    one_peer: Option<Peer>,
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
            takes: Duration::ZERO,
            one_peer: None,
            most: 0,
            up: 0,
            given_up: 0,
        };
        asked.for_each(|n| storm.ask(n, claim));
        storm
    }

    fn ask(&mut self, n: u128, claim: Priority) {
        self.ask_of(n, self.one_peer.unwrap_or_else(|| peer(id(n))), claim);
    }

    fn ask_of(&mut self, n: u128, peer: Peer, claim: Priority) {
        if self.turns.ask(id(n), peer, claim, self.now) {
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
                    assert!(self.turns.ask(id, peer(id), Priority::Again, self.now), "who was named begins");
                    self.half_open.insert(id, self.now);
                }
            }
            self.most = self.most.max(self.half_open.len());
            let is_up = |(id, at): &(&ConnectionId, &Instant)| answers(**id) && self.now - **at >= self.takes;
            let done: Vec<_> = self.half_open.iter().filter(is_up).map(|(id, _)| *id).take(each).collect();
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
    storm.go_on(Duration::from_secs(5), 10, |_| true);
    assert!(storm.turns.window == MOST && storm.most <= MOST + WINDOW, "{} half open", storm.most);
}

/// On a busy gateway each tunnel takes longer than a second.
#[test]
fn where_peers_answer_late_more_begin_in_a_second() {
    let mut storm = Storm::of(0..1000, Priority::Alive);
    storm.takes = Duration::from_secs(2);
    storm.go_on(Duration::from_millis(2500), 1000, |_| true);
    for second in 3..14 {
        storm.turns.answered(SLOW, storm.now);
        assert!(storm.turns.window >= WINDOW, "{second}: charon is slow because it negotiates");
        storm.go_on(Duration::from_secs(1), 1000, |_| true);
    }
    // This time goes in steps of 10 ms, so the first window is one in 20 ms: 575 would be up without more.
    assert!(storm.up > 700, "{} are up", storm.up);
    assert!(storm.most <= 3 * MOST, "{} half open", storm.most);
}

/// A peer that is many, or that many tunnels lead to, drops what comes when it has a few half-open ones.
#[test]
fn few_are_half_open_with_one_peer_that_answers_soon() {
    let mut storm = Storm::of(0..0, Priority::Alive);
    storm.one_peer = Some(7);
    (0..100).for_each(|n| storm.ask(n, Priority::Alive));
    storm.takes = Duration::from_millis(30);
    storm.go_on(Duration::from_secs(2), 100, |_| true);
    assert_eq!(storm.up, 100);
    assert!(storm.most <= 5, "{} half open", storm.most);
}

#[test]
fn peers_that_answer_soon_do_not_wait_for_a_pace() {
    let mut storm = Storm::of(0..1000, Priority::Alive);
    storm.takes = Duration::from_millis(50);
    storm.go_on(Duration::from_secs(2), 10, |_| true);
    assert_eq!(storm.up, 1000);
    assert!(storm.most <= AT_ONCE + 8, "{} half open", storm.most);
}

#[test]
fn many_tunnels_to_one_peer_hold_up_no_other() {
    let mut storm = Storm::of(0..0, Priority::Known);
    (0..100).for_each(|n| storm.ask_of(n, 7, Priority::Known));
    (100..110).for_each(|n| storm.ask(n, Priority::Known));
    storm.go_on(Duration::from_millis(20), 0, |_| false);
    assert!((100..110).all(|n| storm.half_open.contains_key(&id(n))), "they begin at once");
    assert!(storm.half_open.len() <= 10 + OF_ONE_PEER + 2, "{} half open", storm.half_open.len());
    storm.go_on(Duration::from_secs(3), 0, |_| false);
    assert_eq!(storm.half_open.len(), 110, "all are tried");
    assert!(storm.turns.peers.len() == 11 && storm.turns.begun.len() == 110);
    storm.go_on(Duration::from_secs(1), 1000, |_| true);
    assert!(storm.turns.peers.is_empty(), "nothing is kept of what is over");
}

#[test]
fn that_some_came_up_makes_no_room_for_silent_ones() {
    let mut storm = Storm::of(0..1000, Priority::Known);
    storm.go_on(Duration::from_secs(10), 10, |_| true);
    assert_eq!((storm.up, storm.turns.window), (1000, MOST));
    (1000..3000).for_each(|n| storm.ask(n, Priority::Known));
    storm.go_on(Duration::from_secs(3), 0, |_| false);
    assert!(storm.half_open.len() <= AT_ONCE + 3 * WINDOW, "{} begun", storm.half_open.len());
    storm.go_on(Duration::from_mins(1), 0, |_| false);
    assert!(storm.most <= 8 * WINDOW, "{} half open", storm.most);
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
    let many = AT_ONCE as u128;
    assert_eq!((0..many + 3).filter(|n| turns.ask(id(*n), peer(id(*n)), Priority::New, now)).count(), AT_ONCE);
    assert!(turns.ask(id(0), peer(id(0)), Priority::New, now), "one more child of what is under way");
    turns.cancel(id(many));
    assert_eq!(turns.grant(now), None);
    turns.ended(id(1));
    assert_eq!(turns.grant(now), Some(id(many + 1)));
    turns.ended(id(many + 1));
    assert_eq!(turns.grant(now), None, "what was granted has not begun yet");
    turns.cancel(id(many + 1));
    assert!(!turns.ask(id(many + 1), peer(id(many + 1)), Priority::New, now), "what was granted is gone");
    assert_eq!(turns.grant(now), Some(id(many + 2)));
    assert!(turns.ask(id(many + 1), peer(id(many + 1)), Priority::Alive, now), "it is more urgent now");
    assert!(turns.next(now).is_none(), "and its place is free");
}
