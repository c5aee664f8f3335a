//! The jobs of those without valid credentials. The contract answers them 202 and has the job end with `ID.1001`; there
//! is no more to such a job than its id, and it may cost no disk, no lock of others and no room of theirs.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

/// Jobs that are remembered, and those of one address among them.
const MOST: usize = 1024;
const PER_ADDRESS: usize = 64;

/// The ids, oldest first, and where they came from.
#[derive(Default)]
pub struct Strangers(VecDeque<(IpAddr, String)>);

impl Strangers {
    /// Remembers the job `id` of a stranger at `address`. For want of room the oldest of the address goes that has most.
    pub fn add(&mut self, address: IpAddr, id: &str) {
        let address = source(address);
        self.0.retain(|(_, known)| known != id);
        if self.0.iter().filter(|(from, _)| *from == address).count() >= PER_ADDRESS {
            self.forget_oldest(address);
        } else if self.0.len() >= MOST {
            let mut counts: HashMap<IpAddr, usize> = HashMap::new();
            self.0.iter().for_each(|(from, _)| *counts.entry(*from).or_default() += 1);
            let crowd = counts.into_iter().max_by_key(|(_, count)| *count);
            if let Some((from, _)) = crowd {
                self.forget_oldest(from);
            }
        }
        self.0.push_back((address, id.to_owned()));
    }

    /// Whether a stranger's job had this id.
    pub fn has(&self, id: &str) -> bool {
        self.0.iter().any(|(_, known)| known == id)
    }

    fn forget_oldest(&mut self, address: IpAddr) {
        let oldest = self.0.iter().position(|(from, _)| *from == address);
        oldest.map(|place| self.0.remove(place));
    }
}

/// What counts as one source: an IPv4 address, or an IPv6 network of 64 bits, of which one host has all addresses.
pub fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_pushes_out_its_own_jobs_only() {
        let mut strangers = Strangers::default();
        let (quiet, loud) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        strangers.add(quiet, "quiet");
        (0..3 * MOST).for_each(|n| strangers.add(loud, &format!("loud {n}")));
        assert!(strangers.has("quiet") && strangers.has(&format!("loud {}", 3 * MOST - 1)));
        assert_eq!(strangers.0.len(), 1 + PER_ADDRESS);
    }

    #[test]
    fn many_addresses_push_out_those_that_have_most() {
        let mut strangers = Strangers::default();
        strangers.add([192, 0, 2, 1].into(), "quiet");
        for n in 0..24 {
            (0..PER_ADDRESS).for_each(|m| strangers.add([198, 51, 100, n].into(), &format!("{n} {m}")));
        }
        assert!(strangers.has("quiet"));
        assert_eq!(strangers.0.len(), MOST);
        strangers.add([192, 0, 2, 2].into(), "quiet");
        assert_eq!(strangers.0.len(), MOST, "one id stands there once");
    }

    #[test]
    fn one_network_of_64_bits_is_one_source() {
        let of = |text: &str| source(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
