//! Where the peer is: what the caller says of it, and what charon is told.

use super::{HostName, Invalid, PeerAddr};
use std::{fmt, net::IpAddr, str::FromStr};

/// The peer as the caller names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peer {
    /// By its address.
    Address(PeerAddr),
    /// By a name, whose address may change.
    Name(HostName),
    /// Not at all: it calls, from wherever it is.
    Any,
}

/// The peer as charon has it. Names are resolved before: charon resolves each name that it holds for each call of any peer,
/// and answers nobody meanwhile (measured with 5.9.8 and a name server that is silent: 12 s for one name, 37 s for three).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Remote {
    /// At this address.
    At(PeerAddr),
    /// It calls from anywhere.
    Anywhere,
    /// Its name had no address yet.
    Unresolved,
}

/// What stands for [`Peer::Any`], as in strongSwan.
const ANY: &str = "%any";

impl Peer {
    /// Refuses what is no peer's at all. Stored connections may have it: they load as they are.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::Address(address) => address.check(),
            Self::Name(_) | Self::Any => Ok(()),
        }
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&HostName> {
        match self {
            Self::Name(name) => Some(name),
            Self::Address(_) | Self::Any => None,
        }
    }

    /// Where charon finds it, if its name has the address `resolved`.
    #[must_use]
    pub fn remote(&self, resolved: Option<IpAddr>) -> Remote {
        match self {
            Self::Address(address) => Remote::At(*address),
            Self::Name(_) => resolved.map_or(Remote::Unresolved, Remote::from),
            Self::Any => Remote::Anywhere,
        }
    }
}

impl Remote {
    /// The address, if it is known.
    #[must_use]
    pub fn ip(self) -> Option<IpAddr> {
        self.address().map(|address| *address)
    }

    /// The address with its interface, if it is known.
    #[must_use]
    pub fn address(self) -> Option<PeerAddr> {
        match self {
            Self::At(address) => Some(address),
            Self::Anywhere | Self::Unresolved => None,
        }
    }
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self::Address(address.into())
    }
}

impl From<PeerAddr> for Peer {
    fn from(address: PeerAddr) -> Self {
        Self::Address(address)
    }
}

impl From<IpAddr> for Remote {
    fn from(address: IpAddr) -> Self {
        Self::At(address.into())
    }
}

impl From<PeerAddr> for Remote {
    fn from(address: PeerAddr) -> Self {
        Self::At(address)
    }
}

impl FromStr for Peer {
    type Err = Invalid;

    /// Of a text with a `%` behind an address, the error is that of the address; of any other, that of a name.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let address = text.split_once('%').map_or(text, |(address, _)| address);
        if text == ANY {
            Ok(Self::Any)
        } else if address.parse::<IpAddr>().is_ok() {
            text.parse().map(Self::Address)
        } else if text.starts_with('%') {
            Err(Invalid::new(format!("names no peer: write {ANY} for one without a fixed address")))
        } else {
            HostName::new(text).map(Self::Name)
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
            Self::Any => f.write_str(ANY),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Anywhere => f.write_str(ANY),
            Self::Unresolved => f.write_str("an address that is not known yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_and_written() {
        for text in ["198.51.100.2", "2001:db8::2", "fe80::1%eth0", "vpn.example.org", "%any"] {
            let peer: Peer = text.parse().expect(text);
            assert_eq!(peer.to_string(), text);
        }
        assert_eq!("VPN.example.org.".parse(), Ok(Peer::Name(HostName::new("vpn.example.org").expect("a name"))));
        for (text, words) in [
            ("%any6", "write %any"),
            ("%", "write %any"),
            ("192.0.2.1%eth0", "link-local"),
            ("fe80::1%", "interface"),
            ("192.0.2.1/32", "host name"),
            ("192.0.2.300", "number"),
            ("a.example%eth0", "host name"),
            ("", "host name"),
        ] {
            let why = text.parse::<Peer>().expect_err(text).0;
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
