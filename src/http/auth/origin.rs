//! Where connections come from, and whose they are as far as that tells.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// Where a connection comes from; the listener says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Over TCP, from this address; whether by TLS.
    Network(IpAddr, bool),
    /// Over the Unix socket, from a process of this user, which was checked.
    Local(u32),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address, _) => address.fmt(f),
            Self::Local(_) => f.write_str("this host"),
        }
    }
}

/// Whose connections and failures are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Those of an IPv4 address, or of an IPv6 network of 64 bits: one host may have all addresses of it.
    Host(IpAddr),
    /// Those of a user of this machine.
    User(u32),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(IpAddr::V6(network)) => write!(f, "{network}/64"),
            Self::Host(address) => address.fmt(f),
            Self::User(uid) => write!(f, "uid {uid}"),
        }
    }
}

impl From<Origin> for Peer {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Local(uid) => Self::User(uid),
            Origin::Network(address, _) => Self::Host(match address.to_canonical() {
                IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
                v4 @ IpAddr::V4(_) => v4,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_has_all_addresses_of_a_network() {
        let peer = |text: &str| Peer::from(Origin::Network(text.parse().expect("an address"), false));
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:0:0:1"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
    }
}
