//! What charon's log said of each IKE SA so far.

use crate::strongswan::log_parser::IkeSaTrace;
use std::collections::{HashMap, VecDeque};

/// Of how many IKE SAs the trace is remembered; a flood of strangers pushes out the oldest.
const TRACES: usize = 4096;

/// What is remembered of IKE SAs by their numbers, as long as this charon lives.
#[derive(Default)]
pub struct Traces {
    known: HashMap<u64, IkeSaTrace>,
    order: VecDeque<u64>,
}

impl Traces {
    /// That of the IKE SA of this number.
    pub fn of(&mut self, number: u64) -> &mut IkeSaTrace {
        if !self.known.contains_key(&number) {
            if self.order.len() == TRACES {
                self.order.pop_front().map(|oldest| self.known.remove(&oldest));
            }
            self.order.push_back(number);
        }
        self.known.entry(number).or_default()
    }
}
