//! Algorithms with a peer that is not strongSwan: each pair of proposals is agreed on, carries, and is rekeyed.

use serde_json::{Value, json};

use crate::foreign::{Configuration, Kind, Proposal};
use crate::foreign_bed::{Bed, PATIENCE};
use crate::on_foreign::cases;
use crate::support::lab::Side;
use crate::support::wait_until;

/// What both peers can do.
const COMMON: [[Proposal; 2]; 3] = [
    [Proposal("3des", "sha1", Some(14)), Proposal("3des", "sha1", None)],
    [Proposal("aes-192", "sha384", Some(15)), Proposal("aes-192", "sha384", None)],
    [Proposal("aes-128", "sha512", Some(19)), Proposal("aes-128", "sha1", Some(19))],
];
/// What libreswan can do and openiked cannot: AEAD, and SHA-256 with ESP of Linux, also cut to 96 bits as old peers do it.
const OF_LIBRESWAN: [[Proposal; 2]; 3] = [
    [Proposal("aes-256-gcm", "sha256", Some(31)), Proposal("aes-256-gcm", "sha256", None)],
    [Proposal("aes-256", "sha256", Some(20)), Proposal("aes-256", "sha256", Some(20))],
    [Proposal("aes-256", "sha256", Some(14)), Proposal("aes-256", "sha256-96", None)],
];

cases! {
    libreswan, Libreswan: agreed_on;
    openiked, Openiked: agreed_on;
}

fn agreed_on(kind: Kind) {
    let bed = Bed::up(kind, &Configuration::RIGHT, &json!({}));
    let more: &[_] = if kind == Kind::Libreswan { &OF_LIBRESWAN } else { &[] };
    for [ike, esp] in COMMON.iter().chain(more).copied() {
        let before = spis(&bed);
        bed.peer.load(&Configuration { ike, esp, ..Configuration::RIGHT });
        let pfs = esp.2.map_or_else(|| "none".to_owned(), |group| format!("dh-group{group}"));
        bed.change(&json!({
            "ikeEncryptionAlgorithm": ike.0, "ikeAuthAlgorithm": ike.1, "ikeDhGroup": ike.2,
            "policyEncryptionAlgorithm": esp.0, "policyAuthAlgorithm": esp.1, "pfs": pfs
        }));
        is_renewed(&bed, &before, [0, 1]);
        let (before, child) = (spis(&bed), bed.lab.children(Side::A)[0]["name"].clone());
        let child = child.as_str().expect("a name");
        assert!(bed.lab.swanctl(Side::A, &["--rekey", "--child", child]).status.success());
        is_renewed(&bed, &before, [1, 1]);
    }
}

/// What names the IKE SA and the CHILD_SA, if there is one of each.
fn spis(bed: &Bed) -> [Value; 2] {
    let sas = bed.lab.sas(Side::A);
    match (sas.as_array().map(Vec::as_slice), bed.lab.children(Side::A).as_slice()) {
        (Some([ike]), [child]) => [ike["initiator-spi"].clone(), child["spi-in"].clone()],
        _ => Default::default(),
    }
}

/// Waits until these SAs are others, alone, and carry.
#[track_caller]
fn is_renewed(bed: &Bed, before: &[Value; 2], which: [usize; 2]) {
    wait_until(PATIENCE, &format!("{before:?} are others"), || {
        let now = spis(bed);
        (bed.ready() && which.iter().all(|sa| now[*sa] != before[*sa] && !now[*sa].is_null())).then_some(())
    });
    bed.carries();
}
