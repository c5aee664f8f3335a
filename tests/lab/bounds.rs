//! Many children, and a bound on the SAs of each: the old one, and one of each end that began one, because two ends that
//! begin at the same moment do not know of each other. What one end alone begins makes two at most. In the end there is
//! one. Under IKEv1 each pair of networks has a child of its own.

use std::collections::{BTreeMap, BTreeSet};
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

/// The children of one side by their names, each with its networks, A's first: both ends call them alike.
type Names = BTreeMap<String, [String; 2]>;

fn names(pair: &Pair, side: Side) -> Names {
    let networks = |sa: &Value| {
        let mut ends = ["local-ts", "remote-ts"].map(|end| sa[end].to_string());
        if side == Side::B {
            ends.reverse();
        }
        ends
    };
    children(pair, side).iter().map(|sa| (name(sa), networks(sa))).collect()
}

fn name(sa: &Value) -> String {
    sa["name"].as_str().unwrap_or_default().to_owned()
}

fn count(pair: &Pair, side: Side, most: &mut BTreeMap<String, Most>) {
    let mut by_child: BTreeMap<String, Most> = BTreeMap::new();
    for sa in children(pair, side) {
        let of = by_child.entry(name(&sa)).or_default();
        match sa["state"].as_str().unwrap_or_default() {
            "INSTALLED" | "REKEYED" => of.0 += 1,
            "DELETING" | "DELETED" => {}
            _ => of.1 += 1,
        }
    }
    for (name, now) in by_child {
        let most = most.entry(name).or_default();
        *most = (most.0.max(now.0), most.1.max(now.1));
    }
}

/// How often the agent of `side` began each of these children.
fn begun(pair: &Pair, side: Side, names: &Names) -> BTreeMap<String, usize> {
    let logs = pair.agent(side).logs();
    let lines: Vec<_> = logs.lines().filter(|line| line.contains("next step: negotiate ")).collect();
    names.keys().map(|name| (name.clone(), lines.iter().filter(|line| line.contains(name)).count())).collect()
}

/// What is at most there of each child on each side while `work` is done.
fn watched(pair: &Pair, work: impl FnOnce()) -> [BTreeMap<String, Most>; 2] {
    let over = AtomicBool::new(false);
    let watch = &|side: Side| {
        let mut most = BTreeMap::new();
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

/// No child had more SAs than the old one and one of each end that began it, and each end one in negotiation at most.
#[track_caller]
fn none_has_too_many(
    what: &str,
    names: &[Names; 2],
    begun: &[BTreeMap<String, usize>; 2],
    most: &[BTreeMap<String, Most>; 2],
) {
    let mut ends: BTreeMap<_, usize> = BTreeMap::new();
    for (names, begun) in names.iter().zip(begun) {
        for (name, networks) in names {
            *ends.entry(networks).or_default() += usize::from(begun[name] > 0);
        }
    }
    for (names, most) in names.iter().zip(most) {
        for (name, (installed, pending)) in most {
            let ends = names.get(name).and_then(|networks| ends.get(networks)).copied().unwrap_or_default();
            assert!(*installed <= 1 + ends && *pending <= 1, "{what}: {name}: {installed}, {pending}, {ends} began it");
        }
    }
}

/// Both ends are changed; each child has one new SA in the end, and never too many.
#[track_caller]
fn is_bounded(pair: &Pair, options: &Value, wanted: usize) {
    let before = pair.tunnel(Side::A, wanted).expect("a tunnel").child_spis();
    let names = Side::BOTH.map(|side| names(pair, side));
    assert_eq!(names[0].values().collect::<BTreeSet<_>>(), names[1].values().collect(), "both ends name them alike");
    let begun_by = || Side::BOTH.map(|side| begun(pair, side, &names[side as usize]));
    let earlier = begun_by();
    let most = watched(pair, || {
        for side in ORDER {
            pair.change(side, options);
        }
        wait_until(Duration::from_mins(2), "the old ones are gone", || {
            pair.tunnel(Side::A, wanted).filter(|now| now.child_spis().is_disjoint(&before))
        });
        one_each(pair, wanted, &options.to_string());
    });
    let mut by_child = begun_by();
    for (now, before) in by_child.iter_mut().zip(&earlier) {
        for (name, count) in now.iter_mut() {
            *count -= before[name];
        }
    }
    let begun = [0, 1].map(|end: usize| by_child[end].values().sum::<usize>());
    let highest = most.each_ref().map(|all| all.values().map(|(installed, _)| *installed).max().unwrap_or_default());
    say(format!("{wanted} children, {options}: at most {highest:?} SAs of one, {begun:?} negotiations begun"));
    none_has_too_many(&options.to_string(), &names, &by_child, &most);
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
