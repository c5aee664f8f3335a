//! A PFS that the peer does not have: the tunnel comes up all the same, and the first rekeying would fail, at night. The
//! rehearsal shows it in the answer of the write. What charon does after a refused rekeying is measured here too.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::calls::{change_how, native};
use crate::pair::Pair;
use crate::support::lab::Side;
use crate::support::wait_until;
use crate::{lab, say};

fn codes(answer: &Value) -> Vec<&str> {
    answer["warnings"].as_array().into_iter().flatten().filter_map(|warning| warning["code"].as_str()).collect()
}

fn spis(pair: &Pair) -> Vec<String> {
    pair.ike_sas(Side::A)
        .iter()
        .flat_map(|ike| ike["children"].as_array().cloned().unwrap_or_default())
        .filter(|child| child["state"] == "INSTALLED")
        .map(|child| child["spi-in"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn rehearsed(ours: &str, theirs: &str) {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    pair.create(Side::B, &json!({ "pfs": theirs }));
    pair.create(Side::A, &json!({ "pfs": ours }));
    let before = pair.settled(1);
    let ping = lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(100));
    ping.wait_for_replies(5);
    let started = Instant::now();
    let answer = change_how(&pair, Side::A, &json!({ "pfs": ours }), "rehearse=true").expect(200).json();
    let took = started.elapsed();
    assert_eq!(answer["inventory"]["status"], "Ready", "the tunnel is up all the same: {answer}");
    assert!(codes(&answer).contains(&"REKEY_FAILED"), "{answer}\n{}", pair.agent(Side::A).logs());
    assert!(took < Duration::from_mins(1), "{took:?}");
    assert_eq!(native(&pair, Side::A)["rehearsal"]["outcome"], "failed");
    assert!(pair.agent(Side::A).logs().contains("the rekey test failed"));
    // charon tries again by itself, and the old SA stays as it is.
    for _ in 0..4 {
        ping.wait_for_replies(50);
    }
    let log = lab.charon_log(Side::A);
    let again = log.lines().filter(|line| line.contains("rekeying failed") || line.contains("trying again in"));
    say(format!("charon: {:?}", again.collect::<Vec<_>>()));
    let lost = ping.stop();
    say(format!("{ours} against {theirs}: told after {took:?}, then {lost:?}"));
    assert!(lost.lost() <= 1, "{lost:?}");
    assert_eq!(spis(&pair), [before[0].child("spi-in")], "the old SA");
    // Repaired on the other end: the same rehearsal passes.
    pair.change(Side::B, &json!({ "pfs": ours }));
    let repaired = wait_until(Duration::from_secs(40), "a rehearsal that passes", || {
        let answer = change_how(&pair, Side::A, &json!({ "pfs": ours }), "rehearse=true").expect(200).json();
        (!codes(&answer).iter().any(|code| code.starts_with("REKEY"))).then_some(answer)
    });
    assert_eq!(repaired["inventory"]["status"], "Ready");
    pair.carries();
}

#[test]
fn another_group_is_shown_by_a_rehearsal() {
    rehearsed("dh-group19", "dh-group20");
}

#[test]
fn a_group_against_none_is_shown_by_a_rehearsal() {
    rehearsed("dh-group19", "none");
}

#[test]
fn none_against_a_group_is_shown_by_a_rehearsal() {
    rehearsed("none", "dh-group19");
}

/// With the same PFS on both ends nothing is lost, and both IKE versions pass.
#[test]
fn what_agrees_passes_without_a_loss() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({ "pfs": "dh-group19" }));
    // Under IKEv1 an end that deletes an SA takes it out at once: what the other end sends until the DELETE has come is
    // lost, for as long as that takes on a busy machine.
    let ping = lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(100));
    ping.wait_for_replies(5);
    for version in ["ikev2", "ikev1"] {
        let options = json!({ "ikeVersion": version, "pfs": "dh-group20" });
        pair.change(Side::B, &options);
        let answer = change_how(&pair, Side::A, &options, "rehearse=true").expect(200).json();
        assert!(!codes(&answer).iter().any(|code| code.starts_with("REKEY")), "{answer}");
        let outcome = wait_until(Duration::from_secs(20), "the rehearsal is over", || {
            native(&pair, Side::A)["rehearsal"]["outcome"].as_str().map(str::to_owned)
        });
        assert_eq!(outcome, "passed", "{version}");
        ping.wait_for_replies(10);
        pair.settled(1);
    }
    let lost = ping.stop();
    say(format!("two rehearsals that pass: {lost:?}"));
    assert!(lost.lost() <= 2, "{lost:?}");
}
