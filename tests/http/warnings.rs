//! Warnings in the plan, in answers and in our own view; and what a policy refuses.

use crate::serve::{Bench, KEY, Options, change, params, uuid, wait_until};
use serde_json::{Value, json};

/// Everything warns but what depends on the machine.
const WARN: &str = "[policy]\nno-local-address = \"off\"";
/// Good choices. It is no key of anything.
const GOOD: &str = "vN3xq8ZkT1uWcB6yJr0Ls5Ha";

fn bench(policy: &'static str) -> Bench {
    let b = Bench::with(&Options { policy, ..Options::default() });
    b.charon.establish(true);
    b
}

/// The codes and fields of `warnings`.
fn codes(answer: &Value) -> Vec<(String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let all = answer["warnings"].as_array().cloned().unwrap_or_default();
    all.iter().map(|warning| (text(&warning["code"]).expect("a code"), text(&warning["field"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    expected.iter().map(|(code, field)| ((*code).to_owned(), Some((*field).to_owned()))).collect()
}

fn good() -> Value {
    json!({ "authKey": GOOD, "ikeVersion": "ikev2", "ikeDhGroup": 19, "pfs": "dh-group19" })
}

fn with(more: &Value) -> Value {
    let mut all = good();
    all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    all
}

#[test]
fn an_answer_warns_beside_the_inventory_and_only_if_there_is_a_reason() {
    let b = bench(WARN);
    let weak = json!({ "ikeVersion": "ikev2", "ikeEncryptionAlgorithm": "3des", "ikeAuthAlgorithm": "md5",
                       "policyAuthAlgorithm": "sha1", "pfs": "none", "authKey": "Secret123" });
    let answer = b.create(&params(7, &weak)).expect(200);
    let expected = [
        ("WEAK_3DES", "ikeEncryptionAlgorithm"),
        ("WEAK_MD5", "ikeAuthAlgorithm"),
        ("WEAK_DH_GROUP_2", "ikeDhGroup"),
        ("WEAK_SHA1", "policyAuthAlgorithm"),
        ("NO_PFS", "pfs"),
        ("SHORT_KEY", "authKey"),
        ("GUESSABLE_KEY", "authKey"),
    ];
    assert_eq!(codes(&answer.json()), pairs(&expected), "{}", answer.text());
    assert!(answer.json()["inventory"].get("warnings").is_none());
    let warnings = answer.json()["warnings"].to_string();
    assert!(!warnings.contains("Secret123") && warnings.contains("ikeDhGroup is group 2"), "{warnings}");
    let native = b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).json();
    assert_eq!(codes(&native), pairs(&expected));
    // All of it repaired, but for what only a rekeying can show.
    let answer = b.change(&uuid(7), &change(7, &good())).expect(200).json();
    assert_eq!(codes(&answer), pairs(&[("UNTESTED_PFS", "pfs")]));
    let answer = b.change(&uuid(7), &change(7, &with(&json!({ "ikePrf": "sha1" })))).expect(200).json();
    assert_eq!(codes(&answer), pairs(&[("WEAK_SHA1", "ikePrf"), ("UNTESTED_PFS", "pfs")]));
    b.change(&uuid(7), &change(7, &with(&json!({ "ikePrf": "auto" })))).expect(200);
    // IKEv1 shows it at once, and then there is nothing to say.
    let answer = b.change(&uuid(7), &change(7, &with(&json!({ "ikeVersion": "ikev1" })))).expect(200).json();
    assert_eq!(answer.get("warnings"), None, "{answer}");
}

#[test]
fn a_plan_warns_of_what_would_be() {
    let b = bench(WARN);
    b.create(&params(7, &good())).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    let plan = |more: &Value| {
        let body = json!({ "changeIPsecConnection": change(7, &with(more)) }).to_string();
        let path = format!("/cygnet/v1/connections/{}/plan", uuid(7));
        codes(&b.ask("POST", &path, body.as_bytes()).expect(200).json())
    };
    let has = |codes: &[(String, Option<String>)], code: &str| codes.iter().any(|(other, _)| other == code);
    assert_eq!(plan(&json!({})), []);
    let weak = plan(&json!({ "policyEncryptionAlgorithm": "3des" }));
    assert!(has(&weak, "PEER_NOT_CHANGED") && has(&weak, "WEAK_3DES"), "{weak:?}");
    // Each end has its own lifetimes and dead peer detection: the peer need not be changed.
    for own in
        [json!({ "lifeTime": 1800 }), json!({ "ikeLifeTime": 7200 }), json!({ "dpdDelay": 20, "dpdTimeout": 60 })]
    {
        assert!(!has(&plan(&own), "PEER_NOT_CHANGED"), "{own}");
    }
    assert!(has(&plan(&json!({ "lifeTime": 1800, "ikeDhGroup": 20 })), "PEER_NOT_CHANGED"));
    // Within the IKE SA that there is, another PFS shows at once; in a new one it does not.
    assert!(!has(&plan(&json!({ "pfs": "dh-group20" })), "UNTESTED_PFS"));
    assert!(has(&plan(&json!({ "pfs": "dh-group20", "ikeDhGroup": 20 })), "UNTESTED_PFS"));
    assert!(has(&plan(&json!({ "peerAddress": "198.51.100.99" })), "UNTESTED_PFS"));
}

#[test]
fn a_network_without_an_address_of_this_host_is_named() {
    // 10.1.0.0/24 is in the namespace of no test of this kind; loopback is on every machine.
    let b = bench(
        "[policy]\ndefault = \"off\"\nno-local-address = \"warn\"\n[[gateway.l3_networks]]\nuuid = \"loopback\"\ncidrs = [\"127.0.0.0/8\"]",
    );
    let answer = b.create(&params(7, &json!({ "l3NetworkUuid": "loopback" }))).expect(200).json();
    assert_eq!(answer.get("warnings"), None, "{answer}");
    let b = bench(
        "[policy]\ndefault = \"off\"\nno-local-address = \"warn\"\n[[gateway.l3_networks]]\nuuid = \"nowhere\"\ncidrs = [\"198.18.77.0/24\"]",
    );
    let answer = b.create(&params(8, &json!({ "l3NetworkUuid": "nowhere" }))).expect(200).json();
    assert_eq!(codes(&answer), pairs(&[("NO_LOCAL_ADDRESS", "l3NetworkUuid")]));
    assert!(answer["warnings"][0]["message"].as_str().expect("a text").contains("198.18.77.0/24"), "{answer}");
}

#[test]
fn what_the_policy_refuses_is_refused_with_field_and_advice_before_charon_hears_of_it() {
    for (choice, more, field, word) in [
        ("3des", json!({ "policyEncryptionAlgorithm": "3des" }), "policyEncryptionAlgorithm", "aes-256"),
        ("md5", json!({ "ikeAuthAlgorithm": "md5" }), "ikeAuthAlgorithm", "sha256"),
        ("dh-group2", json!({ "ikeDhGroup": 2 }), "ikeDhGroup", "group 19"),
        ("no-pfs", json!({ "pfs": "none" }), "pfs", "dh-group19"),
        ("short-key", json!({ "authKey": "xK9-2v" }), "authKey", "32 random"),
        ("guessable-key", json!({ "authKey": "Password-of-the-VPN-Gateway" }), "authKey", "32 random"),
        ("untested-pfs", json!({}), "pfs", "rehearse=true"),
    ] {
        let policy: &'static str = format!("[policy]\ndefault = \"off\"\n{choice} = \"refuse\"").leak();
        let b = bench(policy);
        b.charon.forget_requests();
        let answer = b.create(&params(7, &with(&more))).expect(503).json();
        let details = answer["error"]["details"].as_str().expect("a text");
        assert_eq!(answer["error"]["code"], "SYS.1007");
        let all = [format!("field[{field}]"), word.into(), format!("policy.{choice}")];
        assert!(all.iter().all(|part| details.contains(part.as_str())), "{details}");
        assert!(!b.charon.commands().iter().any(|command| command.starts_with("load")), "{choice}");
        b.create(&params(8, &good())).expect(if choice == "untested-pfs" { 503 } else { 200 });
    }
}

/// A policy that comes later refuses what makes things worse, and nothing else.
#[test]
fn what_was_there_before_a_policy_may_stay_and_be_worked_on() {
    let mut b = bench("[policy]\ndefault = \"off\"");
    b.create(&params(7, &json!({ "ikeDhGroup": 2, "authKey": KEY }))).expect(200);
    b.stop();
    let path = b.path("cygnet.toml");
    let text = std::fs::read_to_string(&path).expect("settings");
    std::fs::write(&path, text.replace("default = \"off\"", "default = \"refuse\"\nno-local-address = \"off\""))
        .expect("written");
    b.run();
    let cidrs = json!({ "params": { "peerCidrs": ["10.77.0.0/24"] } }).to_string();
    b.ask("POST", &format!("/zstack/v1/ipsec/{}/remote-cidrs", uuid(7)), cidrs.as_bytes()).expect(200);
    b.change(&uuid(7), &change(7, &json!({ "ikeDhGroup": 2, "lifeTime": 1000 }))).expect(200);
    b.change(&uuid(7), &change(7, &json!({ "ikeDhGroup": 5 }))).expect(503);
    b.change(&uuid(7), &change(7, &json!({ "ikeDhGroup": 2, "policyAuthAlgorithm": "md5" }))).expect(503);
    b.change(&uuid(7), &change(7, &json!({ "ikeDhGroup": 19, "authKey": GOOD }))).expect(200);
    b.change(&uuid(7), &change(7, &json!({ "ikeDhGroup": 2, "authKey": GOOD }))).expect(503);
}

/// All addresses on both sides, in whatever pieces and in whatever order they come, would take each packet there is.
#[test]
fn everything_on_both_sides_is_refused_with_the_reason() {
    let b = bench(
        "[policy]\ndefault = \"off\"\n[[gateway.l3_networks]]\nuuid = \"all\"\ncidrs = [\"0.0.0.0/0\", \"::/0\"]\n\
         [[gateway.l3_networks]]\nuuid = \"halves\"\ncidrs = [\"0.0.0.0/1\", \"128.0.0.0/1\"]",
    );
    let refused = |answer: serde_json::Value| {
        let text = answer["error"].to_string();
        assert!(text.contains("on both sides would take every packet") && text.contains("peerCidrs"), "{answer}");
    };
    for (local, remote) in [("all", "0.0.0.0/0"), ("halves", "0.0.0.0/0"), ("all", "::/0")] {
        let answer = b.create(&params(7, &with(&json!({ "l3NetworkUuid": local, "peerCidrs": [remote] }))));
        refused(answer.expect(503).json());
    }
    // One side at a time is good; the other comes with another call.
    let half = with(&json!({ "peerCidrs": ["0.0.0.0/0"] }));
    assert!(b.create(&params(7, &half)).expect(200).json()["error"].is_null());
    let body = json!({ "params": { "l3NetworkUuids": ["halves"] } }).to_string();
    let path = format!("/zstack/v1/ipsec/{}/l3networks", uuid(7));
    refused(b.ask("POST", &path, body.as_bytes()).expect(503).json());
    assert_eq!(b.inventory(&uuid(7))["l3NetworkRefs"].as_array().map(Vec::len), Some(1));
}

/// Who joins the networks of another connection is told which, in the answer, in the plan and in the view; both are.
#[test]
fn networks_that_another_connection_joins_too_are_named() {
    let b = bench("[policy]\ndefault = \"off\"\nsame-networks = \"warn\"");
    let to = |cidr: &str| with(&json!({ "peerCidrs": [cidr] }));
    let view = |n| b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(n)), b"").expect(200).json();
    let same = pairs(&[("SAME_NETWORKS", "peerCidrs")]);
    assert_eq!(codes(&b.create(&params(7, &to("10.7.0.0/24"))).expect(200).json()), []);
    assert_eq!(codes(&b.create(&params(8, &to("10.8.0.0/24"))).expect(200).json()), [], "another network");
    for (n, cidr) in [(9, "10.7.0.0/24"), (10, "10.7.0.128/25"), (11, "10.6.0.0/15"), (12, "0.0.0.0/0")] {
        let answer = b.create(&params(n, &to(cidr))).expect(200).json();
        assert_eq!(codes(&answer), same, "{cidr}");
        let text = answer["warnings"].to_string();
        assert!(text.contains(&format!("site-7 ({}) (10.1.0.0/24 to 10.7.0.0/24)", uuid(7))), "{text}");
        assert_eq!(codes(&view(7)), same);
        assert!(view(7)["warnings"].to_string().contains(&uuid(n)));
        let body = json!({ "changeIPsecConnection": change(n, &with(&json!({ "lifeTime": 1000 }))) }).to_string();
        let path = format!("/cygnet/v1/connections/{}/plan", uuid(n));
        let plan = codes(&b.ask("POST", &path, body.as_bytes()).expect(200).json());
        assert!(plan.iter().any(|(code, _)| code == "SAME_NETWORKS"), "{plan:?}");
        // What is disabled takes nothing.
        b.ask("PUT", &format!("/zstack/v1/ipsec/{}/actions", uuid(n)), DISABLE).expect(200);
        assert_eq!((codes(&view(n)), codes(&view(7))), (Vec::new(), Vec::new()), "{cidr}");
    }
}

const DISABLE: &[u8] = br#"{"changeIPsecConnectionState": {"stateEvent": "disable"}}"#;
const ENABLE: &[u8] = br#"{"changeIPsecConnectionState": {"stateEvent": "enable"}}"#;

/// Who never wants it says so; what is there already may stay, and be worked on.
#[test]
fn the_same_networks_are_refused_where_the_settings_say_so() {
    let b = bench("[policy]\ndefault = \"off\"\nsame-networks = \"refuse\"");
    let to = |cidr: &str| with(&json!({ "peerCidrs": [cidr] }));
    b.create(&params(7, &to("10.7.0.0/24"))).expect(200);
    let refused = b.create(&params(8, &to("10.7.0.0/16"))).expect(503).text();
    assert!(refused.contains(&uuid(7)) && refused.contains("refused by policy.same-networks"), "{refused}");
    b.create(&params(8, &to("10.8.0.0/24"))).expect(200);
    let cidrs = json!({ "params": { "peerCidrs": ["10.7.0.0/25"] } }).to_string();
    b.ask("POST", &format!("/zstack/v1/ipsec/{}/remote-cidrs", uuid(8)), cidrs.as_bytes()).expect(503);
    // Nor by way of a connection that is disabled meanwhile.
    b.ask("PUT", &format!("/zstack/v1/ipsec/{}/actions", uuid(8)), DISABLE).expect(200);
    b.ask("POST", &format!("/zstack/v1/ipsec/{}/remote-cidrs", uuid(8)), cidrs.as_bytes()).expect(200);
    b.ask("PUT", &format!("/zstack/v1/ipsec/{}/actions", uuid(8)), ENABLE).expect(503);
    b.change(&uuid(7), &change(7, &with(&json!({ "lifeTime": 1000 })))).expect(200);
}

/// A router of ZStack writes keys into its files as they are: only where the connection says that the peer is one.
#[test]
fn a_key_that_a_zstack_router_reads_otherwise_is_named() {
    let b = bench(WARN);
    let seen = |answer: &Value| codes(answer).iter().any(|(code, _)| code == "PEER_KEY_UNSAFE");
    let odd = with(&json!({ "authKey": "7e57a9c4&f8036b2e95c07d4a81f36e" }));
    assert!(!seen(&b.create(&params(7, &odd)).expect(200).json()));
    let mut tagged = odd.clone();
    tagged["systemTags"] = json!(["cygnet::peer::zstack"]);
    let answer = b.create(&params(8, &tagged)).expect(200);
    assert!(seen(&answer.json()) && !answer.json()["warnings"].to_string().contains("7e57"), "{}", answer.text());
    let view = || b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(8)), b"").expect(200).json();
    assert!(seen(&view()) && view()["options"]["peer"] == "zstack");
    let plan = |key: &str| {
        let body = json!({ "changeIPsecConnection": change(8, &with(&json!({ "authKey": key }))) }).to_string();
        b.ask("POST", &format!("/cygnet/v1/connections/{}/plan", uuid(8)), body.as_bytes()).expect(200).json()
    };
    // A Change that says nothing of the peer keeps it.
    for (key, is_unsafe) in [
        ("0x7e57a9c4d1f8036b2e95c07d4a81f36e", true),
        ("7e57a9c4{f8036b2e95c07d4a81f36e", true),
        ("7e57a9c4#f8036b2e95c07d4a81f36e", true),
        ("7e57a9c4-f8036b2e95c07d4a81f36e", false),
    ] {
        assert_eq!(seen(&plan(key)), is_unsafe, "{key}");
        let answer = b.change(&uuid(8), &change(8, &with(&json!({ "authKey": key })))).expect(200).json();
        assert_eq!((seen(&answer), seen(&view())), (is_unsafe, is_unsafe), "{key}");
    }
    // To say what the peer is changes nothing else.
    let said = with(&json!({ "authKey": "7e57a9c4-f8036b2e95c07d4a81f36e", "peer": "any" }));
    b.charon.forget_requests();
    b.change(&uuid(8), &change(8, &said)).expect(200);
    let loads = b.charon.commands().iter().filter(|command| command.starts_with("load-")).count();
    assert_eq!((loads, &view()["options"]["peer"]), (0, &Value::Null));
    // A plan with a hidden key speaks of the one that is given.
    let b = Bench::with(&Options { top: "mask_auth_key = true", policy: WARN, ..Options::default() });
    b.create(&params(8, &tagged)).expect(200);
    let hidden = |key: &str| {
        let body = json!({ "changeIPsecConnection": change(8, &with(&json!({ "authKey": key }))) }).to_string();
        b.ask("POST", &format!("/cygnet/v1/connections/{}/plan", uuid(8)), body.as_bytes()).expect(200).json()
    };
    assert!(!seen(&hidden("7e57a9c4-f8036b2e95c07d4a81f36e")) && seen(&hidden("7e57a9c4<f8036b2e95c07d4a81f36e")));
}

/// Some peers decode such a key, and then have another one.
#[test]
fn a_key_that_looks_encoded_is_said_to_be_text() {
    let b = bench(WARN);
    let seen = |answer: &Value| codes(answer).iter().any(|(code, _)| code == "KEY_TAKEN_AS_TEXT");
    let encoded = with(&json!({ "authKey": "0x7e57a9c4d1f8036b2e95c07d4a81f36e" }));
    let answer = b.create(&params(7, &encoded)).expect(200);
    assert!(seen(&answer.json()), "{}", answer.text());
    assert!(!answer.json()["warnings"].to_string().contains("7e57"), "{}", answer.text());
    let view = || b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).json();
    assert!(seen(&view()));
    b.change(&uuid(7), &change(7, &good())).expect(200);
    assert!(!seen(&view()));
}

/// Only where the policy names it; a PPK is enough, and a short one is no good.
#[test]
fn a_tunnel_that_a_quantum_computer_breaks_is_found_where_the_policy_says_so() {
    let safe = json!({ "ppkId": "site-a", "ppk": "vN3xq8ZkT1uWcB6yJr0Ls5HavN3xq8Zk" });
    let short = json!({ "ppkId": "site-b", "ppk": "vN3xq8ZkT1uWcB6yJr0Ls5Ha" });
    let unsafe_code = pairs(&[("NO_POST_QUANTUM", "postQuantum")]);
    let has = |answer: &Value| codes(answer).contains(&unsafe_code[0]);
    let quiet = bench(WARN);
    assert!(!has(&quiet.create(&params(1, &good())).expect(200).json()));
    let warns = bench("[policy]\nno-local-address = \"off\"\nno-post-quantum = \"warn\"");
    assert!(has(&warns.create(&params(1, &good())).expect(200).json()));
    assert!(!has(&warns.create(&params(2, &with(&safe))).expect(200).json()));
    let answer = warns.create(&params(3, &with(&short))).expect(200).json();
    assert!(codes(&answer).contains(&pairs(&[("SHORT_KEY", "ppk")])[0]), "{answer}");
    let refuses = bench("[policy]\ndefault = \"off\"\nno-post-quantum = \"refuse\"");
    let text = refuses.create(&params(1, &good())).expect(503).text();
    assert!(text.contains("postQuantum") && text.contains("policy.no-post-quantum"), "{text}");
    refuses.create(&params(2, &with(&safe))).expect(200);
}
