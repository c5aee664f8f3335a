//! A gateway whose host lacks the local address of its connections: a standby of a pair asks charon for nothing, waits for
//! nothing and raises no alarm; a gateway that never had the address says that it is missing.

use super::accounts::tool;
use crate::{
    serve::{Bench, Options, params, uuid, wait_until},
    stream::Events,
};
use serde_json::{Value, json};
use std::fs;

const PAIR: Options = Options { top: "ha.role = \"pair\"", wait: "30s", ..options() };

const fn options() -> Options {
    Options {
        wait: "0s",
        timeout: "5s",
        top: "",
        log: "info",
        policy: "[policy]\ndefault = \"off\"",
        zone: "UTC",
        metrics: "none",
    }
}

fn view(b: &Bench, n: u8) -> Value {
    b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(n)), b"").expect(200).json()
}

fn role(b: &Bench) -> Value {
    b.ask("GET", "/readyz", b"").expect(200).json()["role"].clone()
}

#[test]
fn a_standby_negotiates_nothing_and_raises_no_alarm() {
    let b = Bench::with(&PAIR);
    b.charon.establish(true);
    let events = Events::open(&b.path("cygnet.sock"), "/cygnet/v1/events", None);
    for (n, mode) in [(7, "initiate"), (8, "trap"), (9, "respond")] {
        // The answer waits for no tunnel, and a trial proves nothing here.
        let created = b.create(&params(n, &json!({ "startMode": mode }))).expect(200).json();
        assert_eq!(created["inventory"]["status"], "Disconnected", "{mode}");
        let rendered = fs::read_to_string(b.conf(&uuid(n))).expect("a file");
        assert!(rendered.contains("start_action = none\n") && !rendered.contains("= trap"), "{mode}: {rendered}");
        let seen = view(&b, n);
        assert_eq!(
            (&seen["vip"]["role"], &seen["children"][0]["condition"], &seen["reason"]["code"]),
            (&json!("standby"), &json!("standby"), &json!("STANDBY")),
            "{seen}"
        );
        assert_eq!((&seen["carrying"], &seen["as_wanted"], &seen["drift"]), (&Value::Null, &Value::Null, &Value::Null));
        let body = json!({ "changeIPsecConnection": { "lifeTime": 1800 } }).to_string();
        let path = format!("/zstack/v1/ipsec/config/{}?keep=true&confirm=60s", uuid(n));
        let changed = b.ask("PUT", &path, body.as_bytes()).expect(200).json();
        assert_eq!(changed["inventory"]["status"], "Disconnected", "{mode}");
        assert_eq!(view(&b, n)["trial"], Value::Null);
    }
    assert_eq!(role(&b), "standby");
    let list = b.ask("GET", "/cygnet/v1/connections", b"").expect(200).json();
    assert_eq!(list["connections"][0]["vip"]["role"], "standby");
    let metrics = b.ask("GET", "/metrics", b"").expect(200).text();
    assert!(!metrics.contains("cygnet_connection_carrying{"), "the alert is on this gauge: {metrics}");
    tool(&b, &["status"], "");
    tool(&b, &["reconnect", &uuid(7)], "");
    wait_until("all is told", || (events.names().iter().filter(|name| *name == "changed").count() >= 6).then_some(()));
    assert!(events.names().iter().all(|name| name == "changed"), "{:?}", events.names());
    assert!(b.charon.requests_of("initiate").is_empty());
    let loads = b.charon.requests_of("load-conn");
    assert!(
        loads.len() >= 6 && loads.iter().all(|load| !format!("{:?}", load.body).contains("trap")),
        "{}",
        loads.len()
    );
}

#[test]
fn an_address_that_was_here_before_makes_a_standby_also_after_a_restart() {
    let mut b = Bench::with(&options());
    b.charon.establish(true);
    b.create(&params(7, &json!({}))).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    // The host never had the address: that is a fault, and nothing says that there is another gateway.
    assert_eq!((view(&b, 7)["vip"]["role"].clone(), role(&b)), (json!("missing"), Value::Null));
    let initiated = b.charon.requests_of("initiate").len();
    b.stop();
    let address = view_address(&b);
    fs::write(b.path("state/addresses.json"), json!({ "seen": [address] }).to_string()).expect("written");
    b.run();
    wait_until("what ran is closed", || (view(&b, 7)["ike_sas"] == json!([])).then_some(()));
    assert_eq!((view(&b, 7)["vip"]["role"].clone(), role(&b)), (json!("standby"), json!("standby")));
    let closed = b.charon.requests_of("terminate");
    assert!(
        !closed.is_empty() && closed.iter().all(|close| close.body.text("force") == Some("yes")),
        "{}",
        closed.len()
    );
    b.stop();
    let kept: Value = serde_json::from_slice(&fs::read(b.path("state/addresses.json")).expect("read")).expect("JSON");
    assert_eq!(kept["seen"], json!([address]), "it stays known");
    assert_eq!(b.charon.requests_of("initiate").len(), initiated);
    let settings = fs::read_to_string(b.path("cygnet.toml")).expect("settings");
    fs::write(b.path("cygnet.toml"), format!("ha.role = \"single\"\n{settings}")).expect("settings");
    b.run();
    wait_until("it is made again", || (b.charon.requests_of("initiate").len() > initiated).then_some(()));
    assert_eq!(view(&b, 7)["vip"]["role"], "missing");
    assert_eq!(view(&b, 7)["reason"]["code"], "LOCAL_ADDRESS_MISSING");
}

fn view_address(b: &Bench) -> String {
    let rendered = fs::read_to_string(b.conf(&uuid(7))).expect("a file");
    let line = rendered.lines().find_map(|line| line.trim().strip_prefix("local_addrs = "));
    line.expect("a local address").to_owned()
}

#[test]
fn a_gateway_is_made_a_standby_and_active_again() {
    let mut b = Bench::with(&options());
    b.charon.establish(true);
    b.create(&params(7, &json!({}))).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    tool(&b, &["standby"], "");
    let closed = || (view(&b, 7)["ike_sas"] == json!([])).then_some(());
    wait_until("it is closed", closed);
    let roles = b.ask("GET", "/cygnet/v1/ha", b"").expect(200).json();
    assert_eq!((&roles["role"], &roles["given_up"]), (&json!("standby"), &json!(true)), "{roles}");
    let details = view(&b, 7)["reason"].to_string();
    assert!(details.contains("STANDBY") && details.contains("cygnet active"), "{details}");
    assert_eq!(fs::read(b.path("state/standby")).expect("what keepalived may track"), b"1\n");
    // Also after a restart, and enabling it anew begins nothing.
    b.stop();
    b.run();
    let initiated = b.charon.requests_of("initiate").len();
    let reconnect = json!({ "reconnectIPsecConnection": {} }).to_string();
    b.ask("PUT", &format!("/zstack/v1/ipsec/{}/actions", uuid(7)), reconnect.as_bytes());
    assert_eq!((role(&b), b.charon.requests_of("initiate").len()), (json!("standby"), initiated));
    tool(&b, &["active"], "");
    wait_until("it is up again", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    assert_eq!(fs::read(b.path("state/standby")).expect("written"), b"0\n");
}
