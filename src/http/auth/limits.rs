//! Failed logins are counted per account and per address; above a number nobody is asked for a while.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Failures of one account or address within [`WINDOW`].
const FAILURES: u32 = 10;
/// How long failures are remembered.
const WINDOW: Duration = Duration::from_mins(5);
/// Accounts and addresses that are remembered; beyond that the oldest are forgotten first.
const REMEMBERED: usize = 10_000;

/// Who failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// Somebody who gave this account's name.
    Account(String),
    /// Somebody at this address.
    Address(IpAddr),
}

/// The counts.
#[derive(Default)]
pub struct Limits(Mutex<HashMap<Who, (u32, Instant)>>);

impl Limits {
    /// How long `who` must wait before the next attempt; `None` if not at all.
    pub fn wait(&self, who: &[Who], now: Instant) -> Option<Duration> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |(count, since): &(u32, Instant)| (*count >= FAILURES).then(|| WINDOW.saturating_sub(now - *since));
        who.iter().filter_map(|who| counts.get(who).and_then(left)).filter(|left| !left.is_zero()).max()
    }

    /// Counts a failure of `who`.
    pub fn failed(&self, who: &[Who], now: Instant) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= REMEMBERED {
            counts.retain(|_, (_, since)| now - *since < WINDOW);
        }
        if counts.len() >= REMEMBERED {
            let oldest = counts.iter().min_by_key(|(_, (_, since))| *since).map(|(who, _)| who.clone());
            oldest.map(|who| counts.remove(&who));
        }
        for who in who {
            let count = counts.entry(who.clone()).or_insert((0, now));
            if now - count.1 >= WINDOW {
                *count = (0, now);
            }
            count.0 += 1;
        }
    }

    /// Forgets the failures of an account that logged in.
    pub fn succeeded(&self, account: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&Who::Account(account.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_failures_are_made_to_wait() {
        let (limits, start) = (Limits::default(), Instant::now());
        let who = [Who::Account("a".into()), Who::Address([192, 0, 2, 1].into())];
        (0..FAILURES - 1).for_each(|_| limits.failed(&who, start));
        assert_eq!(limits.wait(&who, start), None);
        limits.failed(&who, start);
        assert_eq!(limits.wait(&who, start), Some(WINDOW));
        assert_eq!(limits.wait(&who[1..], start + WINDOW / 2), Some(WINDOW / 2), "the address alone");
        limits.succeeded("a");
        assert_eq!(limits.wait(&who[..1], start), None);
        assert_eq!(limits.wait(&who, start + WINDOW), None);
    }
}
