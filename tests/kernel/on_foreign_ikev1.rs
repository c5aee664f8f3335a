//! IKEv1 with a peer that is not strongSwan: libreswan, since openiked does not speak it.

use serde_json::json;

use crate::foreign::Configuration;
use crate::foreign_bed::{Bed, PATIENCE};
use crate::foreign_root::other;
use crate::on_foreign::cases;
use crate::on_foreign_reasons::{ESP, IDENTITY, IKE, KEY, NETWORKS, named};
use crate::support::lab::Side;
use crate::support::wait_until;

const IKEV1: Configuration<'static> = Configuration { version: "ikev1", ..Configuration::RIGHT };

cases! {
    libreswan, Libreswan: the_agent_begins another_lifetime it_is_found_alone key ike_proposal esp_proposal networks
        identity;
}

fn the_agent_begins(bed: &mut Bed) {
    bed.up(&IKEV1, &json!({ "ikeVersion": "ikev1" }));
    assert_eq!((&bed.lab.sas(Side::A)[0]["version"], bed.peer.children()), (&json!("1"), 1));
}

/// A Change of the lifetime alone ends: it is Ready with the new one, and not negotiated again and again.
fn another_lifetime(bed: &mut Bed) {
    bed.up(&IKEV1, &json!({ "ikeVersion": "ikev1" }));
    let spi = bed.one_is_left("256")["spi-in"].clone();
    let ping = bed.ping(50);
    bed.change(&json!({ "ikeVersion": "ikev1", "lifeTime": 1800 }));
    wait_until(PATIENCE, "renewed", || (bed.ready() && bed.one_is_left("256")["spi-in"] != spi).then_some(()));
    bed.carries();
    let (now, pings) = (bed.one_is_left("256")["spi-in"].clone(), ping.received());
    wait_until(PATIENCE, "as long again", || (ping.received() > pings + 40).then_some(()));
    assert_eq!(bed.one_is_left("256")["spi-in"], now);
    let pings = ping.stop();
    assert!(pings.lost() <= 1, "{pings:?}");
}

/// With both versions wanted here, and IKEv1 alone there.
fn it_is_found_alone(bed: &mut Bed) {
    bed.up(&IKEV1, &json!({ "ikeVersion": "ike" }));
    assert_eq!(bed.lab.sas(Side::A)[0]["version"], "1");
}

/// The mistakes of [`crate::on_foreign_reasons`], which IKEv1 tells less of.
fn mistaken(bed: &mut Bed, wrong: &Configuration<'_>, code: &str, where_it_begins: [&str; 2]) {
    named(bed, &Configuration { version: "ikev1", ..*wrong }, code, where_it_begins);
}

fn key(bed: &mut Bed) {
    mistaken(bed, &KEY, "PEER_REFUSED_AUTH", ["AUTH_FAILED", ""]);
}

fn ike_proposal(bed: &mut Bed) {
    mistaken(bed, &IKE, "NO_PROPOSAL_IKE", ["NO_PROPOSAL_IKE", "the peer offers IKE:AES_CBC_128/"]);
}

fn esp_proposal(bed: &mut Bed) {
    mistaken(bed, &ESP, "NO_PROPOSAL_CHILD", ["NO_PROPOSAL_CHILD", "the peer offers ESP:AES_CBC_128/"]);
}

fn networks(bed: &mut Bed) {
    let asked = "the peer asks for 10.1.0.0/24 === 10.99.0.0/24 (our side === its side)";
    mistaken(bed, &NETWORKS, "TS_MISMATCH", ["TS_MISMATCH", asked]);
}

fn identity(bed: &mut Bed) {
    if other().is_some() {
        // Version 5 encrypts its refusal so that it can be read.
        return mistaken(bed, &IDENTITY, "ID_MISMATCH", ["ID_MISMATCH", "the identity that we send"]);
    }
    mistaken(bed, &IDENTITY, "PEER_REFUSED_AUTH", ["PEER_REFUSED_AUTH", "expects another identity of ours"]);
}
