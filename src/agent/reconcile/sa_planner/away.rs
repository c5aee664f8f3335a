//! What is remembered of a connection while this host lacks its local address, and forgotten when it is back.

use super::state::SaPlanner;
use std::time::Duration;
use tokio::time::Instant;

/// An address that was back less than this before, and brought no tunnel up, does not have attempts start over: it may
/// come and go without end.
const SETTLED: Duration = Duration::from_secs(5);

impl SaPlanner {
    /// The local address is not here.
    pub fn record_away(&mut self) {
        self.away.lacks_address = true;
    }

    /// The same, and another gateway works for it: what ran here says nothing of the peer any more. Returns whether that is
    /// new.
    pub fn leave(&mut self) -> bool {
        let is_new = !self.away.lacks_address;
        if is_new {
            self.away.was_complete = self.is_complete;
        }
        self.away.lacks_address = true;
        self.is_complete = false;
        self.duplicate_since.clear();
        self.pace.forget_installed();
        is_new
    }

    /// The local address is here; returns whether it was not at the last look. Attempts then start at once, without waiting
    /// for the peer to begin.
    pub fn come_back(&mut self, now: Instant) -> bool {
        if !std::mem::take(&mut self.away.lacks_address) {
            return false;
        }
        let last = self.away.returned.filter(|_| !self.away.was_complete);
        if last.is_none_or(|last| now.duration_since(last) >= SETTLED) {
            self.reset_attempts();
            self.pace.not_before = Some(now);
            self.away.returned = Some(now);
        }
        true
    }
}
