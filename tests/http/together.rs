//! Connections whose keys charon could not tell apart: which are refused, which charon can tell apart by the owners of
//! their keys, and a key that several connections share, changed in all of them or in none.

use crate::{
    fake_charon::Behaviour,
    serve::{Bench, Options, change, files, hex, params, uuid, wait_until},
};
use serde_json::{Value, json};
use std::fs;

const PATH: &str = "/zstack/v1/ipsec";
const OLD: &str = "test-only-key-of-both";
const NEW: &str = "test-only-key-anew";
/// A second address of the gateway.
const SECOND: &str = "a0000000000040008000000000000002";

fn bench() -> Bench {
    let policy = "[policy]\ndefault = \"off\"\n[[gateway.vips]]\nuuid = \"a0000000000040008000000000000002\"\naddress = \"192.0.2.9\"";
    Bench::with(&Options { policy, ..Options::default() })
}

fn with(n: u8, more: &[Value]) -> Value {
    let mut all = params(n, &json!({}));
    for (name, value) in more.iter().flat_map(|more| more.as_object().expect("an object")) {
        all[name.as_str()] = value.clone();
    }
    all
}

/// The details of a refusal, with the code of its cause.
#[track_caller]
fn refused(b: &Bench, method: &str, path: &str, body: &Value) -> String {
    let answer = b.ask(method, path, body.to_string().as_bytes()).expect(503).json();
    answer["error"]["details"].as_str().expect("details").to_owned()
}

#[track_caller]
fn refused_create(b: &Bench, params: &Value) -> String {
    let answer = b.create(params).expect(503).json();
    let text = answer["error"].to_string();
    assert!(text.contains("KEY_AMBIGUOUS") && text.contains("together=true"), "{text}");
    answer["error"]["details"].as_str().expect("details").to_owned()
}

fn put(b: &Bench, n: u8, query: &str, more: &Value) -> Value {
    let body = json!({ "changeIPsecConnection": change(n, more) }).to_string();
    b.ask("PUT", &format!("{PATH}/config/{}?{query}", uuid(n)), body.as_bytes()).expect(200).json()
}

/// What stands of a connection in the store, in conf.d and in charon.
fn everything(b: &Bench, n: u8) -> String {
    let name = format!("cygnet-{}", uuid(n));
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let loaded = (b.charon.connection(&name), b.charon.secret(&format!("ike-{name}")));
    format!("{}\n{}\n{loaded:?}", read(b.record(&uuid(n))), read(b.conf(&uuid(n))))
}

/// The key that charon has for the connection, and its owners.
fn secret(b: &Bench, n: u8) -> (String, Vec<String>) {
    let secret = b.charon.secret(&format!("ike-cygnet-{}", uuid(n))).expect("a secret");
    let key = String::from_utf8(secret.bytes("data").expect("data").to_vec()).expect("text");
    (key, secret.items("owners").map(Into::into).collect())
}

/// The key in the record, in the file, in the inventory and in charon, which must be one.
#[track_caller]
fn key(b: &Bench, n: u8) -> String {
    let (key, _) = secret(b, n);
    let read = |path| fs::read_to_string(path).expect("a file");
    for text in [read(b.record(&uuid(n))), read(b.conf(&uuid(n)))] {
        assert!(text.contains(&hex(key.as_bytes())), "{n}");
    }
    assert_eq!(b.inventory(&uuid(n))["authKey"], key);
    key
}

#[test]
fn two_keys_for_what_charon_takes_for_one_identity_are_refused() {
    for (kind, one, other) in [
        ("fqdn", "peer.example", "PEER.example"),
        ("name", "peer.example", "Peer.Example"),
        ("name", "ops@site.example", "OPS@Site.example"),
        ("ip", "2001:db8::7", "2001:0DB8:0:0:0:0:0:7"),
        ("ip", "::1", "0:0:0:0:0:0:0:1"),
        ("name", "key id", "key id"),
    ] {
        let b = Bench::start();
        let remote = |id: &str| json!({ "idType": kind, "remoteId": id });
        b.create(&with(7, &[remote(one)])).expect(200);
        let said = refused_create(&b, &with(8, &[remote(other), json!({ "authKey": NEW })]));
        assert!(said.contains(&uuid(7)) && said.contains("the same remote identity"), "{said}");
        b.create(&with(8, &[remote(other)])).expect(200);
        let stored: Value = serde_json::from_slice(&fs::read(b.record(&uuid(8))).expect("a record")).expect("JSON");
        assert_eq!(stored["identity"]["remote"], other, "it is spelled as it was sent");
    }
}

#[test]
fn what_charon_tells_apart_may_have_two_keys() {
    for (kind, one, other) in [
        ("keyid", "Key id", "key id"),
        ("ip", "2001:db8::7", "2001:db8::8"),
        ("fqdn", "peer.example", "peer.example."),
        ("fqdn", "ops@site.example", "site.example"),
    ] {
        let b = Bench::start();
        let remote = |id: &str| json!({ "remoteIdType": kind, "remoteId": id });
        b.create(&with(7, &[remote(one)])).expect(200);
        b.create(&with(8, &[remote(other), json!({ "authKey": NEW })])).expect(200);
    }
}

/// charon would take the key of the one for a proof of the other's peer.
#[test]
fn a_peer_is_not_called_as_the_gateway_is_elsewhere() {
    let ids = |local: &str, remote: &str| json!({ "idType": "fqdn", "localId": local, "remoteId": remote });
    let b = Bench::start();
    // Neither owner would do: each identity is the other's peer or its gateway.
    b.create(&with(7, &[ids("gw.example", "peer.example")])).expect(200);
    let said = refused_create(&b, &with(8, &[ids("PEER.example", "GW.example"), json!({ "authKey": NEW })]));
    assert!(said.contains(&uuid(7)), "{said}");
    // By their own identity charon tells this key apart.
    b.create(&with(8, &[ids("other.example", "gw.example"), json!({ "authKey": NEW })])).expect(200);
    assert_eq!(
        (secret(&b, 7).1, secret(&b, 8).1),
        (vec!["fqdn:peer.example".into()], vec!["fqdn:other.example".into()])
    );
}

/// Two addresses of the gateway to one peer: the keys are told apart by what the gateway is called.
#[test]
fn two_keys_for_one_peer_at_two_addresses() {
    let b = bench();
    b.charon.establish(true);
    let peer = json!({ "remoteId": "198.51.100.7", "authKey": OLD });
    b.create(&with(7, std::slice::from_ref(&peer))).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    b.create(&with(8, &[peer.clone(), json!({ "vipUuid": SECOND })])).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(8))["status"] == "Ready").then_some(()));
    let conf = fs::read_to_string(b.conf(&uuid(7))).expect("written");
    let sas = || b.charon.requests_of("initiate").len() + b.charon.requests_of("terminate").len();
    b.charon.forget_requests();
    let answer = put(&b, 8, "", &json!({ "remoteId": "198.51.100.7", "authKey": NEW }));
    assert_eq!(answer["together"], json!([{ "uuid": uuid(7), "name": "site-7", "changed": "keyOwner" }]));
    assert_eq!((key(&b, 7).as_str(), key(&b, 8).as_str()), (OLD, NEW));
    assert_eq!((secret(&b, 7).1, secret(&b, 8).1), (vec!["192.0.2.1".to_owned()], vec!["192.0.2.9".to_owned()]));
    let now = fs::read_to_string(b.conf(&uuid(7))).expect("written");
    assert_eq!(now, conf.replace("id-1 = \"198.51.100.7\"", "id-1 = \"192.0.2.1\""), "nothing else changes");
    wait_until("the other is made anew", || (b.inventory(&uuid(8))["status"] == "Ready").then_some(()));
    let touched = |name: &str| {
        let requests = b.charon.requests_of("initiate");
        requests.iter().filter(|r| r.body.text("ike") == Some(&format!("cygnet-{name}"))).count()
    };
    assert!(touched(&uuid(8)) > 0 && touched(&uuid(7)) == 0 && sas() > 0, "no SA of the first was touched");
    // Whoever comes to the first address with another key would be taken for its peer, and the other way round.
    let said = refused_create(&b, &with(9, &[json!({ "authKey": "test-only-third" })]));
    assert!(said.contains(&uuid(7)) && said.contains("the same local identity[192.0.2.1]"), "{said}");
    let own =
        json!({ "authKey": "test-only-third", "idType": "fqdn", "localId": "gw.example", "remoteId": "third.example" });
    b.create(&with(9, &[own])).expect(200);
}

/// The owners of keys outlive the agent.
#[test]
fn whose_a_key_is_is_stored() {
    let mut b = bench();
    let peer = json!({ "remoteId": "198.51.100.7", "authKey": OLD });
    b.create(&with(7, std::slice::from_ref(&peer))).expect(200);
    b.create(&with(8, &[peer.clone(), json!({ "vipUuid": SECOND, "authKey": NEW })])).expect(200);
    let before = [7, 8].map(|n| everything(&b, n));
    b.stop();
    b.charon.forget_requests();
    b.run();
    wait_until("it has looked", || (b.ask("GET", "/readyz", b"").status == 200).then_some(()));
    assert_eq!([7, 8].map(|n| everything(&b, n)), before);
}

/// Two connections with one pair of identities and one key.
fn shared(b: &Bench) {
    for n in [7, 8] {
        b.create(&with(n, &[json!({ "remoteId": "198.51.100.7", "authKey": OLD })])).expect(200);
    }
}

fn new_key() -> Value {
    json!({ "remoteId": "198.51.100.7", "authKey": NEW })
}

#[test]
fn a_shared_key_is_changed_in_all_or_in_none() {
    let b = bench();
    shared(&b);
    b.create(&with(9, &[])).expect(200);
    let stranger = everything(&b, 9);
    let before = [7, 8].map(|n| everything(&b, n));
    for n in [7_u8, 8] {
        let body = json!({ "changeIPsecConnection": change(n, &new_key()) });
        let said = refused(&b, "PUT", &format!("{PATH}/config/{}", uuid(n)), &body);
        assert!(said.contains(&uuid(15 - n)) && said.contains("together=true"), "it names the other: {said}");
    }
    assert_eq!([7, 8].map(|n| everything(&b, n)), before);
    let generation = |n| {
        let record: Value = serde_json::from_slice(&fs::read(b.record(&uuid(n))).expect("a record")).expect("JSON");
        record["ike_generation"].as_u64()
    };
    let generations = [7, 8].map(generation);
    let answer = put(&b, 8, "together=true", &new_key());
    assert_eq!(answer["inventory"]["uuid"], uuid(8));
    assert_eq!(answer["together"], json!([{ "uuid": uuid(7), "name": "site-7", "changed": "authKey" }]));
    assert_eq!([7, 8].map(|n| key(&b, n)), [NEW, NEW]);
    assert_eq!([7, 8].map(generation), generations.map(|g| g.map(|g| g + 1)), "both are negotiated anew");
    assert_eq!(everything(&b, 9), stranger, "who shares nothing is as it was");
    assert_eq!(files(&b.connections_dir()).len(), 3, "no journal stays: {:?}", files(&b.connections_dir()));
    // Each write has its line in the trail, with what was changed.
    let logs = b.logs();
    let trail: Vec<_> =
        logs.lines().filter(|line| line.contains("cygnet::audit") && line.contains("authKey changed")).collect();
    assert!([7, 8].iter().all(|n| trail.iter().any(|line| line.contains(&format!("uuid={}", uuid(*n))))), "{trail:#?}");
    assert!(!logs.contains(NEW) && !logs.contains(OLD));
}

#[test]
fn a_failure_of_one_leaves_all_as_they_were() {
    let b = bench();
    shared(&b);
    let before = [7, 8].map(|n| everything(&b, n));
    for (command, nth) in [("load-shared", 0), ("load-shared", 1), ("load-conn", 0), ("load-conn", 1)] {
        for _ in 0..nth {
            // The first of the two is loaded already.
            b.charon.once(command, Behaviour::EventsFirst(Vec::new()));
        }
        b.charon.once(command, Behaviour::Refuse("test-only refusal".into()));
        let body = json!({ "changeIPsecConnection": change(8, &new_key()) });
        let said = refused(&b, "PUT", &format!("{PATH}/config/{}?together=true", uuid(8)), &body);
        assert!(said.contains("test-only refusal"), "{said}");
        assert_eq!([7, 8].map(|n| everything(&b, n)), before, "{command} {nth}");
    }
    put(&b, 8, "together=true", &new_key());
    assert_eq!([7, 8].map(|n| key(&b, n)), [NEW, NEW]);
}

#[test]
fn every_write_that_brings_a_key_can_bring_it_to_all() {
    let b = bench();
    shared(&b);
    // A Create.
    let params = with(9, &[new_key()]);
    refused_create(&b, &params);
    let body = json!({ "params": params }).to_string();
    let answer = b.ask("POST", &format!("{PATH}?together=true"), body.as_bytes()).expect(200).json();
    assert_eq!(answer["together"].as_array().map(Vec::len), Some(2), "{answer}");
    assert_eq!([7, 8, 9].map(|n| key(&b, n)), [NEW; 3]);
    // A connection that was disabled with the old key, and is enabled again.
    let state = |n, word: &str, query: &str| {
        let body = json!({ "changeIPSecConnectionState": { "stateEvent": word } }).to_string();
        b.ask("PUT", &format!("{PATH}/{}/actions{query}", uuid(n)), body.as_bytes())
    };
    state(9, "disable", "").expect(200);
    put(&b, 9, "", &json!({ "remoteId": "198.51.100.7", "authKey": "test-only-third" }));
    assert_eq!([7, 8].map(|n| key(&b, n)), [NEW; 2], "a disabled one is in nobody's way");
    assert!(state(9, "enable", "").expect(503).text().contains("together=true"));
    state(9, "enable", "?together=true").expect(200);
    assert_eq!([7, 8, 9].map(|n| key(&b, n)), ["test-only-third"; 3]);
}

/// A connection that is disabled shares the key too: enabled later, it would be in the way.
#[test]
fn a_disabled_connection_gets_the_new_key_with_the_others() {
    let b = bench();
    shared(&b);
    let state = |word: &str| {
        let body = json!({ "changeIPSecConnectionState": { "stateEvent": word } }).to_string();
        b.ask("PUT", &format!("{PATH}/{}/actions", uuid(7)), body.as_bytes()).expect(200);
    };
    state("disable");
    put(&b, 8, "together=true", &new_key());
    assert_eq!(b.inventory(&uuid(7))["state"], "Disabled");
    state("enable");
    assert_eq!([7, 8].map(|n| key(&b, n)), [NEW; 2]);
}

#[test]
fn together_is_not_for_trials_and_takes_true_or_false() {
    let b = bench();
    shared(&b);
    let body = json!({ "changeIPsecConnection": change(8, &new_key()) });
    let path = |query: &str| format!("{PATH}/config/{}?{query}", uuid(8));
    let said = refused(&b, "PUT", &path("together=true&confirm=5s"), &body);
    assert!(said.contains("the query parameter together cannot be combined with confirm"), "{said}");
    for value in ["", "yes", "1"] {
        let said = refused(&b, "PUT", &path(&format!("together={value}")), &body);
        assert!(said.contains("query parameter together"), "{said}");
    }
    assert!(refused(&b, "PUT", &path("together=false"), &body).contains("together=true"));
    // Where nobody shares the key, there is nothing else to change.
    let answer = put(&b, 8, "together=true", &json!({ "remoteId": "198.51.100.7", "authKey": OLD, "lifeTime": 900 }));
    assert!(answer.get("together").is_none(), "{answer}");
}

#[test]
fn a_plan_says_what_changes_together() {
    let b = bench();
    shared(&b);
    let before = [7, 8].map(|n| everything(&b, n));
    let plan = |query: &str| {
        let body = json!({ "changeIPsecConnection": change(8, &new_key()) }).to_string();
        b.ask("POST", &format!("/cygnet/v1/connections/{}/plan{query}", uuid(8)), body.as_bytes())
    };
    assert!(plan("").expect(503).text().contains("together=true"));
    let planned = plan("?together=true").expect(200).json();
    assert_eq!(planned["together"], json!([{ "uuid": uuid(7), "name": "site-7", "changed": "authKey" }]));
    assert_eq!(planned["impact"], "reauth");
    assert_eq!([7, 8].map(|n| everything(&b, n)), before, "nothing was done");
}

/// Many callers change a shared key from both of its connections: each order of the locks is met, and none waits for ever.
#[test]
fn shared_keys_are_changed_from_both_ends_at_once() {
    let b = bench();
    shared(&b);
    std::thread::scope(|scope| {
        for n in [7_u8, 8] {
            let b = &b;
            scope.spawn(move || {
                for round in 0..20 {
                    let key = format!("test-only-key-{n}-{round}");
                    put(b, n, "together=true", &json!({ "remoteId": "198.51.100.7", "authKey": key }));
                }
            });
        }
    });
    let keys = [7, 8].map(|n| key(&b, n));
    assert_eq!(keys[0], keys[1]);
    assert!(keys[0].ends_with("-19"), "the last word was the last of one of them: {keys:?}");
}
