//! Limits the rate of initiations. Each costs charon a key exchange, and half-open SAs keep it busy: thousands of silent
//! peers must not exhaust the gateway, and a tunnel that was up a moment ago must not queue behind them. This file has no
//! effects; the time is an argument.

use crate::ipsec::ConnectionId;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};
use tokio::time::Instant;

/// The burst: initiations at once after a pause.
const BURST: u32 = 32;

/// The priorities of initiations, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// The tunnel was up in its current configuration.
    Known,
    /// The current configuration was not tried yet.
    New,
    /// Attempts have failed.
    Again,
}

impl Priority {
    const ALL: [Self; 3] = [Self::Known, Self::New, Self::Again];

    /// The interval between initiations of this kind, after the first [`BURST`].
    fn pace(self) -> Duration {
        match self {
            Self::Known | Self::New => Duration::from_millis(10),
            Self::Again => Duration::from_millis(400),
        }
    }

    /// How many more of this kind each success releases. Where peers answer, as after an address has come to this gateway,
    /// tunnels come up as fast as charon negotiates; when the path to all peers works again, retries return at that rate.
    fn credit(self) -> u32 {
        match self {
            Self::Known | Self::New => 1,
            Self::Again => 4,
        }
    }

    /// The kinds that count against its rate.
    fn keeps(self) -> &'static [Self] {
        match self {
            Self::Known => &[Self::Known],
            Self::New => &[Self::New],
            Self::Again => &[Self::New, Self::Again],
        }
    }
}

/// The queues of waiting connections.
#[derive(Debug)]
pub struct InitiationLimiter {
    /// When the next of each kind may start.
    next: [Instant; 3],
    waiting: [BTreeMap<u64, ConnectionId>; 3],
    places: HashMap<ConnectionId, (Priority, u64)>,
    granted: HashSet<ConnectionId>,
    count: u64,
}

impl InitiationLimiter {
    /// Empty queues.
    pub fn new(now: Instant) -> Self {
        Self { next: [now; 3], waiting: Default::default(), places: HashMap::new(), granted: HashSet::new(), count: 0 }
    }

    /// Whether `id` may initiate now. If not, it is queued until [`InitiationLimiter::grant`] returns it.
    pub fn ask(&mut self, id: ConnectionId, claim: Priority, now: Instant) -> bool {
        if self.granted.remove(&id) {
            return true;
        }
        match self.places.get(&id) {
            // It keeps its place, unless it is more urgent now.
            Some((earlier, _)) if *earlier <= claim => return false,
            Some(_) => self.cancel(id),
            None => {}
        }
        if self.waiting[claim as usize].is_empty() && self.ready(claim) <= now {
            self.take(claim, now);
            return true;
        }
        self.count += 1;
        self.waiting[claim as usize].insert(self.count, id);
        self.places.insert(id, (claim, self.count));
        false
    }

    /// `id` has nothing to negotiate.
    pub fn cancel(&mut self, id: ConnectionId) {
        self.granted.remove(&id);
        if let Some((claim, place)) = self.places.remove(&id) {
            self.waiting[claim as usize].remove(&place);
        }
    }

    /// An attempt of this kind succeeded.
    pub fn succeeded(&mut self, claim: Priority, now: Instant) {
        let next = &mut self.next[claim as usize];
        *next = next.checked_sub(claim.pace() * claim.credit()).unwrap_or(*next).max(earliest(claim, now));
    }

    /// When the next waiting connection may start.
    pub fn next(&self) -> Option<Instant> {
        Priority::ALL.into_iter().filter(|c| !self.waiting[*c as usize].is_empty()).map(|c| self.ready(c)).min()
    }

    /// The connection that waited longest and may start now; its next request succeeds.
    pub fn grant(&mut self, now: Instant) -> Option<ConnectionId> {
        let is_due = |c: &Priority| !self.waiting[*c as usize].is_empty() && self.ready(*c) <= now;
        let claim = Priority::ALL.into_iter().find(is_due)?;
        let (_, id) = self.waiting[claim as usize].pop_first()?;
        self.places.remove(&id);
        self.granted.insert(id);
        self.take(claim, now);
        Some(id)
    }

    fn ready(&self, claim: Priority) -> Instant {
        claim.keeps().iter().map(|kept| self.next[*kept as usize]).fold(self.next[claim as usize], Instant::max)
    }

    fn take(&mut self, claim: Priority, now: Instant) {
        for kept in claim.keeps() {
            let next = &mut self.next[*kept as usize];
            *next = (*next).max(earliest(*kept, now)) + kept.pace();
        }
    }
}

/// Unused time before this does not count.
fn earliest(claim: Priority, now: Instant) -> Instant {
    now.checked_sub(claim.pace() * BURST).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> ConnectionId {
        format!("{n:032x}").parse().expect("an id")
    }

    /// How many of `asked` begin within `time`, all asking as `claim` at its beginning.
    fn begun(
        turns: &mut InitiationLimiter,
        asked: std::ops::Range<u128>,
        claim: Priority,
        start: Instant,
        time: Duration,
    ) -> usize {
        let at_once = asked.filter(|n| turns.ask(id(*n), claim, start)).count();
        at_once + granted(turns, start + time).len()
    }

    fn granted(turns: &mut InitiationLimiter, until: Instant) -> Vec<ConnectionId> {
        let mut all = Vec::new();
        while let Some(next) = turns.next().filter(|next| *next < until) {
            let id = turns.grant(next).expect("somebody waits");
            assert!(turns.ask(id, Priority::Again, next), "who was named begins");
            all.push(id);
        }
        all
    }

    #[test]
    fn what_failed_before_is_tried_more_rarely() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(begun(&mut InitiationLimiter::new(start), 0..10_000, Priority::New, start, second), 100);
        assert_eq!(begun(&mut InitiationLimiter::new(start), 0..10_000, Priority::Again, start, second), 3);
        let later = start + Duration::from_mins(1);
        assert_eq!(begun(&mut InitiationLimiter::new(start), 0..10_000, Priority::Again, later, second), 3 + 32);
    }

    #[test]
    fn the_urgent_do_not_queue_behind_others() {
        let start = Instant::now();
        let mut turns = InitiationLimiter::new(start);
        assert!((0..100).filter(|n| turns.ask(id(*n), Priority::New, start)).count() < 2);
        assert!((100..200).all(|n| !turns.ask(id(n), Priority::Again, start)));
        assert!(turns.ask(id(1000), Priority::Known, start), "at once");
        let first = granted(&mut turns, start + Duration::from_millis(995));
        assert_eq!(first, (1..100).map(id).collect::<Vec<_>>(), "those that failed wait for those that were not tried");
        assert!(turns.ask(id(150), Priority::New, start + Duration::from_secs(1)), "its configuration was changed");
        assert!(!granted(&mut turns, start + Duration::from_secs(30)).contains(&id(150)), "and its place is free");
    }

    #[test]
    fn success_opens_the_way() {
        let start = Instant::now();
        let mut turns = InitiationLimiter::new(start);
        assert_eq!((0..10_000).filter(|n| turns.ask(id(*n), Priority::Again, start)).count(), 1);
        let (mut now, mut all) = (start, 1);
        while all < 10_000 && now < start + Duration::from_mins(5) {
            now += Duration::from_millis(50);
            let count = granted(&mut turns, now).len();
            (0..count).for_each(|_| turns.succeeded(Priority::Again, now));
            all += count;
        }
        let took = now - start;
        assert!(took > Duration::from_secs(95) && took < Duration::from_secs(110), "at the pace of others: {took:?}");
    }

    /// charon makes 200 a second, and each that is up opens the way for another.
    #[test]
    fn where_peers_answer_the_rate_is_that_of_charon() {
        let start = Instant::now();
        let mut turns = InitiationLimiter::new(start);
        let mut under_way = (0..1000).filter(|n| turns.ask(id(*n), Priority::Known, start)).count();
        let (mut now, mut up, mut most) = (start, 0, under_way);
        while up < 1000 && now < start + Duration::from_mins(1) {
            now += Duration::from_millis(5);
            under_way += granted(&mut turns, now).len();
            most = most.max(under_way);
            if under_way > 0 {
                (under_way, up) = (under_way - 1, up + 1);
                turns.succeeded(Priority::Known, now);
            }
        }
        let took = now - start;
        assert!(took < Duration::from_secs(7) && most < 500, "{took:?}, {most} under way");
    }

    #[test]
    fn who_needs_no_turn_takes_none() {
        let start = Instant::now();
        let mut turns = InitiationLimiter::new(start);
        assert_eq!((0..3).filter(|n| turns.ask(id(*n), Priority::New, start)).count(), 1);
        turns.cancel(id(1));
        let next = start + Duration::from_millis(10);
        assert_eq!(turns.grant(next), Some(id(2)));
        turns.cancel(id(2));
        assert!(turns.next().is_none() && turns.grant(next + BURST * Duration::from_secs(1)).is_none());
        assert!(!turns.ask(id(2), Priority::New, next), "what was granted is gone");
    }
}
