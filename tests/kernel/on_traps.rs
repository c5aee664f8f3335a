//! Traps: the kernel asks for a tunnel when a packet has none.

use std::time::Duration;

use serde_json::json;

use crate::bed::{gateways, goes, seen};
use crate::pair::{ORDER, Pair, reaches};
use crate::support::lab::Side;
use crate::support::wait_until;

/// Stops the agents and closes the tunnel, so that nobody is left to begin but the kernel.
#[track_caller]
fn abandon(pair: &mut Pair) {
    for side in Side::BOTH {
        assert!(pair.agent_mut(side).stop().success());
    }
    let name = pair.name(Side::A);
    assert!(pair.lab.swanctl(Side::A, &["--terminate", "--ike", &name]).status.success());
    wait_until(Duration::from_secs(10), "the tunnel is closed", || {
        Side::BOTH.iter().all(|side| pair.lab.children(*side).is_empty()).then_some(())
    });
    for side in Side::BOTH {
        assert_eq!(pair.lab.traps(side).len(), 1, "{:?}", pair.lab.traps(side));
    }
}

#[test]
#[ignore = "on a machine of its own"]
fn traffic_alone_brings_a_tunnel_up() {
    let mut pair = gateways();
    pair.create_both(&json!({}));
    pair.settled(1);
    comes_by_traffic(&mut pair, Side::A, "AES_CBC");

    // With the trap in place, a change loses no packet but one that may be on its way: between the one end's new SA and
    // the other's pass up to 80 ms on a busy machine.
    let before = pair.settled(1);
    let ping = pair.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(100));
    ping.wait_for_replies(10);
    for side in ORDER {
        pair.change(side, &json!({ "policyEncryptionAlgorithm": "aes-128-gcm" }));
    }
    pair.renewed(&before, 1);
    ping.wait_for_replies(10);
    let pings = ping.stop();
    assert!(pings.lost() <= 1, "{pings:?}");

    comes_by_traffic(&mut pair, Side::B, "AES_GCM_16");
    goes(&pair);
}

/// Without agents and without a tunnel, a ping makes one: with this cipher, which is the one that was asked for last.
/// Agents that come back find it as they want it.
#[track_caller]
fn comes_by_traffic(pair: &mut Pair, from: Side, cipher: &str) {
    abandon(pair);
    let on_the_wire = seen(&pair.lab, || reaches(&pair.lab, from, from.host(), from.other().host()));
    assert!(on_the_wire.esp >= 15 && on_the_wire.bare_icmp == 0, "{on_the_wire:?}");
    let made = pair.tunnel(from, 1).unwrap_or_else(|| panic!("{:#?}", pair.lab.sas(from)));
    assert_eq!(made.child("encr-alg"), cipher, "{made:#?}");
    for side in Side::BOTH {
        pair.agent_mut(side).restart();
    }
    assert_eq!(pair.settled(1)[0].spis(), made.spis());
}
