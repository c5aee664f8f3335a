//! Each way in which two ends can fail to agree, made on two real gateways: both agents name it, and name nothing when
//! it is mended.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pair::{KEY, Pair, with};
use crate::peer::Charon;
use crate::plain::Plain;
use crate::stream::Events;
use crate::support::agent::AgentOptions;
use crate::support::lab::{Lab, Side};
use crate::support::poll;
use crate::{lab, lab_for};

/// A peer that does not answer is named when charon sends its packet again, after 4 s; the higher address begins later.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(lab: &Lab) -> Pair {
    Pair::start_with(lab, |_| AgentOptions { wait: "0s".into(), ..Default::default() })
}

/// The native view of one end's connection.
pub fn view(pair: &Pair, side: Side) -> Value {
    let path = format!("/cygnet/v1/connections/{}", pair.uuid(side));
    pair.agent(side).request("GET", &path, None).expect(200).json()
}

/// Waits until one end names one of `codes`.
#[track_caller]
pub fn named(pair: &Pair, side: Side, codes: &[&str]) -> Value {
    let reason = poll(PATIENCE, || {
        let reason = view(pair, side)["reason"].clone();
        codes.contains(&reason["code"].as_str()?).then_some(reason)
    });
    let reason = reason.unwrap_or_else(|| {
        panic!("{side:?} does not name {codes:?}: {:#}\n{}", view(pair, side)["reason"], pair.lab.charon_log(side))
    });
    assert!(reason["details"].as_str().is_some_and(|text| text.len() > 10), "{reason}");
    assert!(reason["advice"].as_str().is_some_and(|text| text.len() > 10), "{reason}");
    reason
}

/// What differs at one end, and what both ends call that.
type Case = (Value, &'static [&'static str], &'static [&'static str]);

const IDS: [&str; 2] = ["a.example", "b.example"];

fn disagree(version: &str, cases: &[Case]) {
    // A charon without IKEv1 cannot be set to it.
    let can =
        |(difference, ..): &&Case| difference["ikeVersion"].as_str().is_none_or(|it| Lab::ike_versions().contains(&it));
    for (difference, at_a, at_b) in cases.iter().filter(can) {
        let Some(lab) = lab_for(version) else { return };
        let mut pair = start(&lab);
        let base = json!({ "ikeVersion": version, "idType": "fqdn", "localId": IDS[0], "remoteId": IDS[1] });
        pair.create(Side::B, &base);
        pair.create(Side::A, &with(&base, difference));
        let reasons = [named(&pair, Side::A, at_a), named(&pair, Side::B, at_b)];
        crate::say(format!("{version} {difference}: {:#} and {:#}", reasons[0]["details"], reasons[1]["details"]));
        for side in Side::BOTH {
            let view = view(&pair, side);
            let child = &view["children"][0]["reason"]["code"];
            assert!(child.is_string(), "the child has one too: {view:#}");
        }
        if difference.get("peerCidrs").is_some() {
            continue;
        }
        pair.change(Side::A, &base);
        pair.settled(1);
        for side in Side::BOTH {
            let view = view(&pair, side);
            assert_eq!((&view["reason"], &view["children"][0]["reason"]), (&Value::Null, &Value::Null), "{view:#}");
        }
    }
}

#[test]
fn proposals_differ_ikev2() {
    disagree(
        "ikev2",
        &[
            (json!({ "ikeEncryptionAlgorithm": "aes-128" }), &["NO_PROPOSAL_IKE"], &["NO_PROPOSAL_IKE"]),
            (json!({ "ikeDhGroup": 15 }), &["NO_PROPOSAL_IKE"], &["NO_PROPOSAL_IKE"]),
            (json!({ "policyEncryptionAlgorithm": "aes-128" }), &["NO_PROPOSAL_CHILD"], &["NO_PROPOSAL_CHILD"]),
            (json!({ "peerCidrs": ["10.77.0.0/24"] }), &["TS_MISMATCH"], &["TS_MISMATCH"]),
        ],
    );
}

#[test]
fn proposals_differ_ikev1() {
    disagree(
        "ikev1",
        &[
            (json!({ "ikeEncryptionAlgorithm": "aes-128" }), &["NO_PROPOSAL_IKE"], &["NO_PROPOSAL_IKE"]),
            (json!({ "ikeDhGroup": 15 }), &["NO_PROPOSAL_IKE"], &["NO_PROPOSAL_IKE"]),
            (json!({ "policyEncryptionAlgorithm": "aes-128" }), &["NO_PROPOSAL_CHILD"], &["NO_PROPOSAL_CHILD"]),
            (json!({ "peerCidrs": ["10.77.0.0/24"] }), &["TS_MISMATCH"], &["TS_MISMATCH"]),
        ],
    );
}

/// Who begins learns less than who answers; both begin, so in the end both know.
#[test]
fn proofs_differ_ikev2() {
    disagree(
        "ikev2",
        &[
            (json!({ "authKey": "test-only-wrong" }), &["AUTH_FAILED"], &["AUTH_FAILED"]),
            (json!({ "localId": "me.example" }), &["ID_MISMATCH"], &["ID_MISMATCH"]),
            (json!({ "remoteId": "other.example" }), &["ID_MISMATCH"], &["ID_MISMATCH"]),
            (json!({ "ikeVersion": "ikev1" }), &["IKE_VERSION_MISMATCH"], &["IKE_VERSION_MISMATCH"]),
        ],
    );
}

#[test]
fn proofs_differ_ikev1() {
    disagree(
        "ikev1",
        &[
            (json!({ "authKey": "test-only-wrong" }), &["AUTH_FAILED", "PEER_REFUSED_AUTH"], &["AUTH_FAILED"]),
            (json!({ "localId": "me.example" }), &["PEER_REFUSED_AUTH"], &["ID_MISMATCH"]),
            (json!({ "remoteId": "other.example" }), &["ID_MISMATCH"], &["PEER_REFUSED_AUTH"]),
            (json!({ "ikeVersion": "ikev2" }), &["IKE_VERSION_MISMATCH"], &["IKE_VERSION_MISMATCH"]),
        ],
    );
}

#[test]
fn nobody_answers() {
    let Some(lab) = lab() else { return };
    let mut pair = start(&lab);
    lab.drop_udp(Side::B, true);
    pair.create(Side::A, &json!({}));
    let reason = named(&pair, Side::A, &["PEER_UNREACHABLE"]);
    assert!(
        reason["details"].to_string().contains("192.0.2.2 does not answer: it has not answered at all"),
        "{reason}"
    );
    lab.drop_udp(Side::B, false);
    pair.create(Side::B, &json!({}));
    pair.settled(1);
    // Its packets are lost again, and it is asked for something.
    lab.drop_udp(Side::B, true);
    let rekey = lab.swanctl(Side::A, &["--rekey", "--ike", &pair.name(Side::A)]);
    assert!(rekey.status.success(), "{rekey:?}");
    let reason = poll(PATIENCE, || {
        let reason = view(&pair, Side::A)["reason"].clone();
        (reason["code"] == "DPD_TIMEOUT" || reason["trigger"] == "DPD_TIMEOUT").then_some(reason)
    });
    assert!(reason.is_some(), "{:#}", view(&pair, Side::A)["reason"]);
    lab.drop_udp(Side::B, false);
    pair.settled(1);
    // charon goes; its end knows nothing any more, the other end hears nothing any more.
    lab.kill_charon(Side::A);
    let reason = named(&pair, Side::A, &["CHARON_UNREACHABLE"]);
    assert!(reason["details"].as_str().is_some_and(|text| !text.is_empty()), "{reason}");
}

#[test]
fn the_gateway_itself_is_the_cause() {
    let Some(lab) = lab() else { return };
    let mut pair = start(&lab);
    for side in Side::BOTH {
        pair.create(side, &json!({}));
    }
    pair.settled(1);
    let action = format!("/zstack/v1/ipsec/{}/actions", pair.uuid(Side::A));
    let event = |event: &str| json!({ "changeIPSecConnectionState": { "stateEvent": event } });
    pair.agent(Side::A).request("PUT", &action, Some(&event("disable"))).expect(200);
    let reason = named(&pair, Side::A, &["NOT_ATTEMPTED"]);
    assert!(reason["details"].to_string().contains("disabled"), "{reason}");
    // The other end was told that the tunnel is closed, and finds no connection when it asks for another.
    let reason = named(&pair, Side::B, &["NO_PROPOSAL_IKE"]);
    assert_eq!(reason["trigger"], "PEER_DELETED", "{reason}");
    lab.remove_address(Side::A, &format!("{}/24", Side::A.wan()));
    pair.agent(Side::A).request("PUT", &action, Some(&event("enable"))).expect(200);
    // The host had the address: somebody may have moved it.
    let reason = named(&pair, Side::A, &["STANDBY"]);
    assert!(reason["details"].to_string().contains("192.0.2.1"), "{reason}");
}

/// Somebody has loaded another secret for the same peer: charon tries both, and the agent says that there are two.
#[test]
fn another_secret_is_in_the_way() {
    let Some(lab) = lab() else { return };
    let mut pair = start(&lab);
    Charon::of(&lab, Side::A).load_secret("operators", b"test-only-operators", &[Side::B.wan()]);
    pair.create(Side::A, &json!({}));
    pair.create(Side::B, &json!({ "authKey": "test-only-wrong" }));
    let reason = named(&pair, Side::A, &["KEY_AMBIGUOUS"]);
    assert!(reason["details"].to_string().contains("tried 2 shared keys"), "{reason}");
}

/// Rekeyings are no events, and the end of the tunnel is one.
#[test]
fn events_of_a_real_tunnel() {
    let Some(lab) = lab() else { return };
    let mut pair = start(&lab);
    let events = Events::open(&pair.agent(Side::A).socket(), "/cygnet/v1/events", None);
    for side in Side::BOTH {
        pair.create(side, &json!({}));
    }
    pair.settled(1);
    let has = |name: &str| events.names().iter().any(|seen| seen == name);
    poll(PATIENCE, || has("up").then_some(())).expect("it came up");
    let before = events.all().len();
    for what in ["--ike", "--child"] {
        let name = pair.name(Side::A);
        let child = pair.settled(1)[0].child("name").to_owned();
        let of = if what == "--ike" { name } else { child };
        assert!(lab.swanctl(Side::A, &["--rekey", what, &of]).status.success());
        pair.settled(1);
    }
    pair.agent(Side::B).delete(pair.uuid(Side::B)).expect(200);
    let down = poll(PATIENCE, || events.all().into_iter().skip(before).find(|event| event.name == "down"));
    let down = down.expect("the other end is gone");
    let code = down.data["reason"]["code"].as_str().unwrap_or_default().to_owned();
    assert!(["PEER_DELETED", "NO_PROPOSAL_IKE"].contains(&code.as_str()), "{down:?}");
    let between: Vec<_> = events.all().into_iter().skip(before).take_while(|event| event.name != "down").collect();
    assert!(between.is_empty(), "rekeyings are no events: {between:?}");
    let log = pair.agent(Side::A).request("GET", &format!("/cygnet/v1/connections/{}/log", pair.uuid(Side::A)), None);
    let log = log.expect(200).json().to_string();
    assert!(log.contains("received DELETE for IKE_SA") && log.contains("\"by\":\"cygnet\""), "{log}");
    assert!(!log.contains("test-only"), "no key is in the log: {log}");
}

/// The peer's operator corrects one thing and breaks another: the reason is that of now, of the connection and of its child.
#[test]
fn of_two_things_in_turn_the_present_one_is_named() {
    const KEY_DIFFERS: &[&str] = &["PEER_REFUSED_AUTH", "AUTH_FAILED"];
    for version in Lab::ike_versions() {
        let Some(lab) = lab_for(version) else { return };
        let mut pair = start(&lab);
        let peer = Charon::of(&lab, Side::B);
        let key = |key: &str| peer.load_secret("ike-plain", key.as_bytes(), &[Side::A.wan()]);
        Plain { local: "10.99.0.0/24", ..Plain::right(version) }.load(&lab);
        key("test-only-another-key");
        pair.create(Side::A, &json!({ "ikeVersion": version }));
        let is_named = |codes: &[&str]| {
            let both = poll(Duration::from_mins(1), || {
                let view = view(&pair, Side::A);
                let own = [&view["reason"]["code"], &view["children"][0]["reason"]["code"]];
                own.iter().all(|code| code.as_str().is_some_and(|code| codes.contains(&code))).then_some(())
            });
            assert!(both.is_some(), "{version}, {codes:?}: {:#}\n{}", view(&pair, Side::A), lab.charon_log(Side::A));
        };
        is_named(KEY_DIFFERS);
        key(KEY);
        is_named(&["TS_MISMATCH"]);
        key("test-only-another-key");
        peer.running().iter().for_each(|ike| peer.close(ike));
        is_named(KEY_DIFFERS);
    }
}
