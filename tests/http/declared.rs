//! Connections as files declare them: planned as one set, written as a whole unless somebody else was there, exported.

use crate::{
    client::Response,
    serve::{Bench, KEY, NETWORK, Options, TOKEN, VIP, files, params, uuid, wait_until},
};
use serde_json::{Value, json};
use std::fs;

const OTHER_KEY: &str = "test-only-other-key-4712";

/// The connection `n` as it is declared, with `more`; null takes a member away.
fn declared(n: u8, more: &Value) -> Value {
    let mut members = params(n, &json!({}));
    let members = members.as_object_mut().expect("an object");
    members.shift_remove("resourceUuid");
    members.insert("uuid".into(), uuid(n).into());
    for (name, value) in more.as_object().expect("an object") {
        members.insert(name.clone(), value.clone());
    }
    members.retain(|_, value| !value.is_null());
    json!(members)
}

fn plan(b: &Bench, body: &Value) -> Value {
    b.ask("POST", "/cygnet/v1/plan", body.to_string().as_bytes()).expect(200).json()
}

fn planned(b: &Bench, connections: &[Value]) -> Vec<Value> {
    let mut answer = plan(b, &json!({ "connections": connections }));
    answer["connections"].as_array_mut().expect("a list").drain(..).collect()
}

fn write(b: &Bench, method: &str, n: u8, headers: &[(&str, &str)], connection: &Value) -> Response {
    let token = format!("OAuth {TOKEN}");
    let headers: Vec<_> = headers.iter().copied().chain([("Authorization", token.as_str())]).collect();
    let body = if connection.is_null() { String::new() } else { json!({ "connection": connection }).to_string() };
    let path = format!("/cygnet/v1/connections/{}", uuid(n));
    b.tcp().request(method, &path, &headers, body.as_bytes()).expect("an answer")
}

#[track_caller]
fn put_as(b: &Bench, n: u8, connection: &Value) {
    write(b, "PUT", n, &[], connection).expect(200);
}

fn put(b: &Bench, n: u8, more: &Value) -> Response {
    write(b, "PUT", n, &[], &declared(n, more))
}

/// The sentence of a refusal.
#[track_caller]
fn details(item: &Value) -> &str {
    item["error"]["details"].as_str().unwrap_or_else(|| panic!("it is not refused: {item}"))
}

fn actions(items: &[Value]) -> Vec<String> {
    let word = |item: &Value| format!("{} {}", item["action"], item["impact"]).replace('"', "");
    items.iter().map(word).collect()
}

/// What is on disk.
fn everything(b: &Bench) -> Vec<(String, String)> {
    let all = [b.connections_dir(), b.conf_dir()];
    let read = |directory: &std::path::PathBuf| {
        let text = |name: String| (name.clone(), fs::read_to_string(directory.join(name)).unwrap_or_default());
        files(directory).into_iter().filter(|name| !name.starts_with('.')).map(text).collect::<Vec<_>>()
    };
    all.iter().flat_map(read).collect()
}

#[test]
fn a_set_is_planned_as_one_and_nothing_is_done() {
    let b = Bench::start();
    for n in [1, 2, 3] {
        b.create(&params(n, &json!({}))).expect(200);
    }
    b.charon.forget_requests();
    let before = everything(&b);
    let set = [
        declared(1, &json!({ "authKey": null })),
        declared(2, &json!({ "lifeTime": 1800, "description": "shorter" })),
        declared(3, &json!({ "name": "renamed" })),
        declared(4, &json!({})),
        // By its name; and a new one, by a name that is not there.
        json!({ "name": "site-5", "vipUuid": "192.0.2.1", "peerAddress": "198.51.100.5", "authKey": KEY,
                "l3NetworkUuids": ["10.1.0.0/24"], "peerCidrs": ["10.5.2.0/24"], "state": "Disabled" }),
    ];
    let items = planned(&b, &set);
    assert_eq!(actions(&items), ["keep none", "change child", "change none", "create replace", "create none"]);
    let fields: Vec<_> = items[1]["fields"].as_array().expect("a list").iter().map(|f| f["field"].clone()).collect();
    assert_eq!(json!(fields), json!(["description", "lifeTime"]));
    assert_eq!(items[0]["uuid"], uuid(1));
    assert_eq!((&items[3]["changed"], items[2]["changed"].is_string()), (&Value::Null, true));
    let gone = plan(&b, &json!({ "connections": [set[0], set[1]], "prune": true }));
    assert_eq!(gone["deletions"][0]["uuid"], uuid(3));
    assert_eq!(gone["deletions"].as_array().map(Vec::len), Some(1));
    let scoped = plan(&b, &json!({ "connections": [], "prune": true, "scope": "branches" }));
    assert_eq!(scoped["deletions"], json!([]));
    assert_eq!(everything(&b), before);
    let loads: Vec<_> = b.charon.commands().into_iter().filter(|command| command.contains("load")).collect();
    assert!(loads.is_empty(), "{loads:?}");
}

#[test]
fn clashes_within_the_set_are_found_and_what_moves_away_is_no_clash() {
    let b = Bench::start();
    for n in [1, 2, 3] {
        b.create(&params(n, &json!({}))).expect(200);
    }
    let peer = |n: u8, of: u8| declared(n, &json!({ "peerAddress": format!("198.51.100.{of}") }));
    let same = planned(&b, &[declared(8, &json!({})), peer(9, 8)]);
    assert_eq!(same[0]["action"], "create");
    assert!(details(&same[1]).contains("name:site-8"), "{}", same[1]);
    let keys = [
        declared(8, &json!({ "idType": "fqdn", "remoteId": "one.example" })),
        declared(9, &json!({ "idType": "fqdn", "remoteId": "one.example", "authKey": OTHER_KEY })),
    ];
    assert!(details(&planned(&b, &keys)[1]).contains("another authKey"), "one identity, two keys");
    let names = planned(&b, &[declared(8, &json!({})), declared(9, &json!({ "name": "site-8" }))]);
    assert!(details(&names[1]).contains("connection 1 of the set"), "{}", names[1]);
    let ids = planned(&b, &[declared(8, &json!({})), declared(9, &json!({ "uuid": uuid(8) }))]);
    assert!(details(&ids[1]).contains("connection 1 of the set"), "{}", ids[1]);
    // 1 gets what 2 has, 2 what 3 has, 3 a new one: written from the end.
    let chain = planned(&b, &[peer(1, 2), peer(2, 3), peer(3, 4)]);
    let places: Vec<_> = chain.iter().map(|item| item["place"].as_u64()).collect();
    assert_eq!(places, [Some(2), Some(1), Some(0)], "{chain:?}");
    // One key for one identity, given to both: each would clash with the other's old one.
    let shared =
        |n: u8, key: &str| declared(n, &json!({ "idType": "fqdn", "remoteId": "both.example", "authKey": key }));
    for n in [1, 2] {
        put_as(&b, n, &shared(n, KEY));
    }
    let both = planned(&b, &[shared(1, OTHER_KEY), shared(2, OTHER_KEY)]);
    assert!(both.iter().all(|item| details(item).contains("in one step first, with together")), "{both:?}");
    for n in [1, 2] {
        put_as(&b, n, &declared(n, &json!({})));
    }
    // A ring has no end.
    let ring = planned(&b, &[peer(1, 2), peer(2, 1)]);
    for item in &ring {
        assert!(details(item).contains("neither can be written before the other"), "{item}");
    }
    let networks = json!({ "policy": "x" });
    let unknown = planned(&b, &[declared(8, &networks), declared(9, &json!({}))]);
    assert_eq!(
        (details(&unknown[0]), &unknown[1]["action"]),
        ("field[policy] is no member of a connection", &json!("create"))
    );
}

#[test]
fn overlaps_within_the_set_are_warned_of() {
    let b =
        Bench::with(&Options { policy: "[policy]\ndefault = \"off\"\nsame-networks = \"warn\"", ..Options::default() });
    let items = planned(&b, &[declared(1, &json!({})), declared(2, &json!({ "peerCidrs": ["10.1.2.0/25"] }))]);
    for (item, other) in items.iter().zip(["site-2", "site-1"]) {
        assert!(item["warnings"][0]["message"].as_str().is_some_and(|text| text.contains(other)), "{item}");
    }
    let refused = Bench::with(&Options {
        policy: "[policy]\ndefault = \"off\"\nsame-networks = \"refuse\"",
        ..Options::default()
    });
    let items = planned(&refused, &[declared(1, &json!({})), declared(2, &json!({ "peerCidrs": ["10.1.2.0/25"] }))]);
    assert!(details(&items[1]).contains("the connection site-1"), "{}", items[1]);
}

#[test]
fn members_are_refused_by_name_and_the_others_are_planned() {
    let b = Bench::start();
    for (more, said) in [
        (json!({ "lifeTme": 3600 }), "field[lifeTme] is no member of a connection: did you mean lifeTime?"),
        (json!({ "authkey": KEY }), "field[authkey] is no member of a connection: did you mean authKey?"),
        (json!({ "peerCidrs": "10.2.0.0/24" }), "field[peerCidrs] must be a list"),
        (json!({ "name": 7 }), "field[name] must be a string"),
        (json!({ "lifeTime": "soon" }), "[lifeTime] field is excepted an int or long, but was [soon]."),
        (json!({ "state": "enabled" }), "valid value for field[state]"),
        (json!({ "uuid": "x" }), "uuid[x] is not a valid uuid"),
        (json!({ "vipUuid": "192.0.2.77" }), "invalid field[vipUuid]"),
        (
            json!({ "l3NetworkUuids": [NETWORK, "10.1.0.0/24"], "l3NetworkUuid": null }),
            "field[l3NetworkUuids] names 10.1.0.0/24 twice",
        ),
        (json!({ "peerCidrs": ["10.2.0.0/24", "10.2.0.0/24"] }), "is same to existed cidrs"),
        (json!({ "authKey": null }), "field[authKey]"),
        (json!({ "resourceUuid": uuid(1) }), "field[resourceUuid] is the same as uuid"),
        (json!({ "aggressive": true }), "aggressive mode is never supported"),
    ] {
        let items = planned(&b, &[declared(1, &more), declared(2, &json!({}))]);
        assert!(details(&items[0]).contains(said), "{said}: {}", items[0]);
        assert_eq!(items[1]["action"], "create", "{more}");
        assert!(put(&b, 1, &more).text().contains(said), "{more}");
    }
    for body in [
        json!({}),
        json!({ "connections": {} }),
        json!({ "connections": [], "prune": "yes" }),
        json!({ "connections": [], "x": 1 }),
    ] {
        b.ask("POST", "/cygnet/v1/plan", body.to_string().as_bytes()).expect(503);
    }
    assert!(details(&planned(&b, &[json!(7)])[0]).contains("no object"));
}

#[test]
fn a_connection_is_written_as_a_whole_and_only_once() {
    let b = Bench::start();
    let whole = json!({ "lifeTime": 1800, "description": "one", "dpdDelay": 17, "userTags": ["a"] });
    let made = put(&b, 1, &whole).expect(200).json()["inventory"].take();
    assert_eq!((&made["uuid"], &made["vipUuid"], &made["lifeTime"]), (&json!(uuid(1)), &json!(VIP), &json!(1800)));
    b.charon.establish(true);
    wait_until("it is up", || (b.inventory(&uuid(1))["status"] == "Ready").then_some(()));
    wait_until("that it runs is stored", || {
        fs::read_to_string(b.record(&uuid(1))).is_ok_and(|text| !text.contains("\"unproven\"")).then_some(())
    });
    let before = everything(&b);
    b.charon.forget_requests();
    let kept = json!({ "lifeTime": 1800, "description": "one", "dpdDelay": 17, "authKey": null, "l3NetworkUuid": "10.1.0.0/24" });
    put(&b, 1, &kept).expect(200);
    assert_eq!(everything(&b), before, "nothing was written");
    assert!(!b.charon.commands().iter().any(|command| command.contains("load")), "{:?}", b.charon.commands());
    // What is left out has its default again; the key, the state and the tags stay.
    put(&b, 1, &json!({ "authKey": null })).expect(200);
    let text = fs::read_to_string(b.record(&uuid(1))).expect("a record");
    let exported = b.ask("GET", "/cygnet/v1/export", b"").expect(200).json()["connections"][0].take();
    assert_eq!((&exported["dpdDelay"], &exported["userTags"]), (&Value::Null, &json!(["a"])), "{text}");
    let now = b.inventory(&uuid(1));
    assert_eq!((&now["lifeTime"], &now["authKey"], &now["description"]), (&json!(3600), &json!(KEY), &Value::Null));
    put(&b, 1, &json!({ "state": "Disabled" })).expect(200);
    assert_eq!(put(&b, 1, &json!({})).expect(200).json()["inventory"]["state"], "Disabled");
}

#[test]
fn who_was_there_meanwhile_is_not_overwritten() {
    let b = Bench::start();
    let seen = |b: &Bench| {
        let view = b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(1)), b"").expect(200).json();
        format!("\"{}\"", view["changed"].as_str().expect("a time"))
    };
    let new = [("If-None-Match", "*")];
    write(&b, "PUT", 1, &new, &declared(1, &json!({}))).expect(200);
    let again = write(&b, "PUT", 1, &new, &declared(1, &json!({}))).expect(503);
    assert!(again.text().contains("in use"), "{}", again.text());
    let named = write(&b, "PUT", 2, &new, &declared(2, &json!({ "name": "site-1" }))).expect(503);
    assert!(named.text().contains("another call has created a connection site-1"), "{}", named.text());
    let before = seen(&b);
    b.ask("PUT", &format!("/zstack/v1/ipsec/{}", uuid(1)), br#"{"updateIPsecConnection":{"description":"theirs"}}"#)
        .expect(200);
    for method in ["PUT", "DELETE"] {
        let body = if method == "PUT" { declared(1, &json!({ "lifeTime": 1800 })) } else { Value::Null };
        let refused = write(&b, method, 1, &[("If-Match", &before)], &body).expect(503);
        assert!(refused.text().contains("was changed by another call at"), "{}", refused.text());
    }
    assert_eq!(b.inventory(&uuid(1))["description"], "theirs");
    let gone = write(&b, "PUT", 3, &[("If-Match", &before)], &declared(3, &json!({}))).expect(503);
    assert!(gone.text().contains("not found"), "{}", gone.text());
    for header in [("If-Match", "soon"), ("If-None-Match", "x")] {
        assert!(write(&b, "PUT", 1, &[header], &declared(1, &json!({}))).expect(503).text().contains(header.0));
    }
    let now = seen(&b);
    write(&b, "PUT", 1, &[("If-Match", &now)], &declared(1, &json!({ "lifeTime": 1800 }))).expect(200);
    let now = seen(&b);
    write(&b, "DELETE", 1, &[("If-Match", &now)], &Value::Null).expect(200);
    assert_eq!(b.inventory(&uuid(1)), Value::Null);
}

#[test]
fn a_change_that_does_not_come_up_goes_back() {
    let b = Bench::start();
    b.charon.establish(true);
    put(&b, 1, &json!({})).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(1))["status"] == "Ready").then_some(()));
    b.charon.establish(false);
    let body = json!({ "connection": declared(1, &json!({ "lifeTime": 1800 })) }).to_string();
    let refused = b.ask("PUT", &format!("/cygnet/v1/connections/{}?confirm=1s", uuid(1)), body.as_bytes()).expect(503);
    assert!(refused.text().contains("the old connection was put back"), "{}", refused.text());
    assert_eq!(b.inventory(&uuid(1))["lifeTime"], 3600);
}

/// A misspelled `confirm` would be a write that nothing takes back.
#[test]
fn a_parameter_that_is_not_known_is_refused() {
    let b = Bench::start();
    let (one, set) = (json!({ "connection": declared(1, &json!({})) }), json!({ "connections": [] }));
    let path = format!("/cygnet/v1/connections/{}", uuid(1));
    for (method, path, query, body, said) in [
        ("PUT", path.as_str(), "confrim=5s", &one, "confrim is not known here: did you mean confirm?"),
        ("PUT", path.as_str(), "keep=true", &one, "keep is not known here"),
        ("DELETE", path.as_str(), "deleteMode=Enforcing", &Value::Null, "deleteMode is not known here"),
        ("DELETE", path.as_str(), "confirm=5s", &Value::Null, "a deletion cannot be put back"),
        ("POST", "/cygnet/v1/plan", "together=true", &set, "together is not known here"),
        ("GET", "/cygnet/v1/export", "limit=1", &Value::Null, "limit is not known here"),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let refused = b.ask(method, &format!("{path}?{query}"), body.as_bytes()).expect(503);
        assert!(refused.text().contains(said), "{}", refused.text());
    }
    assert!(files(&b.connections_dir()).is_empty());
}

/// A plan compares keys, so that a second apply does nothing. Whoever tries keys with it is seen.
#[test]
fn keys_are_not_tried_unseen() {
    let b = Bench::with(&Options { top: "mask_auth_key = true", ..Options::default() });
    b.create(&params(1, &json!({}))).expect(200);
    assert_eq!(planned(&b, &[declared(1, &json!({}))])[0]["action"], "keep");
    assert!(!b.logs().contains("gives another authKey"), "{}", b.logs());
    let other = planned(&b, &[declared(1, &json!({ "authKey": OTHER_KEY }))]);
    assert_eq!(other[0]["fields"], json!([{ "field": "authKey", "changed": "yes" }]));
    wait_until("the trail", || b.logs().contains("gives another authKey").then_some(()));
    assert!(!b.logs().contains(OTHER_KEY) && !b.logs().contains(KEY));
}

#[test]
fn what_is_exported_is_kept_even_if_the_settings_have_changed() {
    let b = Bench::start();
    b.create(&params(1, &json!({ "systemTags": ["a::b"], "startMode": "respond" }))).expect(200);
    b.create(&params(2, &json!({ "ikeVersion": "ikev2", "idType": "fqdn", "remoteId": "two.example" }))).expect(200);
    let exported = b.ask("GET", "/cygnet/v1/export", b"").expect(200).json()["connections"].take();
    let list = exported.as_array().expect("a list");
    assert_eq!(actions(&planned(&b, list)), ["keep none"; 2]);
    assert!(!exported.to_string().contains("authKey") && !exported.to_string().contains(KEY), "{exported}");
    let one = b.ask("GET", "/cygnet/v1/export?q=name=site-2", b"").expect(200).json();
    assert_eq!(one["connections"], json!([list[1]]));
    let path = b.path("cygnet.toml");
    let text = fs::read_to_string(&path)
        .expect("settings")
        .replace("192.0.2.1\"", "192.0.2.9\"")
        .replace(NETWORK, "b0000000000040008000000000000002");
    fs::write(&path, text).expect("settings");
    b.ask("POST", "/cygnet/v1/reload", b"").expect(200);
    assert_eq!(
        actions(&planned(&b, list)),
        ["keep none"; 2],
        "a gone network and a VIP that moved are no word of the file"
    );
}

#[test]
fn a_set_may_be_larger_than_a_body() {
    let b = Bench::start();
    let description = "x".repeat(2000);
    let each = |n: usize| {
        json!({ "name": format!("many-{n}"), "vipUuid": VIP, "peerAddress": format!("198.18.{}.{}", n / 250, n % 250 + 1),
                "authKey": KEY, "l3NetworkUuid": NETWORK, "peerCidrs": [format!("10.{}.{}.0/24", 100 + n / 250, n % 250)], "description": description })
    };
    let set: Vec<_> = (0..600).map(each).collect();
    assert!(json!(set).to_string().len() > 1 << 20);
    let items = planned(&b, &set);
    assert!(items.iter().all(|item| item["action"] == "create"), "{}", items[0]);
    let huge = b.ask("POST", "/cygnet/v1/plan", &vec![b' '; (8 << 20) + 1]);
    huge.expect(413);
}
