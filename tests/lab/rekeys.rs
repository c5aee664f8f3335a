//! What charon does by itself, and what is done very often: rekeyings of both kinds by both ends, also in the middle of a
//! change, and fifty changes in a row. The tunnel stays one, and Ready.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::drift;
use crate::pair::{PATIENCE, Pair};
use crate::support::lab::Side;
use crate::support::wait_until;
use crate::{lab, say};

/// Asks charon for a rekeying of all that bears the connection's name; there may be nothing at the moment.
fn rekey(pair: &Pair, side: Side, child: bool) {
    let name = pair.name(side);
    let children = pair.lab.children(side);
    let child_name = children.iter().filter_map(|sa| sa["name"].as_str()).find(|child| child.starts_with(&name));
    let arguments = match (child, child_name) {
        (true, Some(child)) => ["--rekey", "--child", child],
        _ => ["--rekey", "--ike", name.as_str()],
    };
    pair.lab.swanctl(side, &arguments);
}

/// What the agents said besides Ready, while `work` was done.
fn flaps(pair: &Pair, work: impl FnOnce()) -> Vec<Value> {
    let over = AtomicBool::new(false);
    let watch = &|side: Side| {
        let mut seen = Vec::new();
        while !over.load(Ordering::Relaxed) {
            seen.extend(Some(pair.status(side)).filter(|status| status != "Ready"));
        }
        seen
    };
    thread::scope(|scope| {
        let watchers = Side::BOTH.map(|side| scope.spawn(move || watch(side)));
        work();
        over.store(true, Ordering::Relaxed);
        watchers.into_iter().flat_map(|watcher| watcher.join().expect("a watcher")).collect()
    })
}

#[test]
fn rekeyings_go_unseen() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({}));
    let before = pair.settled(1);
    let ping = lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(100));
    ping.wait_for_replies(5);
    let seen = flaps(&pair, || {
        for round in 0..10 {
            rekey(&pair, Side::BOTH[round / 2 % 2], round % 2 == 0);
            ping.wait_for_replies(3);
        }
    });
    let after = pair.renewed(&before, 1);
    assert_ne!(after[0].ike("initiator-spi"), before[0].ike("initiator-spi"), "the IKE SA is another");
    ping.wait_for_replies(5);
    let lost = ping.stop();
    say(format!("ten rekeyings: {lost:?}, seen besides Ready: {seen:?}"));
    assert_eq!(seen, Vec::<Value>::new());
    assert!(lost.lost() <= 1, "{lost:?}");
    assert_eq!(drift(&pair, Side::A).0, 0);
}

/// The old SA is rekeyed while the new one is made: it is still the old one.
#[test]
fn rekeyings_in_the_middle_of_a_change() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start_waiting(&lab, ["0s", "0s"]);
    for side in Side::BOTH {
        pair.create(side, &json!({}));
    }
    let mut before = pair.settled(1);
    let ping = lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(100));
    let changes = [
        json!({ "ikeDhGroup": 19 }),
        json!({ "authKey": "test-only-another-key" }),
        json!({ "ikeDhGroup": 20 }),
        json!({ "policyEncryptionAlgorithm": "aes-128" }),
    ];
    for (round, options) in changes.iter().enumerate() {
        pair.change(Side::BOTH[round % 2], options);
        for side in Side::BOTH {
            rekey(&pair, side, false);
            rekey(&pair, side, true);
        }
        // The outcome of all that is on its way, and another one.
        ping.wait_for_replies(5);
        rekey(&pair, Side::B, false);
        pair.change(Side::BOTH[(round + 1) % 2], options);
        rekey(&pair, Side::A, false);
        before = pair.renewed(&before, 1);
    }
    let result = ping.stop();
    say(format!("rekeyings in the middle of {} changes: {result:?}", changes.len()));
    assert!(result.lost() <= changes.len() as u64, "{result:?}");
    pair.carries();
}

/// Neither end waits for the other, or for what the last change started.
#[test]
fn fifty_changes_in_a_row() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start_waiting(&lab, ["0s", "0s"]);
    for side in Side::BOTH {
        pair.create(side, &json!({}));
    }
    pair.settled(1);
    let ping = lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(100));
    ping.wait_for_replies(5);
    let mut most = 0;
    for round in 0..50 {
        let (group, cipher) = ([19, 20, 21, 31][round % 4], ["aes-128", "aes-256"][round / 3 % 2]);
        let options = json!({ "ikeDhGroup": group, "policyEncryptionAlgorithm": cipher,
                              "authKey": format!("test-only-key-{}", round / 5) });
        for side in Side::BOTH {
            pair.change(side, &options);
        }
        // As fast as tunnels come up: no old SA has the time to go before the next change.
        wait_until(PATIENCE, "the tunnel is as wanted", || (pair.status(Side::A) == "Ready").then_some(()));
        most = most.max(pair.ike_sas(Side::A).len());
    }
    let now = pair.settled(1);
    ping.wait_for_replies(10);
    let lost = ping.stop();
    say(format!("fifty changes in a row: {lost:?}, {most} IKE SAs at most"));
    assert!(most <= 10, "the old ones pile up: {most}");
    assert_eq!((now[0].ike("dh-group"), now[0].child("encr-keysize")), ("ECP_384", "128"));
    // One that this machine does not get round to sending is not lost by a change.
    assert!(lost.lost() <= 50 && lost.longest_gap <= 2, "one at most for each change, and no gap: {lost:?}");
    wait_until(PATIENCE, "nothing of it is left over", || (pair.ike_sas(Side::B).len() == 1).then_some(()));
    pair.carries();
}
