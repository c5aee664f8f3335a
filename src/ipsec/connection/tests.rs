//! Generations that differ from each other, and a dead peer that is noticed in time.

use super::*;
use crate::ipsec::{DhGroup, Encryption, Integrity};
use std::collections::BTreeSet;

fn connection(dpd: Option<Dpd>, lifetime: i64) -> Connection {
    let (encryption, integrity) = (Encryption::Aes256, Integrity::Sha256);
    let group = DhGroup::new(14).expect("a group");
    let mut native = NativeOptions::created();
    native.dpd = dpd;
    let net = |text: &str| vec![text.parse().expect("a network")];
    Connection::new(Parts {
        id: ConnectionId::random(),
        local_addr: "192.0.2.1".parse().expect("an address"),
        remote_addr: std::net::IpAddr::from([192, 0, 2, 2]).into(),
        version: IkeVersion::V2,
        ike: IkeProposal { encryption, integrity, group },
        ike_lifetime: Lifetime::ike(lifetime).expect("in range"),
        local_id: None,
        remote_id: None,
        auth: Auth::Psk(Psk::new(b"test-only-key").expect("a key")),
        ike_generation: 0,
        mode: Mode::Tunnel,
        protocol: Protocol::Esp(EspProposal { encryption, integrity, pfs: None }),
        lifetime: Lifetime::child(3600).expect("in range"),
        local_nets: net("10.1.0.0/24"),
        remote_nets: net("10.2.0.0/24"),
        native,
    })
    .expect("valid")
}

#[test]
fn generations_differ_and_the_default_delay_is_kept() {
    for (dpd, lifetime) in
        [(None, 86_400), (Some(Dpd::DEFAULT), 86_400), (Some(Dpd::DEFAULT), 363), (Some(Dpd::DEFAULT), 60), (None, 60)]
    {
        let mut connection = connection(dpd, lifetime);
        let mut seen = BTreeSet::new();
        for generation in 0..GENERATIONS {
            connection.ike_generation = generation;
            assert!(connection.ike_rand() > 0);
            seen.insert((connection.ike_rand(), connection.dpd_delay()));
            let longest = if dpd.is_none() {
                45
            } else if lifetime < 363 {
                16
            } else {
                10
            };
            assert!(connection.dpd_delay() <= longest, "{lifetime} s, generation {generation}");
        }
        assert_eq!(seen.len(), 32, "{dpd:?}, {lifetime} s");
    }
}

/// What the package sets for charon, and what a connection has by default: a dead peer is noticed in 30 s.
#[test]
fn the_default_and_the_shipped_retransmissions_notice_a_dead_peer_in_30_s() {
    let shipped = include_str!("../../../packaging/strongswan.conf");
    let value = |key: &str| -> f64 {
        let line = shipped.lines().find_map(|line| line.trim().strip_prefix(key)?.trim().strip_prefix('='));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {key}"))
    };
    let (timeout, base) = (value("retransmit_timeout"), value("retransmit_base"));
    let tries = std::iter::successors(Some(timeout), |wait| Some(wait * base));
    // The first packet, and each that is sent again, is waited for.
    let count = value("retransmit_tries");
    let given_up: f64 = tries.zip(0..10).filter(|(_, n)| f64::from(*n) <= count).map(|(wait, _)| wait).sum();
    assert!(f64::from(Dpd::DEFAULT.delay()) + given_up <= 28.0, "{given_up} s");
    assert!(2 * Dpd::DEFAULT.delay() < Dpd::DEFAULT.timeout() && Dpd::DEFAULT.timeout() <= 28, "two questions");
}
