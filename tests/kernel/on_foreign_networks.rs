//! Several networks with a peer that is not strongSwan: libreswan has a connection for each pair of them, openiked one for
//! all. Under each `ikeVersion` all four pairs carry.

use crate::foreign::Configuration;
use crate::foreign_bed::{Bed, HOSTS, NETWORKS, all_networks};
use crate::on_foreign::cases;

cases! {
    libreswan, Libreswan: ikev2 ike ikev1;
    openiked, Openiked: ikev2 ike;
}

/// All pairs, and it stays so.
fn carry(bed: &mut Bed, theirs: &str, ours: &str) {
    bed.peer.load(&Configuration {
        version: theirs,
        local: &NETWORKS[1],
        remote: &NETWORKS[0],
        ..Configuration::RIGHT
    });
    bed.create(&all_networks(ours));
    for _ in 0..2 {
        for a in HOSTS[0] {
            for b in HOSTS[1] {
                bed.carries_between(a, b);
            }
        }
    }
}

fn ikev2(bed: &mut Bed) {
    carry(bed, "ikev2", "ikev2");
}

fn ike(bed: &mut Bed) {
    carry(bed, "ikev2", "ike");
}

fn ikev1(bed: &mut Bed) {
    carry(bed, "ikev1", "ikev1");
}
