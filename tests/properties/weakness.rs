//! Which choices are called weak; no advice ever holds a part of the key.

use super::{cases, generate};
use crate::connections::{address, connection, group, nets, parts, psk};
use cygnet::ipsec::{
    AhProposal, Connection, Encryption, EspProposal, Identity, IkeProposal, IkeVersion, Integrity, NativeOptions, Part,
    Parts, Protocol, Weakness,
    weakness::{GROUPS, untested_pfs, weaknesses, without_local_address},
};
use proptest::prelude::*;

/// Random text, as a key should be; it is no key of anything.
const RANDOM: &str = "vN3xq8ZkT1uWcB6yJr0Ls5Ha";

/// What is found in these parts with a good key: code and part.
fn found(parts: Parts) -> Vec<(&'static str, &'static str)> {
    let connection = connection(Parts { auth: psk(RANDOM.as_bytes()), ..parts });
    weaknesses(&connection).iter().map(|finding| (finding.weakness.code(), finding.part.name())).collect()
}

fn esp(encryption: Encryption, integrity: Integrity, pfs: Option<i64>) -> Protocol {
    Protocol::Esp(EspProposal { encryption, integrity, pfs: pfs.map(group) })
}

#[test]
fn what_is_good_is_not_called_weak() {
    assert_eq!(found(parts(1)), []);
    let aead = esp(Encryption::Aes256Gcm, Integrity::Md5, Some(31));
    assert_eq!(found(Parts { protocol: aead, ..parts(1) }), [], "the integrity of an AEAD cipher has no effect");
}

#[test]
fn weak_algorithms_are_named_where_they_are() {
    let ike = |encryption, integrity, number| IkeProposal { encryption, integrity, group: group(number) };
    let weak = Parts {
        ike: ike(Encryption::TripleDes, Integrity::Md5, 2),
        protocol: esp(Encryption::TripleDes, Integrity::Sha1, None),
        ..parts(1)
    };
    let expected = [
        ("WEAK_3DES", "ike.encryption"),
        ("WEAK_MD5", "ike.integrity"),
        ("WEAK_DH_GROUP_2", "ike.group"),
        ("WEAK_3DES", "protocol.encryption"),
        ("WEAK_SHA1", "protocol.integrity"),
        ("NO_PFS", "protocol.pfs"),
    ];
    assert_eq!(found(weak), expected);
    let ah = Protocol::Ah(AhProposal { integrity: Integrity::Md5, pfs: Some(group(5)) });
    assert_eq!(
        found(Parts { protocol: ah, ..parts(1) }),
        [("WEAK_MD5", "protocol.integrity"), ("WEAK_DH_GROUP_5", "protocol.pfs")]
    );
}

/// With an AEAD cipher, only one of the two hashes is used.
#[test]
fn the_prf_is_a_choice_of_its_own() {
    let with = |encryption, integrity, prf| {
        let ike = IkeProposal { encryption, integrity, ..parts(1).ike };
        let native = NativeOptions { ike_prf: prf, ..NativeOptions::default() };
        found(Parts { ike, native, ..parts(1) })
    };
    let (sha1, sha256) = (Some(Integrity::Sha1), Some(Integrity::Sha256));
    let (of_prf, of_integrity) = (("WEAK_SHA1", "ikePrf"), ("WEAK_SHA1", "ike.integrity"));
    assert_eq!(with(Encryption::Aes256, Integrity::Sha256, sha1), [of_prf]);
    assert_eq!(with(Encryption::Aes256, Integrity::Sha1, sha256), [of_integrity]);
    assert_eq!(with(Encryption::Aes256, Integrity::Sha1, sha1), [of_integrity, of_prf]);
    assert_eq!(with(Encryption::Aes256Gcm, Integrity::Sha1, sha256), []);
    assert_eq!(with(Encryption::Aes256Gcm, Integrity::Sha1, None), [of_integrity]);
    assert_eq!(with(Encryption::Aes256Gcm, Integrity::Sha256, sha1), [of_prf]);
}

#[test]
fn the_weak_groups_are_these() {
    let is_weak = |number: &i64| {
        let ike = IkeProposal { group: group(*number), ..parts(1).ike };
        !found(Parts { ike, ..parts(1) }).is_empty()
    };
    let weak: Vec<_> = [1, 2, 5].into_iter().chain(14..=32).filter(is_weak).collect();
    assert_eq!(weak, GROUPS.map(|row| i64::from(row.0)));
    assert_eq!(weak, [1, 2, 5, 22, 23, 24, 25]);
}

/// What is found about this key.
fn of_key(key: &str) -> Vec<Weakness> {
    let connection = connection(Parts {
        auth: psk(key.as_bytes()),
        remote_id: Some(Identity::Fqdn("paris-gateway-7.example.net".into())),
        ..parts(1)
    });
    weaknesses(&connection).iter().map(|finding| finding.weakness).collect()
}

#[test]
fn short_and_guessable_keys_are_told_apart_and_good_ones_let_be() {
    use Weakness::{GuessableKey, ShortKey};
    for (key, expected) in [
        (RANDOM, vec![]),
        ("4f9c2ab07e13d8566bd0", vec![]),
        ("correct-horse-battery-staple", vec![]),
        ("vN3xq8ZkT1uWcB6", vec![ShortKey]),
        ("Secret123", vec![ShortKey, GuessableKey]),
        ("Password-of-the-VPN-Gateway", vec![GuessableKey]),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaa", vec![GuessableKey]),
        ("x7Kp9mQ2x7Kp9mQ2x7Kp9mQ2", vec![GuessableKey]),
        ("abcdefghijklmnopqrstuvwxyz", vec![GuessableKey]),
        ("9876543210987654", vec![GuessableKey]),
        ("4827190563748201", vec![GuessableKey]),
        ("paris-gateway-7.example.net", vec![GuessableKey]),
        ("192.0.2.1-198.51.100.2", vec![GuessableKey]),
    ] {
        assert_eq!(of_key(key), expected, "{key}");
    }
}

fn lonely(local: &str, host: &[&str]) -> Vec<String> {
    let connection = connection(Parts { local_nets: nets(local), ..parts(1) });
    let host = host.iter().map(|text| address(text)).collect();
    without_local_address(&connection, &host).into_iter().map(|finding| finding.advice).collect()
}

#[test]
fn selectors_need_an_address_of_this_host() {
    assert_eq!(lonely("10.1.0.0/24", &["127.0.0.1", "10.1.0.9"]), [""; 0]);
    assert!(lonely("10.1.0.0/24", &["127.0.0.1", "10.1.1.9", "fd00::1"])[0].contains("10.1.0.0/24"));
    // One address is enough for all that one SA carries.
    assert_eq!(lonely("10.1.0.0/24 10.5.0.0/24", &["10.5.0.1"]), [""; 0]);
    assert_eq!(lonely("10.1.0.0/24", &[]).len(), 1);
}

#[test]
fn pfs_is_untested_where_the_first_child_has_no_exchange_of_its_own() {
    let of = |version, pfs| {
        let protocol = esp(Encryption::Aes256, Integrity::Sha256, pfs);
        untested_pfs(&connection(Parts { version, protocol, ..parts(1) })).is_some()
    };
    assert!(of(IkeVersion::V2, Some(14)) && of(IkeVersion::Any, Some(14)));
    assert!(!of(IkeVersion::V1, Some(14)) && !of(IkeVersion::V2, None));
    let nothing = Parts { local_nets: Vec::new(), ..parts(1) };
    assert_eq!(untested_pfs(&connection(nothing)), None);
}

proptest! {
    #![proptest_config(cases(256))]

    /// For every connection: no panic, each kind once at a place, and nothing of the key in the advice.
    #[test]
    fn advice_never_tells_the_key(connection in generate::connection(), key in "[!-~]{5,40}") {
        let mut connection: Connection = connection;
        connection.auth = psk(key.as_bytes());
        let found = weaknesses(&connection);
        for (index, finding) in found.iter().enumerate() {
            prop_assert!(!finding.advice.contains(&key), "{}", finding.advice);
            let again = found[..index].iter().any(|f| (f.weakness, f.part) == (finding.weakness, finding.part));
            prop_assert!(!again, "{:?} twice", finding.weakness);
        }
        let short = found.iter().any(|f| (f.weakness, f.part) == (Weakness::ShortKey, Part::Psk));
        prop_assert_eq!(short, key.len() < 16);
    }
}
