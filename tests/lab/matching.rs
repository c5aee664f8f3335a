//! How charon compares identities, and whose keys it tries for whom: asked of charon itself, and held against the model.

use std::time::Duration;

use cygnet::ipsec::{Dn, Identity};
use cygnet::strongswan::section::{Section, Value};

use crate::dice::Dice;
use crate::identities::{self, Attribute, C, CN, DC, IA5, MAIL, PRINTABLE, TELETEX, UTF8, dn_of};
use crate::peer::Charon;
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;
use crate::{lab, lab_for, say};

/// Pairs that are made up.
const PAIRS: usize = 3000;

/// A connection from this side to the other one, between these identities.
pub fn connection(side: Side, version: &str, local: &str, remote: &str) -> Section {
    let list = |item: &str| Value::List(vec![item.into()]);
    let end = |id: &str| Section::new().with("auth", "psk").with("id", id);
    let child = Section::new()
        .with("esp_proposals", list("aes256-sha256"))
        .with("local_ts", list(side.lan()))
        .with("remote_ts", list(side.other().lan()));
    Section::new()
        .with("version", version)
        .with("local_addrs", list(side.wan()))
        .with("remote_addrs", list(side.other().wan()))
        .with("proposals", list("aes256-sha256-x25519"))
        .with("unique", "no")
        .with("local", end(local))
        .with("remote", end(remote))
        .with("children", Section::new().with("k", child))
}

/// Whether charon takes the identities of each pair for one. It says whether a connection that is loaded anew differs from
/// the one that it had, and compares their identities for that.
fn asked(lab: &Lab, pairs: &[(Identity, Identity)]) -> Vec<bool> {
    let charon = Charon::of(lab, Side::A);
    for (number, (a, b)) in pairs.iter().enumerate() {
        for identity in [a, b] {
            charon.load_section(&format!("m{number}"), connection(Side::A, "2", "fqdn:gw", &identity.to_string()));
        }
    }
    let log = lab.charon_log(Side::A);
    let said = |word: &str| {
        let start = format!("{word} vici connection: m");
        log.lines().filter_map(|line| line.split_once(&start)?.1.parse().ok()).collect::<Vec<usize>>()
    };
    let (same, other) = (said("updated"), said("replaced"));
    assert_eq!(same.len() + other.len(), pairs.len(), "charon says of each which it is");
    (0..pairs.len()).map(|number| same.contains(&number)).collect()
}

#[test]
fn identities_are_compared_as_charon_does() {
    let Some(lab) = lab() else { return };
    lab.start_charon(Side::A);
    let table = identities::pairs();
    let seed = u64::from(std::process::id());
    say(format!("identities_are_compared_as_charon_does: seed {seed}"));
    let mut dice = Dice::new(seed);
    let made_up = (0..PAIRS).map(|_| made_up(&mut dice));
    let pairs: Vec<_> = table.iter().map(|(a, b, _)| (a.clone(), b.clone())).chain(made_up).collect();
    let charon = asked(&lab, &pairs);
    for ((a, b, wanted), is) in table.iter().zip(&charon) {
        assert_eq!(is, wanted, "the table: {a} and {b}");
    }
    for ((a, b), is) in pairs.iter().zip(&charon) {
        assert_eq!((a.matches(b), b.matches(a)), (*is, *is), "{a} and {b}");
        assert!(!is || a.key() == b.key(), "a map must find it: {a} and {b}");
    }
    let same = charon.iter().filter(|is| **is).count();
    assert!((PAIRS / 10..PAIRS * 9 / 10).contains(&same), "{same} of {} are one", pairs.len());
}

/// A text has no string types: charon takes what is printable for a `PrintableString`, whose case does not count.
#[test]
fn the_text_of_a_name_is_read_as_charon_does() {
    let Some(lab) = lab() else { return };
    lab.start_charon(Side::A);
    let charon = Charon::of(&lab, Side::A);
    let organisation: &[u8] = &[0x55, 4, 10];
    for (number, (text, tag, value)) in [
        ("C=CH, O=TEST only", PRINTABLE, "test ONLY"),
        ("C=ch, O=test only", PRINTABLE, "test only"),
        ("C=CH, O=test only", UTF8, "test only"),
        ("C=CH, O=TEST only", UTF8, "test only"),
        ("C=CH, O=caf\u{e9}", UTF8, "caf\u{e9}"),
    ]
    .into_iter()
    .enumerate()
    {
        let encoded = dn_of(&[(C, PRINTABLE, b"CH"), (organisation, tag, value.as_bytes())], false);
        let Identity::Dn(subject) = &encoded else { panic!("a name") };
        let ours = Dn::new(text).expect("a name").is_text_of(subject);
        // charon takes no text that is not ASCII.
        if text.is_ascii() {
            let name = format!("t{number}");
            for id in [text.to_owned(), encoded.to_string()] {
                charon.load_section(&name, connection(Side::A, "2", "fqdn:gw", &id));
            }
            let same = lab.charon_log(Side::A).contains(&format!("updated vici connection: {name}\n"));
            assert_eq!(ours, same, "{text} and {value}");
        } else {
            assert!(ours, "{text}");
        }
    }
}

/// An identity, and another one that is the same or nearly so.
fn made_up(dice: &mut Dice) -> (Identity, Identity) {
    let words: [&[u8]; 6] = [b"gw", b"Peer.Example", b"a-1_b", b"X", b"caf\xc3\xa9", b"n\0ul"];
    let plain = [0, 1, 2, 3][dice.roll(4)];
    let word = words[plain].to_vec();
    let other = changed(dice, &word);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
    match dice.roll(5) {
        0 => (Identity::Fqdn(text(&word)), Identity::Fqdn(text(&other))),
        1 => {
            let mail = |bytes: &[u8]| Identity::Email(format!("Ops@{}", text(bytes)));
            (mail(&word), mail(&other))
        }
        2 => (Identity::KeyId(word), Identity::KeyId(other)),
        3 => {
            let [a, b] = [dice.roll(3), dice.roll(3)].map(|n| format!("2001:db8::{n}"));
            let address = |text: &str| Identity::Ip(text.parse().expect("an address"));
            (address(&a), address(&b))
        }
        _ => {
            let values: Vec<_> = (0..=dice.roll(3)).map(|_| words[dice.roll(6)]).collect();
            let name: Vec<_> = values.into_iter().map(|value| attribute(dice, value)).collect();
            let mut near: Vec<_> = name
                .iter()
                .map(|(oid, tag, value)| {
                    let tag = if dice.roll(3) == 0 { attribute(dice, &[]).1 } else { *tag };
                    (*oid, tag, changed(dice, value))
                })
                .collect();
            if dice.roll(8) == 0 {
                near.reverse();
            }
            let one_set = [dice.roll(6) == 0, dice.roll(6) == 0];
            let of = |list: &[(&'static [u8], u8, Vec<u8>)], one_set| {
                let list: Vec<Attribute<'_>> =
                    list.iter().map(|(oid, tag, value)| (*oid, *tag, value.as_slice())).collect();
                dn_of(&list, one_set)
            };
            (of(&name, one_set[0]), of(&near, one_set[1]))
        }
    }
}

fn attribute(dice: &mut Dice, value: &[u8]) -> (&'static [u8], u8, Vec<u8>) {
    let oids = [CN, C, DC, MAIL];
    let tags = [UTF8, PRINTABLE, PRINTABLE, IA5, TELETEX];
    (oids[dice.roll(4)], tags[dice.roll(5)], value.to_vec())
}

/// The same bytes, some letters in the other case, and rarely another byte.
fn changed(dice: &mut Dice, bytes: &[u8]) -> Vec<u8> {
    let how = dice.roll(4);
    let mut changed = bytes.to_vec();
    for byte in &mut changed {
        if how > 0 && byte.is_ascii_alphabetic() && dice.roll(2) == 0 {
            *byte ^= 0x20;
        }
    }
    if how == 1 && dice.roll(2) == 0 {
        changed.push(b'z');
    }
    changed
}

const OURS: &str = "fqdn:gw1";
const OTHER: &str = "fqdn:gw2";
const PEER: &str = "fqdn:peer";

/// Which key a peer may come with, given the owners of the connection's key and of another connection's.
const TRIED: [(&str, &[&str], &[&str], bool); 7] = [
    ("the peer's identity", &[PEER], &[PEER], true),
    ("the peer's identity in another case", &[PEER], &["fqdn:PEER"], true),
    ("both identities, of which one is shared", &[OURS, PEER], &[OTHER, PEER], true),
    ("the local identities, which differ", &[OURS], &[OTHER], false),
    ("the other's peer is called as we are", &[PEER], &[OURS], true),
    ("another peer", &[PEER], &["fqdn:stranger"], false),
    ("ours by the local identity, the other's by the peer's", &[OURS], &[PEER], true),
];

/// Why a key has one owner, and why no other connection may have that identity at either end: a peer that shows another
/// connection's key is taken for this one's.
#[test]
fn charon_tries_every_key_that_either_end_owns() {
    let Some(lab) = lab_for("ikev2") else { return };
    for side in Side::BOTH {
        lab.start_charon(side);
    }
    for (what, own, other, tried) in TRIED {
        assert!(is_taken(&lab, "2", [own, other], "test-only-own"), "{what}: the connection's own key");
        assert_eq!(is_taken(&lab, "2", [own, other], "test-only-other"), tried, "{what}: the other's key");
    }
}

/// Whether A takes the key `shown` for its connection's, which has the first of the owners; the other key has the second.
fn is_taken(lab: &Lab, version: &str, owners: [&[&str]; 2], shown: &str) -> bool {
    let [a, b] = Side::BOTH.map(|side| Charon::of(lab, side));
    let seen = lab.charon_log(Side::A).len();
    let keys = ["test-only-own", "test-only-other"];
    for (key, owners) in keys.iter().zip(owners) {
        a.load_secret(key, key.as_bytes(), owners);
        // The key that is shown fits best; by the other one, B believes A's answer, whichever key that is made with.
        b.load_secret(key, key.as_bytes(), if *key == shown { &[OURS, PEER] } else { &[OURS] });
    }
    a.load_section("x", connection(Side::A, version, OURS, PEER));
    b.load_section("y", connection(Side::B, version, PEER, OURS));
    b.initiate("y", "k");
    let taken = wait_until(Duration::from_secs(10), "the verdict of A", || {
        let log = lab.charon_log(Side::A)[seen..].to_owned();
        let refused = log.contains("but MAC mismatched");
        (refused || log.contains("with pre-shared key successful")).then_some(!refused)
    });
    for (charon, name) in [(&a, "x"), (&b, "y")] {
        charon.unload(name);
        for key in keys {
            charon.forget(key);
        }
    }
    wait_until(Duration::from_secs(10), "nothing runs", || {
        let running = [&a, &b].map(|charon| {
            let running = charon.running();
            for ike in &running {
                charon.close(ike);
            }
            running.len()
        });
        (running == [0, 0]).then_some(())
    });
    taken
}
