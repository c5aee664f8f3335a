//! Whether this end begins to negotiate at all: the peer may be the one that does, or traffic.

use super::{state::SaPlanner, step::Step};
use crate::ipsec::{Connection, IkeSa, native::StartMode};
use tokio::time::Instant;

impl SaPlanner {
    /// The negotiations that are due, if this end is to begin any.
    pub(super) fn begin(
        &mut self,
        wanted: &Connection,
        running: &[IkeSa],
        carriers: &[Vec<(u64, u64)>],
        now: Instant,
    ) -> (Vec<Step>, Option<Instant>) {
        let begins = match wanted.start_mode() {
            StartMode::Initiate => true,
            StartMode::Respond => false,
            // Only to replace what runs by what is wanted now.
            StartMode::Trap => running.iter().any(|ike| !self.is_current(ike) || self.has_stale_child(ike)),
        };
        if begins { self.negotiate(wanted, running, carriers, now) } else { (Vec::new(), None) }
    }
}
