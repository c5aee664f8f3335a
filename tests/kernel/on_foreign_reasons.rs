//! A peer that is not strongSwan and wants something else: the reason says what, and when the peer is corrected, the tunnel
//! comes up.

use serde_json::json;

use crate::foreign::{Configuration, Kind, Proposal};
use crate::foreign_bed::{Bed, PATIENCE};
use crate::on_foreign::cases;
use crate::say;
use crate::support::lab::Side;
use crate::support::poll;

const RIGHT: Configuration<'static> = Configuration::RIGHT;
const KEY: Configuration<'static> = Configuration { key: "test-only-another-key", ..RIGHT };
const IKE: Configuration<'static> = Configuration { ike: Proposal("aes-128", "sha256", Some(14)), ..RIGHT };
const ESP: Configuration<'static> = Configuration { esp: Proposal("aes-128", "sha512", None), ..RIGHT };
const NETWORKS: Configuration<'static> = Configuration { local: &["10.99.0.0/24"], ..RIGHT };
const IDENTITY: Configuration<'static> = Configuration { id_of_a: "somebody.example", ..RIGHT };

cases! {
    libreswan, Libreswan: key ike_proposal esp_proposal networks identity;
    openiked, Openiked: key ike_proposal esp_proposal networks identity;
}

/// This is the reason, and nothing carries; then it is corrected.
fn named(kind: Kind, wrong: &Configuration<'_>, code: &str) {
    let mut bed = Bed::empty(kind, wrong);
    bed.create(&json!({}));
    let reason = poll(PATIENCE, || {
        let reason = bed.view()["reason"].clone();
        (reason["code"] == code).then_some(reason)
    });
    let Some(reason) = reason else {
        panic!("not {code}: {:#}\n{}", bed.view(), bed.lab.charon_log(Side::A));
    };
    say(format!("{kind:?}: {reason}"));
    assert_ne!(bed.view()["inventory"]["status"], "Ready");
    let pings = bed.lab.ping_tunnel(Side::A);
    assert_eq!(pings.received, 0, "{pings:?}");
    bed.peer.load(&RIGHT);
    bed.carries();
    assert_eq!(bed.view()["reason"], json!(null));
}

fn key(kind: Kind) {
    named(kind, &KEY, "PEER_REFUSED_AUTH");
}

fn ike_proposal(kind: Kind) {
    named(kind, &IKE, "NO_PROPOSAL_IKE");
}

fn esp_proposal(kind: Kind) {
    named(kind, &ESP, "NO_PROPOSAL_CHILD");
}

fn networks(kind: Kind) {
    named(kind, &NETWORKS, "TS_MISMATCH");
}

fn identity(kind: Kind) {
    named(kind, &IDENTITY, "PEER_REFUSED_AUTH");
}
