//! Certificates on two real gateways: every kind of key, chains, what the other end must refuse, renewal, the way from
//! keys to certificates and back, and what is left over afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::certificates::{Ca, Issued, Kind, Wanted};
use crate::pair::{PATIENCE, Pair};
use crate::reasons::named;
use crate::support::agent::AgentOptions;
use crate::support::lab::Side;
use crate::support::wait_until;
use crate::{lab, say};

/// The directories that hold certificates and keys.
const DIRECTORIES: [&str; 4] = ["x509", "x509ca", "x509crl", "private"];

/// The subject of a gateway.
fn subject(side: Side) -> String {
    format!("C=CH, O=test only, CN=gw-{}", side.letter())
}

/// The options of one end that prove themselves by subjects.
fn by_subject(side: Side, bundle: &str) -> Value {
    // Swapped for B together with the identities, so it is given as A's.
    let peer = subject(side.other());
    let id = if side == Side::A { "remoteId" } else { "localId" };
    json!({ "authMode": "certs", "authKey": bundle, "idType": "name", id: peer })
}

fn issued(ca: &Ca, kind: Kind, side: Side) -> Issued {
    ca.issue(kind, &subject(side), &[])
}

/// Both ends with certificates of these CAs.
fn create(pair: &mut Pair, bundles: &[String; 2]) {
    for side in [Side::B, Side::A] {
        let inventory = pair.create(side, &by_subject(side, &bundles[side as usize]));
        let key = inventory["authKey"].as_str().expect("a bundle");
        assert!(key.contains("\n******\n") && key.contains("BEGIN CERTIFICATE"), "{key}");
    }
}

/// The names of our files of certificates and keys on one side.
fn files(pair: &Pair, side: Side) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for directory in DIRECTORIES {
        let path = pair.lab.swanctl_dir(side).join(directory);
        for entry in fs::read_dir(&path).expect("a directory") {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
            found.insert(format!("{directory}/{}", entry.file_name().to_string_lossy()));
        }
    }
    found
}

fn comes_up(kind: Kind) {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    let ca = Ca::new(kind, "CN=test-only CA");
    create(&mut pair, &Side::BOTH.map(|side| issued(&ca, kind, side).bundle(&[&ca])));
    let [a, _] = pair.settled(1);
    assert_eq!([a.ike("local-id"), a.ike("remote-id")], [subject(Side::A), subject(Side::B)]);
    pair.carries();
    for side in Side::BOTH {
        assert_eq!(files(&pair, side).len(), 3, "a certificate, a CA and a key");
    }
}

#[test]
fn rsa() {
    comes_up(Kind::Rsa);
}

#[test]
fn ecdsa() {
    comes_up(Kind::Ecdsa);
}

#[test]
fn ecdsa_384() {
    comes_up(Kind::Ecdsa384);
}

#[test]
fn ed25519() {
    comes_up(Kind::Ed25519);
}
