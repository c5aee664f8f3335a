//! When a connection went up and down of late: its last events, which the list of all events forgets sooner on a busy
//! gateway. Since the start of the agent; bounded.

use crate::{
    agent::{Agent, observe::events::EventKind},
    ipsec::{Code, ConnectionId},
};
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
    /// Takes in an event, if it is one of these.
    pub fn record(&mut self, at: Timestamp, what: &EventKind) {
        let code = match what {
            EventKind::Up => None,
            EventKind::Down(reason) | EventKind::NotAsWanted(_, reason) => Some(reason.code),
            _ => return,
        };
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Turn { at, event: what.name(), code });
    }
}

impl Agent {
    /// When the connection went up and down of late, the oldest first; and since when nothing is missing in it.
    #[must_use]
    pub fn availability(&self, id: ConnectionId) -> (Timestamp, Vec<Turn>) {
        let turns: Vec<_> = self.entry(id).availability().0.iter().copied().collect();
        let began = self.observer.began();
        // What came before the oldest one is forgotten.
        let since = turns.first().filter(|_| turns.len() == KEPT).map_or(began, |oldest| oldest.at);
        let created = self.store.get(id).map_or(since, |record| record.created);
        (since.max(created), turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipsec::reason::Reason;

    #[test]
    fn the_last_ups_and_downs_are_kept_and_nothing_else() {
        let mut availability = Availability::default();
        let at = |n: i64| Timestamp::from_second(n).expect("a time");
        for n in 0..100 {
            let reason = Reason { code: Code::PeerDeleted, since: at(n), details: String::new(), trigger: None };
            let event = if n % 2 == 0 { EventKind::Up } else { EventKind::Down(reason) };
            availability.record(at(n), &event);
            availability.record(at(n), &EventKind::Changed);
        }
        assert_eq!(availability.0.len(), KEPT);
        let last = Turn { at: at(99), event: "down", code: Some(Code::PeerDeleted) };
        assert_eq!((availability.0[0].at, availability.0[KEPT - 1]), (at(100 - 32), last));
    }
}
