//! Where keys are masked, a plan tells nobody whether a guessed key is the stored one, or that of another connection:
//! it is the same byte by byte, and charon is asked the same.

use crate::serve::{Bench, Options, change, hex, params, uuid, wait_until};
use serde_json::{Value, json};
use std::fs;

/// The stored key, and two guesses as good.
const STORED: &str = "test-only-Lk4Rw9-stored-5Xj2Mc8Pq1Tz";
const OTHERS: &str = "test-only-Bd7Hs3-others-6Vg9Ky4Nw2Fa";
const WRONG: &str = "test-only-Qe1Ux6-wronga-3Zr8Jt5Gi7Ob";

/// A second address of the gateway.
const SECOND: &str = "a0000000000040008000000000000002";

/// An agent with the connection 7, which is up, 8 for another peer identity, and 9, which shares the key of 7 from the
/// gateway's second address.
fn bench(top: &'static str) -> Bench {
    // With warnings, and the refusal of a PFS that nobody tested: it depends on whether the IKE SA stays.
    let policy = "[policy]\nuntested-pfs = \"refuse\"\n[[gateway.vips]]\n\
                  uuid = \"a0000000000040008000000000000002\"\naddress = \"192.0.2.9\"";
    let b = Bench::with(&Options { top, policy, ..Options::default() });
    b.charon.establish(true);
    b.create(&params(7, &json!({ "authKey": STORED, "pfs": "none" }))).expect(200);
    b.create(&params(8, &json!({ "authKey": OTHERS, "pfs": "none", "idType": "name", "remoteId": "other.example" })))
        .expect(200);
    let beside = json!({ "authKey": STORED, "pfs": "none", "vipUuid": SECOND, "peerAddress": "198.51.100.7" });
    b.create(&params(9, &beside)).expect(200);
    for n in [7, 8, 9] {
        wait_until("it is up", || (b.inventory(&uuid(n))["status"] == "Ready").then_some(()));
    }
    b
}

/// The changes that are planned, beside the key, and their query.
fn changes() -> Vec<(Value, &'static str)> {
    vec![
        (json!({}), ""),
        (json!({}), "?keep=true"),
        (json!({ "lifeTime": 1000 }), ""),
        (json!({ "lifeTime": 1000 }), "?rehearse=true&immediate=true"),
        (json!({ "pfs": "dh-group19" }), ""),
        (json!({ "ikeDhGroup": 20 }), ""),
        (json!({ "peerAddress": "198.51.100.99" }), ""),
        (json!({ "idType": "name", "remoteId": "new.example" }), ""),
        (json!({ "idType": "name", "remoteId": "other.example" }), ""),
        (json!({ "peerAddress": "198.51.100.8" }), ""),
        (json!({}), "?together=true"),
        (json!({ "lifeTime": 1000 }), "?together=true&keep=true"),
        (json!({ "idType": "name", "remoteId": "other.example" }), "?together=true"),
        (json!({ "lifeTime": 1000 }), "?confirm=5s"),
        (json!({ "lifeTime": 1 }), ""),
        (json!({ "systemTags": ["a-tag"] }), ""),
    ]
}

/// What is answered to a plan with this key, and what charon is asked for it.
fn plan(b: &Bench, key: &str, (more, query): &(Value, &str)) -> (u16, String, Vec<String>) {
    let mut members = change(7, &json!({ "pfs": "none", "authKey": key }));
    members.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    b.charon.forget_requests();
    let path = format!("/cygnet/v1/connections/{}/plan{query}", uuid(7));
    let answer = b.ask("POST", &path, json!({ "changeIPsecConnection": members }).to_string().as_bytes());
    // What the agent asks from time to time comes at any time.
    let is_usual =
        |command: &String| ["list-", "get-"].iter().any(|usual| command.starts_with(usual)) || command == "version";
    let asked = b.charon.commands().into_iter().filter(|command| !is_usual(command));
    (answer.status, answer.text(), asked.collect())
}

#[test]
fn a_plan_does_not_tell_whether_a_masked_key_is_right() {
    let b = bench("mask_auth_key = true");
    let mut statuses = Vec::new();
    for disabled in [false, true] {
        if disabled {
            let body = json!({ "changeIPsecConnectionState": { "stateEvent": "disable" } }).to_string();
            b.ask("PUT", &format!("/zstack/v1/ipsec/{}/actions", uuid(7)), body.as_bytes()).expect(200);
        }
        for change in &changes() {
            let right = plan(&b, STORED, change);
            for guess in [OTHERS, WRONG] {
                assert_eq!(plan(&b, guess, change), right, "{change:?} {disabled}");
            }
            statuses.push(right.0);
        }
    }
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
}

/// What a policy, or a limit of length, lets pass of a stored key must not tell that a guess is right.
#[test]
fn a_weak_or_long_key_that_is_stored_is_no_excuse_for_a_guess() {
    let mut b = Bench::with(&Options { top: "mask_auth_key = true", ..Options::default() });
    let (weak, long) = ("tst-only", "k".repeat(5000));
    b.create(&params(7, &json!({ "authKey": weak }))).expect(200);
    b.create(&params(8, &json!({}))).expect(200);
    assert!(b.stop().success());
    let settings = fs::read_to_string(b.path("cygnet.toml")).expect("settings");
    fs::write(b.path("cygnet.toml"), settings + "short-key = \"refuse\"\n").expect("settings");
    let mut record: Value = serde_json::from_slice(&fs::read(b.record(&uuid(8))).expect("a record")).expect("JSON");
    record["psk_hex"] = hex(long.as_bytes()).into();
    fs::write(b.record(&uuid(8)), record.to_string()).expect("written");
    b.run();
    let plan = |n: u8, key: &str| {
        let body = json!({ "changeIPsecConnection": change(n, &json!({ "authKey": key })) }).to_string();
        let answer = b.ask("POST", &format!("/cygnet/v1/connections/{}/plan", uuid(n)), body.as_bytes());
        (answer.status, answer.text())
    };
    let right = plan(7, weak);
    assert_eq!(plan(7, "tst-onlx"), right);
    assert!(right.0 == 503 && right.1.contains("policy.short-key"), "{right:?}");
    let right = plan(8, &long);
    assert_eq!(plan(8, &"j".repeat(5000)), right);
    assert!(right.0 == 503 && right.1.contains("at most 4096 bytes"), "{right:?}");
    // The changes themselves stay possible.
    b.change(&uuid(7), &change(7, &json!({ "authKey": weak, "lifeTime": 1000 }))).expect(200);
    b.change(&uuid(8), &change(8, &json!({ "authKey": long, "lifeTime": 1000 }))).expect(200);
}

#[test]
fn a_plan_warns_of_a_masked_key_that_another_connection_may_have() {
    let b = bench("mask_auth_key = true");
    let shared = (json!({ "idType": "name", "remoteId": "other.example" }), "");
    for key in [OTHERS, WRONG] {
        let (status, text, _) = plan(&b, key, &shared);
        assert!(status == 200 && text.contains("KEY_AMBIGUOUS") && text.contains(&uuid(8)), "{text}");
    }
}

#[test]
fn a_plan_without_a_key_is_exact_where_keys_are_masked() {
    let b = bench("mask_auth_key = true");
    let path = format!("/cygnet/v1/connections/{}/plan?keep=true", uuid(7));
    let impact = |more: Value| {
        let body = json!({ "changeIPsecConnection": more }).to_string();
        b.ask("POST", &path, body.as_bytes()).expect(200).json()["impact"].clone()
    };
    assert_eq!(impact(json!({})), "none");
    assert_eq!(impact(json!({ "lifeTime": 1000 })), "child");
    let given = b.ask("POST", &path, json!({ "changeIPsecConnection": { "authKey": STORED } }).to_string().as_bytes());
    let given = given.expect(200).json();
    assert_eq!(given["impact"], "reauth", "a key that is given counts as a new one");
    assert_eq!(given["fields"], json!([{ "field": "authKey", "changed": "unknown" }]));
}

#[test]
fn a_plan_tells_it_where_keys_are_shown() {
    let b = bench("");
    let same = (json!({}), "?together=true");
    assert!(plan(&b, STORED, &same).1.contains("\"impact\":\"none\""));
    assert!(plan(&b, WRONG, &same).1.contains("\"impact\":\"reauth\""));
}
