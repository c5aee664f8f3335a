//! The traces of charon's log, one for each IKE_SA.

use crate::strongswan::log_parser::IkeSaTrace;
use std::collections::{BTreeMap, VecDeque};

/// The most traces; a flood of unknown peers removes the oldest.
const TRACES: usize = 4096;
/// How many IKE_SAs that have ended keep theirs: charon's last words of one may come after the event of its end.
const ENDED: usize = 128;

/// The traces by the number of the IKE_SA, which grows; they are valid for one start of charon.
#[derive(Default)]
pub struct Traces {
    known: BTreeMap<u64, Box<IkeSaTrace>>,
    ended: VecDeque<u64>,
}

impl Traces {
    /// The trace of the IKE_SA with this number.
    pub fn of(&mut self, number: u64) -> &mut IkeSaTrace {
        if self.known.len() >= TRACES && !self.known.contains_key(&number) {
            self.known.pop_first();
        }
        self.known.entry(number).or_default()
    }

    /// The IKE_SA with this number has ended.
    pub fn end(&mut self, number: u64) {
        self.ended.push_back(number);
        if self.ended.len() > ENDED {
            self.ended.pop_front().map(|oldest| self.known.remove(&oldest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_ended_ike_sas_go_and_a_flood_takes_the_oldest() {
        let mut traces = Traces::default();
        let remote = Some("192.0.2.2".parse().expect("an address"));
        traces.of(1).remote = remote;
        for number in 2..=3000 {
            traces.of(number).remote = remote;
            traces.end(number);
        }
        assert!(traces.known.len() <= ENDED + 1 && traces.of(1).remote == remote, "{}", traces.known.len());
        assert_eq!(traces.of(3000).remote, remote, "charon may have a word left");
        (4000..4000 + 2 * TRACES as u64).for_each(|number| traces.of(number).remote = remote);
        assert_eq!(traces.known.len(), TRACES);
        assert!(traces.of(4000 + TRACES as u64 + 100).remote == remote && traces.of(1).remote.is_none());
    }
}
