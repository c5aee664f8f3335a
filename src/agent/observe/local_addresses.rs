//! This host's addresses and networks, read once for many connections.

use crate::host;
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};

/// The most former addresses that are remembered.
const ADDRESSES: usize = 4096;

/// This host's addresses and networks at one time.
pub struct LocalAddresses {
    addresses: Option<BTreeSet<IpAddr>>,
    /// The directly connected networks.
    pub(in crate::agent) networks: Option<BTreeSet<IpNet>>,
    /// Addresses that it had before and lacks now.
    left: BTreeSet<IpAddr>,
}

impl LocalAddresses {
    /// Reads them.
    #[must_use]
    pub fn read_host() -> Self {
        let addresses = host::addresses();
        if let Err(error) = &addresses {
            tracing::warn!(%error, "this host's addresses cannot be listed: {error}");
        }
        Self { addresses: addresses.ok(), networks: host::networks().ok(), left: BTreeSet::new() }
    }

    /// Reads them again; what `earlier` had and this lacks has left.
    pub(in crate::agent) fn read_after(earlier: &Self) -> Self {
        let now = Self::read_host();
        let Some(addresses) = &now.addresses else { return Self { left: earlier.left.clone(), ..now } };
        let known = earlier.addresses.iter().flatten().chain(&earlier.left);
        let left = known.filter(|address| !addresses.contains(address)).take(ADDRESSES).copied().collect();
        Self { left, ..now }
    }

    /// Whether this host had the address since the start of the agent and lacks it now.
    pub(in crate::agent) fn has_left(&self, address: IpAddr) -> bool {
        self.left.contains(&address)
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
