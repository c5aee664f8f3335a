//! What a request carries beside its parameters: tags, the time that it may take, the address that it is made for.

use crate::{
    fake_charon::Behaviour,
    serve::{Bench, KEY, NETWORK, Options, TOKEN, change, params, uuid, wait_until},
};
use serde_json::{Value, json};

const PATH: &str = "/zstack/v1/ipsec";

fn item(tail: &str) -> String {
    format!("{PATH}/{}{tail}", uuid(7))
}

/// How many connections have this user tag.
fn tagged(b: &Bench, tag: &str) -> Value {
    b.ask("GET", &format!("{PATH}?q=__userTag__={tag}&count=true"), b"").expect(200).json()["total"].take()
}

#[test]
fn tags_that_come_with_a_write_replace_those_that_are_stored() {
    let b = Bench::start();
    b.create(&params(7, &json!({ "userTags": ["t0"] }))).expect(200);
    let config = format!("{PATH}/config/{}", uuid(7));
    let network = format!("/l3networks?l3NetworkUuids={NETWORK}&userTags=t6");
    for (n, (method, path, key, params)) in [
        ("PUT", config.clone(), "changeIPsecConnection", change(7, &json!({}))),
        ("PUT", item(""), "updateIPsecConnection", json!({})),
        ("PUT", item("/actions"), "changeIPSecConnectionState", json!({ "stateEvent": "enable" })),
        ("PUT", item("/actions"), "reconnectIPsecConnection", json!({})),
        ("POST", item("/remote-cidrs"), "params", json!({ "peerCidrs": ["10.77.0.0/24"] })),
        ("DELETE", item(&network), "", json!({})),
        ("POST", item("/l3networks"), "params", json!({ "l3NetworkUuids": [NETWORK] })),
        ("DELETE", item("/remote-cidrs?peerCidrs=10.77.0.0%2F24&userTags.0=t8"), "", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let tag = format!("t{}", n + 1);
        let body = if key.is_empty() { String::new() } else { json!({ key: params, "userTags": [tag] }).to_string() };
        b.ask(method, &path, body.as_bytes()).expect(200);
        assert_eq!((tagged(&b, &tag), tagged(&b, &format!("t{n}"))), (json!(1), json!(0)), "{method} {path}");
    }
    let body = json!({ "changeIPsecConnection": change(7, &json!({})) }).to_string();
    b.ask("PUT", &config, body.as_bytes()).expect(200);
    assert_eq!(tagged(&b, "t8"), 1, "none that come, none that go");
}

#[test]
fn a_system_tag_may_name_the_peer() {
    let b = Bench::start();
    let owners = |n| {
        let secret = b.charon.secret(&format!("ike-cygnet-{}", uuid(n))).expect("loaded");
        secret.items("owners").map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    for (n, more, owner, kind) in [
        (1, json!({ "systemTags": ["x::y", "remoteId::198.51.100.99"] }), "198.51.100.99", "ip"),
        (2, json!({ "systemTags": ["remoteId::gw.example"], "remoteId": " " }), "fqdn:gw.example", "name"),
        (3, json!({ "systemTags": ["remoteId::no.example"], "remoteId": "198.51.100.98" }), "198.51.100.98", "ip"),
        (4, json!({ "systemTags": ["remoteId::a.example"], "idType": "fqdn" }), "fqdn:a.example", "fqdn"),
        (5, json!({ "systemTags": ["remoteId::"] }), "198.51.100.5", "ip"),
    ] {
        let made = b.create(&params(n, &more)).expect(200).json()["inventory"].take();
        assert_eq!((owners(n), &made["idType"]), (vec![owner.to_owned()], &json!(kind)), "{more}");
    }
    let mail = json!({ "systemTags": ["remoteId::ops@gw.example"], "idType": "ip" });
    let error = b.create(&params(6, &mail)).expect(503);
    assert!(error.text().contains("is not an IP address"), "{}", error.text());
}

#[test]
fn the_time_that_a_write_may_take_is_the_callers_to_say() {
    let b = Bench::with(&Options { timeout: "15s", ..Options::default() });
    b.charon.on("load-conn", Behaviour::Silence);
    let bearer = format!("OAuth {TOKEN}");
    let body = json!({ "params": params(7, &json!({})) }).to_string();
    let ask = |headers: &[(&str, &str)]| {
        let headers = [headers, &[("Authorization", bearer.as_str()), ("X-API-Timeout", "1")]].concat();
        b.tcp().request("POST", PATH, &headers, body.as_bytes()).expect("an answer")
    };
    let direct = ask(&[]).expect(503).json();
    assert_eq!(direct["error"]["code"], "SYS.1001", "{direct}");
    let job = ask(&[("Prefer", "respond-async")]).expect(202).json();
    assert_eq!(job["apiTimeout"], 1000);
    let location = job["location"].as_str().expect("a location");
    let path = &location[location.find("/zstack").expect("a path")..];
    let ended = wait_until("the job's time is up", || {
        let answer = b.tcp().request("GET", path, &[], b"").expect("an answer");
        (answer.status != 202).then_some(answer)
    });
    assert_eq!(ended.expect(503).json()["error"]["code"], "SYS.1001");
    let logs = b.logs();
    let audits = logs.lines().filter(|line| line.contains("cygnet::audit") && line.contains("nobody waited"));
    assert_eq!(audits.count(), 2, "a write that nobody waits for is in the trail: {logs}");
}

#[test]
fn who_asks_for_a_write_is_logged_with_the_address_it_is_for() {
    let b = Bench::start();
    let bearer = format!("OAuth {TOKEN}");
    let body = json!({ "params": params(7, &json!({})) }).to_string();
    for (address, job) in [("203.0.113.77", "none"), ("not\u{e9} an address", "respond-async")] {
        let headers = [("Authorization", bearer.as_str()), ("X-Request-Ip", address), ("Prefer", job)];
        b.tcp().request("POST", PATH, &headers, body.as_bytes()).expect("an answer");
    }
    b.ask("GET", PATH, b"").expect(200);
    let logs = b.logs();
    let lines: Vec<_> = logs.lines().filter(|line| line.contains("a write is asked for")).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("203.0.113.77") && lines[0].contains("POST") && lines[0].contains("127.0.0.1"));
    assert!(!logs.contains("an address") && !logs.contains(KEY) && !logs.contains(TOKEN));
}

#[test]
fn every_write_leaves_a_line_in_the_audit_trail() {
    let b = Bench::start();
    let uuid =
        b.create(&params(7, &json!({}))).expect(200).json()["inventory"]["uuid"].as_str().expect("a uuid").to_owned();
    let path = format!("/zstack/v1/ipsec/{uuid}/actions");
    let body = json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } }).to_string();
    b.ask("PUT", &path, body.as_bytes()).expect(200);
    b.ask("PUT", &path.replace(&uuid, &uuid.replace(&uuid[..4], "ffff")), body.as_bytes()).expect(503);
    b.tcp()
        .request("DELETE", &format!("/zstack/v1/ipsec/{uuid}"), &[("Authorization", "OAuth no-token")], b"")
        .expect("answered");
    b.ask("GET", PATH, b"").expect(200);
    let logs = b.logs();
    let trail: Vec<_> = logs.lines().filter(|line| line.contains("cygnet::audit")).collect();
    assert_eq!(trail.len(), 4, "{trail:#?}");
    for (line, words) in trail.iter().zip([
        ["CreateIPsecConnection by", "done; it is new", &uuid],
        ["ChangeIPSecConnectionState by", "state \"Enabled\" -> \"Disabled\"", &uuid],
        ["ChangeIPSecConnectionState by", "refused (SYS.1003)", "ffff"],
        ["DeleteIPsecConnection by an unauthenticated caller", "refused (ID.1001)", &uuid],
    ]) {
        assert!(words.iter().all(|word| line.contains(word)), "{words:?}: {line}");
    }
    assert!(
        trail[0].contains("request=") && trail[0].contains("peer=198.51.100.7") && trail[0].contains("duration_ms=")
    );
    assert!(trail[0].contains("by token test from 127.0.0.1: "), "{}", trail[0]);
}
