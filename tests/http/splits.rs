//! Which children carry the networks: what `split` means for new, changed and stored connections.

use crate::serve::{Bench, change, params, uuid, wait_until};
use cygnet::strongswan::section::{Section, Value as Vici};
use serde_json::{Value, json};

fn native(b: &Bench) -> Value {
    b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).json()
}

/// The networks of each child in charon: ours and the peer's.
fn children(b: &Bench) -> Vec<(Vec<String>, Vec<String>)> {
    let loaded = b.charon.connection(&format!("cygnet-{}", uuid(7))).expect("loaded");
    let list = |child: &Section, key: &str| child.items(key).map(str::to_owned).collect();
    let all = loaded.section("children").expect("children");
    all.sections().map(|(_, child)| (list(child, "local_ts"), list(child, "remote_ts"))).collect()
}

/// The connection 7 with two networks behind the peer.
fn create(b: &Bench, more: &Value) -> Value {
    let mut options = json!({ "peerCidrs": ["10.7.2.0/24", "10.7.3.0/24"] });
    options.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    b.create(&params(7, &options)).expect(200).json()
}

#[test]
fn each_word_has_its_children() {
    for (version, split, count) in [
        ("ike", json!(null), 1),
        ("ike", json!("auto"), 1),
        ("ike", json!("whole"), 1),
        ("ike", json!("pairs"), 2),
        ("ikev2", json!(null), 1),
        ("ikev2", json!("pairs"), 2),
        ("ikev1", json!(null), 2),
        ("ikev1", json!("pairs"), 2),
    ] {
        let b = Bench::start();
        create(&b, &json!({ "ikeVersion": version, "split": split }));
        assert_eq!(children(&b).len(), count, "{version} {split}");
        assert_eq!(native(&b)["split"], split.as_str().unwrap_or("auto"), "{version} {split}");
    }
}

#[test]
fn a_change_keeps_it_unless_it_says_otherwise() {
    let b = Bench::start();
    create(&b, &json!({ "ikeVersion": "ikev2", "split": "pairs" }));
    let after = |more: Value| {
        b.change(&uuid(7), &change(7, &more)).expect(200);
        (native(&b)["split"].as_str().expect("a word").to_owned(), children(&b).len())
    };
    assert_eq!(after(json!({ "ikeVersion": "ikev2", "lifeTime": 700 })), ("pairs".into(), 2));
    assert_eq!(after(json!({ "ikeVersion": "ikev2", "split": "whole" })), ("whole".into(), 1));
    assert_eq!(after(json!({ "ikeVersion": "ike" })), ("whole".into(), 1));
    assert_eq!(after(json!({ "ikeVersion": "ike", "split": "auto" })), ("auto".into(), 1));
    b.change(&uuid(7), &change(7, &json!({ "ikeVersion": "ikev1", "split": "whole" }))).expect(503);
}

/// A record of a program that knew no choice keeps its children, until its tunnel is changed.
#[test]
fn a_stored_connection_keeps_its_children_until_it_is_changed() {
    let mut b = Bench::start();
    create(&b, &json!({ "ikeVersion": "ike", "split": "pairs" }));
    let file = std::fs::read_to_string(b.conf(&uuid(7))).expect("the file");
    b.stop();
    let record = std::fs::read_to_string(b.record(&uuid(7))).expect("the record");
    let old: String = record.lines().filter(|line| !line.contains("\"split\"")).collect::<Vec<_>>().join("\n");
    let old = old.replace("\"lifetime_s\": 3600,\n  }", "\"lifetime_s\": 3600\n  }");
    assert_ne!(old, record);
    std::fs::write(b.record(&uuid(7)), old).expect("the record");
    b.run();
    wait_until("it is loaded", || b.charon.connection(&format!("cygnet-{}", uuid(7))));
    assert_eq!(native(&b)["split"], "auto");
    assert_eq!(std::fs::read_to_string(b.conf(&uuid(7))).expect("the file"), file, "byte by byte");
    // What changes nothing of the tunnel, and what adds a network, leaves the others alone.
    let (update, add) = (format!("/zstack/v1/ipsec/{}", uuid(7)), format!("/zstack/v1/ipsec/{}/remote-cidrs", uuid(7)));
    b.ask("PUT", &update, br#"{"updateIPsecConnection":{"name":"another"}}"#).expect(200);
    assert_eq!(children(&b).len(), 2);
    b.ask("POST", &add, br#"{"params":{"peerCidrs":["10.7.4.0/24"]}}"#).expect(200);
    assert_eq!(children(&b).len(), 3);
    b.change(&uuid(7), &change(7, &json!({ "lifeTime": 700 }))).expect(200);
    assert_eq!(
        children(&b),
        [(vec!["10.1.0.0/24".to_owned()], ["10.7.2.0/24", "10.7.3.0/24", "10.7.4.0/24"].map(str::to_owned).to_vec())]
    );
}

/// A peer that takes one pair out of the child with all: from then on each pair has its own, also after a restart and a
/// Change.
#[test]
fn what_a_peer_narrows_is_split_and_kept() {
    let mut b = Bench::start();
    b.charon.establish(true);
    create(&b, &json!({ "ikeVersion": "ikev2" }));
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    b.charon.establish(false);
    b.charon.alter_children(|child| {
        child.0.insert("remote-ts".into(), Vici::List(vec![b"10.7.2.0/24".to_vec()]));
    });
    assert_eq!(children(&b).len(), 1);
    // A Change that changes nothing: the agent looks.
    b.change(&uuid(7), &change(7, &json!({ "ikeVersion": "ikev2" }))).expect(200);
    wait_until("each pair has its child", || (native(&b)["split"] == "learned").then_some(()));
    b.charon.establish(true);
    wait_until("it is Ready", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    assert_eq!(children(&b).len(), 2);
    b.change(&uuid(7), &change(7, &json!({ "ikeVersion": "ikev2", "lifeTime": 700 }))).expect(200);
    b.stop();
    b.run();
    assert_eq!((native(&b)["split"].clone(), children(&b).len()), (json!("learned"), 2));
    b.change(&uuid(7), &change(7, &json!({ "ikeVersion": "ikev2", "split": "auto" }))).expect(200);
    assert_eq!((native(&b)["split"].clone(), children(&b).len()), (json!("auto"), 1));
}
