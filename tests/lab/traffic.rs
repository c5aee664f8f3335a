//! Traffic goes on while both ends are changed, in either order: a ping every 20 ms counts what is lost.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pair::{Pair, Tunnel, with};
use crate::support::lab::{PingResult, Side};
use crate::{lab_for, say};

/// One packet may be on its way when the old SA goes (strongswan-facts.md 3.4).
pub const ACCEPTABLE: u64 = 1;

/// Changes both ends in this order under a ping; what became of it.
pub fn changed(pair: &Pair, before: &[Tunnel; 2], order: [Side; 2], options: &Value) -> ([Tunnel; 2], PingResult) {
    let ping = pair.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(20));
    ping.wait_for_replies(10);
    for side in order {
        pair.change(side, options);
    }
    let after = pair.renewed(before, 1);
    // The last packets of the old SAs, if they were to be missed.
    ping.wait_for_replies(10);
    (after, ping.stop())
}

/// Asserts that each change of a `series`, which says what they lost, loses at most [`ACCEPTABLE`]. charon's end that
/// answers sends by the new SA before the other end has it (facts 3.4): where a busy machine lets that one wait for longer
/// than a packet takes to follow another, the machine is measured. So: once more, and no third time.
pub fn assert_kept(pair: &Pair, what: &str, mut series: impl FnMut() -> Vec<u64>) {
    let is_good = |lost: &[u64]| lost.iter().all(|lost| *lost <= ACCEPTABLE);
    let lost = Some(series()).filter(|lost| is_good(lost)).unwrap_or_else(series);
    assert!(is_good(&lost), "{what}: {lost:?}\n{}", pair.agent(Side::A).logs());
}

fn traffic_goes_on(version: &str) {
    let Some(lab) = lab_for(version) else { return };
    let mut pair = Pair::start_waiting(&lab, ["100ms", "100ms"]);
    let base = json!({ "ikeVersion": version });
    for side in Side::BOTH {
        pair.create(side, &base);
    }
    let mut now = pair.settled(1);
    for (what, change) in [
        ("child", json!({ "policyEncryptionAlgorithm": "aes-128" })),
        ("IKE SA", json!({ "ikeDhGroup": 19 })),
        ("key", json!({ "authKey": "test-only-another-key" })),
        ("identities", json!({ "idType": "fqdn", "localId": "a.example", "remoteId": "b.example" })),
        ("lifetimes", json!({ "ikeLifeTime": 7200, "lifeTime": 900 })),
    ] {
        let options = with(&base, &change);
        // There in one order, and back in the other.
        let ways = [(Side::BOTH, &options), ([Side::B, Side::A], &with_ids_kept(&base, what))];
        assert_kept(&pair, &format!("{version}, {what}"), || {
            let way = |(order, options): ([Side; 2], &Value)| {
                let (after, ping) = changed(&pair, &now, order, options);
                say(format!("{version}, {what}, {} first: {} of {} lost", order[0].letter(), ping.lost(), ping.sent));
                now = after;
                ping.lost()
            };
            ways.map(way).into()
        });
    }
}

/// Change keeps identities that it does not name: on the way back from others they are named.
fn with_ids_kept(base: &Value, what: &str) -> Value {
    let mut options = base.clone();
    if what == "identities" {
        options["localId"] = Side::A.wan().into();
        options["remoteId"] = Side::B.wan().into();
        options["idType"] = "ip".into();
    }
    options
}

#[test]
fn traffic_goes_on_ikev2() {
    traffic_goes_on("ikev2");
}

#[test]
fn traffic_goes_on_ikev1() {
    traffic_goes_on("ikev1");
}
