//! The heartbeat for systemd's watchdog. The loop that probes charon and the reconciler's queue count their turns; a loop
//! that hangs stops counting.

use std::sync::atomic::{AtomicU64, Ordering};

/// The turn counters of the two loops.
#[derive(Debug, Default)]
pub struct Heartbeat {
    watch: AtomicU64,
    queue: AtomicU64,
}

/// The turns of each loop at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ticks {
    /// The loop that probes charon.
    pub watch: u64,
    /// The reconciler's queue. It stops when work that hangs takes all places.
    pub queue: u64,
}

impl Heartbeat {
    /// Counts a turn of the loop that probes charon.
    pub fn watch_ticked(&self) {
        self.watch.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a turn of the queue.
    pub fn queue_ticked(&self) {
        self.queue.fetch_add(1, Ordering::Relaxed);
    }

    /// The turns so far.
    pub fn ticks(&self) -> Ticks {
        Ticks { watch: self.watch.load(Ordering::Relaxed), queue: self.queue.load(Ordering::Relaxed) }
    }
}

impl Ticks {
    /// The loop that has not turned since `earlier`, if there is one.
    #[must_use]
    pub fn standing(self, earlier: Self) -> Option<&'static str> {
        match (self.watch == earlier.watch, self.queue == earlier.queue) {
            (false, false) => None,
            (true, false) => Some("the probe of charon"),
            (false, true) => Some("the reconciler"),
            (true, true) => Some("the reconciler and the probe of charon"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_loops_must_turn() {
        let heartbeat = Heartbeat::default();
        let before = heartbeat.ticks();
        assert!(heartbeat.ticks().standing(before).is_some_and(|what| what.contains("and")));
        heartbeat.watch_ticked();
        assert_eq!(heartbeat.ticks().standing(before), Some("the reconciler"));
        heartbeat.queue_ticked();
        assert_eq!(heartbeat.ticks().standing(before), None);
    }
}
