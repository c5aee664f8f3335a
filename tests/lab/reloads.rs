//! The peer's operator reloads: the tunnel closes, the peer lacks the connection for a moment, and returns with another
//! one. The tunnel comes up as soon as the peer allows; earlier back-off has no effect.

use std::time::Duration;

use serde_json::json;

use crate::pair::{PATIENCE, Pair, with};
use crate::plain::Plain;
use crate::planner::attempts;
use crate::support::lab::Side;
use crate::support::wait_until;
use crate::{lab_for, say};

/// A's end is changed, and so many attempts come before B's operator follows.
fn a_peer_that_follows_late(version: &str, vain: usize) {
    let Some(lab) = lab_for(version) else { return };
    let mut pair = Pair::start(&lab);
    Plain::right(version).load(&lab);
    let options = json!({ "ikeVersion": version });
    assert_eq!(pair.create(Side::A, &options)["status"], "Ready");
    let first = attempts(&pair, Side::A);
    pair.change(Side::A, &with(&options, &json!({ "policyEncryptionAlgorithm": "aes-128" })));
    wait_until(Duration::from_mins(3), "attempts in vain", || (attempts(&pair, Side::A) >= first + vain).then_some(()));

    // B is without the connection: whoever asks for it is refused.
    lab.load_conf(Side::B, "plain", "");
    lab.swanctl(Side::B, &["--terminate", "--ike", "plain", "--force", "--timeout", "1"]);
    wait_until(PATIENCE, "the tunnel is closed", || pair.tunnel(Side::A, 1).is_none().then_some(()));
    let closed = attempts(&pair, Side::A);
    // With the waits of before, the second of these would come later than this waits.
    wait_until(Duration::from_secs(6), "three attempts", || (attempts(&pair, Side::A) >= closed + 2).then_some(()));
    assert_ne!(pair.status(Side::A), "Ready");

    Plain { esp: "aes128-sha256", ..Plain::right(version) }.load(&lab);
    let back = attempts(&pair, Side::A);
    wait_until(PATIENCE, "Ready", || (pair.status(Side::A) == "Ready").then_some(()));
    let more = attempts(&pair, Side::A) - back;
    assert!(more <= 1, "{version}: {more} attempts, though the first is right");
    pair.carries();
    say(format!("{version}: {} attempts until the peer was back", attempts(&pair, Side::A) - closed));
}

#[test]
fn a_peer_that_follows_late_ikev2() {
    a_peer_that_follows_late("ikev2", 5);
}

#[test]
fn a_peer_that_follows_late_ikev1() {
    a_peer_that_follows_late("ikev1", 5);
}

/// The tunnel was not up for long before, and the waits have grown to a minute.
#[test]
#[ignore = "two minutes"]
fn a_peer_that_follows_much_later() {
    for version in ["ikev2", "ikev1"] {
        a_peer_that_follows_late(version, 8);
    }
}
