//! The addresses and networks that this host has, asked once for many connections.

use crate::host;
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};

/// So many addresses that were on this host are remembered.
const ADDRESSES: usize = 4096;

/// What this host is asked once for many connections.
pub struct LocalAddresses {
    addresses: Option<BTreeSet<IpAddr>>,
    /// The networks that it is directly connected to.
    pub(in crate::agent) networks: Option<BTreeSet<IpNet>>,
    /// Those that it had before, and has no more.
    left: BTreeSet<IpAddr>,
}

impl LocalAddresses {
    /// This host as it is now.
    #[must_use]
    pub fn look() -> Self {
        let addresses = host::addresses();
        if let Err(error) = &addresses {
            tracing::warn!(%error, "this host's addresses cannot be listed");
        }
        Self { addresses: addresses.ok(), networks: host::networks().ok(), left: BTreeSet::new() }
    }

    /// This host as it is now; what `earlier` had and this has not has left.
    pub(in crate::agent) fn look_after(earlier: &Self) -> Self {
        let now = Self::look();
        let Some(addresses) = &now.addresses else { return Self { left: earlier.left.clone(), ..now } };
        let known = earlier.addresses.iter().flatten().chain(&earlier.left);
        let left = known.filter(|address| !addresses.contains(address)).take(ADDRESSES).copied().collect();
        Self { left, ..now }
    }

    /// Whether the address was on this host since the agent was started, and is not now.
    pub(in crate::agent) fn has_left(&self, address: IpAddr) -> bool {
        self.left.contains(&address)
    }

    /// Its addresses, if it tells.
    pub(in crate::agent) fn addresses(&self) -> Option<&BTreeSet<IpAddr>> {
        self.addresses.as_ref()
    }

    /// Whether the address is not on this host, as far as it tells.
    pub(in crate::agent) fn lacks(&self, address: IpAddr) -> bool {
        self.addresses.as_ref().is_some_and(|all| !all.contains(&address))
    }
}
