//! Whether the agent turns: what systemd's watchdog depends on. The watch of charon and the reconciler's queue each
//! count their turns; a loop that waits for something that never comes stops counting.

use std::sync::atomic::{AtomicU64, Ordering};

/// The turns of the two loops.
#[derive(Debug, Default)]
pub struct Heartbeat {
    watch: AtomicU64,
    queue: AtomicU64,
}

/// How often each loop had turned at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ticks {
    /// The watch of charon: it asks again and again whether charon is there.
    pub watch: u64,
    /// The reconciler's queue. It stands when all places are taken by work that does not end.
    pub queue: u64,
}

impl Heartbeat {
    /// The watch of charon has turned.
    pub fn watch_ticked(&self) {
        self.watch.fetch_add(1, Ordering::Relaxed);
    }

    /// The queue has turned.
    pub fn queue_ticked(&self) {
        self.queue.fetch_add(1, Ordering::Relaxed);
    }

    /// How often each has turned.
    pub fn ticks(&self) -> Ticks {
        Ticks { watch: self.watch.load(Ordering::Relaxed), queue: self.queue.load(Ordering::Relaxed) }
    }
}

impl Ticks {
    /// What stands still since `earlier`, if anything does.
    #[must_use]
    pub fn standing(self, earlier: Self) -> Option<&'static str> {
        match (self.watch == earlier.watch, self.queue == earlier.queue) {
            (false, false) => None,
            (true, false) => Some("the watch of charon"),
            (false, true) => Some("the reconciler"),
            (true, true) => Some("the reconciler and the watch of charon"),
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
