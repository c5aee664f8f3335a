//! Algorithms with a peer that is not strongSwan: each pair of proposals is agreed on, carries, and is rekeyed; where the
//! groups for PFS differ, the refused rekey is told.

use serde_json::json;

use crate::foreign::{Configuration, Kind, Proposal};
use crate::foreign_bed::{Bed, PATIENCE};
use crate::on_foreign::cases;
use crate::support::lab::Side;
use crate::support::wait_until;

/// What both peers can do.
const COMMON: [[Proposal; 2]; 6] = [
    [Proposal("3des", "sha1", Some(14)), Proposal("3des", "sha1", None)],
    [Proposal("aes-192", "sha384", Some(15)), Proposal("aes-192", "sha384", None)],
    [Proposal("aes-128", "sha512", Some(19)), Proposal("aes-128", "sha1", Some(19))],
    [Proposal("aes-256", "md5", Some(5)), Proposal("aes-256", "sha1", None)],
    [Proposal("aes-256", "sha384", Some(20)), Proposal("aes-256", "sha512", Some(20))],
    [Proposal("aes-128", "sha256", Some(31)), Proposal("aes-256", "sha384", Some(31))],
];
/// What libreswan can do and openiked cannot: AEAD, and MD5 and SHA-256 with ESP of Linux, also cut to 96 bits as old
/// peers do it.
const OF_LIBRESWAN: [[Proposal; 2]; 6] = [
    [Proposal("aes-256-gcm", "sha256", Some(31)), Proposal("aes-256-gcm", "sha256", None)],
    [Proposal("aes-128-gcm", "sha512", Some(14)), Proposal("aes-128-gcm", "sha256", Some(14))],
    [Proposal("chacha20-poly1305", "sha256", Some(31)), Proposal("aes-192-gcm", "sha256", None)],
    [Proposal("aes-256", "sha256", Some(20)), Proposal("aes-256", "sha256", Some(20))],
    [Proposal("aes-256", "sha256", Some(14)), Proposal("aes-256", "sha256-96", None)],
    [Proposal("aes-128", "sha1", Some(14)), Proposal("aes-128", "md5", None)],
];
/// What openiked can do and libreswan cannot: group 2, which Debian builds out of it, and a group for ESP alone.
const OF_OPENIKED: [[Proposal; 2]; 2] = [
    [Proposal("aes-256", "sha1", Some(2)), Proposal("aes-256", "sha1", None)],
    [Proposal("aes-256", "sha256", Some(14)), Proposal("aes-256", "sha512", Some(19))],
];

cases! {
    libreswan, Libreswan: agreed_on pfs_that_the_peer_lacks;
    openiked, Openiked: agreed_on pfs_that_the_peer_lacks;
}

fn agreed_on(bed: &mut Bed) {
    bed.up(&Configuration::RIGHT, &json!({}));
    let more: &[_] = if bed.peer.kind == Kind::Libreswan { &OF_LIBRESWAN } else { &OF_OPENIKED };
    for [ike, esp] in COMMON.iter().chain(more).copied() {
        let before = bed.spis();
        bed.peer.load(&Configuration { ike, esp, ..Configuration::RIGHT });
        let pfs = esp.2.map_or_else(|| "none".to_owned(), |group| format!("dh-group{group}"));
        bed.change(&json!({
            "ikeEncryptionAlgorithm": ike.0, "ikeAuthAlgorithm": ike.1, "ikeDhGroup": ike.2,
            "policyEncryptionAlgorithm": esp.0, "policyAuthAlgorithm": esp.1, "pfs": pfs
        }));
        bed.is_renewed(&before, &[0, 1]);
        let before = bed.spis();
        bed.rekey("--child");
        bed.is_renewed(&before, &[1]);
    }
}

/// Only a rekey shows it: it is refused, the SA carries on, and the warning says why.
fn pfs_that_the_peer_lacks(bed: &mut Bed) {
    bed.up(&Configuration::RIGHT, &json!({ "pfs": "dh-group14" }));
    let before = bed.spis();
    let child = bed.lab.children(Side::A)[0]["name"].clone();
    bed.lab.swanctl(Side::A, &["--rekey", "--child", child.as_str().expect("a name")]);
    let warning = wait_until(PATIENCE, "a warning", || {
        let warnings = bed.view()["warnings"].clone();
        warnings.as_array()?.iter().find(|warning| warning["code"] == "REKEY_FAILED").cloned()
    });
    assert!(warning["message"].to_string().contains("PFS"), "{warning}");
    assert_eq!(bed.spis(), before);
    bed.carries();
}
