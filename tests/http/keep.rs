//! `?keep=true`: a Change that says only what is to be different; and all connections at a glance.

use crate::serve::{Bench, KEY, Options, params, uuid};
use serde_json::{Value, json};

/// A Change of the connection 7 that keeps the rest.
fn keep(b: &Bench, tail: &str, change: &Value) -> crate::client::Response {
    let (method, path) = match tail {
        "plan" => ("POST", format!("/cygnet/v1/connections/{}/plan?keep=true", uuid(7))),
        _ => ("PUT", format!("/zstack/v1/ipsec/config/{}?keep={tail}", uuid(7))),
    };
    b.ask(method, &path, json!({ "changeIPsecConnection": change }).to_string().as_bytes())
}

/// Options of which none has its default.
fn unusual() -> Value {
    json!({
        "idType": "fqdn", "localId": "here.example", "remoteId": "there.example", "ikeVersion": "ikev2",
        "ikeAuthAlgorithm": "sha384", "ikeEncryptionAlgorithm": "aes-128", "ikeDhGroup": 19, "ikeLifeTime": 7000,
        "policyAuthAlgorithm": "sha512", "policyEncryptionAlgorithm": "aes-192", "pfs": "none",
        "transformProtocol": "ah", "lifeTime": 900,
    })
}

#[test]
fn what_is_left_out_keeps_what_is_stored() {
    for masked in ["", "mask_auth_key = true"] {
        let b = Bench::with(&Options { top: masked, ..Options::default() });
        b.create(&params(7, &unusual())).expect(200);
        for (name, value) in [
            ("lifeTime", json!(901)),
            ("pfs", json!("dh-group20")),
            ("peerAddress", json!("198.51.100.77")),
            ("ikeDhGroup", json!(20)),
            ("transformProtocol", json!("esp")),
        ] {
            let mut wanted = b.inventory(&uuid(7));
            wanted[name] = value.clone();
            let plan = keep(&b, "plan", &json!({ name: value })).expect(200).json();
            let told: Vec<_> = plan["fields"].as_array().expect("a list").iter().map(|f| f["field"].clone()).collect();
            assert_eq!(told, [name], "{plan}");
            keep(&b, "true", &json!({ name: value })).expect(200);
            let mut found = b.inventory(&uuid(7));
            found["lastOpDate"] = wanted["lastOpDate"].clone();
            assert_eq!(found, wanted, "{name}");
        }
        let secret = b.charon.secret(&format!("ike-cygnet-{}", uuid(7))).expect("loaded");
        assert_eq!(secret.bytes("data"), Some(KEY.as_bytes()));
    }
}

#[test]
fn transport_mode_is_kept() {
    let b = Bench::start();
    let hosts = json!({ "policyMode": "transport", "l3NetworkUuid": null, "peerCidrs": ["198.51.100.7/32"] });
    b.create(&params(7, &hosts)).expect(200);
    keep(&b, "true", &json!({ "lifeTime": 901 })).expect(200);
    let after = b.inventory(&uuid(7));
    assert_eq!((&after["policyMode"], &after["lifeTime"]), (&json!("transport"), &json!(901)));
}

#[test]
fn another_key_alone_is_a_change_too() {
    let b = Bench::start();
    b.create(&params(7, &unusual())).expect(200);
    let before = b.inventory(&uuid(7));
    let plan = keep(&b, "plan", &json!({ "authKey": "test-only-other" })).expect(200);
    assert!(!plan.text().contains("test-only"), "{}", plan.text());
    keep(&b, "true", &json!({ "authKey": "test-only-other" })).expect(200);
    let after = b.inventory(&uuid(7));
    assert_eq!((&after["authKey"], &after["remoteId"]), (&json!("test-only-other"), &before["remoteId"]));
}

#[test]
fn without_it_the_rest_takes_its_defaults() {
    let b = Bench::start();
    b.create(&params(7, &unusual())).expect(200);
    let said = keep(&b, "false", &json!({ "lifeTime": 901 })).expect(503).text();
    assert!(said.contains("field[peerAddress]") && said.contains("mandatory"), "{said}");
    let said = keep(&b, "yes", &json!({ "lifeTime": 901 })).expect(503).text();
    assert!(said.contains("the query parameter keep must be true or false"), "{said}");
    let said = keep(&b, "true", &json!({ "lifeTime": 1 })).expect(503).text();
    assert!(said.contains("field[lifeTime]"), "{said}");
    assert_eq!(b.inventory(&uuid(7))["lifeTime"], 900);
}

#[test]
fn all_connections_at_a_glance() {
    let b = Bench::start();
    for n in [7, 8, 9] {
        b.create(&params(n, &json!({}))).expect(200);
    }
    let disabled = json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } }).to_string();
    b.ask("PUT", &format!("/zstack/v1/ipsec/{}/actions", uuid(8)), disabled.as_bytes()).expect(200);
    let ask = |query: &str| b.ask("GET", &format!("/cygnet/v1/connections?{query}"), b"").expect(200);
    let all = ask("sort=-name&fields=name&limit=2&replyWithCount=true");
    assert!(!all.text().contains(KEY) && !all.text().contains("authKey"), "{}", all.text());
    let all = all.json();
    assert_eq!((&all["total"], all["connections"].as_array().map(Vec::len)), (&json!(3), Some(2)));
    let codes: Vec<_> = all["connections"].as_array().expect("a list").iter().map(|c| &c["reason"]["code"]).collect();
    assert_eq!(codes, ["LOCAL_ADDRESS_MISSING", "NOT_ATTEMPTED"]);
    assert_eq!(ask("q=state=Disabled").json()["connections"][0]["inventory"]["name"], "site-8");
    assert_eq!(ask("count=true").json(), json!({ "total": 3 }));
    b.ask("GET", "/cygnet/v1/connections?q=nothing=1", b"").expect(503);
    b.ask("GET", "/cygnet/v1/connections?q=nothing", b"").expect(400);
}
