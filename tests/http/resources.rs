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
        ("vpc/virtual-routers", "org.zstack.header.vpc.VpcRouterVmInventory"),
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
    let b = bench();
    let ask = |body: &str| {
        let path = "/zstack/v1/management-nodes/actions";
        b.tcp().request("PUT", path, &[], body.as_bytes()).expect("an answer")
    };
    for body in [r#"{"getVersion": {}}"#, r#"{"GETVERSION": {"systemTags": []}, "userTags": []}"#] {
        assert_eq!(ask(body).expect(200).json(), json!({ "version": env!("CARGO_PKG_VERSION") }));
    }
    // The path has other actions in the management plane, which are none here.
    for body in ["", "{}", r#"{"getCurrentTime": {}}"#, r#"{"params": {}}"#] {
        let text = ask(body).expect(400).text();
        assert_eq!(text, "the body doesn't contain action mapping to the URL[/v1/management-nodes/actions]", "{body}");
    }
    ask(&format!(r#"{{"getVersion": "{}"}}"#, "x".repeat(20_000))).expect(413);
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
    for (value, counts) in [
        ("true", true),
        ("True", true),
        ("TRUE", true),
        ("tRuE", true),
        ("false", false),
        ("yes", false),
        ("1", false),
        ("", false),
        ("null", false),
        ("%20true", false),
        ("true%00", false),
        ("true,true", false),
        ("%C5%A7rue", false),
    ] {
        for path in ["ipsec", "vips", "l3-networks", "vpc/virtual-routers"] {
            let answer = get(&b, &format!("{path}?count={value}"));
            assert_eq!(answer.get("inventories").is_none(), counts, "{path} {value}: {answer}");
            assert_eq!(get(&b, &format!("{path}?replyWithCount={value}")).get("total").is_some(), counts, "{value}");
        }
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
    let found = |query: &str| get(&b, &format!("ipsec?{query}"))["inventories"].as_array().map(Vec::len);
    // Whatever name the list of them shows finds the connection.
    for (field, list) in
        [("vip.name", "vips"), ("l3Network.name", "l3-networks"), ("l3NetworkRefs.l3Network.name", "l3-networks")]
    {
        let name = get(&b, list)["inventories"][0]["name"].as_str().expect("a name").replace(' ', "%20");
        for (condition, count) in [
            (format!("={name}"), 1),
            (format!("!={name}"), 0),
            (format!("?=x,{name}"), 1),
            ("~=%25".to_owned(), 1),
            ("=nosuch".to_owned(), 0),
            ("!=nosuch".to_owned(), 1),
            (" is null".replace(' ', "%20"), 0),
            (" not null".replace(' ', "%20"), 1),
        ] {
            assert_eq!(found(&format!("q={field}{condition}")), Some(count), "{field}{condition}");
        }
    }
    for field in ["vip.nosuch", "l3NetworkRefs.vip.name", "l3NetworkRefs.l3Network", "vip.name.x", "peerCidrs.name"] {
        b.ask("GET", &format!("/zstack/v1/ipsec?q={field}=x"), b"").expect(503);
    }
}

/// Tag patterns are the management plane's; no connection here is marked with one.
#[test]
fn connections_can_be_asked_for_by_tag_patterns_that_there_are_none_of() {
    let b = bench();
    b.create(&params(1, &json!({ "userTags": ["x"] }))).expect(200);
    let found = |query: &str| get(&b, &format!("ipsec?q={query}"))["inventories"].as_array().map(Vec::len);
    for (condition, count) in
        [("=x", 0), ("?=x,y", 0), ("~=%25", 0), ("!=x", 1), ("!?=x", 1), ("%20is%20null", 1), ("%20not%20null", 0)]
    {
        assert_eq!(found(&format!("__tagUuid__{condition}")), Some(count), "{condition}");
    }
    b.ask("GET", "/zstack/v1/ipsec?q=__tagUuid__.uuid=x", b"").expect(503);
    b.ask("GET", "/zstack/v1/vips?q=__tagUuid__=x", b"").expect(503);
}

/// A name that the settings no longer have is no name, and no other one.
#[test]
fn a_vip_that_the_settings_lost_has_no_name() {
    let mut b = bench();
    b.create(&params(1, &json!({}))).expect(200);
    b.stop();
    let settings = b.path("cygnet.toml");
    let text = std::fs::read_to_string(&settings).expect("settings");
    std::fs::write(&settings, text.replace(crate::serve::VIP, &uuid(77))).expect("settings");
    b.run();
    let found = |query: &str| get(&b, &format!("ipsec?q={query}"))["inventories"].as_array().map(Vec::len);
    assert_eq!(
        (found("vip.name%20is%20null"), found("vip.name%20not%20null"), found("vip.name~=%25")),
        (Some(1), Some(0), Some(0))
    );
}
