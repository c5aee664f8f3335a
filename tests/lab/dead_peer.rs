//! A peer that falls silent, with the retransmissions that the package brings and the default times of dead peer
//! detection. How long it took is printed; what is asserted are the steps.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pair::Pair;
use crate::support::agent::AgentOptions;
use crate::support::lab::{CharonOptions, Lab, Side};
use crate::support::wait_until;
use crate::{lab, say};

/// More than charon's own retransmissions would take.
const LONG: Duration = Duration::from_mins(4);

/// The value of a key in the strongswan.conf of the package.
fn shipped(key: &str) -> f64 {
    let mut lines = include_str!("../../packaging/strongswan.conf").lines();
    let value = lines.find_map(|line| line.trim().strip_prefix(key)?.trim().strip_prefix('='));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {key}"))
}

/// A tunnel whose A has the shipped retransmissions, and whose B has fallen silent; since when.
fn silent(lab: &Lab, options: &Value) -> (Pair, Instant) {
    lab.start_charon_with(
        Side::A,
        CharonOptions {
            retransmit_timeout: shipped("retransmit_timeout"),
            retransmit_base: shipped("retransmit_base"),
            retransmit_tries: format!("{}", shipped("retransmit_tries")).parse().expect("a number"),
            ..Default::default()
        },
    );
    lab.start_charon(Side::B);
    let mut pair = Pair::join(lab, |_| AgentOptions { wait: "0s".to_owned(), ..Default::default() });
    for side in Side::BOTH {
        pair.create(side, options);
    }
    pair.settled(1);
    lab.pause_charon(Side::B);
    (pair, Instant::now())
}

/// Waits until A has given its peer up; what charon said since the peer was silent.
fn given_up(pair: &Pair, since: Instant, word: &str, name: &str) -> String {
    let before = pair.lab.charon_log(Side::A).len();
    let log = wait_until(LONG, word, || {
        let log = pair.lab.charon_log(Side::A).get(before.saturating_sub(1)..).unwrap_or_default().to_owned();
        log.contains(word).then_some(log)
    });
    say(format_args!("{name}: a dead peer was noticed after {:.1} s", since.elapsed().as_secs_f64()));
    wait_until(LONG, "it is not Ready", || (pair.status(Side::A) != "Ready").then_some(()));
    log
}

#[test]
fn a_dead_ikev2_peer_is_given_up_after_three_retransmissions() {
    let Some(lab) = lab() else { return };
    let (pair, since) = silent(&lab, &json!({ "ikeVersion": "ikev2" }));
    let log = given_up(&pair, since, "giving up after 3 retransmits", "IKEv2");
    for step in ["sending DPD request", "retransmit 1 of request", "retransmit 2 of request", "retransmit 3 of request"]
    {
        assert!(log.contains(step), "{step}: {log}");
    }
    assert!(!log.contains("retransmit 4"), "{log}");
    lab.resume_charon(Side::B);
}

#[test]
fn a_dead_ikev1_peer_is_given_up_after_its_own_timeout() {
    let Some(lab) = lab() else { return };
    let (pair, since) = silent(&lab, &json!({ "ikeVersion": "ikev1" }));
    let log = given_up(&pair, since, "DPD check timed out", "IKEv1");
    assert!(log.contains("sending DPD request"), "{log}");
    lab.resume_charon(Side::B);
}

/// The times of a Change reach what runs: charon does not compare the timeout, so a new IKE SA must be made.
#[test]
fn a_change_of_the_timeout_alone_reaches_ikev1() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    pair.create_both(&json!({ "ikeVersion": "ikev1" }));
    let before = pair.settled(1);
    pair.change_both(&json!({ "ikeVersion": "ikev1", "dpdTimeout": 40 }));
    pair.renewed(&before, 1);
    pair.carries();
}
