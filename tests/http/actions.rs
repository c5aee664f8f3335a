//! The actions on a part of a connection: name, state, SAs, CIDRs and local networks.

use crate::serve::{Bench, NETWORK, Options, params, uuid};
use serde_json::{Value, json};

fn path(tail: &str) -> String {
    format!("/zstack/v1/ipsec/{}{tail}", uuid(7))
}

fn put(b: &Bench, tail: &str, body: &Value) -> Value {
    b.ask("PUT", &path(tail), body.to_string().as_bytes()).expect(200).json()["inventory"].take()
}

fn details(b: &Bench, method: &str, tail: &str, body: &Value) -> String {
    let error = b.ask(method, &path(tail), body.to_string().as_bytes()).expect(503).json()["error"].take();
    format!("{} {}", error["code"].as_str().expect("a code"), error["details"].as_str().expect("details"))
}

/// A bench with one connection.
fn bench() -> Bench {
    let b = Bench::start();
    b.create(&params(7, &json!({ "description": "the first" }))).expect(200);
    b.charon.forget_requests();
    b
}

/// The requests that change something in charon.
fn effects(b: &Bench) -> Vec<String> {
    let changes = ["load-shared", "load-conn", "unload-conn", "unload-shared", "terminate"];
    b.charon.commands().into_iter().filter(|command| changes.contains(&command.as_str())).collect()
}

#[test]
fn an_update_changes_names_and_asks_charon_nothing() {
    let b = bench();
    let inventory = put(&b, "", &json!({ "updateIPsecConnection": { "name": "renamed" }, "userTags": ["x"] }));
    assert_eq!((&inventory["name"], &inventory["description"]), (&json!("renamed"), &json!("the first")));
    let inventory = put(&b, "", &json!({ "UPDATEipsecconnection": { "description": "", "name": null } }));
    assert_eq!((&inventory["name"], &inventory["description"]), (&json!("renamed"), &json!("")));
    let long = json!({ "updateIPsecConnection": { "name": "n".repeat(256) } });
    assert!(details(&b, "PUT", "", &long).contains("exceeds max length"), "{long}");
    assert_eq!(effects(&b), Vec::<String>::new());
    b.ask("PUT", &path(""), b"{\"other\":{}}").expect(400);
}

#[test]
fn a_disabled_connection_is_out_of_charon_and_comes_back() {
    let b = Bench::with(&Options { wait: "5s", ..Options::default() });
    b.charon.establish(true);
    b.create(&params(7, &json!({}))).expect(200);
    assert_eq!(b.inventory(&uuid(7))["status"], "Ready");
    let event = |word: &str| json!({ "changeIPSecConnectionState": { "stateEvent": word } });
    let inventory = put(&b, "/actions", &event("disable"));
    assert_eq!((&inventory["state"], &inventory["status"]), (&json!("Disabled"), &json!("Disconnected")));
    assert!(b.charon.connections().is_empty() && b.charon.secrets().is_empty() && !b.conf(&uuid(7)).exists());
    assert!(!b.charon.requests_of("terminate").is_empty(), "its SA is closed");
    put(&b, "/actions?confirm=1s", &event("enable"));
    let inventory = put(&b, "/actions?confirm=1s", &event("disable"));
    assert_eq!(inventory["state"], "Disabled", "what is not to be up needs no proof");
    b.charon.forget_requests();
    put(&b, "/actions", &event("disable"));
    assert_eq!(effects(&b), Vec::<String>::new(), "the same state again is a success without effect");
    // A key that a disabled connection has is in nobody's way.
    b.create(&params(8, &json!({ "remoteId": "198.51.100.7", "authKey": "test-only-another" }))).expect(200);
    let clash = details(&b, "PUT", "/actions", &event("enable"));
    assert!(clash.contains("another authKey for the same remote identity"), "{clash}");
    b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(8)), b"").expect(200);
    let inventory = put(&b, "/actions", &event("enable"));
    assert_eq!((&inventory["state"], &inventory["status"]), (&json!("Enabled"), &json!("Ready")));
    assert!(b.conf(&uuid(7)).exists());
    assert!(details(&b, "PUT", "/actions", &event("toggle")).contains("valid value for field[stateEvent]"));
    assert!(details(&b, "PUT", "/actions", &json!({ "changeIPSecConnectionState": {} })).contains("is mandatory"));
}

#[test]
fn a_reconnect_negotiates_anew_and_closes_the_old() {
    let b = Bench::with(&Options { wait: "5s", ..Options::default() });
    b.charon.establish(true);
    b.create(&params(7, &json!({}))).expect(200);
    b.charon.forget_requests();
    let inventory = put(&b, "/actions", &json!({ "reconnectIPsecConnection": {} }));
    assert_eq!(inventory["status"], "Ready");
    let commands = b.charon.commands();
    for command in ["load-conn", "terminate", "initiate"] {
        assert!(commands.iter().any(|c| c == command), "{command}: {commands:?}");
    }
    b.ask("PUT", &path("/actions"), b"{}").expect(400);
}

#[test]
fn networks_behind_the_peer_are_added_and_removed() {
    let b = bench();
    let add = |cidrs: &[&str]| json!({ "params": { "peerCidrs": cidrs } }).to_string();
    let count = |inventory: &Value| inventory["peerCidrs"].as_array().map(Vec::len);
    let tail = "/remote-cidrs";
    let inventory =
        b.ask("POST", &path(tail), add(&["10.77.0.0/16"]).as_bytes()).expect(200).json()["inventory"].take();
    assert_eq!(count(&inventory), Some(2));
    assert!(effects(&b).contains(&"load-conn".to_owned()));
    for (cidrs, text) in [
        (&["10.77.0.0/16"][..], "Cidr [10.77.0.0/16] is already in the Cidrs"),
        (&["10.77.1.0/24"], "are overlaped"),
        (&["10.88.0.0"], "is not a cidr"),
        (&[], "must be a nonempty list"),
    ] {
        let body = json!({ "params": { "peerCidrs": cidrs } });
        let error = details(&b, "POST", tail, &body);
        assert!(error.starts_with("SYS.1007") && error.contains(text), "{cidrs:?}: {error}");
    }
    assert!(details(&b, "POST", tail, &json!({})).contains("is mandatory"));
    assert!(details(&b, "DELETE", tail, &json!({})).contains("is mandatory"));
    let error = details(&b, "DELETE", "/remote-cidrs?peerCidrs=10.99.0.0%2F16", &json!({}));
    assert!(error.contains("is not in Cidrs"), "{error}");
    let gone = b.ask("DELETE", &path("/remote-cidrs?peerCidrs.0=10.77.0.0%2F16"), b"").expect(200).json();
    assert_eq!(count(&gone["inventory"]), Some(1));
}

#[test]
fn local_networks_are_detached_and_attached() {
    let b = bench();
    let error = details(&b, "POST", "/l3networks", &json!({ "params": { "l3NetworkUuids": [NETWORK] } }));
    assert!(error.contains("can not be attached"), "{error}");
    let gone = b.ask("DELETE", &path(&format!("/l3networks?l3NetworkUuids={NETWORK}")), b"").expect(200).json();
    assert_eq!(gone["inventory"]["l3NetworkRefs"], json!([]));
    assert!(b.charon.connections().is_empty(), "nothing is left to carry");
    let error = details(&b, "DELETE", &format!("/l3networks?l3NetworkUuids={NETWORK}"), &json!({}));
    assert!(error.contains("is not be attached"), "{error}");
    let error = details(&b, "POST", "/l3networks", &json!({ "params": { "l3NetworkUuids": ["nowhere"] } }));
    assert!(error.starts_with("SYS.1003") && error.contains("L3NetworkVO"), "{error}");
    let body = json!({ "params": { "l3NetworkUuids": [NETWORK] } }).to_string();
    b.ask("POST", &path("/l3networks"), body.as_bytes()).expect(200);
    assert_eq!(b.charon.connections().len(), 1);
}
