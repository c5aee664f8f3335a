//! The name of a host, as a peer may have one instead of a fixed address (RFC 1123, section 2.1).

use super::Invalid;
use std::{fmt, net::IpAddr, sync::Arc};

/// A host name in lower case, with at least one dot. No resolver can take it for an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

/// The most octets of a name, and of one of its labels (RFC 1035, section 2.3.4).
const LONGEST: usize = 253;
const LABEL: usize = 63;

impl HostName {
    /// The host name `text`; a dot at its end is left out.
    ///
    /// # Errors
    /// When it is none, or the name of this host itself.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if !name.is_ascii() {
            return Err(Invalid::new("has letters beyond ASCII: write the name as DNS has it, with xn--"));
        }
        if name.len() > LONGEST {
            return Err(Invalid::new(format!("has {} characters: a host name has at most {LONGEST}", name.len())));
        }
        let labels: Vec<_> = name.split('.').collect();
        if !labels.iter().all(|label| is_label(label)) {
            return Err(Invalid::new(format!(
                "is not a host name: labels of 1 to {LABEL} letters, digits and inner hyphens, with dots between them"
            )));
        }
        match labels.as_slice() {
            [.., last] if is_number(last) => Err(Invalid::new("is not a host name: its last label is a number")),
            ["localhost"] | [.., "localhost"] => Err(Invalid::new("is this host itself (RFC 6761): name the peer")),
            // What a name without a dot means differs from host to host.
            [_] => Err(Invalid::new("is not a host name with a domain, such as vpn.example.org")),
            _ => Ok(Self(name.into())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_label(label: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=LABEL).contains(&label.len())
        && label.bytes().all(is_inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Whether `inet_aton` takes the label for a number: getaddrinfo would take the name for an address.
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || label.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The address of `all` to use for a peer of the gateway's address `local`: the one that is in use as long as the name has
/// it, so that a name with several addresses moves nothing; else the first that a peer can have.
///
/// # Errors
/// Why none of them can be used.
pub fn choose(all: &[IpAddr], local: IpAddr, current: Option<IpAddr>) -> Result<IpAddr, Invalid> {
    let unusable = |address: IpAddr| {
        if address.is_ipv4() != local.is_ipv4() {
            Some("is not of the VIP's address family")
        } else if address == local {
            Some("is the VIP itself")
        } else if super::address::is_link_local_v6(address) {
            Some("is link-local, and the name says no interface")
        } else {
            super::address::never_a_peer(address)
        }
    };
    let mut usable = all.iter().copied().filter(|address| unusable(*address).is_none());
    if let Some(same) = current.filter(|current| usable.clone().any(|address| address == *current)) {
        return Ok(same);
    }
    usable.next().ok_or_else(|| match all.first() {
        Some(first) => Invalid::new(format!("has the address {first}, which {}", unusable(*first).unwrap_or_default())),
        None => Invalid::new("has no address"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_one_spelling() {
        for (text, name) in [
            ("vpn.example.org", "vpn.example.org"),
            ("VPN.Example.ORG.", "vpn.example.org"),
            ("a-1.b", "a-1.b"),
            ("1and1.example", "1and1.example"),
            ("192.0.2.1.example", "192.0.2.1.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("a.0xg", "a.0xg"),
        ] {
            assert_eq!(HostName::new(text).map(|name| name.to_string()), Ok(name.to_owned()), "{text}");
        }
        let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        assert!(HostName::new(&long).is_ok() && HostName::new(&format!("{long}b")).is_err());
        assert!(HostName::new(&format!("{}.example", "a".repeat(64))).is_err());
    }

    #[test]
    fn what_is_no_name_of_another_host_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a.b",
            "a.b..",
            "localhost",
            "LocalHost.",
            "x.localhost",
            "vpn",
            "any",
            "127.0.0.1.",
            "192.0.2.300",
            "192.0.2",
            "010.0.0.1",
            "0x7f.0x1",
            "0X7F000001",
            "a.0x",
            "1.2.3.4.5",
            "-a.example",
            "a-.example",
            "a_b.example",
            "a b.example",
            "a.example ",
            "a.example\n",
            "a.example\0",
            "a.example,b.example",
            "*.example",
            "%any",
            "%any6",
            "a.example/24",
            "a.example:500",
            "a@b.example",
            "$(id).example",
            "a.ex\u{e4}mple",
            "\"a.b\"",
            "a.b{}",
            "a.b#",
            "fe80::1%eth0",
        ] {
            assert!(HostName::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_in_use_stays_as_long_as_the_name_has_it() {
        let address = |text: &str| text.parse::<IpAddr>().expect(text);
        let (local, old) = (address("192.0.2.1"), address("192.0.2.2"));
        let all = ["2001:db8::2", "127.0.0.1", "192.0.2.1", "192.0.2.3", "192.0.2.2"].map(address);
        assert_eq!(choose(&all, local, Some(old)), Ok(old));
        assert_eq!(choose(&all, local, None), Ok(address("192.0.2.3")));
        assert_eq!(choose(&all[..4], local, Some(old)), Ok(address("192.0.2.3")));
        assert_eq!(choose(&all, address("2001:db8::1"), None), Ok(address("2001:db8::2")));
        for (all, words) in [
            (&all[..1], "family"),
            (&all[1..2], "loopback"),
            (&all[2..3], "the VIP itself"),
            (&all[..0], "has no address"),
        ] {
            let why = choose(all, local, Some(old)).expect_err("none").0;
            assert!(why.contains(words), "{why}");
        }
        assert!(choose(&[address("fe80::1")], address("2001:db8::1"), None).is_err());
    }
}
