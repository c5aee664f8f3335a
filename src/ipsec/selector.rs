//! Traffic selectors: the networks that a CHILD_SA carries (RFC 7296, section 3.13).

use super::Invalid;
use ipnet::IpNet;
use std::{fmt, net::IpAddr, str::FromStr};

/// One network, in canonical form (no host bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrafficSelector(IpNet);

impl TrafficSelector {
    /// The selector of one host.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self(address.into())
    }

    /// The selector of a network.
    ///
    /// # Errors
    /// When `net` has host bits set: charon would mask them silently, and the tunnel would carry
    /// another network than the one written.
    pub fn new(net: IpNet) -> Result<Self, Invalid> {
        if net.addr() == net.network() {
            return Ok(Self(net));
        }
        Err(Invalid::new(format!("{net} is not a cidr: it has host bits set, the network is {}", net.trunc())))
    }

    /// The network.
    #[must_use]
    pub fn net(self) -> IpNet {
        self.0
    }

    /// Whether it is a single host (/32 or /128).
    #[must_use]
    pub fn is_host(self) -> bool {
        self.0.prefix_len() == self.0.max_prefix_len()
    }

    /// Whether it is an IPv4 network.
    #[must_use]
    pub fn is_v4(self) -> bool {
        matches!(self.0, IpNet::V4(_))
    }

    /// What `self` has beside `inner`, in as few networks as possible; empty if `inner` is no part of it.
    #[must_use]
    pub fn without(self, inner: Self) -> Vec<Self> {
        if !self.0.contains(&inner.0) {
            return Vec::new();
        }
        let (mut around, mut rest) = (self.0, Vec::new());
        while around != inner.0 {
            // Two halves: the one that holds `inner` is halved again.
            let Ok(halves) = around.subnets(around.prefix_len() + 1) else { break };
            for half in halves {
                if half.contains(&inner.0) { around = half } else { rest.push(Self(half)) }
            }
        }
        rest.sort_unstable();
        rest
    }

    /// Whether the two share an address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.0.contains(&other.0) || other.0.contains(&self.0)
    }
}

impl FromStr for TrafficSelector {
    type Err = Invalid;

    /// Takes `ADDRESS/PREFIX` only.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let net = parse(text).ok_or_else(|| {
            Invalid::new(format!("{text} is not a cidr: write ADDRESS/PREFIX, such as 10.1.0.0/24 or fd00:1::/64"))
        })?;
        Self::new(net)
    }
}

/// An address and a prefix length in their plain spelling (`10.00.0.0/08` is taken by looser parsers).
fn parse(text: &str) -> Option<IpNet> {
    let (address, prefix) = text.split_once('/')?;
    let digits = prefix.bytes().all(|b| b.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
    IpNet::new(address.parse().ok()?, prefix.parse().ok().filter(|_| digits)?).ok()
}

impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_parse_and_print() {
        for text in ["10.1.0.0/24", "0.0.0.0/0", "192.0.2.1/32", "fd00:1::/64", "::/0", "2001:db8::1/128"] {
            assert_eq!(text.parse::<TrafficSelector>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_charon_would_bend_is_refused() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.1/24",
            "%any",
            "10.0.0.0/8,10.1.0.0/16",
            "10.0.0.0/8/8",
            "10.0.0.0-10.0.0.9",
            "fd00::/129",
            " 10.0.0.0/8",
            "10.00.0.0/8",
            "dynamic",
            "10.0.0.0/8[tcp]",
        ] {
            assert!(text.parse::<TrafficSelector>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_rest_of_a_network() {
        let rest = |outer: &str, inner: &str| {
            let net = |text: &str| text.parse::<TrafficSelector>().expect(text);
            net(outer).without(net(inner)).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(rest("10.4.0.0/22", "10.4.1.0/24"), ["10.4.0.0/24", "10.4.2.0/23"]);
        assert_eq!(rest("fd00::/63", "fd00::/64"), ["fd00:0:0:1::/64"]);
        assert_eq!(rest("10.0.0.0/8", "10.1.0.0/24").len(), 16);
        assert_eq!(rest("::/0", "2001:db8::1/128").len(), 128);
        for (outer, inner) in [("10.0.0.0/8", "10.0.0.0/8"), ("10.1.0.0/24", "10.0.0.0/8"), ("10.0.0.0/8", "fd00::/8")]
        {
            assert!(rest(outer, inner).is_empty(), "{outer} {inner}");
        }
    }

    #[test]
    fn overlap_is_symmetric() {
        let net = |text: &str| text.parse::<TrafficSelector>().expect(text);
        assert!(net("10.0.0.0/8").overlaps(net("10.1.0.0/16")) && net("10.1.0.0/16").overlaps(net("10.0.0.0/8")));
        assert!(!net("10.0.0.0/16").overlaps(net("10.1.0.0/16")));
        assert!(!net("0.0.0.0/0").overlaps(net("::/0")));
    }
}
