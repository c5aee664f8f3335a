//! When a connection went up and down of late: its last events, which the list of all events forgets sooner on a busy
//! gateway. Since the start of the agent; bounded.

use crate::ipsec::Code;
use jiff::Timestamp;
use std::collections::VecDeque;

/// The most events that are kept of one connection: a flapping one must not take more memory than it needs.
const KEPT: usize = 32;

/// It went up or down, or carries otherwise than wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// When.
    pub at: Timestamp,
    /// The name of the event.
    pub event: &'static str,
    /// Why it is not up.
    pub code: Option<Code>,
}

/// The last of them, the oldest first.
#[derive(Debug, Default)]
pub struct Availability(VecDeque<Turn>);

impl Availability {
    /// Takes in an event.
    pub fn record(&mut self, turn: Turn) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(turn);
    }

    /// Them, and since when nothing is missing, of what is watched since `began`.
    #[must_use]
    pub fn since(&self, began: Timestamp) -> (Timestamp, Vec<Turn>) {
        // What came before the oldest one is forgotten.
        let oldest = self.0.front().filter(|_| self.0.len() == KEPT);
        (oldest.map_or(began, |oldest| oldest.at), self.0.iter().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ups_and_downs_are_kept() {
        let mut availability = Availability::default();
        let at = |n: i64| Timestamp::from_second(n).expect("a time");
        availability.record(Turn { at: at(5), event: "up", code: None });
        assert_eq!(availability.since(at(1)).0, at(1));
        let last = Turn { at: at(99), event: "down", code: Some(Code::PeerDeleted) };
        (6..100).for_each(|n| availability.record(Turn { at: at(n), ..last }));
        let (since, turns) = availability.since(at(1));
        assert_eq!((since, turns.len(), turns.last()), (at(100 - 32), KEPT, Some(&last)));
    }
}
