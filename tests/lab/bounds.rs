//! Many children, and a bound on the SAs of each: the old one, and one that each end begins, because two ends that begin at
//! the same moment do not know of each other. In the end there is one. Under IKEv1 each pair of networks has a child of its
//! own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::pair::{ORDER, Pair, WAIT, reaches, with};
use crate::planner::{attempts, children};
use crate::support::agent::AgentOptions;
use crate::support::lab::{Lab, Side};
use crate::support::{poll, wait_until};
use crate::{lab_for, say};

/// The uuid of the L3 network with many CIDRs.
const NETWORKS: &str = "c0000000000040008000000000000003";

/// So many networks behind each gateway.
fn networks(side: Side, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("10.{}.{n}.0/24", side.number())).collect()
}

/// How many SAs of one child there were at most: installed, and in negotiation.
type Most = (usize, usize);

fn count(pair: &Pair, side: Side, most: &mut Most) {
    let mut by_child: BTreeMap<String, Most> = BTreeMap::new();
    for sa in children(pair, side) {
        let of = by_child.entry(sa["name"].to_string()).or_default();
        match sa["state"].as_str().unwrap_or_default() {
            "INSTALLED" | "REKEYED" => of.0 += 1,
            "DELETING" | "DELETED" => {}
            _ => of.1 += 1,
        }
    }
    let highest = |of: fn(&Most) -> usize| by_child.values().map(of).max().unwrap_or_default();
    *most = (most.0.max(highest(|of| of.0)), most.1.max(highest(|of| of.1)));
}

/// What is at most there on each side while `work` is done.
fn watched(pair: &Pair, work: impl FnOnce()) -> [Most; 2] {
    let over = AtomicBool::new(false);
    let watch = &|side: Side| {
        let mut most = (0, 0);
        while !over.load(Ordering::Relaxed) {
            count(pair, side, &mut most);
            // Both gateways need the processors too.
            let _ = poll(Duration::from_millis(50), || over.load(Ordering::Relaxed).then_some(()));
        }
        most
    };
    thread::scope(|scope| {
        let watchers = Side::BOTH.map(|side| scope.spawn(move || watch(side)));
        work();
        over.store(true, Ordering::Relaxed);
        watchers.map(|watcher| watcher.join().expect("a watcher"))
    })
}

/// Exactly one SA of each child on both ends, all of them as wanted.
#[track_caller]
fn one_each(pair: &Pair, wanted: usize, what: &str) {
    let now = || Side::BOTH.map(|side| (children(pair, side).len(), pair.status(side)));
    let left = poll(Duration::from_mins(2), || {
        now().iter().all(|(count, status)| *count == wanted && *status == "Ready").then_some(())
    });
    assert!(left.is_some(), "{what}: {:?}\n{}", now(), pair.agent(Side::A).logs());
}

fn many(lab: &Lab, version: &str, count: usize) {
    for side in Side::BOTH {
        (1..count).for_each(|n| lab.add_lan(side, &format!("10.{}.{n}.1/24", side.number())));
    }
    let mut pair = Pair::start_with(lab, |side| AgentOptions {
        wait: WAIT[side as usize].to_owned(),
        l3_networks: vec![(NETWORKS.to_owned(), networks(side, count))],
        ..Default::default()
    });
    let base = json!({ "ikeVersion": version });
    for side in ORDER {
        let networks = json!({ "l3NetworkUuid": NETWORKS, "peerCidrs": networks(side.other(), count) });
        pair.create(side, &with(&base, &networks));
    }
    one_each(&pair, count * count, "created");
    for change in [
        json!({ "lifeTime": 7200 }),
        json!({ "lifeTime": 7200, "policyEncryptionAlgorithm": "aes-128" }),
        json!({ "lifeTime": 7200, "policyEncryptionAlgorithm": "aes-128", "authKey": "test-only-another-key" }),
    ] {
        is_bounded(&pair, &with(&base, &change), count * count);
    }
    for n in [0, count - 1] {
        reaches(lab, Side::A, &format!("10.1.{n}.1"), &format!("10.2.{n}.1"));
    }
}

/// Both ends are changed; each child has one new SA in the end, and never too many.
#[track_caller]
fn is_bounded(pair: &Pair, options: &Value, wanted: usize) {
    let before = pair.tunnel(Side::A, wanted).expect("a tunnel").child_spis();
    let begun = Side::BOTH.map(|side| attempts(pair, side));
    let most = watched(pair, || {
        for side in ORDER {
            pair.change(side, options);
        }
        wait_until(Duration::from_mins(2), "the old ones are gone", || {
            pair.tunnel(Side::A, wanted).filter(|now| now.child_spis().is_disjoint(&before))
        });
        one_each(pair, wanted, &options.to_string());
    });
    let begun = [0, 1].map(|n| attempts(pair, Side::BOTH[n]) - begun[n]);
    say(format!("{wanted} children, {options}: at most {most:?} SAs of one, {begun:?} negotiations begun"));
    for (installed, pending) in most {
        assert!(installed <= 3 && pending <= 1, "{options}: {most:?}");
    }
    // As many as there are children, once or twice if the other end is not changed yet: they do not pile up.
    assert!(begun.iter().all(|begun| *begun <= 4 * wanted), "{options}: {begun:?}");
    // It has ended: nothing more is begun.
    let quiet = || Side::BOTH.map(|side| attempts(pair, side));
    let now = quiet();
    let more = poll(Duration::from_secs(4), || Some(quiet()).filter(|later| *later != now));
    assert_eq!(more, None, "{options}");
}

#[test]
fn sixteen_ikev1_children_stay_within_their_bounds() {
    let Some(lab) = lab_for("ikev1") else { return };
    many(&lab, "ikev1", 4);
}

#[test]
#[ignore = "minutes"]
fn sixty_four_ikev1_children_stay_within_their_bounds() {
    let Some(lab) = lab_for("ikev1") else { return };
    many(&lab, "ikev1", 8);
}
