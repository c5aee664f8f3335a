//! Both ends begin at the same moment, each on its own: agents that were stopped meanwhile find two tunnels. One is left,
//! on both ends the same, and it stays.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::pair::{PATIENCE, Pair, Tunnel, at_once};
use crate::planner::{attempts, children};
use crate::support::lab::Side;
use crate::support::{poll, wait_until};
use crate::{lab_for, say};

/// For how long nothing may happen to what has settled: longer than duplicates are let alone.
const QUIET: Duration = Duration::from_secs(8);

fn signal(pair: &Pair, signal: Signal) {
    Side::BOTH.into_iter().for_each(|side| pair.agent(side).signal(signal));
}

/// Both agents stand still, the tunnel is closed, and both charons begin at once.
fn begun_at_once(pair: &Pair) -> [usize; 2] {
    let child = pair.tunnel(Side::A, 1).expect("a tunnel").children()[0]["name"].as_str().expect("a name").to_owned();
    let childs =
        [child, pair.tunnel(Side::B, 1).expect("a tunnel").children()[0]["name"].as_str().expect("a name").to_owned()];
    signal(pair, Signal::SIGSTOP);
    for side in Side::BOTH {
        pair.lab.swanctl(side, &["--terminate", "--ike", &pair.name(side), "--force", "--timeout", "2"]);
    }
    wait_until(PATIENCE, "nothing runs", || Side::BOTH.iter().all(|side| pair.ike_sas(*side).is_empty()).then_some(()));
    at_once(|side| pair.lab.swanctl(side, &["--initiate", "--child", &childs[side as usize], "--timeout", "5"]));
    Side::BOTH.map(|side| children(pair, side).len())
}

/// The agents go on, the one on A so much later; how many SAs there were, and how many attempts it took.
fn one_is_left(pair: &Pair, later: Duration) -> ([usize; 2], usize) {
    let begun = begun_at_once(pair);
    let before: usize = Side::BOTH.iter().map(|side| attempts(pair, *side)).sum();
    pair.agent(Side::B).signal(Signal::SIGCONT);
    let _ = poll(later, || None::<()>);
    pair.agent(Side::A).signal(Signal::SIGCONT);
    let both = pair.settled(1);
    let left = || Side::BOTH.map(|side| children(pair, side).len());
    let is_v1 = both[0].ike("version") == "1";
    wait_until(PATIENCE, "one is left", || (is_v1 || left() == [1, 1]).then_some(()));
    let wanted = pair.settled(1).map(|tunnel| tunnel.numbers());
    let other = poll(QUIET, || {
        let seen = Side::BOTH.map(|side| pair.tunnel(side, 1).as_ref().map(Tunnel::numbers));
        (seen != wanted.clone().map(Some)).then_some(seen)
    });
    assert_eq!(other, None, "it does not stay: {wanted:?}\n{}", pair.agent(Side::A).logs());
    pair.carries();
    let after: usize = Side::BOTH.iter().map(|side| attempts(pair, *side)).sum();
    (begun, after - before)
}

fn rounds(version: &str, delays: &[u64]) {
    let Some(lab) = lab_for(version) else { return };
    let mut pair = Pair::start(&lab);
    pair.create_both(&json!({ "ikeVersion": version }));
    pair.settled(1);
    for delay in delays {
        let (begun, more) = one_is_left(&pair, Duration::from_millis(*delay));
        say(format!(
            "{version}, A's agent {delay} ms later: {begun:?} SAs at first, {more} attempts more, {:?} left",
            Side::BOTH.map(|side| children(&pair, side).len())
        ));
    }
}

#[test]
fn both_begin_at_once_ikev2() {
    rounds("ikev2", &[0]);
}

#[test]
fn both_begin_at_once_ikev1() {
    rounds("ikev1", &[0]);
}

#[test]
#[ignore = "minutes"]
fn both_begin_at_once_often() {
    for version in ["ikev2", "ikev1"] {
        rounds(version, &[0, 0, 0, 0, 0, 0, 2990, 3000, 3000, 3010, 3020]);
    }
}
