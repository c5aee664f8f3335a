//! Addresses with a special purpose (RFC 6890): which of them no peer can have. Pure.

use std::net::IpAddr;

/// Whether it is an IPv6 address that means a host together with an interface only. IPv4's (169.254.0.0/16) are on one
/// interface by the host's routes, and clouds use them inside.
#[must_use]
pub(super) fn is_link_local_v6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Why no peer has this address, if none can.
#[must_use]
pub(super) fn never_a_peer(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Some("is an IPv4 address in IPv6's form, not the address of one host: write the IPv4 address")
        }
        _ if address.is_unspecified() => Some("is not the address of one host: it stands for any"),
        _ if address.is_multicast() => Some("is not the address of one host: it is a multicast address"),
        _ if address.is_loopback() => {
            Some("is a loopback address: packets to it never leave this host; name the peer's public address")
        }
        IpAddr::V4(v4) if v4.is_broadcast() => Some("is not the address of one host: it is the broadcast address"),
        IpAddr::V4(v4) if v4.octets()[0] == 0 => {
            Some("is in 0.0.0.0/8, which means this network (RFC 1122): no host has it")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_a_peer() {
        for text in [
            "127.0.0.1",
            "127.255.255.254",
            "::1",
            "0.0.0.0",
            "0.0.0.1",
            "0.255.255.255",
            "::",
            "224.0.0.1",
            "239.255.255.255",
            "ff02::1",
            "ff0e::1",
            "255.255.255.255",
            "::ffff:127.0.0.1",
            "::ffff:198.51.100.2",
        ] {
            assert!(never_a_peer(text.parse().expect(text)).is_some(), "{text}");
        }
        for text in [
            "1.0.0.1",
            "126.0.0.1",
            "128.0.0.1",
            "169.254.169.1",
            "10.0.0.1",
            "223.255.255.255",
            "240.0.0.1",
            "::2",
            "fe80::1",
            "fd00::1",
        ] {
            assert_eq!(never_a_peer(text.parse().expect(text)), None, "{text}");
        }
    }
}
