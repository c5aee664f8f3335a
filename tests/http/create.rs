//! `CreateIPsecConnection` and `DeleteIPsecConnection`.

use super::transcript::Transcript;
use crate::serve::{Bench, KEY, NETWORK, Options, VIP, files, params, uuid};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt};

const PATH: &str = "/zstack/v1/ipsec";

fn body(params: &Value) -> String {
    json!({ "params": params }).to_string()
}

#[test]
fn create_query_and_delete() {
    let b = Bench::with(&Options { wait: "5s", ..Options::default() });
    b.charon.establish(true);
    let mut t = Transcript::default();
    let params = params(7, &json!({ "description": "the first", "ikeVersion": "ikev2", "ikeDhGroup": 19 }));
    t.ask(&b, "POST", PATH, &body(&params)).expect(200);
    t.ask(&b, "GET", PATH, "").expect(200);
    let by_uuid = format!("{PATH}/{}", uuid(7));
    t.ask(&b, "GET", &by_uuid, "").expect(200);
    t.ask(&b, "DELETE", &by_uuid, "").expect(200);
    t.ask(&b, "DELETE", &by_uuid, "").expect(503);
    t.ask(&b, "GET", &by_uuid, "").expect(200);
    t.ask(&b, "GET", PATH, "").expect(200);
    t.check("create_query_and_delete");
}

#[test]
fn what_is_created_is_in_force_and_on_disk_and_gone_after_delete() {
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    let name = format!("cygnet-{}", uuid(7));
    assert_eq!(b.charon.connections(), [name.as_str()]);
    let secret = b.charon.secret(&format!("ike-{name}")).expect("loaded");
    assert_eq!(secret.bytes("data"), Some(KEY.as_bytes()));
    assert_eq!(secret.items("owners").collect::<Vec<_>>(), ["198.51.100.7"]);
    for file in [b.record(&uuid(7)), b.conf(&uuid(7))] {
        let mode = fs::metadata(&file).expect("written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    b.ask("DELETE", &format!("{PATH}/{}", uuid(7)), b"").expect(200);
    assert!(b.charon.connections().is_empty() && b.charon.secrets().is_empty());
    assert!(files(&b.connections_dir()).is_empty() && files(&b.conf_dir()).is_empty());
}

#[test]
fn delete_closes_the_tunnel() {
    let b = Bench::with(&Options { wait: "5s", ..Options::default() });
    b.charon.establish(true);
    b.create(&params(7, &json!({}))).expect(200);
    assert_eq!(b.inventory(&uuid(7))["status"], "Ready");
    b.ask("DELETE", &format!("{PATH}/{}?deleteMode=Enforcing&unknown=1", uuid(7)), b"").expect(200);
    assert!(!b.charon.requests_of("terminate").is_empty(), "{:?}", b.charon.commands());
    // The peer's name is free again.
    b.create(&params(7, &json!({ "authKey": "test-only-another" }))).expect(200);
}

#[test]
fn a_deletion_needs_charon_unless_it_is_enforced() {
    let mut b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    let by = |mode: &str| format!("{PATH}/{}?deleteMode={mode}", uuid(7));
    let wrong = b.ask("DELETE", &by("Sometimes"), b"").expect(503).json()["error"].clone();
    assert_eq!(wrong["code"], "SYS.1007", "{wrong}");
    b.charon.kill();
    assert_eq!(b.ask("DELETE", &by("Permissive"), b"").expect(503).json()["error"]["code"], "SYS.1006");
    assert!(b.record(&uuid(7)).exists() && b.conf(&uuid(7)).exists(), "it stays");
    b.ask("DELETE", &by("Enforcing"), b"").expect(200);
    assert!(files(&b.connections_dir()).is_empty() && files(&b.conf_dir()).is_empty());
}

#[test]
fn a_connection_without_networks_waits_for_them() {
    let b = Bench::start();
    let mut t = Transcript::default();
    let params = json!({ "name": "alone", "vipUuid": VIP, "peerAddress": "198.51.100.9", "authKey": KEY });
    let created = t.ask(&b, "POST", PATH, &body(&params)).expect(200).json();
    t.check("create_without_networks");
    let id = created["inventory"]["uuid"].as_str().expect("a uuid");
    assert!(b.charon.connections().is_empty() && b.charon.secrets().is_empty(), "charon has nothing to carry");
    assert!(b.record(id).exists() && !b.conf(id).exists());
}

#[test]
fn a_random_uuid_is_one_of_version_4() {
    let b = Bench::start();
    let mut seen = Vec::new();
    for n in 1..4 {
        let created = b.create(&params(n, &json!({ "resourceUuid": null }))).expect(200).json();
        let id = created["inventory"]["uuid"].as_str().expect("a uuid").to_owned();
        assert_eq!((id.len(), &id[12..13]), (32, "4"), "{id}");
        assert!(b.record(&id).exists() && !seen.contains(&id));
        seen.push(id);
    }
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    let b = Bench::start();
    let mut t = Transcript::default();
    let mut wrong = |note: &str, changed: Value| {
        t.note(note);
        t.ask(&b, "POST", PATH, &body(&params(7, &changed))).expect(503);
    };
    for field in ["name", "vipUuid", "peerAddress", "authKey"] {
        wrong(&format!("without {field}"), json!({ field: null }));
    }
    let unknown = "ffffffffffffffffffffffffffffffff";
    wrong("no such VIP", json!({ "vipUuid": unknown }));
    wrong("no such L3 network", json!({ "l3NetworkUuid": unknown }));
    wrong("no such tag pattern", json!({ "tagUuids": [unknown] }));
    wrong("a name that is too long", json!({ "name": "n".repeat(256) }));
    wrong("a value that there is not", json!({ "pfs": "dh-group3" }));
    wrong("a lifetime out of range", json!({ "lifeTime": 29 }));
    wrong("an empty list", json!({ "peerCidrs": [] }));
    wrong("a list with a null", json!({ "peerCidrs": ["10.9.0.0/24", null] }));
    wrong("an identity of blanks", json!({ "remoteId": "  " }));
    wrong("overlapping networks", json!({ "peerCidrs": ["10.9.0.0/24", "10.9.0.0/16"] }));
    wrong("the local network", json!({ "peerCidrs": ["10.1.0.0/16"] }));
    wrong("the VIP as peer", json!({ "peerAddress": "192.0.2.1" }));
    wrong("no uuid", json!({ "resourceUuid": "x" }));
    wrong("AH and ESP at once", json!({ "transformProtocol": "ah-esp" }));
    wrong("certificates", json!({ "authMode": "certs" }));
    t.note("no parameters at all");
    t.ask(&b, "POST", PATH, "{}").expect(503);
    t.check("create_errors");
    nothing_happened(&b);
}

#[test]
fn what_another_connection_has_taken_is_refused() {
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    b.charon.forget_requests();
    let mut t = Transcript::default();
    t.note("the same uuid");
    t.ask(&b, "POST", PATH, &body(&params(8, &json!({ "resourceUuid": uuid(7) })))).expect(503);
    t.note("the same peer");
    t.ask(&b, "POST", PATH, &body(&params(8, &json!({ "peerAddress": "198.51.100.7" })))).expect(503);
    t.note("the same remote identity with another key");
    let same_identity = json!({ "remoteId": "198.51.100.7", "authKey": "test-only-another" });
    t.ask(&b, "POST", PATH, &body(&params(8, &same_identity))).expect(503);
    t.check("create_clashes");
    let loads = ["load-conn", "load-shared", "unload-conn"].map(|command| b.charon.requests_of(command).len());
    assert_eq!(loads, [0, 0, 0]);
    assert_eq!(files(&b.connections_dir()).len(), 1);
    // With the same key charon has nothing to choose.
    b.create(&params(8, &json!({ "remoteId": "198.51.100.7" }))).expect(200);
    // What was refused has taken nothing.
    b.create(&params(9, &json!({}))).expect(200);
}

#[test]
fn tags_and_texts_come_back_after_trimming() {
    let b = Bench::start();
    let hostile = "n\"\n}\nconnections {";
    let mut params = params(7, &json!({ "name": format!("  {hostile}\t"), "l3NetworkUuid": NETWORK }));
    params["description"] = "é 🔑 \u{0} # {}".into();
    let created = b.create(&params).expect(200).json();
    assert_eq!(created["inventory"]["name"], hostile);
    assert_eq!(created["inventory"]["description"], "é 🔑 \u{0} # {}");
    let stored = fs::read_to_string(b.conf(&uuid(7))).expect("written");
    assert!(!stored.contains("site") && !stored.contains("🔑"), "charon's file needs no texts for people");
}

/// No file and no connection is there, and charon was not asked to load any.
fn nothing_happened(b: &Bench) {
    assert!(files(&b.connections_dir()).is_empty() && files(&b.conf_dir()).is_empty());
    let loads = ["load-conn", "load-shared"].map(|command| b.charon.requests_of(command).len());
    assert_eq!(loads, [0, 0], "{:?}", b.charon.commands());
}
