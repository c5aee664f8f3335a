//! `ChangeIPsecConnection`.

use super::transcript::Transcript;
use crate::serve::{Bench, KEY, Options, change, params, uuid};
use serde_json::{Value, json};

fn path(n: u8) -> String {
    format!("/zstack/v1/ipsec/config/{}", uuid(n))
}

/// An agent with the connection 7, in which no option has its default.
fn bench() -> Bench {
    let b = Bench::start();
    let unusual = json!({
        "idType": "fqdn", "localId": "a.example", "remoteId": "b.example", "ikeVersion": "ikev2",
        "ikeAuthAlgorithm": "sha512", "ikeEncryptionAlgorithm": "aes-192", "ikeDhGroup": 20, "ikeLifeTime": 7200,
        "policyAuthAlgorithm": "sha1", "policyEncryptionAlgorithm": "aes-128", "pfs": "none",
        "transformProtocol": "ah", "lifeTime": 600, "description": "kept", "systemTags": ["s"], "userTags": ["u"],
    });
    b.create(&params(7, &unusual)).expect(200);
    b
}

#[test]
fn a_change_resets_all_options_but_three() {
    let b = bench();
    let mut t = Transcript::default();
    t.note("before");
    t.ask(&b, "GET", &format!("/zstack/v1/ipsec/{}", uuid(7)), "").expect(200);
    t.note("localId and remoteId are left out, ikeDhGroup is 0: these stay");
    let body = json!({ "changeIPsecConnection": change(7, &json!({ "ikeDhGroup": 0, "idType": "fqdn" })) });
    t.ask(&b, "PUT", &path(7), &body.to_string()).expect(200);
    t.note("ikeDhGroup is left out: it takes its default");
    let body = json!({ "changeIPsecConnection": change(7, &json!({ "remoteId": "c.example", "idType": "fqdn" })) });
    t.ask(&b, "PUT", &path(7), &body.to_string()).expect(200);
    t.check("change_resets_options");
}

#[test]
fn what_is_changed_is_in_force_and_stored() {
    let b = bench();
    let changed = b.change(&uuid(7), &change(7, &json!({ "authKey": "test-only-new", "lifeTime": 1200 }))).expect(200);
    assert_eq!(changed.json()["inventory"]["authKey"], "test-only-new");
    let name = format!("cygnet-{}", uuid(7));
    let secret = b.charon.secret(&format!("ike-{name}")).expect("loaded");
    assert_eq!(secret.bytes("data"), Some(&b"test-only-new"[..]));
    let conf = std::fs::read_to_string(b.conf(&uuid(7))).expect("written");
    assert!(conf.contains("life_time = 1200s"), "{conf}");
    assert_eq!(changed.json()["inventory"], b.inventory(&uuid(7)));
}

#[test]
fn the_key_of_the_body_may_have_any_letter_case() {
    let b = bench();
    let mut lifetime = 600;
    for key in
        ["changeIPsecConnection", "changeipsecconnection", "CHANGEIPSECCONNECTION", "ChangeIpsecConnection", "params"]
    {
        lifetime += 1;
        let body = json!({ key: change(7, &json!({ "lifeTime": lifetime })) }).to_string();
        let changed = b.ask("PUT", &path(7), body.as_bytes()).expect(200).json();
        assert_eq!(changed["inventory"]["lifeTime"], lifetime, "{key}");
    }
    let body = json!({ "CHANGEIPSECCONNECTION": {}, "changeIPsecConnection": change(7, &json!({ "lifeTime": 700 })) });
    let changed = b.ask("PUT", &path(7), body.to_string().as_bytes()).expect(200).json();
    assert_eq!(changed["inventory"]["lifeTime"], 700, "the exact key counts");
}

#[test]
fn the_paths_of_the_sdks_and_the_method_post_work() {
    let b = bench();
    let body = json!({ "changeIPsecConnection": change(7, &json!({ "lifeTime": 700 })) }).to_string();
    for (method, path) in [("POST", path(7)), ("PUT", path(7) + "/actions")] {
        b.ask(method, &path, body.as_bytes()).expect(200);
    }
    assert_eq!(b.inventory(&uuid(7))["lifeTime"], 700);
}

#[test]
fn null_is_absent_and_whole_numbers_have_many_spellings() {
    let b = bench();
    let nulls = json!({ "pfs": null, "lifeTime": null, "ikeVersion": null, "localId": null, "systemTags": null });
    let changed = b.change(&uuid(7), &change(7, &nulls)).expect(200).json();
    let of = |inventory: &Value, name: &str| inventory["inventory"][name].clone();
    assert_eq!([of(&changed, "pfs"), of(&changed, "lifeTime")], [json!("dh-group14"), json!(3600)]);
    assert_eq!([of(&changed, "ikeVersion"), of(&changed, "localId")], [json!("ike"), json!("a.example")]);
    for spelling in ["1800", "1800.0", "\"1800\"", "\"1800.0\"", "1.8e3", "18E2"] {
        b.change(&uuid(7), &change(7, &json!({}))).expect(200);
        let body = change(7, &json!({ "lifeTime": "HERE" })).to_string().replace("\"HERE\"", spelling);
        let changed = b.ask("PUT", &path(7), format!("{{\"params\":{body}}}").as_bytes()).expect(200).json();
        assert_eq!(of(&changed, "lifeTime"), json!(1800), "{spelling}");
    }
}

#[test]
fn wrong_changes_are_refused_and_change_nothing() {
    let b = bench();
    let before = b.inventory(&uuid(7));
    b.charon.forget_requests();
    let mut t = Transcript::default();
    let mut wrong = |note: &str, changed: Value, status: u16| {
        t.note(note);
        let body = json!({ "changeIPsecConnection": change(7, &changed) }).to_string();
        t.ask(&b, "PUT", &path(7), &body).expect(status);
    };
    wrong("without peerAddress", json!({ "peerAddress": null }), 503);
    wrong("without authKey", json!({ "authKey": null }), 503);
    wrong("a number with a fraction", json!({ "lifeTime": 3600.5 }), 400);
    wrong("a number in words", json!({ "ikeLifeTime": "long" }), 400);
    wrong("a key that is no text", json!({ "authKey": 4711 }), 503);
    wrong("a key with a blank", json!({ "authKey": "test only" }), 503);
    wrong("a value in another letter case", json!({ "ikeEncryptionAlgorithm": "AES-256" }), 503);
    wrong("a group of Create only", json!({ "pfs": "dh-group0" }), 503);
    wrong("AES-GCM under IKEv1", json!({ "ikeVersion": "ikev1", "ikeEncryptionAlgorithm": "aes-256-gcm" }), 503);
    wrong("transport mode between networks", json!({ "policyMode": "transport" }), 503);
    wrong("another address family", json!({ "peerAddress": "2001:db8::7" }), 503);
    t.note("another key in the body");
    t.ask(&b, "PUT", &path(7), &json!({ "updateIPsecConnection": change(7, &json!({})) }).to_string()).expect(503);
    t.check("change_errors");
    assert_eq!(b.inventory(&uuid(7)), before);
    assert!(b.charon.requests_of("load-conn").is_empty() && b.charon.requests_of("load-shared").is_empty());
}

#[test]
fn a_connection_that_does_not_exist_is_not_found() {
    let b = bench();
    let mut t = Transcript::default();
    let body = json!({ "changeIPsecConnection": change(9, &json!({})) }).to_string();
    t.ask(&b, "PUT", &path(9), &body).expect(503);
    t.note("what is no uuid names none");
    t.ask(&b, "PUT", "/zstack/v1/ipsec/config/no-uuid", &body).expect(503);
    t.ask(&b, "DELETE", "/zstack/v1/ipsec/no-uuid", "").expect(503);
    t.ask(&b, "GET", "/zstack/v1/ipsec/no-uuid", "").expect(200);
    t.note("a traversal is only a name");
    t.ask(&b, "DELETE", "/zstack/v1/ipsec/..%2F..%2Fetc%2Fpasswd", "").expect(503);
    t.note("parameters are looked at first");
    let body = json!({ "changeIPsecConnection": change(9, &json!({ "lifeTime": 1 })) }).to_string();
    t.ask(&b, "PUT", &path(9), &body).expect(503);
    t.check("change_not_found");
}

#[test]
fn a_change_that_changes_nothing_asks_charon_for_nothing() {
    let b = bench();
    let same = change(7, &json!({}));
    let first = b.change(&uuid(7), &same).expect(200).json();
    b.charon.forget_requests();
    let second = b.change(&uuid(7), &same).expect(200).json();
    assert_eq!(first, second, "not even lastOpDate");
    let loads = ["load-conn", "load-shared", "terminate"].map(|command| b.charon.requests_of(command).len());
    assert_eq!(loads, [0, 0, 0]);
}

#[test]
fn a_masked_key_shows_nowhere_in_answers() {
    let b = Bench::with(&Options { top: "mask_auth_key = true", ..Options::default() });
    let created = b.create(&params(7, &json!({}))).expect(200);
    let changed = b.change(&uuid(7), &change(7, &json!({ "lifeTime": 700 }))).expect(200);
    let queried = b.ask("GET", "/zstack/v1/ipsec", b"").expect(200);
    let native = b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200);
    for answer in [&created, &changed, &queried, &native] {
        assert!(answer.text().contains(r#""authKey":"******""#) && !answer.text().contains(KEY), "{}", answer.text());
    }
    let hits =
        |key: &str| b.ask("GET", &format!("/zstack/v1/ipsec?q=authKey={key}&count=true"), b"").json()["total"].clone();
    assert_eq!([hits(KEY), hits("******")], [json!(0), json!(1)], "nor can it be guessed by queries");
}

#[test]
fn tags_may_stand_beside_the_parameters() {
    let b = bench();
    let stored = || std::fs::read_to_string(b.record(&uuid(7))).expect("written");
    let body = json!({ "changeIPsecConnection": change(7, &json!({ "systemTags": ["inner-tag"] })), "systemTags": ["outer-tag"] });
    b.ask("PUT", &path(7), body.to_string().as_bytes()).expect(200);
    assert!(stored().contains("outer-tag") && !stored().contains("inner-tag"), "{}", stored());
}
