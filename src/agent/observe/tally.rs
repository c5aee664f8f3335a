//! How often one connection was negotiated, rekeyed, and failed, since the start of the agent.

use crate::ipsec::Code;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// The log and an alert name one failure twice, and so do lines that follow each other.
const SAME: Duration = Duration::from_secs(1);

/// The counts of one connection.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Negotiations that this end began.
    pub attempts: u64,
    /// Rekeyings of its IKE SAs, by either end.
    pub ike_rekeyings: u64,
    /// Rekeyings of its CHILD_SAs, by either end.
    pub child_rekeyings: u64,
    failures: BTreeMap<Code, (u64, Instant)>,
}

impl Tally {
    /// Counts a failure, unless it is the one that was counted a moment ago.
    pub fn record_failure(&mut self, code: Code, now: Instant) {
        match self.failures.get_mut(&code) {
            Some((_, last)) if now.duration_since(*last) < SAME => *last = now,
            Some((count, last)) => (*count, *last) = (*count + 1, now),
            None => drop(self.failures.insert(code, (1, now))),
        }
    }

    /// The failures by their reasons.
    pub fn failures(&self) -> impl Iterator<Item = (Code, u64)> {
        self.failures.iter().map(|(code, (count, _))| (*code, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_twice_failed_once() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        let seconds = |n| start + Duration::from_secs(n);
        for at in [seconds(0), seconds(0) + SAME / 2, seconds(4), seconds(8)] {
            tally.record_failure(Code::PeerUnreachable, at);
        }
        tally.record_failure(Code::AuthFailed, seconds(8));
        assert_eq!(
            tally.failures().collect::<BTreeMap<_, _>>(),
            BTreeMap::from([(Code::PeerUnreachable, 3), (Code::AuthFailed, 1)])
        );
    }
}
