//! One end is changed and the other not yet: the old SA carries, and the answers say what is the matter. And the one
//! caller who does not want that: `immediate=true`, for a key that has leaked.

use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::{change_how, has_ike, native};
use crate::odd_peers::{Bed, FIRST, Peer, Role, SAME};
use crate::pair::{PATIENCE, Pair, for_side, reaches};
use crate::support::lab::Side;
use crate::support::wait_until;
use crate::{lab, lab_for, say};

/// When the agent began to negotiate, in seconds since midnight, by its log.
fn attempts(pair: &Pair, side: Side) -> Vec<f64> {
    let logs = pair.agent(side).logs();
    logs.lines()
        .filter(|line| line.contains("next step: negotiate "))
        .map(|line| seconds(line).expect("a time"))
        .collect()
}

/// `2026-01-02T03:04:05.678901Z` anywhere in a line.
fn seconds(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once('T')?;
    let mut parts = rest.split_once('Z')?.0.split(':').map(|part| part.parse::<f64>().ok());
    Some(parts.next()?? * 3600.0 + parts.next()?? * 60.0 + parts.next()??)
}

/// Whether our own view says that what runs is not what is wanted.
fn shows_the_difference(view: &Value) -> bool {
    let sas = view["children"][0]["sas"].as_array().cloned().unwrap_or_default();
    let installed = sas.iter().any(|sa| sa["state"] == "installed" && sa["as_wanted"] == false);
    installed && !sas.iter().any(|sa| sa["as_wanted"] == true && sa["state"] == "installed")
}

fn the_peer_is_not_changed_yet(what: &str, first: Side, options: &Value) {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start_waiting(&lab, ["0s", "0s"]);
    for side in Side::BOTH {
        pair.create(side, &json!({}));
    }
    let before = pair.settled(1);
    let earlier = attempts(&pair, first).len();
    let ping = lab.ping_background(first, first.host(), first.other().host(), Duration::from_millis(100));
    ping.wait_for_replies(5);
    pair.change(first, options);
    // Three attempts, each later than the one before: half a second and a second, each a little less or more.
    let times = wait_until(PATIENCE, "attempts with growing waits", || {
        assert_eq!(pair.status(first), "Connecting", "what runs is not what is wanted");
        assert_eq!(pair.status(first.other()), "Ready", "there it is");
        Some(attempts(&pair, first)).filter(|times| times.len() >= earlier + 3)
    });
    let waits: Vec<_> = times[earlier..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] > 0.3 && waits[1] > 1.3 * waits[0], "{waits:?}");
    let view = native(&pair, first);
    assert!(shows_the_difference(&view), "{view:#}");
    assert_eq!(view["inventory"]["status"], "Connecting");
    assert!(has_ike(&pair, first, before[0].ike("initiator-spi")), "the old SA carries");
    let lost = ping.stop();
    assert_eq!(lost.lost(), 0, "{what}: {lost:?}");
    say(format!("{what} on {} alone: {} pings, none lost; waits {waits:.2?} s", first.letter(), lost.sent));
    pair.change(first.other(), options);
    pair.renewed(&before, 1);
    let view = native(&pair, first);
    assert_eq!(view["children"][0]["sas"][0]["as_wanted"], true, "{view:#}");
    assert_eq!(view["drift"], Value::Null, "{view:#}");
}

#[test]
fn the_peer_has_another_child() {
    the_peer_is_not_changed_yet("child", Side::A, &json!({ "policyEncryptionAlgorithm": "aes-128" }));
}

#[test]
fn the_peer_has_another_group() {
    the_peer_is_not_changed_yet("ike", Side::B, &json!({ "ikeDhGroup": 19 }));
}

#[test]
fn the_peer_has_another_key() {
    for side in Side::BOTH {
        the_peer_is_not_changed_yet("key", side, &json!({ "authKey": "test-only-another-key" }));
    }
}

/// A key that leaked: the SA made with it goes at once, whatever the peer has.
#[test]
fn a_leaked_key_ends_its_tunnel_at_once() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start_waiting(&lab, ["0s", "0s"]);
    for side in Side::BOTH {
        pair.create(side, &json!({}));
    }
    for (round, first) in Side::BOTH.into_iter().enumerate() {
        let before = pair.settled(1);
        let options = json!({ "authKey": format!("test-only-another-key-{round}") });
        change_how(&pair, first, &options, "immediate=true").expect(200);
        wait_until(Duration::from_secs(20), "the old SA is gone on both ends", || {
            let gone = |side: Side| !has_ike(&pair, side, before[0].ike("initiator-spi"));
            Side::BOTH.into_iter().all(gone).then_some(())
        });
        for side in Side::BOTH {
            assert_ne!(pair.status(side), "Ready");
        }
        assert_eq!(lab.ping_tunnel(Side::A).received, 0);
        pair.change(first.other(), &options);
        pair.renewed(&before, 1);
        pair.carries();
    }
}

/// A peer behind NAT cannot be called: the change takes effect when it calls anew, and the reason says so until then.
#[test]
fn a_peer_that_only_calls_changes_over_when_it_calls() {
    let Some(lab) = lab_for("ikev2") else { return };
    let bed = Bed::start(lab, &SAME, "ikev2", &json!({ "ikeVersion": "ikev2" }), Some(FIRST));
    let called = || {
        bed.call();
        (bed.view()["inventory"]["status"] == "Ready").then_some(())
    };
    wait_until(PATIENCE, "it is up by the peer's call", called);
    let change = json!({ "ikeVersion": "ikev2", "ikeDhGroup": 19 });
    bed.agent.change(&bed.uuid, &for_side(Side::A, &change)).expect(200);
    bed.named(Role::We, "PEER_UNREACHABLE", &["the tunnel that runs carries on", "changes over when it calls"]);
    reaches(&bed.lab, Side::A, Side::A.host(), Side::B.host());
    bed.lab.load_conf(Side::B, "t", &Peer { ike: "aes256-sha256-ecp256", ..SAME }.conf("ikev2"));
    wait_until(PATIENCE, "it has changed over", called);
    reaches(&bed.lab, Side::A, Side::A.host(), Side::B.host());
}
