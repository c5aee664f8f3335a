//! Peers without a fixed address, before a charon that nobody calls: waiting raises no alarm, and identities tell the
//! peers apart.

use super::accounts::tool;
use crate::{
    serve::{Bench, Options, change, params, uuid, wait_until},
    stream::Events,
};
use serde_json::{Value, json};

fn any(n: u8, id: &str, more: &Value) -> Value {
    let mut all = json!({ "peerAddress": "%any", "idType": "fqdn", "remoteId": id });
    all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    params(n, &all)
}

fn view(b: &Bench, n: u8) -> Value {
    b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(n)), b"").expect(200).json()
}

#[test]
fn a_peer_from_anywhere_is_waited_for_without_alarm() {
    let b = Bench::with(&Options { wait: "30s", ..Options::default() });
    b.charon.establish(true);
    let events = Events::open(&b.path("cygnet.sock"), "/cygnet/v1/events", None);
    // The answer waits for no tunnel that nobody begins.
    let created = b.create(&any(7, "branch1", &json!({}))).expect(200).json();
    assert_eq!(
        (&created["inventory"]["status"], &created["inventory"]["peerAddress"]),
        (&json!("Connecting"), &json!("%any"))
    );
    let seen = view(&b, 7);
    assert_eq!(
        (&seen["role"], &seen["children"][0]["condition"]),
        (&json!("waits_for_peer"), &json!("waiting")),
        "{seen}"
    );
    assert_eq!((&seen["peer"]["address"], &seen["carrying"]), (&Value::Null, &Value::Null));
    assert_ne!(seen["reason"], Value::Null);
    let list = b.ask("GET", "/cygnet/v1/connections", b"").expect(200).json();
    assert_eq!(list["connections"][0]["condition"], "waiting");
    // The alert is on this gauge, which has no value; the command succeeds.
    let metrics = b.ask("GET", "/metrics", b"").expect(200).text();
    assert!(!metrics.contains("cygnet_connection_carrying{") && metrics.contains("cygnet_connection_up{"), "{metrics}");
    tool(&b, &["status"], "");
    // What comes up later is the last event that is looked at.
    b.create(&params(8, &json!({}))).expect(200);
    wait_until("the other one is up", || events.names().contains(&"up".to_owned()).then_some(()));
    assert!(!events.names().contains(&"down".to_owned()), "{:?}", events.names());
    let asked = b.charon.requests_of("initiate");
    assert!(
        !asked.is_empty()
            && asked.iter().all(|request| request.body.text("ike") != Some(&format!("cygnet-{}", uuid(7))))
    );
    let rendered = std::fs::read_to_string(b.conf(&uuid(7))).expect("a file");
    assert!(rendered.contains("remote_addrs = %any\n"), "{rendered}");
}

#[test]
fn identities_tell_peers_from_anywhere_apart() {
    let b = Bench::with(&Options::default());
    b.create(&any(7, "branch1", &json!({}))).expect(200);
    let other_key = json!({ "authKey": "test-only-another-key" });
    b.create(&any(8, "branch2", &other_key)).expect(200);
    for (n, id, more) in [
        (9, "branch1", json!({})),
        (9, "BRANCH1", json!({})),
        (9, "branch1", json!({ "idType": "name" })),
        (9, "@branch2", json!({ "remoteIdType": "fqdn", "authKey": "test-only-another-key" })),
    ] {
        let text = b.create(&any(n, id, &more)).expect(503).text();
        assert!(text.contains("with the same vrouter and remoteId, by which peers without"), "{id}: {text}");
    }
    // The same text of another kind is another identity; one that has an address is none from anywhere.
    b.create(&any(9, "branch1", &json!({ "remoteIdType": "keyid" }))).expect(200);
    // A key that charon would try for two peers is refused as ever.
    let text = b.create(&params(10, &json!({ "idType": "fqdn", "remoteId": "branch1", "authKey": "test-only-third" })));
    assert!(text.expect(503).text().contains("KEY_AMBIGUOUS"));
    // To an address and back: what was taken is free, and taken again.
    b.change(&uuid(7), &change(7, &json!({ "idType": "fqdn", "remoteId": "branch1" }))).expect(200);
    assert_eq!(view(&b, 7)["role"], "initiates");
    let text = b.create(&params(10, &json!({ "peerAddress": "198.51.100.7" }))).expect(503).text();
    assert!(text.contains("same vrouter and peerAddress"), "{text}");
    let back = json!({ "peerAddress": "%any", "idType": "fqdn", "remoteId": "branch1" });
    b.change(&uuid(7), &change(7, &back)).expect(200);
    assert_eq!(view(&b, 7)["role"], "waits_for_peer");
    // The kind of an identity stays where a Change does not name it.
    b.change(&uuid(9), &change(9, &back)).expect(200);
    let same = json!({ "peerAddress": "%any", "remoteId": "branch1", "remoteIdType": "fqdn" });
    let text = b.change(&uuid(9), &change(9, &same)).expect(503).text();
    assert!(text.contains("same vrouter and remoteId"), "{text}");
    let kept = b.inventory(&uuid(9));
    assert_eq!(kept["remoteId"], "branch1");
}
