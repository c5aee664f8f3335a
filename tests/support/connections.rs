//! Valid connections to test with. Keys are test keys and say so; addresses are those for documentation.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use cygnet::ipsec::{
    Auth, Connection, DhGroup, Encryption, EspProposal, IkeProposal, IkeVersion, Integrity, Lifetime, Mode,
    NativeOptions, Parts, Protocol, Psk, TrafficSelector,
};
use std::net::IpAddr;

/// The key of [`parts`].
pub const KEY: &str = "test-only-key-of-cygnet";

/// An address.
pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Networks, written with spaces between them.
pub fn nets(text: &str) -> Vec<TrafficSelector> {
    text.split_whitespace().map(|net| net.parse().unwrap_or_else(|e| panic!("{net}: {e}"))).collect()
}

/// A group by its number.
pub fn group(number: i64) -> DhGroup {
    DhGroup::new(number).unwrap_or_else(|| panic!("no group {number}"))
}

/// A key of these bytes.
pub fn psk(key: &[u8]) -> Auth {
    Auth::Psk(Psk::new(key).expect("a key"))
}

/// What the connection number `n` is made of: IKEv2, ESP, tunnel mode, one network on each side.
pub fn parts(n: u32) -> Parts {
    let (encryption, integrity) = (Encryption::Aes256, Integrity::Sha256);
    Parts {
        id: format!("{n:032x}").parse().expect("an id"),
        local_addr: address("192.0.2.1"),
        remote_addr: address("198.51.100.2").into(),
        version: IkeVersion::V2,
        ike: IkeProposal { encryption, integrity, group: group(14) },
        ike_lifetime: Lifetime::ike(86_400).expect("in range"),
        local_id: None,
        remote_id: None,
        auth: psk(KEY.as_bytes()),
        ike_generation: 0,
        mode: Mode::Tunnel,
        protocol: Protocol::Esp(EspProposal { encryption, integrity, pfs: Some(group(14)) }),
        lifetime: Lifetime::child(3600).expect("in range"),
        local_nets: nets("10.1.0.0/24"),
        remote_nets: nets("10.2.0.0/24"),
        native: NativeOptions::default(),
    }
}

/// The connection of these parts.
pub fn connection(parts: Parts) -> Connection {
    Connection::new(parts).expect("the parts fit each other")
}
