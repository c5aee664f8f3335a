//! What a change costs the traffic: a ping every 20 ms while both ends are changed, five times for each kind of change
//! and each order of the ends.

use serde_json::{Value, json};

use crate::calls::native;
use crate::pair::Pair;
use crate::support::lab::Side;
use crate::traffic::{assert_kept, changed};
use crate::{lab, say};

/// Changes of each kind in each order.
const RUNS: usize = 5;

/// Goes to and fro between `there` and nothing said, in both orders.
fn measure(what: &str, there: &Value) {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start_waiting(&lab, ["100ms", "100ms"]);
    for side in Side::BOTH {
        pair.create(side, &json!({}));
    }
    let mut now = pair.settled(1);
    let back = json!({});
    let mut round = [there, &back].into_iter().cycle();
    for order in [[Side::A, Side::B], [Side::B, Side::A]] {
        assert_kept(&pair, what, || {
            let (mut lost, mut sent) = (Vec::new(), 0);
            for options in round.by_ref().take(RUNS) {
                let (after, ping) = changed(&pair, &now, order, options);
                lost.push(ping.lost());
                sent += ping.sent;
                now = after;
            }
            say(format!("loss, {what}, {} first: {lost:?} of {sent} in {RUNS} runs", order[0].letter()));
            lost
        });
    }
    assert_eq!(native(&pair, Side::A)["drift"], Value::Null, "a change is no drift");
}

#[test]
fn a_change_of_the_child_loses_nothing() {
    measure("child", &json!({ "policyEncryptionAlgorithm": "aes-128" }));
}

#[test]
fn a_change_of_the_ike_sa_loses_nothing() {
    measure("ike", &json!({ "ikeDhGroup": 19 }));
}

#[test]
fn a_change_of_the_key_loses_nothing() {
    measure("reauth", &json!({ "authKey": "test-only-another-key" }));
}
