//! What clients ask for around IPsec: VIPs, networks, the router, the version, and how the SDKs write what they ask.

use crate::serve::{Bench, Options, params, uuid};
use serde_json::{Value, json};

fn bench() -> Bench {
    Bench::with(&Options { wait: "0s", ..Options::default() })
}

fn get(b: &Bench, path: &str) -> Value {
    b.ask("GET", &format!("/zstack/v1/{path}"), b"").expect(200).json()
}

#[test]
fn the_settings_answer_for_vips_networks_and_the_router() {
    let b = bench();
    for (path, class) in [
        ("vips", "org.zstack.network.service.vip.VipInventory"),
        ("l3-networks", "org.zstack.header.network.l3.L3NetworkInventory"),
        ("vpc/virtual-routers", "org.zstack.network.service.virtualrouter.VirtualRouterVmInventory"),
    ] {
        let all = get(&b, path);
        let first = all["inventories"][0].clone();
        assert_eq!(all["schema"]["inventories[0]"], class);
        assert!(["uuid", "name", "state"].iter().all(|member| first[member].is_string()), "{first}");
        let id = first["uuid"].as_str().expect("a text");
        assert_eq!(get(&b, &format!("{path}/{id}"))["inventories"], json!([first]));
        assert_eq!(get(&b, &format!("{path}/{}", uuid(99)))["inventories"], json!([]));
        let count = all["inventories"].as_array().map(Vec::len);
        assert_eq!(get(&b, &format!("{path}?count=True")), json!({ "total": count }));
        assert_eq!(get(&b, &format!("{path}?q=uuid={id}&fields=uuid"))["inventories"], json!([{ "uuid": id }]));
        assert_eq!(
            get(&b, &format!("{path}?q=uuid!={id}&q=name~=%25&limit=0&replyWithCount=TRUE"))["inventories"],
            json!([])
        );
        let wrong = b.ask("GET", &format!("/zstack/v1/{path}?q=nosuch=1"), b"").expect(503).text();
        assert!(wrong.contains("has no field[nosuch]"), "{wrong}");
        // What the language has, and cannot be done here, is refused and not ignored.
        b.ask("GET", &format!("/zstack/v1/{path}?groupBy=name"), b"").expect(503);
        b.ask("GET", &format!("/zstack/v1/{path}?filterName=x"), b"").expect(503);
        let many = "q=name!=x&".repeat(33);
        b.ask("GET", &format!("/zstack/v1/{path}?{many}"), b"").expect(400);
        b.tcp().request("GET", &format!("/zstack/v1/{path}"), &[], b"").expect("an answer").expect(400);
    }
    let ip = get(&b, "vips")["inventories"][0]["ip"].clone();
    assert!(ip.as_str().is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_ok()), "{ip}");
}

#[test]
fn the_version_is_told_before_a_login() {
    let body = br#"{"getVersion": {}}"#;
    let answer = bench().tcp().request("PUT", "/zstack/v1/management-nodes/actions", &[], body).expect("an answer");
    assert_eq!(answer.expect(200).json(), json!({ "version": env!("CARGO_PKG_VERSION") }));
}

#[test]
fn candidates_have_names_and_classes_for_those_who_ask() {
    let b = bench();
    let plain = get(&b, "ipsec/candidatesL3Networks");
    assert!(plain["inventories"][0]["name"].is_string() && plain.get("schema").is_none(), "{plain}");
    let path = "/zstack/v1/ipsec/candidatesL3Networks";
    let headers = [("X-JSON-Schema", "true"), ("Authorization", &format!("OAuth {}", crate::serve::TOKEN))];
    let classed = b.tcp().request("GET", path, &headers, b"").expect("an answer").expect(200).json();
    assert_eq!(classed["schema"]["inventories[0]"], "org.zstack.header.network.l3.L3NetworkInventory");
    assert_eq!(classed["schema"]["inventories[0].ipRanges[0]"], "org.zstack.header.network.l3.IpRangeInventory");
}

/// Python writes `True`; the real server takes whatever is not `true`, in any case of letters, for false.
#[test]
fn switches_of_a_query_are_never_an_error() {
    let b = bench();
    for (value, counts) in
        [("true", true), ("True", true), ("TRUE", true), ("false", false), ("yes", false), ("1", false)]
    {
        let answer = get(&b, &format!("ipsec?count={value}"));
        assert_eq!(answer == json!({ "total": 0 }), counts, "{value}: {answer}");
        assert_eq!(get(&b, &format!("ipsec?replyWithCount={value}")).get("total").is_some(), counts, "{value}");
    }
}

#[test]
fn an_update_may_come_by_the_path_of_actions() {
    let b = bench();
    b.create(&params(1, &json!({}))).expect(200);
    let path = format!("/zstack/v1/ipsec/{}/actions", uuid(1));
    let body = json!({ "updateIPsecConnection": { "name": "another", "description": "moved" } }).to_string();
    let answer = b.ask("PUT", &path, body.as_bytes()).expect(200).json();
    assert_eq!([&answer["inventory"]["name"], &answer["inventory"]["description"]], ["another", "moved"]);
}

#[test]
fn connections_are_found_by_the_names_of_vip_and_network() {
    let b = bench();
    b.create(&params(1, &json!({}))).expect(200);
    for field in ["vip.name", "l3Network.name"] {
        assert_eq!(get(&b, &format!("ipsec?q={field}=nosuch"))["inventories"], json!([]));
        b.ask("GET", &format!("/zstack/v1/ipsec?q={field}~=%25"), b"").expect(200);
    }
}
