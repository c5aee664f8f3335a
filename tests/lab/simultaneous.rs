//! Both ends begin at the same moment: agents that were stopped meanwhile find two tunnels. Both ends keep the same
//! one, and it stays.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::pair::{PATIENCE, Pair, at_once};
use crate::planner::{attempts, children};
use crate::support::lab::Side;
use crate::support::{poll, wait_until};
use crate::{lab_for, say};

/// For how long nothing may happen to what has settled: longer than duplicates are let alone.
const QUIET: Duration = Duration::from_secs(8);

fn signal(pair: &Pair, signal: Signal) {
    for side in Side::BOTH {
        pair.agent(side).signal(signal);
    }
}

/// Both agents stand still, the tunnel is closed, and both charons begin at once.
fn begun_at_once(pair: &Pair) -> [usize; 2] {
    let names = Side::BOTH.map(|side| children(pair, side)[0]["name"].as_str().unwrap_or_default().to_owned());
    signal(pair, Signal::SIGSTOP);
    for side in Side::BOTH {
        pair.lab.swanctl(side, &["--terminate", "--ike", &pair.name(side), "--force", "--timeout", "2"]);
    }
    wait_until(PATIENCE, "nothing runs", || Side::BOTH.iter().all(|side| pair.ike_sas(*side).is_empty()).then_some(()));
    at_once(|side| pair.lab.swanctl(side, &["--initiate", "--child", &names[side as usize], "--timeout", "5"]));
    Side::BOTH.map(|side| children(pair, side).len())
}

/// Pings that may be in flight in what is closed.
const LOST: u64 = 2;

/// What is there on both ends, by charon's numbers.
fn seen(pair: &Pair) -> [BTreeSet<String>; 2] {
    let number = |sa: &Value| sa["uniqueid"].as_str().unwrap_or_default().to_owned();
    Side::BOTH.map(|side| children(pair, side).iter().map(number).collect())
}

/// The SPIs of all CHILD_SAs on one end.
fn spis(pair: &Pair, side: Side) -> BTreeSet<String> {
    let of = |sa: &Value| ["spi-in", "spi-out"].map(|way| sa[way].as_str().unwrap_or_default().to_owned());
    children(pair, side).iter().flat_map(of).collect()
}

/// The agents go on; how many SAs there were, and how many attempts it took. If `late`, they have seen two and stand still
/// once more until both would close one: neither waits for the other then.
fn one_is_left(pair: &Pair, version: &str, late: bool) -> ([usize; 2], usize) {
    let begun = begun_at_once(pair);
    let made: BTreeSet<_> = Side::BOTH.iter().flat_map(|side| spis(pair, *side)).collect();
    let count = || Side::BOTH.iter().map(|side| attempts(pair, *side)).sum::<usize>();
    let before = count();
    signal(pair, Signal::SIGCONT);
    if late {
        for side in Side::BOTH {
            wait_until(PATIENCE, "Ready", || (pair.status(side) == "Ready").then_some(()));
        }
        signal(pair, Signal::SIGSTOP);
        let stopped = seen(pair);
        assert_eq!(poll(QUIET, || Some(seen(pair)).filter(|now| *now != stopped)), None, "nobody is at work");
        signal(pair, Signal::SIGCONT);
    }
    let ping = pair.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(100));
    let is_left = || {
        let left = seen(pair).map(|all| all.len());
        // Under IKEv1 nothing is closed that charon has not replaced: both may stay.
        let few = left == [1, 1] || (version == "ikev1" && left == [2, 2]);
        let same = spis(pair, Side::A) == spis(pair, Side::B);
        (few && same && Side::BOTH.iter().all(|side| pair.status(*side) == "Ready")).then_some(())
    };
    // First what was begun at once is tidied, then it stays.
    let is_quiet = (0..3).any(|_| {
        wait_until(PATIENCE, "one is left", is_left);
        let wanted = seen(pair);
        poll(QUIET, || (seen(pair) != wanted).then_some(())).is_none()
    });
    assert!(is_quiet, "it does not stay: {:?}\n{}", seen(pair), pair.agent(Side::A).logs());
    pair.carries();
    let pings = ping.stop();
    say(format!("{version}, late: {late}: {pings:?}"));
    if version == "ikev2" {
        let logs = Side::BOTH.map(|side| pair.agent(side).logs());
        let left = spis(pair, Side::A);
        assert!(left.is_subset(&made), "made anew: {begun:?}, {made:?} and then {left:?}\n{}\n{}", logs[0], logs[1]);
        assert!(pings.lost() <= LOST, "{pings:?}");
    }
    (begun, count() - before)
}

fn rounds(version: &str, late: &[bool]) {
    let Some(lab) = lab_for(version) else { return };
    let mut pair = Pair::start(&lab);
    pair.create_both(&json!({ "ikeVersion": version }));
    pair.settled(1);
    for late in late {
        let (begun, more) = one_is_left(&pair, version, *late);
        say(format!("{version}, late: {late}: {begun:?} SAs at first, {more} attempts more, {:?} left", seen(&pair)));
    }
}

#[test]
fn both_begin_at_once_ikev2() {
    rounds("ikev2", &[false, true]);
}

#[test]
fn both_begin_at_once_ikev1() {
    rounds("ikev1", &[false, true]);
}
