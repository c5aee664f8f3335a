//! What the planner makes of real charons: it ends, it leaves one SA of each child, and it carries only what is wanted.

use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::native;
use crate::pair::{PATIENCE, Pair, WAIT};
use crate::plain::{self, Plain};
use crate::support::agent::AgentOptions;
use crate::support::lab::{Lab, Side};
use crate::support::{run, wait_until};
use crate::{lab, lab_for, say};

/// All CHILD_SAs of the connection on this side, whatever their state.
pub fn children(pair: &Pair, side: Side) -> Vec<Value> {
    pair.ike_sas(side).iter().flat_map(|ike| ike["children"].as_array().cloned().unwrap_or_default()).collect()
}

/// How often the agent of `side` began to negotiate.
pub fn attempts(pair: &Pair, side: Side) -> usize {
    pair.agent(side).logs().lines().filter(|line| line.contains("next step: negotiate ")).count()
}

#[test]
fn a_change_of_the_lifetime_alone_ends() {
    for version in Lab::ike_versions() {
        let Some(lab) = lab() else { return };
        let mut pair = Pair::start(&lab);
        pair.create_both(&json!({ "ikeVersion": version, "lifeTime": 3600 }));
        let before = pair.settled(1);
        // First on one end alone, as it is everywhere for a moment.
        pair.change(Side::A, &json!({ "ikeVersion": version, "lifeTime": 7200 }));
        wait_until(PATIENCE, "A is Ready", || (pair.status(Side::A) == "Ready").then_some(()));
        pair.change(Side::B, &json!({ "ikeVersion": version, "lifeTime": 7200 }));
        let after = pair.renewed(&before, 1);
        assert!(after[0].child("life-time").parse::<u32>().is_ok_and(|left| left > 3700), "{after:#?}");
        let begun = Side::BOTH.map(|side| attempts(&pair, side));
        assert!(begun.iter().sum::<usize>() <= 6, "{version}: {begun:?}");
        pair.carries();
    }
}

#[test]
fn both_begin_at_once_and_carry() {
    for version in Lab::ike_versions() {
        let Some(lab) = lab() else { return };
        let mut pair = Pair::start_waiting(&lab, ["0s", "0s"]);
        pair.create_at_once(&json!({ "ikeVersion": version }));
        for side in Side::BOTH {
            wait_until(PATIENCE, "Ready", || (pair.status(side) == "Ready").then_some(()));
        }
        pair.carries();
        wait_until(PATIENCE, "one is left", || {
            let left = Side::BOTH.map(|side| children(&pair, side).len());
            (left == [1, 1]).then_some(())
        });
        pair.carries();
    }
}

/// The peer's SAs are not touched by the correction: only we can make it right, and nobody calls.
fn a_narrowed_child_is_negotiated_anew(version: &str, wrong: &Plain<'_>) {
    let Some(lab) = lab_for(version) else { return };
    let mut pair = Pair::start(&lab);
    wrong.load(&lab);
    pair.create(Side::A, &json!({ "ikeVersion": version }));
    let condition = || native(&pair, Side::A)["children"][0]["condition"].clone();
    wait_until(PATIENCE, "narrowed", || (condition() == "narrowed").then_some(()));
    let ike = pair.ike_sas(Side::A)[0]["uniqueid"].clone();
    let mut most = [0, 0];
    let mut look = || {
        let now = [children(&pair, Side::A).len(), plain::children(&lab)];
        most = [most[0].max(now[0]), most[1].max(now[1])];
        now
    };
    for round in 2..6 {
        wait_until(PATIENCE, "another attempt", || {
            look();
            (attempts(&pair, Side::A) >= round).then_some(())
        });
        wait_until(PATIENCE, "one is left of it", || (look() == [1, 1]).then_some(()));
    }
    assert!(!lab.charon_log(Side::A).contains("due to existing duplicate"), "{}", lab.charon_log(Side::A));
    Plain::right(version).load(&lab);
    wait_until(Duration::from_mins(1), "Ready", || {
        look();
        (pair.status(Side::A) == "Ready").then_some(())
    });
    wait_until(PATIENCE, "one is left", || (look() == [1, 1]).then_some(()));
    // One that is being negotiated is listed too.
    assert!(most[0] <= 3 && most[1] <= 2, "{version}: {most:?} at once");
    assert_eq!(pair.ike_sas(Side::A)[0]["uniqueid"], ike, "the IKE SA stayed");
    // No pings: this data plane removes its one route to the peer's network with the narrowed SA. With the kernel's own
    // IPsec all carries (kernel/on_corrections.rs).
}

#[test]
fn a_narrowed_child_is_negotiated_anew_and_right_after_the_correction() {
    a_narrowed_child_is_negotiated_anew("ikev2", &Plain { remote: "10.1.0.0/25", ..Plain::right("ikev2") });
}

#[test]
fn a_narrowed_child_is_negotiated_anew_ikev1() {
    a_narrowed_child_is_negotiated_anew("ikev1", &Plain { local: "10.2.0.0/25", ..Plain::right("ikev1") });
}

/// An operator's rule, a peer that keeps one SA, another PFS: whatever comes up is closed at once.
#[test]
fn a_tunnel_that_the_peer_closes_at_once_is_flapping() {
    for version in Lab::ike_versions() {
        let Some(lab) = lab() else { return };
        let mut pair = Pair::start(&lab);
        Plain::right(version).load(&lab);
        pair.create(Side::A, &json!({ "ikeVersion": version }));
        let reason = || native(&pair, Side::A)["reason"].clone();
        wait_until(Duration::from_mins(1), "FLAPPING", || {
            if plain::children(&lab) > 0 {
                lab.swanctl(Side::B, &["--terminate", "--ike", "plain", "--force", "--timeout", "1"]);
            }
            (reason()["code"] == "FLAPPING").then_some(())
        });
        let begun = attempts(&pair, Side::A);
        assert!(begun <= 10, "{version}: {begun} attempts");
        assert!(reason()["details"].as_str().is_some_and(|text| text.contains("the peer closes it")), "{}", reason());
        // It comes up again, and that is not believed at once.
        wait_until(Duration::from_mins(1), "it is up", || (plain::children(&lab) > 0).then_some(()));
        assert_ne!(pair.status(Side::A), "Ready");
        assert_eq!(reason()["code"], "FLAPPING");
    }
}

#[test]
fn without_its_address_a_tunnel_is_not_ready() {
    let Some(lab) = lab() else { return };
    let single = "[ha]\nrole = \"single\"\n".to_owned();
    let mut pair = Pair::start_with(&lab, |side| AgentOptions {
        wait: WAIT[side as usize].to_owned(),
        tables: single.clone(),
        ..AgentOptions::default()
    });
    pair.create_both(&json!({}));
    pair.settled(1);
    let address = format!("{}/24", Side::A.wan());
    lab.remove_address(Side::A, &address);
    wait_until(Duration::from_secs(20), "not Ready", || (pair.status(Side::A) != "Ready").then_some(()));
    let view = native(&pair, Side::A);
    assert_eq!(view["reason"]["code"], "LOCAL_ADDRESS_MISSING");
    assert_eq!(
        (&view["carrying"], &view["as_wanted"]),
        (&json!(false), &json!(false)),
        "what watches is told the same"
    );
    lab.add_address(Side::A, &address);
    wait_until(PATIENCE, "Ready again", || (pair.status(Side::A) == "Ready").then_some(()));
}

/// The peer is killed and comes back without its SAs: it says nothing of what it forgot.
#[test]
fn a_peer_that_forgot_the_tunnel_is_no_black_hole() {
    for version in Lab::ike_versions() {
        let Some(lab) = lab() else { return };
        let mut pair = Pair::start(&lab);
        Plain::right(version).load(&lab);
        // Dead peer detection would come much later: it is not what heals.
        let options = json!({ "ikeVersion": version, "dpdDelay": 300, "dpdTimeout": 900 });
        let created = pair.create(Side::A, &options);
        assert_eq!(created["status"], "Ready", "{created}");
        let ping = lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(200));
        ping.wait_for_replies(5);
        lab.kill_charon(Side::B);
        lab.start_charon(Side::B);
        Plain::right(version).load(&lab);
        let back = ping.received();
        wait_until(Duration::from_secs(40), "traffic is back", || (ping.received() > back + 5).then_some(()));
        let result = ping.stop();
        say(format!("{version}, a peer that forgot the tunnel: {result:?}"));
        assert_eq!(attempts(&pair, Side::A), 2, "{}", pair.agent(Side::A).logs());
        wait_until(PATIENCE, "the old one is gone", || (children(&pair, Side::A).len() == 1).then_some(()));
        assert_eq!(pair.status(Side::A), "Ready");
    }
}

/// Nothing ever comes back from the application: once it is made anew, and loses nothing.
#[test]
fn an_application_that_sends_one_way_is_healed_once() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    pair.create_both(&json!({}));
    pair.settled(1);
    let ping = lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(200));
    ping.wait_for_replies(5);
    run(lab.command_in(Side::B, "ip").args(["rule", "add", "from", Side::B.host(), "pref", "10", "blackhole"]));
    wait_until(Duration::from_secs(40), "it is made anew", || (attempts(&pair, Side::A) == 2).then_some(()));
    let before = pair.settled(1);
    wait_until(Duration::from_secs(40), "it hears nothing for long", || {
        let child = native(&pair, Side::A)["children"][0].clone();
        let sent = child["sas"][0]["packets_out"].as_u64().unwrap_or_default();
        (child["condition"] == "no_inbound" && sent > 100).then_some(())
    });
    let arrived = |side: Side| native(&pair, side)["children"][0]["sas"][0].clone();
    assert!(arrived(Side::B)["packets_in"].as_u64() >= Some(100), "{}", arrived(Side::B));
    assert_eq!(attempts(&pair, Side::A), 2);
    assert_eq!(pair.settled(1)[0].spis(), before[0].spis());
    ping.stop();
}
