//! IKEv1 with a peer that is not strongSwan: libreswan, since openiked does not speak it.

use std::time::Duration;

use serde_json::json;

use crate::foreign::{Configuration, Kind};
use crate::foreign_bed::{Bed, PATIENCE};
use crate::on_foreign::cases;
use crate::support::lab::Side;
use crate::support::wait_until;

const IKEV1: Configuration<'static> = Configuration { version: "ikev1", ..Configuration::RIGHT };

cases! {
    libreswan, Libreswan: the_agent_begins another_lifetime it_is_found_alone;
}

fn the_agent_begins(kind: Kind) {
    let bed = Bed::up(kind, &IKEV1, &json!({ "ikeVersion": "ikev1" }));
    assert_eq!((&bed.lab.sas(Side::A)[0]["version"], bed.peer.children()), (&json!("1"), 1));
}

/// A Change of the lifetime alone ends: it is Ready with the new one, and not negotiated again and again.
fn another_lifetime(kind: Kind) {
    let bed = Bed::up(kind, &IKEV1, &json!({ "ikeVersion": "ikev1" }));
    let spi = bed.one_is_left("256")["spi-in"].clone();
    let ping = bed.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(20));
    ping.wait_for_replies(10);
    bed.change(&json!({ "ikeVersion": "ikev1", "lifeTime": 1800 }));
    wait_until(PATIENCE, "renewed", || (bed.ready() && bed.one_is_left("256")["spi-in"] != spi).then_some(()));
    bed.carries();
    let (now, pings) = (bed.one_is_left("256")["spi-in"].clone(), ping.received());
    wait_until(PATIENCE, "as long again", || (ping.received() > pings + 100).then_some(()));
    assert_eq!(bed.one_is_left("256")["spi-in"], now);
    let pings = ping.stop();
    assert!(pings.lost() <= 1, "{pings:?}");
}

/// With both versions wanted here, and IKEv1 alone there.
fn it_is_found_alone(kind: Kind) {
    let bed = Bed::up(kind, &IKEV1, &json!({ "ikeVersion": "ike" }));
    assert_eq!(bed.lab.sas(Side::A)[0]["version"], "1");
}
