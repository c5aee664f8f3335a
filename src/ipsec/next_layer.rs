//! The next layer protocol and the ports in traffic selectors (RFC 7296, section 3.13.1): which packets between two networks
//! a `CHILD_SA` carries.

use std::fmt::{self, Write};

/// The protocol of the packets, and their ports on both sides. The default is all packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NextLayer {
    /// The protocol's number; 0 for all of them.
    pub protocol: u8,
    /// Our port; 0 for all of them.
    pub local_port: u16,
    /// The peer's port; 0 for all of them.
    pub remote_port: u16,
}

/// One side of a [`NextLayer`], which is a part of each selector of the side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    protocol: u8,
    port: u16,
}

/// The protocols that have names, as IANA and charon call them.
pub(super) const PROTOCOLS: [(&str, u8); 7] =
    [("any", 0), ("icmp", 1), ("tcp", TCP), ("udp", UDP), ("gre", 47), ("ipv6-icmp", 58), ("sctp", SCTP)];
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// The number of the protocol `text`: its name, or the number itself. 0 has its name alone.
#[must_use]
pub fn protocol_number(text: &str) -> Option<u8> {
    let named = PROTOCOLS.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    named.or_else(|| text.parse().ok().filter(|_| is_plain))
}

/// The name of a protocol, or its number.
#[must_use]
pub fn protocol_name(number: u8) -> String {
    let named = PROTOCOLS.iter().find(|(_, of)| *of == number);
    named.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

impl NextLayer {
    /// Our side of it.
    #[must_use]
    pub fn local(self) -> Side {
        Side { protocol: self.protocol, port: self.local_port }
    }

    /// The peer's side.
    #[must_use]
    pub fn remote(self) -> Side {
        Side { protocol: self.protocol, port: self.remote_port }
    }

    /// Whether it names ports of a protocol that has none that charon and the kernel compare.
    #[must_use]
    pub fn has_stray_port(self) -> bool {
        (self.local_port, self.remote_port) != (0, 0) && ![TCP, UDP, SCTP].contains(&self.protocol)
    }

    /// Whether some packets are for both.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        let same = |a: u16, b: u16| a == 0 || b == 0 || a == b;
        same(self.protocol.into(), other.protocol.into())
            && same(self.local_port, other.local_port)
            && same(self.remote_port, other.remote_port)
    }
}

impl Side {
    /// How the file has it behind a network, in numbers: charon finds names in the files of its host only.
    #[must_use]
    pub fn numbers(self) -> String {
        self.bracketed(&self.protocol.to_string())
    }

    fn bracketed(self, protocol: &str) -> String {
        let mut text = String::new();
        if self.protocol != 0 {
            let _ = write!(text, "[{protocol}");
            let _ = if self.port == 0 { write!(text, "]") } else { write!(text, "/{}]", self.port) };
        }
        text
    }

    fn ports(self) -> (u16, u16) {
        if self.port == 0 { (0, u16::MAX) } else { (self.port, self.port) }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bracketed(&protocol_name(self.protocol)))
    }
}

/// Which packets a selector that runs is for. `None` stands for what cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    protocol: Option<u8>,
    ports: Option<(u16, u16)>,
}

impl Running {
    /// All packets.
    pub const ALL: Self = Self { protocol: Some(0), ports: Some((0, u16::MAX)) };

    /// What stands in the brackets behind a network: `gre`, `47`, `udp/1701`, `tcp/1000-2000`.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let (protocol, ports) = text.split_once('/').map_or((text, None), |(protocol, ports)| (protocol, Some(ports)));
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        let protocol = if protocol == "0" { Some(0) } else { protocol_number(protocol) };
        Self { protocol, ports: ports.map_or(Self::ALL.ports, range) }
    }

    /// Whether it has all packets of `wanted`.
    #[must_use]
    pub fn covers(self, wanted: Side) -> bool {
        let (first, last) = wanted.ports();
        self.protocol.is_some_and(|protocol| protocol == 0 || protocol == wanted.protocol)
            && self.ports.is_some_and(|(from, to)| from <= first && last <= to)
    }

    /// Whether it has no packets but those of `wanted`.
    #[must_use]
    pub(super) fn is_within(self, wanted: Side) -> bool {
        let (first, last) = wanted.ports();
        let has_ports = || wanted.port == 0 || self.ports.is_some_and(|(from, to)| first <= from && to <= last);
        wanted.protocol == 0 || (self.protocol == Some(wanted.protocol) && has_ports())
    }

    /// Whether it may have some packets of `wanted`.
    #[must_use]
    pub fn meets(self, wanted: Side) -> bool {
        let (first, last) = wanted.ports();
        self.protocol.is_none_or(|protocol| protocol == 0 || wanted.protocol == 0 || protocol == wanted.protocol)
            && self.ports.is_none_or(|(from, to)| from <= last && first <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_one_spelling() {
        for number in 0..=u8::MAX {
            assert_eq!(protocol_number(&protocol_name(number)), Some(number));
        }
        assert_eq!((protocol_number("6"), protocol_number("47")), (Some(TCP), Some(47)));
        for text in ["", "0", "00", "06", "+6", "256", "GRE", " gre", "l2tp", "-1"] {
            assert_eq!(protocol_number(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_runs_is_compared_with_what_is_wanted() {
        let side = |protocol, port| Side { protocol, port };
        // What runs, what is wanted, and whether it covers that, is within it, and meets it.
        let cases = [
            ("gre", side(47, 0), [true, true, true]),
            ("47", side(47, 0), [true, true, true]),
            ("gre", side(0, 0), [false, true, true]),
            ("0", side(47, 0), [true, false, true]),
            ("udp", side(47, 0), [false, false, false]),
            ("udp", side(UDP, 1701), [true, false, true]),
            ("udp/1701", side(UDP, 1701), [true, true, true]),
            ("udp/1701", side(UDP, 0), [false, true, true]),
            ("udp/1701", side(UDP, 500), [false, false, false]),
            ("udp/1000-2000", side(UDP, 1701), [true, false, true]),
            ("tcp/1701", side(UDP, 1701), [false, false, false]),
            ("icmp/8(0)", side(1, 0), [false, true, true]),
            ("udp/OPAQUE", side(UDP, 1701), [false, false, true]),
            ("nonsense", side(UDP, 1701), [false, false, true]),
        ];
        for (text, wanted, expected) in cases {
            let running = Running::read(text);
            let found = [running.covers(wanted), running.is_within(wanted), running.meets(wanted)];
            assert_eq!(found, expected, "{text} {wanted:?}");
        }
        assert!(Running::ALL.covers(side(0, 0)) && Running::ALL.covers(side(UDP, 1701)));
    }

    #[test]
    fn sides_print_as_charon_reads_and_lists_them() {
        let layer = NextLayer { protocol: UDP, local_port: 1701, remote_port: 0 };
        assert_eq!([layer.local().to_string(), layer.remote().to_string()], ["[udp/1701]", "[udp]"]);
        assert_eq!([layer.local().numbers(), layer.remote().numbers()], ["[17/1701]", "[17]"]);
        assert_eq!([NextLayer::default().local().to_string(), NextLayer::default().local().numbers()], ["", ""]);
    }

    #[test]
    fn layers_meet_where_a_packet_is_for_both() {
        let layer = |protocol, local_port, remote_port| NextLayer { protocol, local_port, remote_port };
        let (all, gre, udp) = (layer(0, 0, 0), layer(47, 0, 0), layer(UDP, 0, 0));
        assert!(all.meets(gre) && gre.meets(all) && gre.meets(gre) && !gre.meets(udp) && !udp.meets(gre));
        assert!(udp.meets(layer(UDP, 1701, 0)) && layer(UDP, 1701, 0).meets(layer(UDP, 0, 1701)));
        assert!(!layer(UDP, 1701, 0).meets(layer(UDP, 500, 0)));
        assert!(layer(47, 1, 0).has_stray_port() && layer(0, 0, 1).has_stray_port());
        assert!(![all, gre, udp, layer(SCTP, 1, 2)].into_iter().any(NextLayer::has_stray_port));
    }
}
