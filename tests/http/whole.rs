//! What asks for more than one connection, and what a request may carry beside its parameters.

use crate::serve::{Bench, NETWORK, Options, TOKEN, VIP, change, params, uuid};
use serde_json::{Value, json};
use std::fs;

const PATH: &str = "/zstack/v1/ipsec";

fn get(b: &Bench, path: &str) -> Value {
    b.ask("GET", path, b"").expect(200).json()
}

fn names(reply: &Value) -> Vec<&str> {
    reply["inventories"].as_array().expect("a list").iter().filter_map(|i| i["name"].as_str()).collect()
}

#[test]
fn conditions_reach_beyond_the_inventory() {
    let b = Bench::start();
    b.create(&params(7, &json!({ "userTags": ["blue", "x::1"], "systemTags": ["remoteId::a"] }))).expect(200);
    b.create(&params(8, &json!({ "userTags": ["red"] }))).expect(200);
    for (condition, found) in [
        ("__userTag__=blue", vec!["site-7"]),
        ("__userTag__~=%25::%25", vec!["site-7"]),
        ("__userTag__!=blue", vec!["site-8"]),
        ("__systemTag__%20is%20null", vec!["site-8"]),
        ("vip.ip=192.0.2.1", vec!["site-7", "site-8"]),
        ("vip.uuid=nowhere", vec![]),
        ("l3Network.cidr=10.1.0.0/24", vec!["site-7", "site-8"]),
        ("peerCidrs.cidr=10.8.2.0/24", vec!["site-8"]),
    ] {
        assert_eq!(names(&get(&b, &format!("{PATH}?q={condition}"))), found, "{condition}");
    }
    assert_eq!(names(&get(&b, &format!("{PATH}?groupBy=state"))).len(), 1);
    for (query, status, text) in [
        ("limit=1&limit=2", 400, "only one value is allowed"),
        ("q=vip.nothing=1", 503, "has no field[vip.nothing]"),
        ("filterName=type:x", 503, "has no filters"),
    ] {
        let answer = b.ask("GET", &format!("{PATH}?{query}"), b"");
        assert!(answer.status == status && answer.text().contains(text), "{query}: {}", answer.text());
    }
}

#[test]
fn candidates_are_the_networks_that_are_not_attached() {
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    let all = get(&b, &format!("{PATH}/candidatesL3Networks"));
    assert_eq!(all["inventories"][0]["uuid"], NETWORK);
    assert_eq!(all["inventories"][0]["ipRanges"][0]["networkCidr"], "10.1.0.0/24");
    let left = get(&b, &format!("{PATH}/candidatesL3Networks?uuid={}&vipUuid={VIP}", uuid(7)));
    assert_eq!(left["inventories"], json!([]));
    assert_eq!(get(&b, &format!("{PATH}/candidatesL3Networks?start=1"))["inventories"], json!([]));
    let error = b.ask("GET", &format!("{PATH}/candidatesL3Networks?uuid={}", uuid(9)), b"").expect(503).json();
    assert_eq!(error["error"]["code"], "SYS.1003");
    b.ask("GET", &format!("{PATH}/candidatesL3Networks?limit=x"), b"").expect(400);
}

#[test]
fn the_router_has_connections_and_a_log() {
    let mut b = Bench::idle(&Options::default());
    let log = b.path("charon.log");
    let settings = fs::read_to_string(b.path("cygnet.toml")).expect("settings");
    let with_log = settings.replace("[charon]", &format!("[charon]\nlog = \"{}\"", log.display()));
    fs::write(b.path("cygnet.toml"), with_log).expect("settings");
    b.run();
    for n in [7, 8] {
        b.create(&params(n, &json!({}))).expect(200);
    }
    let attached = format!("/zstack/v1/vpc/virtual-routers/{}/attached-ipsec", uuid(1));
    let reply = b.ask("POST", &attached, b"{\"params\":{\"start\":1,\"limit\":5}}").expect(200).json();
    assert_eq!(names(&reply), ["site-8"]);
    assert!(reply["schema"]["inventories[0]"].is_string());
    let path = "/zstack/v1/vpc/virtual-routers/ipseclog";
    b.ask("GET", &format!("{path}?uuid=any"), b"").expect(503);
    fs::write(&log, "one\ntwo\n  0: 74 65 73 74 2D 6F 6E 6C 79 2D 6B 65 79  test-only-key\nthree\n").expect("written");
    let lines =
        |query: &str| get(&b, &format!("{path}?uuid=any{query}"))["ipsecLog"].as_str().expect("text").to_owned();
    assert_eq!(lines(""), "one\ntwo\nthree", "a dump of bytes may be a key");
    assert_eq!(lines("&lines=2"), "two\nthree");
    b.ask("GET", &format!("{path}?uuid=any&lines=1.5"), b"").expect(400);
    assert!(b.ask("GET", path, b"").expect(503).text().contains("field[uuid]"), "the router's uuid is mandatory");
}

#[test]
fn the_result_of_a_write_has_a_schema_for_who_asks() {
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    let path = format!("{PATH}/config/{}", uuid(7));
    let body = json!({ "changeIPsecConnection": change(7, &json!({})) }).to_string();
    let bearer = format!("OAuth {TOKEN}");
    let ask = |headers: &[(&str, &str)]| {
        let headers = [headers, &[("Authorization", &bearer)]].concat();
        b.tcp().request("PUT", &path, &headers, body.as_bytes()).expect("an answer").expect(200).json()
    };
    assert!(ask(&[]).get("schema").is_none());
    let schema = ask(&[("X-JSON-Schema", "true")])["schema"].take();
    assert_eq!(schema["inventory"], "org.zstack.ipsec.IPsecConnectionInventory");
    assert_eq!(schema["inventory.peerCidrs[0]"], "org.zstack.ipsec.IPsecPeerCidrInventory");
}

#[test]
fn a_request_with_two_lengths_is_refused() {
    let b = Bench::start();
    for (first, second) in
        [("Content-Length: 4", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked", "Content-Length: 4")]
    {
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {TOKEN}\r\n{first}\r\n{second}\r\n\r\n0\r\n\r\n"
        );
        let answer = b.tcp().raw(head.as_bytes()).expect("an answer");
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{first} first");
    }
}
