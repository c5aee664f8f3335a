//! NAT between the agent and a peer that is not strongSwan, before either end: ESP goes in UDP, through rekeyings and a
//! change.

use serde_json::{Value, json};

use crate::bed::seen;
use crate::foreign::{Configuration, Kind, Proposal};
use crate::foreign_bed::{Bed, PATIENCE};
use crate::on_foreign::cases;
use crate::on_packets::{GATEWAYS, NAT, nat};
use crate::pair::with;
use crate::support::lab::Side;
use crate::support::wait_until;

cases! {
    libreswan, Libreswan: before_the_agent before_the_peer;
    openiked, Openiked: before_the_agent before_the_peer;
}

fn is_in_udp(bed: &Bed) {
    let wire = seen(&bed.lab, || bed.carries());
    assert!(wire.esp_in_udp >= 30 && wire.esp == 0 && wire.bare_icmp == 0, "{wire:?}");
}

/// Rekeyings from here, and with libreswan from there; then ESP changes at both ends.
fn goes_on(bed: &Bed, configuration: &Configuration<'_>, options: &Value) {
    let renewed = |which: usize, rekey: &dyn Fn()| {
        let before = bed.spis();
        rekey();
        bed.is_renewed(&before, &[which]);
    };
    renewed(1, &|| bed.rekey("--child"));
    renewed(0, &|| bed.rekey("--ike"));
    if bed.peer.kind == Kind::Libreswan {
        renewed(1, &|| bed.peer.rekey("--rekey-ipsec"));
    }
    let other = Configuration { esp: Proposal("aes-128", "sha512", None), ..*configuration };
    let before = bed.spis();
    bed.change(&with(options, &json!({ "policyEncryptionAlgorithm": "aes-128" })));
    bed.peer.load(&other);
    if options["peerAddress"] == NAT && bed.peer.kind == Kind::Libreswan {
        // It has closed everything, and nobody else can begin.
        bed.peer.up(&other);
    }
    bed.is_renewed(&before, &[1]);
    bed.one_is_left("128");
    is_in_udp(bed);
}

/// What both cases have: the identities are the gateways' own addresses.
fn identities() -> Value {
    json!({ "idType": "ip", "localId": GATEWAYS[0], "remoteId": GATEWAYS[1] })
}

fn before_the_agent(bed: &mut Bed) {
    bed.is_spoilt = true;
    nat(&bed.lab, Side::A);
    let configuration = Configuration { address_of_a: NAT, ..Configuration::RIGHT };
    bed.up(&configuration, &identities());
    is_in_udp(bed);
    goes_on(bed, &configuration, &identities());
}

/// Only the peer can begin, and it comes from an address that is not its own.
fn before_the_peer(bed: &mut Bed) {
    bed.is_spoilt = true;
    nat(&bed.lab, Side::B);
    let options = with(&identities(), &json!({ "peerAddress": NAT }));
    bed.peer.load(&Configuration::RIGHT);
    bed.create(&options);
    bed.told("PEER_UNREACHABLE", "");
    bed.peer.up(&Configuration::RIGHT);
    wait_until(PATIENCE, "a CHILD_SA", || (!bed.lab.children(Side::A).is_empty()).then_some(()));
    is_in_udp(bed);
    assert_ne!(bed.lab.sas(Side::A)[0]["initiator"], "yes");
    goes_on(bed, &Configuration::RIGHT, &options);
}
