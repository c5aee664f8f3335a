//! The peer's address. A link-local one (RFC 4007) means a host only together with the interface that leads to its link,
//! which stands behind it: `fe80::1%eth0`. Without it the kernel sends nothing there.

use super::{
    Invalid,
    address::{is_link_local_v6, never_a_peer},
};
use std::{fmt, net::IpAddr, ops::Deref, str::FromStr};

/// The address of a peer, with the interface that leads to it if it is link-local.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddr {
    address: IpAddr,
    scope: Option<Scope>,
}

/// The longest name of an interface, in bytes (`IFNAMSIZ` of Linux, without the NUL).
const LONGEST: usize = 15;

/// The name of an interface, filled up with NULs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Scope([u8; LONGEST]);

impl Scope {
    /// Names with other characters are possible, and could not stand in charon's configuration as they are.
    fn new(name: &str) -> Option<Self> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let is_name = !name.is_empty() && ![".", ".."].contains(&name) && name.bytes().all(is_plain);
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..name.len()).filter(|_| is_name)?.copy_from_slice(name.as_bytes());
        Some(Self(bytes))
    }
}

impl PeerAddr {
    /// The address with this interface, if one is named. Whether a peer can have it is another question: see
    /// [`PeerAddr::check`].
    ///
    /// # Errors
    /// When the interface has no valid name, or the address needs none.
    pub fn new(address: IpAddr, scope: Option<&str>) -> Result<Self, Invalid> {
        let Some(name) = scope else { return Ok(Self { address, scope: None }) };
        if !is_link_local_v6(address) {
            return Err(Invalid::new(format!(
                "{address} has an interface behind it, which only IPv6 link-local addresses (fe80::/10) have: write {address}"
            )));
        }
        let scope = Scope::new(name).ok_or_else(|| {
            Invalid::new(format!(
                "{address} needs the name of an interface behind the %, as in {address}%eth0: 1 to {LONGEST} letters, \
                 digits, dots, dashes and underscores"
            ))
        })?;
        Ok(Self { address, scope: Some(scope) })
    }

    /// Refuses what is the address of no peer. Stored connections may have one: they load as they are.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self) -> Result<(), Invalid> {
        if let Some(why) = never_a_peer(self.address) {
            return Err(Invalid::new(format!("{self} {why}")));
        }
        if is_link_local_v6(self.address) && self.scope.is_none() {
            return Err(Invalid::new(format!(
                "{self} is link-local and needs the interface that leads to it, as in {self}%eth0: without it the kernel \
                 does not know the link (charon: \"error writing to socket: Invalid argument\")"
            )));
        }
        Ok(())
    }

    /// Whether it names an interface.
    #[must_use]
    pub fn has_scope(&self) -> bool {
        self.scope.is_some()
    }

    /// The interface that leads to it, if one is named.
    #[must_use]
    pub fn interface(&self) -> Option<String> {
        self.scope.map(|scope| scope.to_string())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.split(|b| *b == 0).next().unwrap_or_default();
        f.write_str(&String::from_utf8_lossy(name))
    }
}

impl Deref for PeerAddr {
    type Target = IpAddr;

    fn deref(&self) -> &IpAddr {
        &self.address
    }
}

impl From<IpAddr> for PeerAddr {
    fn from(address: IpAddr) -> Self {
        Self { address, scope: None }
    }
}

impl FromStr for PeerAddr {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (address, scope) = text.split_once('%').map_or((text, None), |(address, scope)| (address, Some(scope)));
        Self::new(address.parse().map_err(|_| Invalid::new("is not an IP address"))?, scope)
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        self.scope.map_or(Ok(()), |scope| write!(f, "%{scope}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in [
            "198.51.100.2",
            "169.254.7.9",
            "2001:db8::2",
            "fe80::1%eth0",
            "fe80::a:b%br-1.100",
            "fe80::1%abcdefghijklmno",
        ] {
            let peer: PeerAddr = text.parse().expect(text);
            assert_eq!((peer.to_string(), peer.check()), (text.to_owned(), Ok(())), "{text}");
        }
        let (one, other): (PeerAddr, PeerAddr) =
            ("fe80::1%a".parse().expect("one"), "fe80::1%b".parse().expect("other"));
        assert!(one != other && *one == *other);
    }

    #[test]
    fn what_names_no_interface_is_refused() {
        for text in [
            "fe80::1%",
            "fe80::1%abcdefghijklmnop",
            "fe80::1%eth0 ",
            "fe80::1%eth0,fe80::2",
            "fe80::1%e/0",
            "fe80::1%..",
            "fe80::1%é",
            "fe80::1%eth0%eth1",
            "fe80::1%\0",
            "2001:db8::1%eth0",
            "192.0.2.1%eth0",
            "169.254.0.1%eth0",
            "ff02::1%eth0",
            "::1%lo",
            "%any",
            "%",
            "",
        ] {
            assert!(text.parse::<PeerAddr>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_link_local_address_without_interface_loads_and_is_no_new_peer() {
        let stored: PeerAddr = "fe80::1".parse().expect("as it was stored");
        let why = stored.check().expect_err("no interface").0;
        assert!(why.contains("fe80::1%eth0") && why.contains("link-local"), "{why}");
    }
}
