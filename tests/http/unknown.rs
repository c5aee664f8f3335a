//! Members that nobody reads: the call succeeds, and its answer names what was meant.

use super::jobs::{JOB, call, outcome};
use crate::serve::{Bench, Options, change, params, uuid};
use serde_json::{Value, json};

const PATH: &str = "/zstack/v1/ipsec";

/// An agent with the connection 7, which says nothing of weak choices.
fn bench() -> Bench {
    let b = Bench::with(&Options { policy: "[policy]\ndefault = \"off\"", ..Options::default() });
    b.charon.establish(true);
    b.create(&params(7, &json!({}))).expect(200);
    b
}

/// The messages of the warnings in `answer`, which all are of this kind.
#[track_caller]
fn said(answer: &Value) -> Vec<String> {
    let all = answer["warnings"].as_array().cloned().unwrap_or_default();
    let text = |warning: &Value| {
        assert_eq!(warning["code"], "UNKNOWN_MEMBER", "{warning}");
        warning["message"].as_str().expect("a message").to_owned()
    };
    all.iter().map(text).collect()
}

#[track_caller]
fn write(b: &Bench, method: &str, path: &str, body: &Value) -> Value {
    b.ask(method, &format!("{PATH}{path}"), body.to_string().as_bytes()).expect(200).json()
}

fn change_of(more: &Value) -> Value {
    json!({ "changeIPsecConnection": change(7, more) })
}

#[test]
fn a_misspelled_option_of_a_change_is_named_with_the_one_that_was_meant() {
    let b = bench();
    let path = format!("/config/{}", uuid(7));
    write(&b, "PUT", &path, &change_of(&json!({ "lifeTime": 600 })));
    let secret = "test-only-secret-of-a-misspelled-key";
    let body = change_of(&json!({ "lifeTme": 600, "ikeEncryption": "aes-128", "colour": "red", "auth_keys": secret }));
    let wanted = [
        "\"auth_keys\" is no member of changeIPsecConnection: it changes nothing; did you mean authKey?",
        "\"colour\" is no member of changeIPsecConnection: it changes nothing",
        "\"ikeEncryption\" is no member of changeIPsecConnection: it changes nothing; did you mean ikeEncryptionAlgorithm?",
        "\"lifeTme\" is no member of changeIPsecConnection: it changes nothing; did you mean lifeTime?",
    ];
    let plan = format!("/cygnet/v1/connections/{}/plan", uuid(7));
    let planned = b.ask("POST", &plan, body.to_string().as_bytes()).expect(200).json();
    let all = planned["warnings"].as_array().expect("a list").iter();
    let mut messages =
        all.filter(|w| w["code"] == "UNKNOWN_MEMBER").filter_map(|w| w["message"].as_str()).collect::<Vec<_>>();
    messages.sort_unstable();
    assert_eq!(messages, wanted, "the plan says it before");
    let answer = write(&b, "PUT", &path, &body);
    let mut messages = said(&answer);
    messages.sort();
    assert_eq!(messages, wanted);
    assert_eq!(answer["inventory"]["lifeTime"], 3600, "the contract: what is left out takes its default");
    assert!(answer["inventory"].get("warnings").is_none());
    assert!(
        !answer.to_string().contains(secret) && !planned.to_string().contains(secret) && !b.logs().contains(secret)
    );
    assert_eq!(
        said(&write(&b, "PUT", &path, &change_of(&json!({ "lifeTime": 600 })))),
        [""; 0],
        "nothing is left to say"
    );
}

#[test]
fn every_write_says_it() {
    let b = bench();
    let own = format!("/{}", uuid(7));
    let actions = format!("{own}/actions");
    for (method, path, body, wanted) in [
        ("POST", String::new(), json!({ "params": params(8, &json!({ "peerCidr": ["10.88.0.0/24"] })) }), "peerCidrs"),
        ("PUT", own.clone(), json!({ "updateIPsecConnection": { "name": "a", "descripton": "b" } }), "description"),
        (
            "PUT",
            actions.clone(),
            json!({ "changeIPSecConnectionState": { "stateEvent": "enable", "stateevents": "x" } }),
            "stateEvent",
        ),
        ("PUT", actions.clone(), json!({ "reconnectIPsecConnection": { "userTag": ["x"] } }), "userTags"),
        (
            "POST",
            format!("{own}/remote-cidrs"),
            json!({ "params": { "peerCidrs": ["10.77.0.0/24"], "peerCidr": [] } }),
            "peerCidrs",
        ),
        ("DELETE", format!("{own}/remote-cidrs?peerCidrs=10.77.0.0/24&rehears=true"), Value::Null, "rehearse"),
        ("PUT", format!("/config/{}?confrim=60s", uuid(7)), change_of(&json!({})), "confirm"),
        ("PUT", format!("/config/{}?keeps=true", uuid(7)), change_of(&json!({})), "keep"),
        (
            "PUT",
            format!("/config/{}?keep=true", uuid(7)),
            json!({ "changeIPsecConection": change(7, &json!({})) }),
            "changeIPsecConnection",
        ),
        (
            "PUT",
            format!("/config/{}", uuid(7)),
            json!({ "changeIPsecConnection": change(7, &json!({})), "lifeTime": 600 }),
            "lifeTime within changeIPsecConnection",
        ),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = b.ask(method, &format!("{PATH}{path}"), body.as_bytes()).expect(200).json();
        let messages = said(&answer);
        assert_eq!(messages.len(), 1, "{method} {path}: {messages:?}");
        assert!(messages[0].ends_with(&format!("; did you mean {wanted}?")), "{method} {path}: {messages:?}");
    }
    // Two actions in one body: one of them is done.
    let both = json!({ "changeIPSecConnectionState": { "stateEvent": "enable" }, "reconnectIPsecConnection": {} });
    let messages = said(&write(&b, "PUT", &actions, &both));
    assert_eq!(
        messages,
        ["\"reconnectIPsecConnection\" is ignored beside changeIPSecConnectionState: it changes nothing"]
    );
}

#[test]
fn a_job_says_it_too() {
    let b = bench();
    let body = change_of(&json!({ "pfss": "none" }));
    let path = format!("{PATH}/config/{}", uuid(7));
    assert_eq!(call(&b, "PUT", &path, &[("X-Job-UUID", JOB)], &body).0, 202);
    let (status, result) = outcome(&b, JOB);
    assert_eq!((status, said(&result).len()), (200, 1), "{result}");
}

#[test]
fn what_clients_send_with_every_call_is_no_mistake() {
    let b = bench();
    let system = json!({
        "systemTags": ["a::b"], "userTags": ["c"], "requestIp": "203.0.113.5", "sessionId": "s", "session": { "uuid": "s" },
        "accessKeyId": "test-only", "accessKeySecret": "test-only", "timeout": -1, "pollingInterval": -1, "apiId": "x",
        "resourceUuid": uuid(7), "tagUuids": [], "uuid": uuid(7), "lifeTme": null,
    });
    let with = |params: Value| {
        let mut all = params;
        for (name, value) in system.as_object().expect("an object") {
            all.as_object_mut().expect("an object").entry(name).or_insert_with(|| value.clone());
        }
        all
    };
    let own = format!("/{}", uuid(7));
    for (method, path, key, params) in [
        ("POST", String::new(), "params", params(9, &json!({}))),
        ("PUT", format!("/config{own}"), "changeIPsecConnection", change(7, &json!({}))),
        ("PUT", format!("/config{own}"), "params", change(7, &json!({}))),
        ("PUT", format!("/config{own}"), "CHANGEIPSECCONNECTION", change(7, &json!({}))),
        ("PUT", own.clone(), "updateIPsecConnection", json!({ "name": "b" })),
        ("PUT", format!("{own}/actions"), "changeIPSecConnectionState", json!({ "stateEvent": "enable" })),
        ("PUT", format!("{own}/actions"), "reconnectIPsecConnection", json!({})),
        ("POST", format!("{own}/remote-cidrs"), "params", json!({ "peerCidrs": ["10.79.0.0/24"] })),
    ] {
        let body = with(json!({ key: with(params) }));
        let answer = write(&b, method, &path, &body);
        assert_eq!(said(&answer), [""; 0], "{method} {path} {key}");
    }
    let path = format!("{own}/remote-cidrs?peerCidrs.0=10.79.0.0/24&systemTags=x&sessionId=y&immediate=true");
    let answer = b.ask("DELETE", &format!("{PATH}{path}"), b"").expect(200).json();
    assert_eq!(said(&answer), [""; 0]);
}

#[test]
fn names_are_shown_within_bounds_and_visibly() {
    let b = bench();
    let path = format!("/config/{}", uuid(7));
    let hostile = json!({ "\u{1b}[31mred\u{202e}\"": 1 });
    let messages = said(&write(&b, "PUT", &path, &change_of(&hostile)));
    assert_eq!(messages.len(), 1);
    assert!(messages[0].starts_with("\"\\u{1b}[31mred\\u{202e}\\\"\" is no member"), "{messages:?}");
    let mut many = serde_json::Map::new();
    for n in 0..3000 {
        many.insert(format!("{n}{}", "x".repeat(200)), json!("y"));
    }
    let messages = said(&write(&b, "PUT", &path, &change_of(&many.into())));
    assert_eq!(messages.len(), 9);
    assert_eq!(messages[8], "2992 more are unknown: they change nothing");
    assert!(messages.iter().all(|message| message.chars().count() < 150), "{messages:?}");
}

/// What is never supported is refused by its name, with the reason: its peer has no tunnel otherwise. The value is not
/// shown, and one that says "off" is ignored like any member that nobody reads.
#[test]
fn what_is_never_supported_is_refused_by_name() {
    let b = bench();
    let before = b.charon.requests_of("load-conn").len();
    let path = format!("{PATH}/config/{}", uuid(7));
    let ask = |more: Value| b.ask("PUT", &path, change_of(&more).to_string().as_bytes());
    let algorithms = ["ikeEncryptionAlgorithm", "policyEncryptionAlgorithm", "ikeAuthAlgorithm", "policyAuthAlgorithm"];
    let words = [
        ("SM4-CBC", "SM4 "),
        ("sm3", "SM4 "),
        ("des", "; DES "),
        ("DES-CBC", "; DES "),
        ("null", "NULL "),
        ("esp-null", "NULL "),
    ];
    for (field, (value, why)) in algorithms.iter().flat_map(|field| words.map(|word| (*field, word))) {
        let told = ask(json!({ field: value })).expect(503).text();
        assert!(told.contains(why) && told.contains("never supported") && told.contains("use aes-256"), "{told}");
    }
    let secret = "test-only-password";
    for (more, why) in [
        (json!({ "ikeVersion": "aggressive" }), "aggressive mode is never supported"),
        (json!({ "authMode": "xauth" }), "XAUTH and EAP are never supported"),
        (json!({ "authMode": "EAP-TLS" }), "XAUTH and EAP are never supported"),
        (json!({ "aggressive": true }), "field[aggressive] is refused: aggressive mode"),
        (json!({ "ikeAggressiveMode": "yes" }), "field[ikeAggressiveMode] is refused: aggressive mode"),
        (json!({ "exchangeMode": "Aggressive" }), "field[exchangeMode] is refused: aggressive mode"),
        (json!({ "xauthPassword": secret }), "field[xauthPassword] is refused: XAUTH and EAP"),
        (json!({ "eap_id": "somebody" }), "field[eap_id] is refused: XAUTH and EAP"),
    ] {
        let told = ask(more.clone()).expect(503).text();
        assert!(told.contains(why) && told.contains("; use ") && !told.contains(secret), "{more}: {told}");
    }
    assert_eq!(b.charon.requests_of("load-conn").len(), before);
    // An algorithm that is not one of them, and members that ask for nothing.
    let told = ask(json!({ "ikeEncryptionAlgorithm": "3des-cbc" })).expect(503).text();
    assert!(!told.contains("never supported"), "{told}");
    let answer =
        ask(json!({ "aggressive": false, "exchangeMode": "main", "xauth": null, "leapSeconds": 1 })).expect(200).json();
    assert_eq!(said(&answer).len(), 3, "{answer}");
}
