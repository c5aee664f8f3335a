//! More than one thing at a time: both ends at once, many changes in a row, two connections side by side.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pair::{ORDER, PATIENCE, Pair, Tunnel, WAIT, at_once, creation, for_side, reaches, with};
use crate::support::agent::AgentOptions;
use crate::support::lab::{Lab, Side};
use crate::support::{poll, wait_until};
use crate::{lab, lab_for};

/// For how long nothing may happen to what has settled: longer than duplicates are let alone.
const QUIET: Duration = Duration::from_secs(4);

/// Sees that the same SAs go on, with nothing beside them.
fn stays(pair: &Pair, tunnels: &[Tunnel; 2], children: usize) {
    let wanted = tunnels.each_ref().map(|tunnel| Some(tunnel.numbers()));
    let other = poll(QUIET, || {
        let seen = Side::BOTH.map(|side| pair.tunnel(side, children).map(|tunnel| tunnel.numbers()));
        (seen != wanted).then_some(seen)
    });
    let logs = || Side::BOTH.map(|side| pair.agent(side).logs()).join("\n");
    assert_eq!(other, None, "it does not stay as it was: {wanted:?}\n{}", logs());
}

fn both_ends_at_the_same_moment(version: &str) {
    let Some(lab) = lab_for(version) else { return };
    let mut pair = Pair::start_waiting(&lab, ["5s", "5s"]);
    let base = json!({ "ikeVersion": version });
    for inventory in pair.create_at_once(&base) {
        assert_eq!(inventory["status"], "Ready", "{inventory}");
    }
    let now = pair.settled(1);
    stays(&pair, &now, 1);
    // The same with a change of the child, and one of everything.
    for change in [json!({ "policyAuthAlgorithm": "sha512" }), json!({ "ikeDhGroup": 19 })] {
        let before = pair.settled(1);
        let options = with(&base, &change);
        for inventory in at_once(|side| pair.change(side, &options)) {
            assert_eq!(inventory["status"], "Ready", "{inventory}");
        }
        let now = pair.renewed(&before, 1);
        stays(&pair, &now, 1);
    }
    pair.carries();
}

#[test]
fn both_ends_at_the_same_moment_ikev2() {
    both_ends_at_the_same_moment("ikev2");
}

#[test]
fn both_ends_at_the_same_moment_ikev1() {
    both_ends_at_the_same_moment("ikev1");
}

/// Neither end waits for the other, or for what the last change started.
fn twenty_changes_in_a_row(version: &str) {
    let Some(lab) = lab_for(version) else { return };
    let mut pair = Pair::start_waiting(&lab, ["0s", "0s"]);
    for side in Side::BOTH {
        pair.create(side, &json!({ "ikeVersion": version }));
    }
    for round in 0..20 {
        let (group, cipher) = ([19, 20, 21, 31][round % 4], ["aes-128", "aes-256"][round / 3 % 2]);
        let options = json!({ "ikeVersion": version, "ikeDhGroup": group, "policyEncryptionAlgorithm": cipher });
        for side in Side::BOTH {
            pair.change(side, &options);
        }
    }
    let now = pair.settled(1);
    assert_eq!((now[0].ike("dh-group"), now[0].child("encr-keysize")), ("CURVE_25519", "128"));
    stays(&pair, &now, 1);
    pair.carries();
}

#[test]
fn twenty_changes_in_a_row_ikev2() {
    twenty_changes_in_a_row("ikev2");
}

#[test]
fn twenty_changes_in_a_row_ikev1() {
    twenty_changes_in_a_row("ikev1");
}

/// A mistake on one end, and its correction, while the old tunnel goes on: charon must not take the corrected
/// configuration for the one of the old SA, nor the agent the old SA for a wrong one for ever.
#[test]
fn one_end_is_changed_and_changed_back() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({}));
    for mistake in [
        json!({ "authKey": "test-only-mistyped" }),
        json!({ "ikeDhGroup": 19 }),
        json!({ "policyEncryptionAlgorithm": "aes-128" }),
        json!({ "ikeVersion": Lab::ike_versions().last(), "ikeEncryptionAlgorithm": "aes-128" }),
        json!({ "ikeLifeTime": 3600, "authKey": "test-only-mistyped" }),
    ] {
        // Once, and twice, so that no toggle can tell the corrected from the old.
        for mistakes in [vec![mistake.clone()], vec![json!({ "authKey": "test-only-other" }), mistake]] {
            for mistake in &mistakes {
                pair.change(Side::B, mistake);
                assert_ne!(pair.status(Side::B), "Ready", "{mistake}");
            }
            pair.change(Side::B, &json!({}));
            wait_until(PATIENCE, &format!("Ready after {mistakes:?}"), || {
                (pair.status(Side::B) == "Ready").then_some(())
            });
            pair.settled(1);
            pair.carries();
        }
    }
}

/// The uuid of B's second VIP, and of the network behind it.
const SECOND: [&str; 2] = ["c0000000000040008000000000000001", "c0000000000040008000000000000002"];

/// A key of its own needs an identity of its own.
fn second_options() -> Value {
    json!({ "authKey": "test-only-second-key", "idType": "fqdn", "localId": "a.example", "remoteId": "b.example" })
}

/// A connection of its own from A to B's second address.
fn second(pair: &Pair, side: Side, options: &Value) -> Value {
    let mut params = creation(side, options);
    match side {
        Side::A => {
            params["peerAddress"] = "192.0.2.12".into();
            params["peerCidrs"] = json!(["10.12.0.0/24"]);
        }
        Side::B => {
            params["vipUuid"] = SECOND[0].into();
            params["l3NetworkUuid"] = SECOND[1].into();
        }
    }
    pair.agent(side).create(&params).expect(200).json()["inventory"].clone()
}

/// All that runs under a name, by charon's numbers.
fn running(lab: &Lab, name: &str) -> Vec<(String, String)> {
    let sas = lab.sas(Side::A);
    let ours = sas.as_array().into_iter().flatten().filter(|sa| sa["name"] == name);
    let number = |sa: &Value| sa["uniqueid"].as_str().unwrap_or_default().to_owned();
    ours.map(|sa| (number(sa), number(&sa["children"][0]))).collect()
}

#[test]
fn two_connections_do_not_disturb_each_other() {
    let Some(lab) = lab() else { return };
    lab.add_address(Side::B, "192.0.2.12/24");
    lab.add_lan(Side::B, "10.12.0.1/24");
    let mut pair = Pair::start_with(&lab, |side| AgentOptions {
        wait: WAIT[side as usize].to_owned(),
        vips: vec![(SECOND[0].to_owned(), "192.0.2.12".to_owned())],
        l3_networks: vec![(SECOND[1].to_owned(), vec!["10.12.0.0/24".to_owned()])],
        ..Default::default()
    });
    pair.create_both(&json!({}));
    let [b, a] = ORDER.map(|side| {
        let inventory = second(&pair, side, &second_options());
        inventory["uuid"].as_str().expect("a uuid").to_owned()
    });
    let name = format!("cygnet-{a}");
    let before = pair.settled(1);
    let other = wait_until(PATIENCE, "one SA of the second", || {
        Some(running(&lab, &name)).filter(|sas| sas.len() == 1 && !sas[0].1.is_empty())
    });
    pair.change_both(&json!({ "ikeDhGroup": 19, "authKey": "test-only-first-key" }));
    let after = pair.renewed(&before, 1);
    assert_eq!(running(&lab, &name), other, "the second is as it was");
    // And the other way round.
    for side in ORDER {
        let mut options = second_options();
        options["policyEncryptionAlgorithm"] = "aes-128".into();
        let mut options = for_side(side, &options);
        if side == Side::A {
            options["peerAddress"] = "192.0.2.12".into();
        }
        pair.agent(side).change([&a, &b][side as usize], &options).expect(200);
    }
    wait_until(PATIENCE, "the second has a new child", || {
        Some(running(&lab, &name)).filter(|sas| sas.len() == 1 && sas[0].0 == other[0].0 && sas[0].1 != other[0].1)
    });
    assert_eq!(pair.settled(1).each_ref().map(Tunnel::numbers), after.each_ref().map(Tunnel::numbers));
    pair.carries();
    reaches(&lab, Side::A, Side::A.host(), "10.12.0.1");
    pair.agent(Side::A).delete(&a).expect(200);
    assert_eq!(pair.settled(1)[0].numbers(), after[0].numbers(), "the first outlives the second");
}
