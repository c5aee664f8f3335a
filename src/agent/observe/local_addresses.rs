//! This host's addresses and networks, read once for many connections; and what it means that an address is not here.

use crate::{host, settings::HaRole};
use ipnet::IpNet;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// The most former addresses that are remembered.
const ADDRESSES: usize = 4096;

/// What this gateway is for a local address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It has the address, or nobody knows which it has.
    Here,
    /// Another gateway has it, or this one gave it up: nothing is negotiated, and nothing is wrong.
    Standby,
    /// It had the address, and should have it.
    Left,
    /// It never had the address.
    Missing,
}

impl Presence {
    /// The role of the gateway for the address.
    #[must_use]
    pub fn role(self) -> &'static str {
        match self {
            Self::Here => "active",
            Self::Standby => "standby",
            Self::Left | Self::Missing => "missing",
        }
    }
}

/// This host's addresses and networks at one time.
pub struct LocalAddresses {
    addresses: Option<BTreeSet<IpAddr>>,
    /// The directly connected networks.
    pub(in crate::agent) networks: Option<BTreeSet<IpNet>>,
    /// Addresses that it had before and lacks now, and since when, as far as this run knows.
    left: BTreeMap<IpAddr, Timestamp>,
}

impl LocalAddresses {
    /// Reads them.
    #[must_use]
    pub fn read_host() -> Self {
        let addresses = host::addresses();
        if let Err(error) = &addresses {
            tracing::warn!(%error, "this host's addresses cannot be listed: {error}");
        }
        Self { addresses: addresses.ok(), networks: host::networks().ok(), left: BTreeMap::new() }
    }

    /// Reads them again; what `earlier` had and this lacks has left.
    pub(in crate::agent) fn read_after(earlier: &Self) -> Self {
        let had = earlier.addresses.iter().flatten().copied();
        Self { left: earlier.left.clone(), ..Self::read_host() }.having_had(had)
    }

    /// The same, knowing that the host had these before.
    pub(in crate::agent) fn having_had(mut self, had: impl IntoIterator<Item = IpAddr>) -> Self {
        let now = Timestamp::now();
        for address in had {
            if self.left.len() < ADDRESSES {
                self.left.entry(address).or_insert(now);
            }
        }
        if let Some(here) = &self.addresses {
            self.left.retain(|address, _| !here.contains(address));
        }
        self
    }

    /// What this gateway is for the address.
    pub(in crate::agent) fn presence(&self, address: IpAddr, role: HaRole) -> Presence {
        match (self.lacks(address), role, self.left.contains_key(&address)) {
            (false, ..) => Presence::Here,
            (true, HaRole::Pair, _) | (true, HaRole::Auto, true) => Presence::Standby,
            (true, HaRole::Single, true) => Presence::Left,
            (true, HaRole::Auto | HaRole::Single, false) => Presence::Missing,
        }
    }

    /// Whether the host has the address, or had it.
    pub(in crate::agent) fn has_or_had(&self, address: IpAddr) -> bool {
        self.left.contains_key(&address) || self.addresses.iter().flatten().any(|here| *here == address)
    }

    /// Since when the host lacks an address that it had.
    pub(in crate::agent) fn left_at(&self, address: IpAddr) -> Option<Timestamp> {
        self.left.get(&address).copied()
    }

    /// Its addresses, if they could be read.
    #[must_use]
    pub fn addresses(&self) -> Option<&BTreeSet<IpAddr>> {
        self.addresses.as_ref()
    }

    /// Whether this host lacks the address; false if its addresses could not be read.
    pub(in crate::agent) fn lacks(&self, address: IpAddr) -> bool {
        self.addresses.as_ref().is_some_and(|all| !all.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(addresses: Option<&[[u8; 4]]>) -> LocalAddresses {
        let addresses = addresses.map(|all| all.iter().copied().map(IpAddr::from).collect());
        LocalAddresses { addresses, networks: None, left: BTreeMap::new() }
    }

    #[test]
    fn the_address_is_the_role() {
        let [own, vip, other] = [[10, 0, 0, 1], [192, 0, 2, 1], [192, 0, 2, 9]];
        let all = [HaRole::Auto, HaRole::Pair, HaRole::Single];
        let of = |host: &LocalAddresses, address: [u8; 4]| all.map(|role| host.presence(address.into(), role));
        let standby = host(Some(&[own])).having_had([own.into(), vip.into()]);
        assert_eq!(of(&standby, own), [Presence::Here; 3]);
        assert_eq!(of(&standby, vip), [Presence::Standby, Presence::Standby, Presence::Left]);
        assert_eq!(of(&standby, other), [Presence::Missing, Presence::Standby, Presence::Missing]);
        assert!(standby.left_at(vip.into()).is_some() && standby.left_at(own.into()).is_none());
        // What cannot be read takes nothing down.
        assert_eq!(of(&host(None).having_had([vip.into()]), vip), [Presence::Here; 3]);
    }
}
