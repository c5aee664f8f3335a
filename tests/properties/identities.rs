//! Hostile identities are refused, or strongSwan reads exactly what the caller wrote.

use super::{cases, generate, measured};
use cygnet::ipsec::{Identity, IdentityKind};
use proptest::prelude::*;
use std::net::IpAddr;

/// What strongSwan's `identification_create_from_string` makes of a spelling (facts 4.3): type and bytes.
/// Spellings in which it would guess are none of ours.
fn read(spelling: &str) -> (&'static str, Vec<u8>) {
    assert!(spelling.bytes().all(|b| matches!(b, 0x21..=0x7e)), "not printable: {spelling:?}");
    assert!(spelling.len() < 256, "cut as the owner of a secret");
    if let Ok(address) = spelling.parse::<IpAddr>() {
        assert!(!address.is_unspecified(), "it is %any");
        return ("ip", address.to_string().into_bytes());
    }
    let (kind, payload) = spelling.split_once(':').expect("a prefix");
    let kind = ["fqdn", "email", "keyid"].into_iter().find(|k| *k == kind).expect("a prefix of ours");
    assert!(!payload.is_empty() && !payload.starts_with('^'), "a regular expression from 6.0.2 on");
    let Some(digits) = payload.strip_prefix('#') else { return (kind, payload.as_bytes().to_vec()) };
    assert!(digits.len().is_multiple_of(2) && !digits.is_empty());
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal");
    (kind, digits.as_bytes().chunks(2).map(byte).collect())
}

#[test]
fn identities_are_compared_as_charon_was_seen_to_do() {
    for (a, b, same) in measured::pairs() {
        assert_eq!((a.matches(&b), b.matches(&a)), (same, same), "{a} and {b}");
        assert!(!same || a.key() == b.key(), "{a} and {b}");
        assert!(a.matches(&a) && b.matches(&b), "{a} and {b}");
    }
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn an_identity_is_refused_or_comes_back_exactly(kind in generate::identity_kind(), text in generate::text()) {
        let Ok(identity) = Identity::new(kind, &text) else { return Ok(()) };
        let (read_as, bytes) = read(&identity.to_string());
        match kind {
            IdentityKind::Ip => {
                let wanted = text.parse::<IpAddr>().expect("an address");
                prop_assert_eq!((read_as, bytes), ("ip", wanted.to_string().into_bytes()));
            }
            IdentityKind::Fqdn | IdentityKind::Guessed => {
                let name = text.strip_prefix('@').unwrap_or(&text);
                prop_assert_eq!((read_as, bytes), ("fqdn", name.as_bytes().to_vec()));
            }
            IdentityKind::Email => prop_assert_eq!((read_as, bytes), ("email", text.into_bytes())),
            IdentityKind::KeyId => prop_assert_eq!((read_as, bytes), ("keyid", text.into_bytes())),
            // Only before what is a name.
            IdentityKind::FreeName | IdentityKind::Name if text.starts_with('@') && !bytes.starts_with(b"@") => {
                prop_assert_eq!(bytes, text.as_bytes()[1..].to_vec());
            }
            IdentityKind::Name => {
                let (wanted, bytes_wanted) = match text {
                    _ if text.contains(char::is_control) => ("keyid", text),
                    _ if text.contains('=') => ("keyid", format!("@{}", text.trim_start_matches('@'))),
                    _ => ("fqdn", text),
                };
                prop_assert_eq!((read_as, bytes), (wanted, bytes_wanted.into_bytes()));
            }
            IdentityKind::FreeName | IdentityKind::StoredName => {
                prop_assert_ne!(read_as, "ip");
                prop_assert_eq!(bytes, text.into_bytes());
            }
            IdentityKind::Dn => unreachable!("it has a test of its own"),
        }
    }

    #[test]
    fn two_identities_with_one_spelling_are_one(a in generate::identity(), b in generate::identity()) {
        prop_assert_eq!(a == b, a.to_string() == b.to_string());
    }

    #[test]
    fn letter_case_counts_in_key_ids_alone(kind in generate::identity_kind(), text in "[a-zA-Z0-9.@_:-]{1,12}") {
        let made = [text.clone(), text.to_ascii_uppercase()].map(|text| Identity::new(kind, &text));
        let [Ok(a), Ok(b)] = made else { return Ok(()) };
        let literal = matches!(a, Identity::KeyId(_)) && a != b;
        prop_assert_eq!(a.matches(&b), !literal, "{} and {}", a, b);
    }

    #[test]
    fn wildcards_are_refused(kind in generate::identity_kind(), before in ".{0,5}", after in ".{0,5}") {
        for text in [format!("{before}*{after}"), format!("%{after}")] {
            // Of a key id, charon compares the bytes.
            prop_assert_eq!(Identity::new(kind, &text).is_ok(), kind == IdentityKind::KeyId);
        }
    }
}
