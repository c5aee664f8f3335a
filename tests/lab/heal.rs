//! charon dies, ends, hangs, comes back: the agent says so, answers without it, and brings everything back by itself.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::calls::not_ready;
use crate::pair::{PATIENCE, Pair};
use crate::support::agent::AgentOptions;
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;
use crate::{lab, say};

/// The time that the agent gives charon for an answer in the test of a hanging one.
const DEADLINE: Duration = Duration::from_secs(1);

fn up(lab: &Lab, timeout: &str) -> Pair {
    let mut pair = Pair::start_with(lab, |_| AgentOptions {
        wait: "0s".to_owned(),
        timeout: timeout.to_owned(),
        ..Default::default()
    });
    for side in Side::BOTH {
        pair.create(side, &json!({}));
    }
    pair.settled(1);
    pair
}

/// Waits until the agent says that charon is away; how long that took.
fn noticed(pair: &Pair, within: Duration, words: &[&str]) -> Duration {
    let start = Instant::now();
    let why = wait_until(within, "503 of /readyz", || not_ready(pair.agent(Side::A)));
    let took = start.elapsed();
    assert!(words.iter().any(|word| why.contains(word)), "{why}");
    assert_eq!(pair.status(Side::A), Value::Null, "unknown is not down");
    took
}

/// Asserts that a call does not wait for a charon that is away. Each one would; on a busy machine some take long all the same.
fn assert_waits_for_nobody(pair: &Pair) {
    let call = || {
        let asked = Instant::now();
        assert_eq!(pair.status(Side::A), Value::Null);
        asked.elapsed()
    };
    let fastest = (0..5).map(|_| call()).min();
    assert!(fastest < Some(DEADLINE / 2), "nobody waits for one who is away: {fastest:?}");
}

/// Waits until it is up again, with nobody calling; how long that took.
fn healed(pair: &Pair) -> Duration {
    let start = Instant::now();
    wait_until(PATIENCE, "the agent is ready", || not_ready(pair.agent(Side::A)).is_none().then_some(()));
    wait_until(PATIENCE, "the tunnel is up", || (pair.status(Side::A) == "Ready").then_some(()));
    let took = start.elapsed();
    pair.settled(1);
    assert_eq!(pair.lab.list_conns(Side::A), [pair.name(Side::A)]);
    // The data plane of the lab is charon too, and first works off what has waited for it.
    wait_until(PATIENCE, "pings pass", || (pair.lab.ping_tunnel(Side::A).lost() == 0).then_some(()));
    pair.carries();
    took
}

#[test]
fn charon_goes_and_comes_back() {
    let Some(lab) = lab() else { return };
    let pair = up(&lab, "5s");
    for what in ["killed", "stopped", "killed without its socket file"] {
        if what == "stopped" {
            assert!(lab.stop_charon(Side::A).success());
        } else {
            if what != "killed" {
                fs::remove_file(lab.vici_socket(Side::A)).expect("the socket file");
                assert_eq!(pair.status(Side::A), "Ready", "connected is connected");
            }
            lab.kill_charon(Side::A);
        }
        let away = noticed(
            &pair,
            Duration::from_secs(20),
            &["charon has closed the connection", "charon is unreachable", "vici"],
        );
        assert_waits_for_nobody(&pair);
        lab.start_charon(Side::A);
        say(format!("charon {what}: noticed after {away:?}, up again {:?} after it answered", healed(&pair)));
    }
}

#[test]
fn charon_hangs_and_goes_on() {
    let Some(lab) = lab() else { return };
    let pair = up(&lab, "1s");
    let before = pair.settled(1)[0].numbers();
    for round in 0..2 {
        lab.pause_charon(Side::A);
        let start = Instant::now();
        let mut slowest = Duration::ZERO;
        // In one round the calls make it known, in the other the heartbeat.
        let away = if round == 0 {
            wait_until(Duration::from_secs(20), "no status", || {
                let asked = Instant::now();
                let status = pair.status(Side::A);
                slowest = slowest.max(asked.elapsed());
                status.is_null().then_some(())
            });
            noticed(&pair, Duration::from_secs(20), &["charon"]);
            start.elapsed()
        } else {
            noticed(&pair, Duration::from_secs(20), &["charon"])
        };
        assert_waits_for_nobody(&pair);
        say(format!("charon hangs: known after {away:?}, the slowest call before took {slowest:?}"));
        lab.resume_charon(Side::A);
        say(format!("charon goes on: up again after {:?}", healed(&pair)));
        assert_eq!(pair.settled(1)[0].numbers(), before, "nothing was negotiated");
    }
}

/// With the deadline that is usual: a call must not take as long.
#[test]
fn a_call_does_not_wait_for_a_charon_that_hangs() {
    let Some(lab) = lab() else { return };
    let pair = up(&lab, "5s");
    lab.pause_charon(Side::A);
    let slowest = thread::scope(|scope| {
        let ask = || {
            let asked = Instant::now();
            pair.status(Side::A);
            asked.elapsed()
        };
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        calls.into_iter().filter_map(|call| call.join().ok()).max()
    });
    lab.resume_charon(Side::A);
    healed(&pair);
    let slowest = slowest.expect("a call");
    say(format!("charon hangs, the usual deadline: the slowest of four calls took {slowest:?}"));
    assert!(slowest < Duration::from_secs(4), "the deadline is 5 s: {slowest:?}");
}
