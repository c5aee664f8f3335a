//! Changes of proposals in transition (`?transition=`): what is refused, what charon and the file have meanwhile, and how
//! it ends.

use crate::{
    client::{Client, Response},
    serve::{Bench, TOKEN, change, params, uuid, wait_until},
};
use serde_json::{Value, json};
use std::fs;

const PATH: &str = "/zstack/v1/ipsec";
const NATIVE: &str = "/cygnet/v1/connections";

pub fn send(mut client: Client, method: &str, path: &str, body: &Value) -> Response {
    let token = format!("OAuth {TOKEN}");
    client.request(method, path, &[("Authorization", &token)], body.to_string().as_bytes()).expect("an answer")
}

pub fn put(b: &Bench, query: &str, more: &Value) -> Response {
    let body = json!({ "changeIPsecConnection": change(7, more) });
    send(b.tcp(), "PUT", &format!("{PATH}/config/{}?{query}", uuid(7)), &body)
}

pub fn native(b: &Bench) -> Value {
    b.ask("GET", &format!("{NATIVE}/{}", uuid(7)), b"").expect(200).json()
}

/// An agent with the connection 7, which is up; from now on the peer answers nothing more.
pub fn bench() -> Bench {
    let b = Bench::start();
    b.charon.establish(true);
    b.create(&params(7, &old())).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    let proven = || fs::read_to_string(b.record(&uuid(7))).is_ok_and(|text| !text.contains("\"unproven\""));
    wait_until("that it runs is stored", || proven().then_some(()));
    b.charon.establish(false);
    b
}

pub fn old() -> Value {
    json!({ "ikeEncryptionAlgorithm": "aes-128" })
}

pub fn new() -> Value {
    json!({ "ikeEncryptionAlgorithm": "aes-256", "policyEncryptionAlgorithm": "aes-192" })
}

pub fn proposals(b: &Bench) -> Vec<String> {
    let text = fs::read_to_string(b.conf(&uuid(7))).expect("the file");
    let lines = text.lines().filter_map(|line| line.split_once("proposals = "));
    lines.map(|(_, list)| list.to_owned()).collect()
}

fn version(b: &Bench) -> Value {
    serde_json::from_str::<Value>(&fs::read_to_string(b.record(&uuid(7))).expect("the record")).expect("JSON")["version"].take()
}

#[track_caller]
pub fn details(answer: Response) -> String {
    let error = answer.expect(503).json()["error"].take();
    error["details"].as_str().expect("details").to_owned()
}

#[test]
fn what_cannot_be_in_transition_is_refused_by_name() {
    let b = bench();
    let before = fs::read(b.record(&uuid(7))).expect("the record");
    for value in [
        "",
        "59s",
        "721h",
        "31d",
        "0",
        "-1h",
        "soon",
        "24",
        "1d2",
        "10y",
        "24h,48h",
        "[24h]",
        "24h%0A",
        "%2024h",
        "99999999999999999999d",
    ] {
        let answer = put(&b, &format!("transition={value}"), &new());
        assert_eq!(answer.status, 503, "transition={value}");
        let told = details(answer);
        assert!(told.contains("query parameter transition") && told.contains("1m to 30d"), "{value}: {told}");
    }
    for (query, more, words) in [
        ("transition=24h&confirm=5s", new(), "confirm cannot be combined with transition"),
        ("transition=24h&immediate=true", new(), "immediate cannot"),
        ("transition=24h&rehearse=true", new(), "rehearse cannot"),
        ("transition=24h&together=true", new(), "together cannot"),
        ("accept=true", new(), "accept needs transition"),
        ("transition=24h&accept=maybe", new(), "accept must be true or false"),
        ("transition=24h", old(), "changes none"),
        (
            "transition=24h",
            json!({ "authKey": "test-only-another", "ikeDhGroup": 19 }),
            "field[authKey] cannot change in a transition",
        ),
        ("transition=24h", json!({ "ikeVersion": "ikev2", "ikeDhGroup": 19 }), "field[ikeVersion]"),
        ("transition=24h", json!({ "lifeTime": 700, "ikeDhGroup": 19 }), "field[lifeTime]"),
        ("transition=24h", json!({ "peerAddress": "198.51.100.99", "ikeDhGroup": 19 }), "field[peerAddress]"),
        ("transition=24h", json!({ "transformProtocol": "ah" }), "field[transformProtocol]"),
        ("transition=24h", json!({ "dpdDelay": 17, "ikeDhGroup": 19 }), "field[dpd"),
        ("transition=24h", json!({ "policyAuthAlgorithm": "sha256-96" }), "field[policyAuthAlgorithm]"),
    ] {
        let more = if more["ikeEncryptionAlgorithm"].is_null() { [old(), more] } else { [json!({}), more] };
        let members = more.iter().flat_map(|part| part.as_object().expect("an object").clone());
        let told = details(put(&b, query, &members.collect::<serde_json::Map<_, _>>().into()));
        assert!(told.contains(words), "{query}: {told}");
    }
    let created = send(b.tcp(), "POST", &format!("{PATH}?transition=24h"), &json!({ "params": params(8, &json!({})) }));
    assert!(details(created).contains("a connection that is created"), "create");
    let renamed = json!({ "updateIPsecConnection": { "name": "other" } });
    let told = details(send(b.tcp(), "PUT", &format!("{PATH}/{}/actions?transition=24h", uuid(7)), &renamed));
    assert!(told.contains("transition"), "{told}");
    assert_eq!(fs::read(b.record(&uuid(7))).expect("the record"), before);
}

/// The tunnel is the one with this IKE SA, and is not what is wanted.
#[track_caller]
fn goes_on(b: &Bench, sa: &Value) {
    let view = native(b);
    assert_eq!(view["ike_sas"][0]["id"], *sa, "{view:#}");
    assert_eq!(view["inventory"]["status"], "Connecting", "{view:#}");
    assert_eq!(view["children"][0]["condition"], "other_algorithms", "{view:#}");
    assert_eq!(view["reason"]["code"], "IN_TRANSITION", "{view:#}");
    assert!(view["reason"]["details"].to_string().contains("other_algorithms, in transition"), "{view:#}");
    assert_eq!(view["carrying"], true, "{view:#}");
    assert_eq!(view["transition"]["ike"].as_array().map(Vec::len), Some(1), "{view:#}");
}

#[test]
fn the_old_tunnel_goes_on_until_the_peer_is_changed() {
    let mut b = bench();
    let sa = native(&b)["ike_sas"][0]["id"].clone();
    let (was, old_version) = (proposals(&b), version(&b));
    let path = format!("{NATIVE}/{}/plan?keep=true&transition=24h", uuid(7));
    let body = json!({ "changeIPsecConnection": new() });
    let plan = send(b.tcp(), "POST", &path, &body).expect(200).json();
    let text = plan.to_string();
    assert!(
        text.contains("IN_TRANSITION") && !text.contains("PEER_NOT_CHANGED") && !text.contains("initiate"),
        "{plan:#}"
    );
    let answer = put(&b, "transition=24h", &new()).expect(200).json();
    assert_eq!(answer["warnings"].to_string().matches("IN_TRANSITION").count(), 1, "{answer:#}");
    goes_on(&b, &sa);
    let both = proposals(&b);
    for (now, was) in both.iter().zip(&was) {
        assert!(now.split(", ").count() == 2 && now.ends_with(was.as_str()), "{now}, {was}");
    }
    assert_eq!((old_version, version(&b)), (json!(1), json!(5)));
    // What changes no proposal leaves it, also the same Change again.
    let path = format!("{PATH}/{}", uuid(7));
    send(b.tcp(), "PUT", &path, &json!({ "updateIPsecConnection": { "name": "renamed" } })).expect(200);
    put(&b, "", &new()).expect(200);
    b.stop();
    b.run();
    wait_until("charon has both again", || (proposals(&b) == both).then_some(()));
    goes_on(&b, &sa);
    // The peer is changed. The next start offers what is wanted alone again.
    b.stop();
    b.charon.establish(true);
    b.run();
    let view = wait_until("it moves", || Some(native(&b)).filter(|view| view["transition"].is_null()));
    wait_until("only the new one runs", || (native(&b)["ike_sas"].as_array().map(Vec::len) == Some(1)).then_some(()));
    assert_ne!(native(&b)["ike_sas"][0]["id"], sa, "{view:#}");
    wait_until("it is Ready", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    assert!(proposals(&b).iter().all(|list| !list.contains(", ")), "{:?}", proposals(&b));
    assert_eq!(version(&b), 1);
    let log = b.ask("GET", &format!("{NATIVE}/{}/log?lines=500", uuid(7)), b"").expect(200).text();
    assert!(log.contains("transition_began") && log.contains("transition_moved"), "{log}");
}

#[test]
fn what_never_moved_is_told_and_carries() {
    let mut b = bench();
    let sa = native(&b)["ike_sas"][0]["id"].clone();
    put(&b, "transition=24h", &new()).expect(200);
    goes_on(&b, &sa);
    b.stop();
    let record = fs::read_to_string(b.record(&uuid(7))).expect("the record");
    let mut record: Value = serde_json::from_str(&record).expect("JSON");
    record["transition"]["until"] = "2026-01-01T00:00:00Z".into();
    fs::write(b.record(&uuid(7)), record.to_string()).expect("written");
    b.run();
    let view = wait_until("it is over", || Some(native(&b)).filter(|view| view["transition"]["over"] == true));
    assert_eq!(view["ike_sas"][0]["id"], sa, "{view:#}");
    assert_eq!(view["carrying"], true, "{view:#}");
    assert_eq!(view["inventory"]["status"], "Connecting", "{view:#}");
    // It is stored first.
    let is_alone = || proposals(&b).iter().all(|list| !list.contains(", "));
    wait_until("the file has what is wanted alone", || is_alone().then_some(()));
    let log = b.ask("GET", &format!("{NATIVE}/{}/log?lines=500", uuid(7)), b"").expect(200).text();
    assert!(log.contains("198.51.100.7 never moved"), "{log}");
    let list = b.ask("GET", NATIVE, b"").expect(200).json();
    assert_eq!(list["connections"][0]["transition"]["over"], true, "{list:#}");
    b.charon.establish(true);
    wait_until("it moves late", || native(&b)["transition"].is_null().then_some(()));
    wait_until("it is Ready", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
}

#[test]
fn other_writes_end_it_or_leave_it() {
    let b = bench();
    let sa = native(&b)["ike_sas"][0]["id"].clone();
    let count = |b: &Bench| proposals(b).iter().map(|list| list.split(", ").count()).max();
    put(&b, "transition=24h&accept=true", &new()).expect(200);
    let view = native(&b);
    let told = (&view["inventory"]["status"], &view["children"][0]["condition"], &view["reason"]);
    assert_eq!(told.0, "Ready", "{view:#}");
    assert!(told.1.as_str().is_some_and(|word| word.starts_with("up")) && told.2.is_null(), "{view:#}");
    assert_eq!(view["children"][0]["sas"][0]["as_wanted"], json!(false), "{view:#}");
    let third =
        json!({ "ikeEncryptionAlgorithm": "aes-256", "policyEncryptionAlgorithm": "aes-192", "ikeDhGroup": 19 });
    put(&b, "transition=1h&accept=true", &third).expect(200);
    assert_eq!(count(&b), Some(3), "{:?}", proposals(&b));
    goes_on_with(&b, &sa, 2);
    // A trial that fails brings it back.
    let fourth =
        json!({ "ikeEncryptionAlgorithm": "aes-256", "policyEncryptionAlgorithm": "aes-128", "ikeDhGroup": 19 });
    let mut slower = third.clone();
    slower["lifeTime"] = 700.into();
    put(&b, "confirm=1s", &slower).expect(503);
    assert_eq!(count(&b), Some(3), "{:?}", proposals(&b));
    goes_on_with(&b, &sa, 2);
    put(&b, "transition=0s", &third).expect(200);
    assert_eq!((count(&b), native(&b)["transition"].clone()), (Some(1), Value::Null));
    put(&b, "transition=24h", &fourth).expect(200);
    assert_eq!(count(&b), Some(2), "{:?}", proposals(&b));
    put(&b, "", &third).expect(200);
    assert_eq!((count(&b), native(&b)["transition"].clone()), (Some(1), Value::Null));
}

#[track_caller]
fn goes_on_with(b: &Bench, sa: &Value, accepted: usize) {
    let view = native(b);
    assert_eq!(view["ike_sas"][0]["id"], *sa, "{view:#}");
    assert_eq!(view["transition"]["ike"].as_array().map(Vec::len), Some(accepted), "{view:#}");
}
