//! Stored connections that clash: a start compares them by the rules of a write, and sets one aside by name.

use crate::{
    client::Response,
    serve::{Bench, KEY, change, params, uuid, wait_until},
};
use serde_json::{Value, json};
use std::fs;

const PATH: &str = "/zstack/v1/ipsec";

/// An agent with the connections 7 and 8, whose record of 8 was altered while the agent was away.
fn altered(alter: impl Fn(&mut Value)) -> Bench {
    let mut b = Bench::start();
    for n in [7, 8] {
        b.create(&params(n, &json!({}))).expect(200);
    }
    b.stop();
    let mut record: Value = serde_json::from_slice(&fs::read(b.record(&uuid(8))).expect("stored")).expect("JSON");
    alter(&mut record);
    fs::write(b.record(&uuid(8)), serde_json::to_vec_pretty(&record).expect("JSON")).expect("altered");
    b.run();
    wait_until("it is ready", || (b.ask("GET", "/readyz", b"").status == 200).then_some(()));
    b
}

fn same_peer(record: &mut Value) {
    record["peer"] = json!("198.51.100.7");
    record["identity"]["remote"] = json!("198.51.100.8");
}

fn loaded(b: &Bench) -> Vec<String> {
    let mut names = b.charon.connections();
    names.sort_unstable();
    names
}

fn name(n: u8) -> String {
    format!("cygnet-{}", uuid(n))
}

fn view(b: &Bench) -> Value {
    b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(8)), b"").expect(200).json()
}

#[track_caller]
fn assert_aside(b: &Bench, words: &str) {
    let ready = b.ask("GET", "/readyz", b"").json();
    let aside = &ready["set_aside"][0];
    assert_eq!((&aside["uuid"], &aside["name"]), (&json!(uuid(8)), &json!("site-8")), "{ready}");
    assert!(aside["why"].as_str().is_some_and(|why| why.contains(words) && why.contains("site-7")), "{ready}");
    let view = view(b);
    assert_eq!((&view["reason"]["code"], &view["inventory"]["status"]), (&json!("SET_ASIDE"), &json!("Disconnected")));
    assert!(view["reason"]["details"].as_str().is_some_and(|details| details.contains(words)), "{view}");
    let doctor = b.ask("GET", "/cygnet/v1/doctor", b"").expect(200).json();
    assert!(doctor["findings"].to_string().contains("site-8 ("), "{doctor}");
    assert_eq!(loaded(b), [name(7)]);
    assert_eq!(b.charon.secrets(), [format!("ike-{}", name(7))]);
    assert!(!b.conf(&uuid(8)).exists(), "swanctl would load it");
    assert!(b.record(&uuid(8)).exists(), "it stays stored");
}

#[track_caller]
fn assert_admitted(b: &Bench) {
    wait_until("both are loaded", || (loaded(b) == [name(7), name(8)]).then_some(()));
    wait_until("both are written", || b.conf(&uuid(8)).exists().then_some(()));
    assert_eq!(b.ask("GET", "/readyz", b"").json()["set_aside"], Value::Null);
}

fn act(b: &Bench, body: &Value) -> Response {
    b.ask("PUT", &format!("{PATH}/{}/actions", uuid(8)), body.to_string().as_bytes())
}

#[test]
fn one_with_the_same_addresses_is_set_aside() {
    let b = altered(same_peer);
    assert_aside(&b, "has the same local address and peer");
    // What does not resolve the clash, and needs it resolved, is refused; what needs nothing is done.
    act(&b, &json!({ "reconnectIPsecConnection": {} })).expect(503);
    b.change(&uuid(8), &json!({ "peerAddress": "198.51.100.7", "authKey": KEY, "lifeTime": 900 })).expect(503);
    b.ask(
        "PUT",
        &format!("{PATH}/{}", uuid(8)),
        json!({ "updateIPsecConnection": { "description": "x" } }).to_string().as_bytes(),
    )
    .expect(200);
    assert_aside(&b, "has the same local address and peer");
    b.change(&uuid(8), &change(8, &json!({}))).expect(200);
    assert_admitted(&b);
}

#[test]
fn one_with_another_key_for_the_same_identity_is_set_aside() {
    let b = altered(|record| {
        record["identity"]["remote"] = json!("198.51.100.7");
        record["psk_hex"] = json!("746573742d6f6e6c79");
    });
    assert_aside(&b, "another key for the same remote identity");
    act(&b, &json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } })).expect(200);
    assert_eq!(b.ask("GET", "/readyz", b"").json()["set_aside"], Value::Null, "a disabled connection has no key");
    act(&b, &json!({ "changeIPSecConnectionState": { "stateEvent": "enable" } })).expect(503);
    b.change(&uuid(8), &change(8, &json!({ "remoteId": "198.51.100.7" }))).expect(200);
    act(&b, &json!({ "changeIPSecConnectionState": { "stateEvent": "enable" } })).expect(200);
    assert_admitted(&b);
}

#[test]
fn it_is_loaded_when_the_other_is_gone() {
    let b = altered(same_peer);
    assert_aside(&b, "has the same local address and peer");
    b.ask("DELETE", &format!("{PATH}/{}", uuid(7)), b"").expect(200);
    wait_until("it is loaded", || (loaded(&b) == [name(8)]).then_some(()));
    b.create(&params(7, &json!({}))).expect(503);
}

#[test]
fn it_can_be_deleted() {
    let mut b = altered(same_peer);
    b.ask("DELETE", &format!("{PATH}/{}", uuid(8)), b"").expect(200);
    assert_eq!(b.ask("GET", "/readyz", b"").json()["set_aside"], Value::Null);
    assert!(!b.record(&uuid(8)).exists() && loaded(&b) == [name(7)]);
    b.change(&uuid(7), &change(7, &json!({ "peerAddress": "198.51.100.70" }))).expect(200);
    b.create(&params(9, &json!({ "peerAddress": "198.51.100.7" }))).expect(200);
    b.stop();
}

#[test]
fn it_is_set_aside_at_each_start_and_its_file_is_left_alone() {
    let mut b = altered(same_peer);
    let file = fs::read(b.record(&uuid(8))).expect("stored");
    for _ in 0..2 {
        b.stop();
        b.run();
        assert_aside(&b, "has the same local address and peer");
        assert_eq!(fs::read(b.record(&uuid(8))).expect("stored"), file);
    }
}
