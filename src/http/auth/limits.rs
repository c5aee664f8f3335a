//! Failed logins are counted per address and account, per address, and in all. Nobody can lock an account for everybody:
//! from where its owner has logged in before, only failures from there count.

use super::origin::{Origin, Peer};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Failures from one address within [`WINDOW`]; where an account was logged in before, those of this account alone.
const OF_ONE: u32 = 10;
/// Failures in all, from where the account was never logged in before. Each costs time and an entry here.
const OF_ALL: u32 = 100;
/// How long failures are remembered, from the first.
const WINDOW: Duration = Duration::from_mins(5);
/// Addresses of logins that are remembered.
const GOOD: usize = 1000;

/// A try to log in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// From where.
    pub peer: Peer,
    /// The name of an account, or what was given for one.
    pub account: String,
}

/// The counts.
#[derive(Default)]
pub struct Limits(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    pairs: HashMap<Attempt, Count>,
    peers: HashMap<Peer, Count>,
    all: Option<Count>,
    /// Refused without a look at the password.
    refused: HashMap<Peer, Count>,
    good: HashSet<Attempt>,
}

/// How many, and since when.
#[derive(Clone, Copy)]
struct Count {
    number: u32,
    since: Instant,
}

impl Attempt {
    /// A try from `origin` to log in as `name`.
    #[must_use]
    pub fn new(origin: Origin, name: &str) -> Self {
        Self { peer: origin.into(), account: name.chars().take(255).collect() }
    }
}

impl Limits {
    /// How long to wait before the next try; `None` if not at all.
    pub fn wait(&self, attempt: &Attempt, now: Instant) -> Option<Duration> {
        let counts = self.lock();
        let left = |count: Option<&Count>, most| {
            let Count { number, since } = count.copied()?;
            (number >= most).then(|| WINDOW.saturating_sub(now - since)).filter(|left| !left.is_zero())
        };
        let own = left(counts.pairs.get(attempt), OF_ONE);
        if counts.is_good(attempt) {
            return own;
        }
        own.max(left(counts.peers.get(&attempt.peer), OF_ONE)).max(left(counts.all.as_ref(), OF_ALL))
    }

    /// Counts a wrong password or an unknown account.
    pub fn failed(&self, attempt: &Attempt, now: Instant) {
        let mut counts = self.lock();
        counts.forget(now);
        counts.pairs.entry(attempt.clone()).or_insert(Count::from(now)).add();
        counts.peers.entry(attempt.peer).or_insert(Count::from(now)).add();
        if !counts.is_good(attempt) {
            counts.all.get_or_insert(Count::from(now)).add();
        }
    }

    /// Counts a try that was refused unseen; the number of those from this address where it is worth a line: at the
    /// first, the tenth, the hundredth, and so on.
    pub fn refused(&self, attempt: &Attempt, now: Instant) -> Option<u32> {
        let mut counts = self.lock();
        counts.forget(now);
        if counts.refused.len() >= GOOD && !counts.refused.contains_key(&attempt.peer) {
            return None;
        }
        let refused = counts.refused.entry(attempt.peer).or_insert(Count::from(now)).add();
        std::iter::successors(Some(1_u32), |power| power.checked_mul(10))
            .any(|power| power == refused)
            .then_some(refused)
    }

    /// Forgets the failures of an account whose owner logged in there, and remembers where that was.
    pub fn succeeded(&self, attempt: &Attempt) {
        let mut counts = self.lock();
        counts.pairs.remove(attempt);
        if counts.good.len() < GOOD {
            counts.good.insert(attempt.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Whether the account was logged in from there before. Users of this machine are known to it.
    fn is_good(&self, attempt: &Attempt) -> bool {
        matches!(attempt.peer, Peer::User(_)) || self.good.contains(attempt)
    }

    /// Forgets what is over. What is left is bounded by [`OF_ALL`] and [`GOOD`].
    fn forget(&mut self, now: Instant) {
        let is_fresh = |count: &Count| now - count.since < WINDOW;
        self.pairs.retain(|_, count| is_fresh(count));
        self.peers.retain(|_, count| is_fresh(count));
        self.refused.retain(|_, count| is_fresh(count));
        self.all = self.all.filter(is_fresh);
    }
}

impl Count {
    /// None yet, from `since` on.
    fn from(since: Instant) -> Self {
        Self { number: 0, since }
    }

    /// Counts one more; how many there are.
    fn add(&mut self) -> u32 {
        self.number = self.number.saturating_add(1);
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(host: u8, account: &str) -> Attempt {
        Attempt::new(Origin::Network([192, 0, 2, host].into(), false), account)
    }

    fn fail(limits: &Limits, attempt: &Attempt, times: u32, now: Instant) {
        (0..times).for_each(|_| limits.failed(attempt, now));
    }

    #[test]
    fn too_many_failures_are_made_to_wait() {
        let (limits, start) = (Limits::default(), Instant::now());
        let who = attempt(1, "a");
        fail(&limits, &who, OF_ONE - 1, start);
        assert_eq!(limits.wait(&attempt(1, "b"), start), None);
        fail(&limits, &attempt(1, "b"), 1, start);
        assert_eq!(limits.wait(&who, start + WINDOW / 2), Some(WINDOW / 2), "the address, whatever the accounts");
        assert_eq!(limits.wait(&attempt(2, "a"), start), None, "the owner, from elsewhere");
        assert_eq!(limits.wait(&who, start + WINDOW), None);
    }

    #[test]
    fn from_where_an_account_was_logged_in_only_its_own_failures_count() {
        let (limits, start) = (Limits::default(), Instant::now());
        let who = attempt(1, "a");
        limits.succeeded(&who);
        fail(&limits, &attempt(1, "b"), OF_ONE, start);
        assert_eq!((limits.wait(&attempt(1, "b"), start), limits.wait(&who, start)), (Some(WINDOW), None));
        fail(&limits, &who, OF_ONE - 1, start);
        assert_eq!(limits.wait(&who, start), None);
        fail(&limits, &who, 1, start);
        assert_eq!(limits.wait(&who, start), Some(WINDOW));
    }

    #[test]
    fn many_strangers_are_bounded_together_and_lock_no_owner_out() {
        let (limits, start) = (Limits::default(), Instant::now());
        limits.succeeded(&attempt(1, "a"));
        let strangers: Vec<_> =
            (0..250).map(|host| attempt(host, "a")).filter(|who| who.peer != attempt(1, "").peer).collect();
        let checked = strangers
            .iter()
            .filter(|who| limits.wait(who, start).is_none().then(|| limits.failed(who, start)).is_some());
        assert_eq!(checked.count(), OF_ALL as usize);
        assert_eq!(limits.wait(&attempt(251, "a"), start), Some(WINDOW));
        assert_eq!(limits.wait(&attempt(1, "a"), start), None, "the owner");
        assert_eq!(limits.wait(&Attempt::new(Origin::Local(0), "a"), start), None, "a user of this machine");
        assert_eq!(limits.wait(&attempt(251, "a"), start + WINDOW), None);
        limits.failed(&attempt(251, "a"), start + WINDOW);
        assert_eq!(limits.lock().pairs.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn a_flood_of_refused_ones_is_few_lines() {
        let (limits, now) = (Limits::default(), Instant::now());
        let told: Vec<_> = (0..5000).filter_map(|_| limits.refused(&attempt(1, "a"), now)).collect();
        assert_eq!(told, [1, 10, 100, 1000]);
        assert_eq!(limits.refused(&attempt(2, "a"), now), Some(1), "another address");
    }
}
