//! The last revisions of a connection (`/cygnet/v1/connections/{uuid}/history`), and the way back to one of them
//! (`.../revert`, `.../revert/plan`).

use crate::{
    client::Response,
    fake_charon::Behaviour,
    serve::{Bench, KEY, NETWORK, change, hex, params, uuid, wait_until},
};
use nix::{sys::signal::Signal, unistd::Uid};
use serde_json::{Value, json};
use std::{fs, thread};

/// A key that is nowhere else.
const CANARY: &str = "test-only-canary-4f1d";

fn path(rest: &str) -> String {
    format!("/cygnet/v1/connections/{}/{rest}", uuid(7))
}

fn history(b: &Bench) -> Vec<Value> {
    b.ask("GET", &path("history"), b"").expect(200).json()["revisions"].as_array().expect("a list").clone()
}

/// Numbers and callers, the newest first.
fn who(b: &Bench) -> Vec<(u64, String)> {
    let item = |item: &Value| (item["revision"].as_u64().expect("a number"), item["caller"].to_string());
    history(b).iter().map(item).collect()
}

fn numbers(b: &Bench) -> Vec<u64> {
    who(b).into_iter().map(|(number, _)| number).collect()
}

fn revert(b: &Bench, query: &str) -> Response {
    b.ask("POST", &path(&format!("revert?{query}")), b"")
}

fn plan(b: &Bench, query: &str) -> Response {
    b.ask("POST", &path(&format!("revert/plan?{query}")), b"")
}

#[track_caller]
fn refused(answer: Response) -> String {
    answer.expect(503).json()["error"]["details"].as_str().expect("details").to_owned()
}

fn set(b: &Bench, more: &Value) {
    b.change(&uuid(7), &change(7, more)).expect(200);
}

/// An agent with the connection 7, which is up.
fn bench() -> Bench {
    let b = Bench::start();
    b.charon.establish(true);
    b.create(&params(7, &json!({ "lifeTime": 1000 }))).expect(200);
    up(&b);
    b
}

fn up(b: &Bench) {
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
}

#[test]
fn every_write_is_a_revision_with_its_caller() {
    let b = bench();
    set(&b, &json!({ "lifeTime": 2000 }));
    let id = uuid(7);
    let update = json!({ "updateIPsecConnection": { "name": "east", "description": "of the river" } }).to_string();
    b.unix().request("PUT", &format!("/zstack/v1/ipsec/{id}"), &[], update.as_bytes()).expect("sent").expect(200);
    let cidrs = json!({ "params": { "peerCidrs": ["10.77.0.0/16"] } }).to_string();
    b.ask("POST", &format!("/zstack/v1/ipsec/{id}/remote-cidrs"), cidrs.as_bytes()).expect(200);
    b.ask("DELETE", &format!("/zstack/v1/ipsec/{id}/l3networks?l3NetworkUuids={NETWORK}"), b"").expect(200);
    let state = json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } }).to_string();
    b.ask("PUT", &format!("/zstack/v1/ipsec/{id}/actions"), state.as_bytes()).expect(200);
    let uid = format!("\"uid {}\"", Uid::current());
    let token = "\"token test\"".to_owned();
    let all = [6, 5, 4, 3, 2, 1].map(|n| (n, if n == 3 { uid.clone() } else { token.clone() }));
    assert_eq!(who(&b), all);
    let fields = |revision: &Value| -> Vec<String> {
        let names = revision["fields"].as_array().into_iter().flatten().map(|field| field["field"].as_str());
        names.map(|name| name.expect("a name").to_owned()).collect()
    };
    let found: Vec<_> = history(&b).iter().map(fields).collect();
    let names: [&[&str]; 6] =
        [&["state"], &["l3NetworkRefs"], &["peerCidrs"], &["name", "description"], &["lifeTime"], &[]];
    assert_eq!(found, names.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>()));
    let list = history(&b);
    assert_eq!(list[4]["fields"], json!([{ "field": "lifeTime", "from": 1000, "to": 2000 }]));
    assert_eq!((&list[0]["current"], &list[1]["current"]), (&json!(true), &json!(false)));
    assert_eq!(list[5]["connection"]["name"], "site-7");
    // What changes nothing is no revision: the same values again, and another SA.
    b.ask("PUT", &format!("/zstack/v1/ipsec/{id}/actions"), state.as_bytes()).expect(200);
    let reconnect = json!({ "reconnectIPsecConnection": {} }).to_string();
    b.ask("PUT", &format!("/zstack/v1/ipsec/{id}/actions"), reconnect.as_bytes()).expect(200);
    assert_eq!(who(&b), all);
}

#[test]
fn the_last_ten_are_kept_over_a_kill_and_go_with_the_connection() {
    let mut b = bench();
    for lifetime in 2001..2015 {
        set(&b, &json!({ "lifeTime": lifetime }));
    }
    let before = history(&b);
    assert_eq!(numbers(&b), (6..=15).rev().collect::<Vec<_>>());
    b.signal(Signal::SIGKILL);
    b.reap();
    b.run();
    assert_eq!(history(&b), before);
    let inventory = revert(&b, "revision=6").expect(200).json()["inventory"].take();
    assert_eq!(inventory["lifeTime"], 2005);
    assert_eq!(numbers(&b), (7..=16).rev().collect::<Vec<_>>());
    let said = refused(revert(&b, "revision=6"));
    assert!(said.contains("no revision 6; it has 16, 15, 14"), "{said}");
    b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(7)), b"").expect(200);
    b.ask("GET", &path("history"), b"").expect(503);
    b.create(&params(7, &json!({}))).expect(200);
    assert_eq!(numbers(&b), [1], "another connection of the same uuid has a history of its own");
}

#[test]
fn a_record_of_before_there_was_a_history_begins_one() {
    let mut b = bench();
    b.stop();
    let file = b.record(&uuid(7));
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&file).expect("stored")).expect("JSON");
    let members = record.as_object_mut().expect("members");
    assert_eq!(members.remove("history").expect("it has one")["caller"], "token test");
    fs::write(&file, record.to_string()).expect("written");
    b.run();
    assert_eq!(who(&b), [(1, "null".into())]);
    set(&b, &json!({ "lifeTime": 2000 }));
    assert_eq!(who(&b), [(2, "\"token test\"".into()), (1, "null".into())]);
    assert_eq!(revert(&b, "revision=1").expect(200).json()["inventory"]["lifeTime"], 1000);
}

/// The file of the record has the key once, as what is in force, and not in its history.
#[test]
fn a_revert_keeps_the_key_and_no_revision_has_one() {
    let b = bench();
    set(&b, &json!({ "authKey": CANARY, "lifeTime": 2000 }));
    set(&b, &json!({ "authKey": "test-only-third", "lifeTime": 3000 }));
    let seen = b.ask("GET", &path("history"), b"").expect(200).json();
    assert_eq!(seen["revisions"][0]["fields"][1], json!({ "field": "authKey", "changed": "yes" }));
    let plan = plan(&b, "revision=1").expect(200).json();
    assert_eq!(plan["fields"], json!([{ "field": "lifeTime", "from": 3000, "to": 1000 }]));
    assert_eq!(plan["warnings"][0]["code"], "KEY_KEPT");
    let answer = revert(&b, "revision=1").expect(200).json();
    let said = answer["warnings"][0]["message"].as_str().expect("a message");
    assert!(said.starts_with("keys are not reverted"), "{said}");
    assert_eq!(
        (&answer["inventory"]["lifeTime"], &answer["inventory"]["authKey"]),
        (&json!(1000), &json!("test-only-third"))
    );
    let record = fs::read_to_string(b.record(&uuid(7))).expect("stored");
    for key in [KEY, CANARY] {
        let needles = [key.to_owned(), hex(key.as_bytes())];
        assert!(!needles.iter().any(|needle| record.contains(needle)), "an old key is stored");
        assert!(!needles.iter().any(|needle| seen.to_string().contains(needle) || answer.to_string().contains(needle)));
    }
    assert_eq!(record.matches(&hex(b"test-only-third")).count(), 1, "the control: the present key is there");
    // Without another key in between there is nothing to say.
    let plan = self::plan(&b, "revision=3").expect(200).json();
    assert_eq!(plan["warnings"], json!([]));
}

#[test]
fn a_revert_is_a_change_on_trial_and_a_failed_trial_is_no_revision() {
    let b = bench();
    set(&b, &json!({ "ikeDhGroup": 14 }));
    up(&b);
    b.charon.establish(false);
    let is_stored = |group: u64| {
        fs::read_to_string(b.record(&uuid(7))).is_ok_and(|text| {
            let record: Value = serde_json::from_str(&text).expect("JSON");
            record["ike"]["group"] == group
        })
    };
    let said = thread::scope(|scope| {
        let asked = scope.spawn(|| refused(revert(&b, "revision=1&confirm=1s")));
        wait_until("it is on trial", || is_stored(2).then_some(()));
        wait_until("it is taken back", || is_stored(14).then_some(()));
        b.charon.establish(true);
        asked.join().expect("no panic")
    });
    assert!(said.contains("put back"), "{said}");
    assert_eq!(numbers(&b), [2, 1]);
    assert_eq!(b.inventory(&uuid(7))["ikeDhGroup"], 14);
    let answer = revert(&b, "revision=1&confirm=10s").expect(200).json();
    assert_eq!((&answer["inventory"]["status"], &answer["inventory"]["ikeDhGroup"]), (&json!("Ready"), &json!(2)));
    assert_eq!(numbers(&b), [4, 2, 1], "the number of the failed trial is not given again");
}

/// What others write beside a trial is a revision with and without it.
#[test]
fn a_revision_beside_a_trial_outlives_it() {
    let b = bench();
    b.charon.establish(false);
    thread::scope(|scope| {
        let on_trial = scope.spawn(|| {
            let body = json!({ "changeIPsecConnection": change(7, &json!({ "ikeDhGroup": 14 })) }).to_string();
            b.ask("PUT", &format!("/zstack/v1/ipsec/config/{}?confirm=3s", uuid(7)), body.as_bytes()).expect(503);
        });
        wait_until("it is on trial", || (history(&b)[0]["on_trial"] == true).then_some(()));
        let said = refused(revert(&b, "revision=1&confirm=10s"));
        assert!(said.contains("on trial"), "{said}");
        let update = json!({ "updateIPsecConnection": { "name": "east" } }).to_string();
        b.ask("PUT", &format!("/zstack/v1/ipsec/{}", uuid(7)), update.as_bytes()).expect(200);
        assert_eq!(numbers(&b), [3, 2, 1]);
        wait_until("it is taken back", || history(&b)[0].get("on_trial").is_none().then_some(()));
        b.charon.establish(true);
        on_trial.join().expect("it was taken back");
    });
    let list = history(&b);
    assert_eq!((list.len(), &list[0]["connection"]["name"]), (2, &json!("east")));
    assert_eq!(list[0]["fields"], json!([{ "field": "name", "from": "site-7", "to": "east" }]));
    assert_eq!(revert(&b, "revision=1").expect(200).json()["inventory"]["name"], "site-7");
    assert_eq!(numbers(&b)[0], 4);
}

#[test]
fn of_two_reverts_that_have_seen_the_same_one_is_refused() {
    let b = bench();
    set(&b, &json!({ "lifeTime": 2000 }));
    set(&b, &json!({ "lifeTime": 3000 }));
    let answers: Vec<_> = thread::scope(|scope| {
        let asked = [1, 2].map(|number| {
            scope.spawn({
                let b = &b;
                move || revert(b, &format!("revision={number}&from=3"))
            })
        });
        asked.map(|one| one.join().expect("no panic").status).to_vec()
    });
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert_eq!(numbers(&b), [4, 3, 2, 1]);
    for answer in [revert(&b, "revision=1&from=3"), plan(&b, "revision=1&from=3")] {
        let said = refused(answer);
        assert!(said.contains("the connection is at revision 4 by now"), "{said}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_reason_and_changes_nothing() {
    let b = bench();
    set(&b, &json!({ "peerAddress": "198.51.100.70" }));
    b.create(&params(8, &json!({ "peerAddress": "198.51.100.7" }))).expect(200);
    let before = fs::read_to_string(b.record(&uuid(7))).expect("stored");
    for answer in [plan(&b, "revision=1"), revert(&b, "revision=1")] {
        let said = refused(answer);
        assert!(said.contains("site-8"), "its peer is another one's by now: {said}");
    }
    b.charon.once("load-conn", Behaviour::Refuse("no such thing".into()));
    b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(8)), b"").expect(200);
    let said = refused(revert(&b, "revision=1"));
    assert!(said.contains("no such thing"), "{said}");
    for (query, why) in [
        ("", "revision"),
        ("revision=", "number of a revision"),
        ("revision=-1", "number of a revision"),
        ("revision=x", "number of a revision"),
        ("revision=99", "no revision 99; it has 2, 1"),
        ("revision=1&from=x", "from"),
        ("revision=1&confirm=0s", "confirm"),
    ] {
        for answer in [plan(&b, query), revert(&b, query)] {
            let said = refused(answer);
            assert!(said.contains(why), "{query}: {said}");
        }
    }
    b.ask("POST", &path("revert?revision=1&revision=2"), b"").expect(400);
    let unproven = |text: &str| text.replace("\n  \"unproven\": true,", "");
    assert_eq!(unproven(&fs::read_to_string(b.record(&uuid(7))).expect("stored")), unproven(&before));
    assert_eq!(revert(&b, "revision=1").expect(200).json()["inventory"]["peerAddress"], "198.51.100.7");
}

/// A hostile or torn history does not load: nothing of it is guessed.
#[test]
fn a_history_that_is_damaged_is_named() {
    let mut b = bench();
    set(&b, &json!({ "lifeTime": 2000 }));
    b.stop();
    let file = b.record(&uuid(7));
    let good = fs::read_to_string(&file).expect("stored");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut record: Value = serde_json::from_str(&good).expect("JSON");
        change(&mut record["history"]);
        fs::write(&file, record.to_string()).expect("written");
    };
    let wrong: [&dyn Fn(&mut Value); 4] = [
        &|history| history["past"][0]["was"]["psk_hex"] = "00".into(),
        &|history| history["past"][0]["number"] = 2.into(),
        &|history| history["last"] = 1.into(),
        &|history| history["more"] = 1.into(),
    ];
    for change in wrong {
        with(change);
        b.run();
        let damaged = b.ask("GET", "/readyz", b"").json()["damaged"].take();
        assert_eq!(damaged.as_array().map(Vec::len), Some(1), "{damaged}");
        b.stop();
    }
    // One that can be read and means nothing is refused when it is asked for.
    with(&|history| history["past"][0]["was"]["child"] = json!({ "encryption": 7 }));
    b.run();
    let said = refused(revert(&b, "revision=1"));
    assert!(said.contains("revision 1 cannot be read"), "{said}");
    assert!(history(&b)[1]["refused"].as_str().is_some_and(|why| why.contains("cannot be read")));
    b.stop();
    fs::write(&file, good).expect("written");
    b.run();
    revert(&b, "revision=1").expect(200);
}
