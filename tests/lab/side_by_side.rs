//! Trouble of one connection does not spread: a change that charon holds back delays no reader, and changes that wait
//! for dead peers wait side by side.

use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pair::{Pair, creation, for_side, with};
use crate::proxy::Proxy;
use crate::support::agent::AgentOptions;
use crate::support::lab::Side;
use crate::support::wait_until;
use crate::{lab, say};

/// Connections whose peers do not answer.
const DEAD: usize = 8;

fn dead(n: usize, options: &Value) -> Value {
    with(options, &json!({ "peerAddress": format!("198.51.100.{}", n + 1) }))
}

#[test]
fn a_change_that_hangs_holds_up_no_reader() {
    let Some(lab) = lab() else { return };
    lab.start_charon(Side::A);
    lab.start_charon(Side::B);
    let proxy = Proxy::before(&lab, Side::A);
    let mut pair = Pair::join(&lab, |_| AgentOptions { wait: "0s".to_owned(), ..Default::default() });
    for side in Side::BOTH {
        pair.create(side, &json!({}));
    }
    wait_until(Duration::from_secs(10), "the tunnel", || (pair.status(Side::A) == "Ready").then_some(()));
    let (uuid, agent) = (pair.uuid(Side::A), pair.agent(Side::A));
    proxy.hold("load-conn", 1);
    let slowest = thread::scope(|scope| {
        let body = for_side(Side::A, &json!({ "policyEncryptionAlgorithm": "aes-128" }));
        let change = scope.spawn(move || agent.change(uuid, &body));
        wait_until(Duration::from_secs(20), "the change hangs in charon", || proxy.holds().then_some(()));
        let mut slowest = Duration::ZERO;
        for path in ["/zstack/v1/ipsec/", "/cygnet/v1/connections/"].map(|path| format!("{path}{uuid}")) {
            for path in [path.as_str(), "/zstack/v1/ipsec", "/readyz"] {
                let start = Instant::now();
                agent.request("GET", path, None).expect(200);
                slowest = slowest.max(start.elapsed());
            }
        }
        assert!(!change.is_finished(), "it hung all the time");
        proxy.release();
        change.join().unwrap_or_else(|panic| resume_unwind(panic)).expect(200);
        slowest
    });
    say(format!("a change hangs in charon: the slowest reader took {slowest:?}"));
    // One that waited for the change would not have come back.
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
}

#[test]
fn changes_wait_side_by_side() {
    let Some(lab) = lab() else { return };
    lab.start_charon(Side::A);
    lab.start_charon(Side::B);
    let pair = Pair::join(&lab, |_| AgentOptions { wait: "2s".to_owned(), ..Default::default() });
    let agent = pair.agent(Side::A);
    let all = |call: &(dyn Fn(usize) + Sync)| {
        let start = Instant::now();
        thread::scope(|scope| (0..DEAD).for_each(|n| drop(scope.spawn(move || call(n)))));
        start.elapsed()
    };
    let uuid = |n: usize| format!("{n:012x}4000800000000000000a");
    let creating = all(&|n| {
        let mut params = creation(Side::A, &dead(n, &json!({ "resourceUuid": uuid(n) })));
        params["peerCidrs"] = json!([format!("10.99.{n}.0/24")]);
        agent.create(&params).expect(200);
    });
    let changing = all(&|n| {
        let change = dead(n, &json!({ "policyEncryptionAlgorithm": "aes-128" }));
        let inventory = agent.change(&uuid(n), &for_side(Side::A, &change)).expect(200).json()["inventory"].clone();
        assert_ne!(inventory["status"], "Ready", "{inventory}");
        assert_eq!(inventory["policyEncryptionAlgorithm"], "aes-128");
    });
    say(format!("{DEAD} dead peers, waiting 2 s for each: created in {creating:?}, changed in {changing:?}"));
    for took in [creating, changing] {
        assert!(took < Duration::from_secs(10), "one after the other takes sixteen: {took:?}");
    }
}
