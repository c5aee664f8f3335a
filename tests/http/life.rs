//! A connection's whole life, as each of the clients lives it: with a session, and with an access key.

use super::{
    accounts::{PASSWORD, tool, with_accounts},
    sdk::{Credentials, Kind, Sdk, check_connection},
};
use crate::serve::{Bench, KEY, NETWORK, Options, params, uuid};
use serde_json::{Value, json};

const KINDS: [Kind; 3] = [Kind::Java, Kind::Go, Kind::Python];

/// An agent with the account `admin`, whose tunnels come up at once; an access key of the account.
fn bench() -> (Bench, Credentials) {
    let mut b = Bench::idle(&Options { wait: "5s", ..Options::default() });
    with_accounts(&b);
    tool(&b, &["passwd", "admin"], &format!("{PASSWORD}\n"));
    let made = String::from_utf8(tool(&b, &["accesskey", "admin"], "").stdout).expect("text");
    let word = |name: &str| made.lines().find_map(|line| line.strip_prefix(name)).expect("printed").trim().to_owned();
    b.charon.establish(true);
    b.run();
    let key = Credentials::Key(word("id "), word("secret "));
    (b, key)
}

/// The inventory of a write's result.
#[track_caller]
fn inventory(outcome: Result<Value, (String, String)>) -> Value {
    let inventory = outcome.expect("it succeeds")["inventory"].take();
    check_connection(&inventory);
    inventory
}

#[test]
fn every_client_lives_a_whole_life_with_a_session() {
    let (b, _) = bench();
    for kind in KINDS {
        let mut sdk = Sdk::new(&b, kind, Credentials::None);
        let wrong = sdk.login("admin", "test-only-wrong").expect_err("a wrong password");
        let said = format!("{} {}", wrong.0, wrong.1);
        assert!(said.contains("ID.1000") && said.contains("wrong account name or password"), "{kind:?}: {said}");
        sdk.login("admin", PASSWORD).expect("a session");
        life(&sdk);
        logout(&sdk);
    }
}

#[test]
fn every_client_lives_a_whole_life_with_an_access_key() {
    let (b, key) = bench();
    for kind in KINDS {
        life(&Sdk::new(&b, kind, key.clone()));
    }
    let Credentials::Key(id, _) = key else { unreachable!() };
    let stranger = Sdk::new(&b, Kind::Go, Credentials::Key(id, "test-only-wrong-secret".into()));
    let refused = stranger.write("PUT", &item(""), "updateIPsecConnection", &json!({})).expect_err("a wrong secret");
    assert_eq!(refused, ("http.403".into(), "wrong accessKey signature".into()));
}

fn item(tail: &str) -> String {
    format!("/v1/ipsec/{}{tail}", uuid(7))
}

/// From creation to deletion.
fn life(sdk: &Sdk) {
    let made = inventory(sdk.write("POST", "/v1/ipsec", "params", &params(7, &json!({ "description": "new" }))));
    assert_eq!((&made["uuid"], &made["status"], &made["state"]), (&json!(uuid(7)), &json!("Ready"), &json!("Enabled")));
    queries(sdk);
    changes(sdk);
    states(sdk);
    networks(sdk);
    assert_eq!(sdk.delete(&item("?deleteMode=Permissive")).expect("deleted"), json!({}));
    assert_eq!(sdk.read(&item("")).expect("an empty list")["inventories"], json!([]));
    let gone = sdk.delete(&item("")).expect_err("it is gone");
    assert_eq!(gone.0, "SYS.1003", "{}", gone.1);
}

fn queries(sdk: &Sdk) {
    let by_tag = format!("__userTag__=by::{:?}", sdk.kind);
    let path = format!("/v1/ipsec?q=name%3Dsite-7&q=peerCidrs.cidr%3D10.7.2.0%2F24&q={by_tag}&replyWithCount=true");
    let found = sdk.read(&path).expect("found");
    assert_eq!((&found["total"], &found["inventories"][0]["uuid"]), (&json!(1), &json!(uuid(7))), "{found}");
    assert_eq!(found["inventories"][0]["authKey"], KEY);
    assert_eq!(sdk.read("/v1/ipsec?q=state%3DDisabled&count=true").expect("counted"), json!({ "total": 0 }));
    let named = sdk.read(&item("?fields=uuid,name")).expect("found");
    assert_eq!(named["inventories"], json!([{ "uuid": uuid(7), "name": "site-7" }]));
    // A query that fails is answered directly, and the Java SDK shows the answer as it is.
    let (code, text) = sdk.read("/v1/ipsec?q=nosuch%3D1").expect_err("no such field");
    assert_eq!(code, if sdk.kind == Kind::Java { "sdk.1000" } else { "SYS.1000" });
    assert!(text.contains("has no field[nosuch]"), "{text}");
}

fn changes(sdk: &Sdk) {
    // One version of the Go SDK has another path, and calls all parameters `params`.
    let (tail, key) = if sdk.kind == Kind::Go { ("/actions", "params") } else { ("", "changeIPsecConnection") };
    let path = format!("/v1/ipsec/config/{}{tail}", uuid(7));
    let change = |params: Value| sdk.write("PUT", &path, key, &params);
    let good = json!({ "peerAddress": "198.51.100.7", "authKey": KEY, "lifeTime": 1200.0, "ikeLifeTime": "7200",
                       "ikeDhGroup": 1.9e1, "pfs": "dh-group19" });
    let changed = inventory(change(good));
    assert_eq!((&changed["lifeTime"], &changed["ikeLifeTime"]), (&json!(1200), &json!(7200)));
    assert_eq!((&changed["ikeDhGroup"], &changed["status"]), (&json!(19), &json!("Ready")));
    let (code, details) = change(json!({ "peerAddress": "nowhere", "authKey": KEY })).expect_err("no address");
    assert_eq!(code, "SYS.1007", "typed: {details}");
    assert!(details.starts_with("the peerAddress[nowhere] is not an IPv4 address"), "{details}");
    let (code, text) = change(json!({ "peerAddress": "198.51.100.7", "lifeTime": 1.5 })).expect_err("no number");
    assert_eq!(
        (code.as_str(), text.as_str()),
        ("http.400", "[lifeTime] field is excepted an int or long, but was [1.5].")
    );
    let renamed = json!({ "name": "site-7", "description": "renamed" });
    let renamed = inventory(sdk.write("PUT", &item(""), "updateIPsecConnection", &renamed));
    assert_eq!((&renamed["description"], &renamed["lifeTime"]), (&json!("renamed"), &json!(1200)));
}

fn states(sdk: &Sdk) {
    let act = |key: &str, params: Value| inventory(sdk.write("PUT", &item("/actions"), key, &params));
    for (event, state) in [("disable", "Disabled"), ("disable", "Disabled"), ("enable", "Enabled")] {
        assert_eq!(act("changeIPSecConnectionState", json!({ "stateEvent": event }))["state"], state);
    }
    assert_eq!(act("reconnectIPsecConnection", json!({}))["status"], "Ready");
}

fn networks(sdk: &Sdk) {
    let count = |inventory: Value, name: &str| inventory[name].as_array().expect("a list").len();
    let cidrs = json!({ "peerCidrs": ["10.77.0.0/24", "10.78.0.0/24"] });
    let added = sdk.write("POST", &item("/remote-cidrs"), "params", &cidrs);
    assert_eq!(count(inventory(added), "peerCidrs"), 3);
    let query = match sdk.kind {
        Kind::Go => "?peerCidrs.0=10.77.0.0%2F24&peerCidrs.1=10.78.0.0%2F24",
        _ => "?peerCidrs=10.77.0.0%2F24&peerCidrs=10.78.0.0%2F24",
    };
    assert_eq!(count(inventory(sdk.delete(&item(&format!("/remote-cidrs{query}")))), "peerCidrs"), 1);
    let detached = sdk.delete(&item(&format!("/l3networks?l3NetworkUuids={NETWORK}")));
    assert_eq!(count(inventory(detached), "l3NetworkRefs"), 0);
    let path = format!("/v1/ipsec/candidatesL3Networks?uuid={}", uuid(7));
    let free = sdk.send_read(&path);
    assert_eq!(free["inventories"][0]["uuid"], NETWORK);
    let attached = sdk.write("POST", &item("/l3networks"), "params", &json!({ "l3NetworkUuids": [NETWORK] }));
    assert_eq!(count(inventory(attached), "l3NetworkRefs"), 1);
}

/// The session ends: afterwards reads fail at once, and writes by their job where there is one.
fn logout(sdk: &Sdk) {
    let Credentials::Session(session) = &sdk.credentials else { unreachable!() };
    let path = format!("/v1/accounts/sessions/{session}");
    assert_eq!(sdk.send_read(&format!("{path}/valid")), json!({ "valid": true }));
    let renewed = sdk.write("PUT", &format!("{path}/renew"), "renewSession", &json!({ "duration": 86_400 }));
    assert_eq!(renewed.expect("renewed")["inventory"]["uuid"], json!(session));
    assert_eq!(sdk.delete(&path).expect("logged out"), json!({}));
    assert_eq!(sdk.send_read(&format!("{path}/valid")), json!({ "valid": false }));
    let (code, text) = sdk.read("/v1/ipsec").expect_err("no session");
    assert_eq!(code, if sdk.kind == Kind::Java { "sdk.1000" } else { "ID.1001" });
    assert!(text.contains("Session expired"), "{text}");
    let write = sdk.write("POST", "/v1/ipsec", "params", &params(7, &json!({})));
    assert_eq!(write.expect_err("no session"), ("ID.1001".into(), "Session expired".into()));
}
