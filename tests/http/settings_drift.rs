//! Settings that change under stored connections: shown first, taken over by the next Change or Reconnect, or by all.

use crate::{
    serve::{Bench, NETWORK, VIP, change, params, uuid, wait_until},
    stream::Events,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;

/// Has other settings read. They are there as a whole: an earlier reload may be reading them now.
fn reload(b: &Bench, text: &str) {
    fs::write(b.path("cygnet.new"), text).expect("settings");
    fs::rename(b.path("cygnet.new"), b.path("cygnet.toml")).expect("settings");
    b.signal(Signal::SIGHUP);
}

/// Writes the settings with this VIP address and these CIDRs, and has them read.
fn settle(b: &Bench, address: &str, cidrs: &str) {
    let path = b.path("cygnet.toml");
    let text = fs::read_to_string(&path).expect("settings");
    let line = |line: &str| match line.split_once(" = ") {
        Some(("address", _)) => format!("address = \"{address}\"\n"),
        Some(("cidrs", _)) => format!("cidrs = [\"{cidrs}\"]\n"),
        _ => format!("{line}\n"),
    };
    reload(b, &text.lines().map(line).collect::<String>());
}

fn view(b: &Bench, n: u8) -> Value {
    b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(n)), b"").expect(200).json()
}

fn drift(b: &Bench, n: u8) -> Value {
    view(b, n)["settings_drift"].take()
}

/// Waits until the settings' change is seen.
fn drifted(b: &Bench, n: u8, count: usize) -> Value {
    wait_until("the drift", || Some(drift(b, n)).filter(|list| list.as_array().map(Vec::len) == Some(count)))
}

fn conf(b: &Bench, n: u8) -> String {
    fs::read_to_string(b.conf(&uuid(n))).expect("a file")
}

const MOVED: &str = "192.0.2.9";
const GREW: &str = "10.9.0.0/24";

/// One connection whose VIP has moved and whose network is another one.
fn bench() -> Bench {
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    assert_eq!(drift(&b, 7), json!([]));
    settle(&b, MOVED, GREW);
    b
}

fn is_followed(b: &Bench, n: u8) {
    let text = conf(b, n);
    assert!(text.contains(&format!("local_addrs = {MOVED}")), "{text}");
    assert!(text.contains(&format!("local_ts = {GREW}")), "{text}");
    assert_eq!(drift(b, n), json!([]));
}

#[test]
fn a_reload_alone_shows_drift_and_changes_nothing() {
    let b = bench();
    let events = Events::open(&b.path("cygnet.sock"), "/cygnet/v1/events", Some("0"));
    let before = conf(&b, 7);
    let expected = json!([
        { "setting": "gateway.vips", "uuid": VIP, "stored": "192.0.2.1", "now": MOVED },
        { "setting": "gateway.l3_networks", "uuid": NETWORK, "stored": "10.1.0.0/24", "now": GREW },
    ]);
    assert_eq!(drifted(&b, 7, 2), expected);
    assert_eq!(conf(&b, 7), before, "nothing is taken over by itself");
    let told = || events.all().into_iter().find(|event| event.name == "settings_drift");
    let event = wait_until("the event", told).data;
    assert_eq!((&event["uuid"], &event["settings"]), (&json!(uuid(7)), &expected));
    let report = b.ask("GET", "/cygnet/v1/doctor", b"").expect(200).json();
    let found = report["findings"].as_array().expect("a list").iter().find(|f| f["check"] == "settings_drift");
    let found = found.unwrap_or_else(|| panic!("{report}"));
    assert!(found["fix"].as_str().is_some_and(|fix| fix.contains("cygnet reconnect --all-changed")), "{found}");
    // Back again: nothing has drifted.
    settle(&b, "192.0.2.1", "10.1.0.0/24");
    drifted(&b, 7, 0);
}

#[test]
fn the_next_change_takes_the_settings_over_and_its_plan_shows_it() {
    let b = bench();
    drifted(&b, 7, 2);
    let body = json!({ "changeIPsecConnection": change(7, &json!({})) });
    let path = format!("/cygnet/v1/connections/{}/plan", uuid(7));
    let plan = b.ask("POST", &path, body.to_string().as_bytes()).expect(200).json();
    assert!(plan.to_string().contains(MOVED) && plan["impact"] == "replace", "{plan}");
    b.change(&uuid(7), &change(7, &json!({}))).expect(200);
    is_followed(&b, 7);
}

#[test]
fn a_reconnect_takes_the_settings_over() {
    let b = bench();
    drifted(&b, 7, 2);
    let path = format!("/zstack/v1/ipsec/{}/actions", uuid(7));
    b.ask("PUT", &path, b"{\"reconnectIPsecConnection\":{}}").expect(200);
    is_followed(&b, 7);
}

#[test]
fn other_writes_leave_the_settings_alone() {
    let b = bench();
    drifted(&b, 7, 2);
    let more = json!({ "params": { "peerCidrs": ["10.77.0.0/16"] } }).to_string();
    b.ask("POST", &format!("/zstack/v1/ipsec/{}/remote-cidrs", uuid(7)), more.as_bytes()).expect(200);
    assert_eq!(drifted(&b, 7, 2)[0]["stored"], "192.0.2.1");
}

#[test]
fn all_changed_are_taken_over_and_who_cannot_says_why() {
    let b = bench();
    drifted(&b, 7, 2);
    // This one has the settings of now; its peer is where the VIP will be.
    b.create(&params(8, &json!({ "peerAddress": "192.0.2.10" }))).expect(200);
    let all = || b.ask("POST", "/cygnet/v1/reconnect-all-changed", b"").expect(200).json()["reconnected"].take();
    assert_eq!(all(), json!([{ "uuid": uuid(7), "name": "site-7" }]));
    is_followed(&b, 7);
    assert_eq!(all(), json!([]), "nothing is left to do");
    settle(&b, "192.0.2.10", GREW);
    drifted(&b, 8, 1);
    let done = all();
    assert_eq!((&done[0]["uuid"], &done[0]["error"]), (&json!(uuid(7)), &Value::Null), "{done}");
    let error = done[1]["error"]["details"].as_str().unwrap_or_default();
    assert!(error.contains("cannot be the same to the VIP address"), "{done}");
    assert_eq!(drift(&b, 8)[0]["stored"], MOVED, "it keeps what it has");
}

#[test]
fn a_network_or_vip_that_is_gone_is_kept() {
    let b = bench();
    let path = b.path("cygnet.toml");
    let text = fs::read_to_string(&path).expect("settings").replace(NETWORK, "b0000000000040008000000000000099");
    reload(&b, &text.replace(VIP, "a0000000000040008000000000000099"));
    wait_until("it is gone", || Some(drift(&b, 7)).filter(|list| list[0]["now"].is_null() && list[1]["now"].is_null()));
    b.change(&uuid(7), &change(7, &json!({}))).expect(200);
    assert!(conf(&b, 7).contains("local_addrs = 192.0.2.1"));
}
