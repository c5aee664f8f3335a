//! The streams: what happens, with a cursor, and the log of one connection. Who is slow or comes back is told what was
//! missed; a key is in none of it.

use crate::{
    fake_charon::Behaviour,
    serve::{Bench, KEY, Options, TOKEN, change, params, uuid, wait_until},
    stream::{Event, Events},
};
use cygnet::strongswan::section::Section;
use serde_json::json;

const PATH: &str = "/cygnet/v1/events";

fn open(b: &Bench, cursor: Option<&str>) -> Events {
    Events::open(&b.path("cygnet.sock"), PATH, cursor)
}

/// Waits for the next event of this name behind those that were seen.
#[track_caller]
fn next(events: &Events, seen: usize, name: &str) -> Event {
    wait_until(name, || events.all().into_iter().skip(seen).find(|event| event.name == name))
}

#[test]
fn what_happens_is_told() {
    let mut b = Bench::start();
    b.charon.establish(true);
    let events = open(&b, None);
    b.create(&params(7, &json!({}))).expect(200);
    let changed = next(&events, 0, "changed");
    assert_eq!(changed.data["uuid"], uuid(7));
    next(&events, 0, "up");
    let seen = events.all().len();
    b.charon.kill();
    let lost = next(&events, seen, "charon_lost");
    assert!(lost.data["why"].is_string() && lost.data.get("uuid").is_none(), "{lost:?}");
    b.charon.revive();
    next(&events, seen, "charon_back");
    let seen = events.all().len();
    std::fs::remove_file(b.conf(&uuid(7))).expect("removed");
    let drift = next(&events, seen, "drift");
    assert!(
        drift.data["put_back"].as_array().is_some_and(|list| list.contains(&"the file in conf.d".into())),
        "{drift:?}"
    );
    b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(7)), b"").expect(200);
    next(&events, seen, "deleted");
    let cursors: Vec<_> = events.all().into_iter().map(|event| event.id.expect("a cursor")).collect();
    let number = |cursor: &String| cursor.rsplit_once('-').and_then(|(_, n)| n.parse::<u64>().ok()).expect("a number");
    assert!(cursors.windows(2).all(|pair| number(&pair[0]) + 1 == number(&pair[1])), "{cursors:?}");
    // The stream goes on where the cursor stands.
    let again = open(&b, Some(&cursors[0]));
    wait_until("the rest", || (again.all().len() == cursors.len() - 1).then_some(()));
    assert_eq!(again.all()[0].id.as_ref(), Some(&cursors[1]));
    assert!(!format!("{:?}", events.all()).contains(KEY));
    b.stop();
    wait_until("the streams end with the agent", || (events.is_over() && again.is_over()).then_some(()));
}

#[test]
fn who_missed_something_is_told_so() {
    // A line for each of a thousand changes would be most of the work.
    let b = Bench::with(&Options { log: "warn", ..Options::default() });
    b.create(&params(7, &json!({}))).expect(200);
    let events = open(&b, Some("none-of-ours"));
    next(&events, 0, "changed");
    assert_eq!(events.names()[0], "missed", "{:?}", events.all());
    let first = events.all()[1].id.clone().expect("a cursor");
    let (mut client, token) = (b.tcp(), format!("OAuth {TOKEN}"));
    for n in 0..1100 {
        let body = json!({ "updateIPsecConnection": { "name": format!("name-{n}") } }).to_string();
        let path = format!("/zstack/v1/ipsec/{}", uuid(7));
        client.request("PUT", &path, &[("Authorization", &token)], body.as_bytes()).expect("an answer").expect(200);
    }
    let late = open(&b, Some(&first));
    wait_until("what is kept", || (late.all().len() > 1000).then_some(()));
    assert_eq!(late.names()[0], "missed");
    assert!(late.all().len() <= 1025, "the list is bounded: {}", late.all().len());
    wait_until("who reads misses nothing", || {
        (events.names().iter().filter(|name| *name == "changed").count() == 1101).then_some(())
    });
}

/// A line of charon's log as vici sends it.
pub fn says(b: &Bench, number: u64, name: Option<&str>, text: &str) {
    let line = Section::new().with("group", "IKE").with("level", "1").with("thread", "7");
    let line = line.with("ikesa-name", name.unwrap_or("(unnamed)")).with("ikesa-uniqueid", number.to_string());
    assert_eq!(b.charon.send_event("log", &line.with("msg", text)), 1);
}

#[test]
fn a_connection_has_a_log_of_its_own() {
    let b = Bench::start();
    for n in [7, 8] {
        b.create(&params(n, &json!({}))).expect(200);
    }
    let path = |n| format!("/cygnet/v1/connections/{}/log", uuid(n));
    let follower = Events::open(&b.path("cygnet.sock"), &format!("{}?follow=true", path(7)), None);
    let peer = b.inventory(&uuid(7))["peerAddress"].as_str().expect("an address").to_owned();
    // Nameless at first: the peer's address tells whose it is.
    says(&b, 77, None, &format!("{peer} is initiating an IKE_SA"));
    says(&b, 77, None, "received proposals: IKE:AES_CBC_128/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024");
    says(&b, 77, None, "configured proposals: IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048");
    says(&b, 77, None, "received proposals unacceptable");
    says(&b, 78, Some(&format!("cygnet-{}", uuid(8))), "received AUTHENTICATION_FAILED notify error");
    says(&b, 79, Some("somebody-elses"), "received TS_UNACCEPTABLE notify, no CHILD_SA built");
    let native = |n| b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(n)), b"").expect(200).json();
    let reason =
        wait_until("a reason", || Some(native(7)["reason"].clone()).filter(|r| r["code"] == "NO_PROPOSAL_IKE"));
    let details = reason["details"].as_str().expect("details");
    assert!(details.contains("MODP_1024") && details.contains("MODP_2048"), "{details}");
    wait_until("the other's", || (native(8)["reason"]["code"] == "PEER_REFUSED_AUTH").then_some(()));
    let lines = b.ask("GET", &path(7), b"").expect(200).json()["lines"].clone();
    let text = lines.to_string();
    assert!(text.contains("received proposals unacceptable") && text.contains("\"by\":\"cygnet\""), "{text}");
    assert!(
        !text.contains("AUTHENTICATION_FAILED") && !text.contains("TS_UNACCEPTABLE") && !text.contains(KEY),
        "{text}"
    );
    wait_until("the follower", || {
        follower.all().iter().any(|e| e.data["text"].to_string().contains("unacceptable")).then_some(())
    });
    let two = b.ask("GET", &format!("{}?lines=2", path(7)), b"").expect(200).json();
    assert_eq!(two["lines"].as_array().map(Vec::len), Some(2));
    let whole =
        b.ask("GET", &format!("/zstack/v1/vpc/virtual-routers/ipseclog?uuid={}", uuid(7)), b"").expect(200).json();
    assert!(whole["ipsecLog"].as_str().is_some_and(|text| text.contains("received proposals unacceptable")), "{whole}");
    // A changed configuration begins a new story.
    b.change(&uuid(7), &change(7, &json!({ "ikeDhGroup": 15 }))).expect(200);
    assert_ne!(native(7)["reason"]["code"], "NO_PROPOSAL_IKE");
    let metrics = b.ask("GET", "/metrics", b"").expect(200).text();
    for line in [
        "cygnet_charon_up 1",
        "cygnet_connections_down{reason=\"PEER_REFUSED_AUTH\"} 1",
        "cygnet_connections_down{reason=\"TS_MISMATCH\"} 0",
        &format!("cygnet_connection_up{{uuid=\"{}\"}} 0", uuid(8)),
        &format!("cygnet_connection_down{{uuid=\"{}\",reason=\"PEER_REFUSED_AUTH\"}} 1", uuid(8)),
        "cygnet_events_total{event=\"changed\"} 3",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[test]
fn down_says_why_once() {
    let b = Bench::start();
    b.charon.establish(true);
    let events = open(&b, None);
    b.create(&params(7, &json!({}))).expect(200);
    next(&events, 0, "up");
    let seen = events.all().len();
    b.charon.establish(false);
    b.charon.on("initiate", Behaviour::Refuse("test: not now".into()));
    let name = format!("cygnet-{}", uuid(7));
    says(&b, 1, Some(&name), "DPD check timed out, enforcing DPD action");
    b.charon.set_sas([]);
    b.charon.send_event("ike-updown", &Section::new().with(&name, Section::new().with("uniqueid", "1")));
    let down = next(&events, seen, "down");
    assert_eq!(down.data["reason"]["code"], "DPD_TIMEOUT", "{down:?}");
    says(&b, 2, Some(&name), "received AUTHENTICATION_FAILED notify error");
    let other = wait_until("another cause", || {
        events.all().into_iter().find(|e| e.data["reason"]["code"] == "PEER_REFUSED_AUTH")
    });
    assert_eq!(other.data["reason"]["trigger"], "DPD_TIMEOUT", "{other:?}");
    for _ in 0..5 {
        says(&b, 2, Some(&name), "received AUTHENTICATION_FAILED notify error");
    }
    b.ask("PUT", &format!("/zstack/v1/ipsec/{}", uuid(7)), br#"{"updateIPsecConnection":{"name":"x"}}"#).expect(200);
    let seen = events.all().len();
    next(&events, seen.saturating_sub(1), "changed");
    let downs = events.names().iter().filter(|name| *name == "down").count();
    assert_eq!(downs, 2, "the same cause is told once: {:?}", events.all());
}

/// A peer decides what it sends and how often; what becomes of it here is bounded, and its last state is told.
#[test]
fn a_peer_that_alternates_and_says_much_is_told_at_a_pace_and_in_short() {
    let b = Bench::start();
    let events = open(&b, None);
    b.create(&params(7, &json!({}))).expect(200);
    let (name, peer) = (format!("cygnet-{}", uuid(7)), "198.51.100.7");
    let many = vec!["AES_CBC_128/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024"; 180].join(", IKE:");
    let stranger = "x".repeat(9000);
    for n in 0..300_u64 {
        let sa = 100 + n;
        says(&b, sa, None, &format!("{peer} is initiating an IKE_SA"));
        if n % 2 == 0 {
            says(&b, sa, None, &format!("received proposals: IKE:{many}"));
            says(&b, sa, None, &format!("configured proposals: IKE:{many}"));
            says(&b, sa, None, "received proposals unacceptable");
        } else {
            says(
                &b,
                sa,
                None,
                &format!("looking for peer configs matching 192.0.2.1[{stranger}]...{peer}[{stranger}]"),
            );
            says(&b, sa, None, "no matching peer config found");
        }
    }
    let wrong = format!("tried 1 shared key for '{stranger}' - '{stranger}', but MAC mismatched");
    says(&b, 999, Some(&name), &wrong);
    let last = wait_until("its last state", || {
        events
            .all()
            .into_iter()
            .rev()
            .find(|event| event.name == "down")
            .filter(|e| e.data["reason"]["code"] == "AUTH_FAILED")
    });
    let downs = events.names().iter().filter(|name| *name == "down").count();
    assert!(downs <= 12, "{downs} events of 301 changes: {:?}", events.names());
    let native = b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).json();
    for reason in [&last.data["reason"], &native["reason"]] {
        let details = reason["details"].as_str().expect("details");
        assert!(details.len() <= 1100 && details.contains("MAC mismatched"), "{} bytes: {details}", details.len());
    }
    let log = b.ask("GET", &format!("/cygnet/v1/connections/{}/log", uuid(7)), b"").expect(200).json();
    let longest =
        log["lines"].as_array().into_iter().flatten().filter_map(|line| line["text"].as_str()).map(str::len).max();
    assert!(longest.is_some_and(|longest| longest <= 400), "{longest:?}");
    assert!(events.all().iter().all(|event| event.data.to_string().len() < 2000));
    // What charon refuses with may be the peer's too.
    b.charon.once("load-conn", Behaviour::Refuse(stranger));
    let refused = b.change(&uuid(7), &change(7, &json!({ "lifeTime": 1800 }))).expect(503).text();
    assert!(refused.len() < 2000, "{} bytes", refused.len());
}
