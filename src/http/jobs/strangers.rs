//! The jobs of those without valid credentials. The contract answers them 202 and has the job end with `ID.1001`; there
//! is no more to such a job than its id, and it may cost no disk, no lock of others and no room of theirs.

use crate::http::auth::{Origin, Peer};
use std::collections::{HashMap, VecDeque};

/// Jobs that are remembered, and those of one peer among them.
const MOST: usize = 1024;
const PER_PEER: usize = 64;

/// The ids, oldest first, and where they came from.
#[derive(Default)]
pub struct Strangers(VecDeque<(Peer, String)>);

impl Strangers {
    /// Remembers the job `id` of a stranger from `origin`. For want of room the oldest of the peer goes that has most.
    pub fn add(&mut self, origin: Origin, id: &str) {
        let peer = origin.into();
        self.0.retain(|(_, known)| known != id);
        if self.0.iter().filter(|(from, _)| *from == peer).count() >= PER_PEER {
            self.forget_oldest(peer);
        } else if self.0.len() >= MOST {
            let mut counts: HashMap<Peer, usize> = HashMap::new();
            self.0.iter().for_each(|(from, _)| *counts.entry(*from).or_default() += 1);
            let crowd = counts.into_iter().max_by_key(|(_, count)| *count);
            if let Some((from, _)) = crowd {
                self.forget_oldest(from);
            }
        }
        self.0.push_back((peer, id.to_owned()));
    }

    /// Whether a stranger's job had this id.
    pub fn has(&self, id: &str) -> bool {
        self.0.iter().any(|(_, known)| known == id)
    }

    fn forget_oldest(&mut self, peer: Peer) {
        let oldest = self.0.iter().position(|(from, _)| *from == peer);
        oldest.map(|place| self.0.remove(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(address: [u8; 4]) -> Origin {
        Origin::Network(address.into(), false)
    }

    #[test]
    fn one_address_pushes_out_its_own_jobs_only() {
        let mut strangers = Strangers::default();
        let (quiet, loud) = (host([192, 0, 2, 1]), host([192, 0, 2, 2]));
        strangers.add(quiet, "quiet");
        (0..3 * MOST).for_each(|n| strangers.add(loud, &format!("loud {n}")));
        assert!(strangers.has("quiet") && strangers.has(&format!("loud {}", 3 * MOST - 1)));
        assert_eq!(strangers.0.len(), 1 + PER_PEER);
    }

    #[test]
    fn many_addresses_push_out_those_that_have_most() {
        let mut strangers = Strangers::default();
        strangers.add(host([192, 0, 2, 1]), "quiet");
        for n in 0..24 {
            (0..PER_PEER).for_each(|m| strangers.add(host([198, 51, 100, n]), &format!("{n} {m}")));
        }
        assert!(strangers.has("quiet"));
        assert_eq!(strangers.0.len(), MOST);
        strangers.add(host([192, 0, 2, 2]), "quiet");
        assert_eq!(strangers.0.len(), MOST, "one id stands there once");
    }
}
