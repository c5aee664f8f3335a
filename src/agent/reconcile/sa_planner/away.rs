//! What is remembered of a connection while this host lacks its local address, and forgotten when it is back.

use super::state::SaPlanner;
use std::time::Duration;
use tokio::time::Instant;

/// The least time between attempts for an address that comes and goes, while no tunnel comes up.
const BETWEEN: Duration = Duration::from_secs(1);

impl SaPlanner {
    /// The local address is not here.
    pub fn record_away(&mut self) {
        (self.away.lacks_address, self.away.stands_by) = (true, false);
    }

    /// The same, and another gateway works for it: what ran here says nothing of the peer any more. Returns whether that is
    /// new.
    pub fn leave(&mut self) -> bool {
        let is_new = !self.away.stands_by;
        if is_new {
            self.away.was_complete = self.is_complete;
        }
        (self.away.lacks_address, self.away.stands_by) = (true, true);
        self.is_complete = false;
        self.duplicate_since.clear();
        self.pace.forget_installed();
        is_new
    }

    /// The local address is here; returns whether it was not at the last look. Attempts then start at once, without waiting
    /// for the peer to begin.
    pub fn come_back(&mut self, now: Instant) -> bool {
        self.away.stands_by = false;
        if !std::mem::take(&mut self.away.lacks_address) {
            return false;
        }
        let last = self.pace.attempted.filter(|_| !self.away.was_complete);
        self.reset_attempts();
        self.pace.not_before = Some(last.map_or(now, |last| now.max(last + BETWEEN)));
        true
    }
}
