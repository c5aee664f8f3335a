//! The traces of charon's log, one for each IKE_SA.

use crate::strongswan::log_parser::IkeSaTrace;
use std::collections::{HashMap, VecDeque};

/// The most traces; a flood of unknown peers removes the oldest.
const TRACES: usize = 4096;

/// The traces by the number of the IKE_SA; they are valid for one start of charon.
#[derive(Default)]
pub struct Traces {
    known: HashMap<u64, IkeSaTrace>,
    order: VecDeque<u64>,
}

impl Traces {
    /// The trace of the IKE_SA with this number.
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
