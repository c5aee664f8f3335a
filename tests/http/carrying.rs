//! After a change of one end alone, the old SA still carries: nothing calls that down.

use crate::{
    fake_charon::Behaviour,
    serve::{Bench, Options, change, params, uuid, wait_until},
    stream::Events,
};
use cygnet::strongswan::section::Section;
use serde_json::{Value, json};

const PREVIOUS: &str = "the new configuration is not up yet, the previous one still carries";

fn view(b: &Bench, n: u8) -> Value {
    b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(n)), b"").expect(200).json()
}

fn seen(view: &Value) -> [Value; 3] {
    ["carrying", "as_wanted", "note"].map(|name| view[name].clone())
}

/// The value of a gauge of the connection number `n`.
fn metric(b: &Bench, name: &str, n: u8) -> Option<String> {
    let text = b.ask("GET", "/metrics", b"").expect(200).text();
    let prefix = format!("cygnet_connection_{name}{{uuid=\"{}\"}} ", uuid(n));
    text.lines().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
}

fn metrics(b: &Bench, n: u8) -> [Option<String>; 2] {
    ["carrying", "as_wanted"].map(|name| metric(b, name, n))
}

/// charon's refusal of the new proposal by the peer.
fn refused(b: &Bench, n: u8) {
    let line = Section::new()
        .with("group", "IKE")
        .with("level", "1")
        .with("thread", "7")
        .with("ikesa-name", format!("cygnet-{}", uuid(n)))
        .with("ikesa-uniqueid", "99")
        .with("msg", "received NO_PROPOSAL_CHOSEN notify error");
    b.charon.send_event("log", &line);
}

#[test]
fn a_one_sided_change_is_not_down_while_the_old_sa_carries() {
    let b = Bench::with(&Options { wait: "0s", ..Options::default() });
    b.charon.establish(true);
    let events = Events::open(&b.path("cygnet.sock"), "/cygnet/v1/events", None);
    b.create(&params(7, &json!({}))).expect(200);
    wait_until("it is up", || (seen(&view(&b, 7)) == [json!(true), json!(true), Value::Null]).then_some(()));
    wait_until("up", || events.names().contains(&"up".to_owned()).then_some(()));
    b.charon.establish(false);
    b.charon.on("initiate", Behaviour::Refuse("test: not now".into()));
    b.change(&uuid(7), &change(7, &json!({ "ikeDhGroup": 19 }))).expect(200);
    assert_eq!(seen(&view(&b, 7)), [json!(true), json!(false), json!(PREVIOUS)]);
    let list = b.ask("GET", "/cygnet/v1/connections", b"").expect(200).json();
    assert_eq!(seen(&list["connections"][0]), [json!(true), json!(false), json!(PREVIOUS)]);
    wait_until("the metrics", || (metrics(&b, 7) == [Some("1".into()), Some("0".into())]).then_some(()));
    refused(&b, 7);
    let told = || events.all().into_iter().find(|event| event.name == "not_as_wanted");
    let event = wait_until("the event", told).data;
    assert_eq!((&event["note"], &event["uuid"]), (&json!(PREVIOUS), &json!(uuid(7))));
    assert!(event["reason"]["code"].is_string(), "{event}");
    assert!(!events.names().contains(&"down".to_owned()), "{:?}", events.names());
    // The old one goes too: now it is down.
    b.charon.set_sas([]);
    let name = format!("cygnet-{}", uuid(7));
    b.charon.send_event("ike-updown", &Section::new().with(&name, Section::new().with("uniqueid", "1")));
    wait_until("down", || events.names().contains(&"down".to_owned()).then_some(()));
    assert_eq!(seen(&view(&b, 7)), [json!(false), json!(false), Value::Null]);
    wait_until("the metrics", || (metrics(&b, 7) == [Some("0".into()), Some("0".into())]).then_some(()));
}

#[test]
fn what_is_unknown_or_has_nothing_to_carry_has_no_number() {
    let mut b = Bench::start();
    b.create(&params(7, &json!({ "peerCidrs": null }))).expect(200);
    assert_eq!(seen(&view(&b, 7)), [Value::Null, Value::Null, Value::Null]);
    assert_eq!(metrics(&b, 7), [None, None]);
    b.create(&params(8, &json!({}))).expect(200);
    wait_until("a number", || (metrics(&b, 8) == [Some("0".into()), Some("0".into())]).then_some(()));
    b.charon.kill();
    wait_until("none", || (metrics(&b, 8) == [None, None]).then_some(()));
    assert_eq!(seen(&view(&b, 8)), [Value::Null, Value::Null, Value::Null]);
}

/// The shipped rule for a tunnel that is down is about what carries nothing.
#[test]
fn the_shipped_alert_is_about_what_carries_nothing() {
    let rules = include_str!("../../packaging/alerts.yml");
    let rule = |name: &str| {
        let from = rules.split(&format!("- alert: {name}\n")).nth(1).unwrap_or_else(|| panic!("no rule {name}"));
        from.lines().next().and_then(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned)
    };
    assert_eq!(rule("CygnetConnectionDown").as_deref(), Some("cygnet_connection_carrying == 0"));
    let other = rule("CygnetConnectionNotAsWanted").expect("an expression");
    assert!(other.contains("cygnet_connection_as_wanted == 0") && other.contains("cygnet_connection_carrying == 1"));
}
