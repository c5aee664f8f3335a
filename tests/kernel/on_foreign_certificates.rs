//! Certificates with a peer that is not strongSwan: whoever begins, it is Ready, carries, and is rekeyed.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::foreign::Configuration;
use crate::foreign_bed::{Bed, PATIENCE};
use crate::foreign_root::{NAMES, certify};
use crate::on_foreign::cases;
use crate::support::lab::Side;
use crate::support::wait_until;

cases! {
    libreswan, Libreswan: rsa ecdsa;
    openiked, Openiked: rsa ecdsa;
}

fn certified(bed: &mut Bed, kind: &str) {
    let [id_of_a, id] = NAMES;
    let configuration = Configuration { certificates: Some(kind), id, id_of_a, ..Configuration::RIGHT };
    bed.peer.lose_power();
    let bundle = certify(bed.peer.kind, kind);
    bed.peer.run();
    let options =
        json!({ "authMode": "certs", "authKey": bundle, "idType": "fqdn", "localId": id_of_a, "remoteId": id });
    bed.up(&configuration, &options);
    let before = bed.spis();
    bed.rekey("--ike");
    bed.is_renewed(&before, &[0]);

    bed.agent.signal(Signal::SIGSTOP);
    bed.close(&configuration);
    bed.peer.up(&configuration);
    wait_until(PATIENCE, "a CHILD_SA", || (!bed.lab.children(Side::A).is_empty()).then_some(()));
    bed.agent.signal(Signal::SIGCONT);
    bed.carries();
    assert_ne!(bed.lab.sas(Side::A)[0]["initiator"], "yes");
}

fn rsa(bed: &mut Bed) {
    certified(bed, "rsa");
}

fn ecdsa(bed: &mut Bed) {
    certified(bed, "ecdsa");
}
