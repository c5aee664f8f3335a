//! Changes on trial (`?confirm=`), and changes that do not wait for the new SA (`?immediate=`).

use crate::{
    client::{Client, Response},
    fake_charon::Behaviour,
    serve::{Bench, KEY, TOKEN, change, files, params, uuid, wait_until},
};
use serde_json::{Value, json};
use std::{fs, thread};

const PATH: &str = "/zstack/v1/ipsec";

fn send(mut client: Client, method: &str, path: &str, body: &Value) -> Response {
    let token = format!("OAuth {TOKEN}");
    client.request(method, path, &[("Authorization", &token)], body.to_string().as_bytes()).expect("an answer")
}

/// `ChangeIPsecConnection` of the connection 7 with a query.
fn put(b: &Bench, query: &str, more: &Value) -> Response {
    let body = json!({ "changeIPsecConnection": change(7, more) });
    send(b.tcp(), "PUT", &format!("{PATH}/config/{}?{query}", uuid(7)), &body)
}

fn post(b: &Bench, query: &str) -> Response {
    send(b.tcp(), "POST", &format!("{PATH}?{query}"), &json!({ "params": params(7, &json!({})) }))
}

/// An agent with the connection 7, which is up.
fn bench() -> Bench {
    let b = Bench::start();
    b.charon.establish(true);
    b.create(&params(7, &json!({ "lifeTime": 1000 }))).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    let proven = || fs::read_to_string(b.record(&uuid(7))).is_ok_and(|text| !text.contains("\"unproven\""));
    wait_until("that it runs is stored", || proven().then_some(()));
    b
}

/// What stands of the connection in the store, in conf.d and in charon.
fn everything(b: &Bench) -> (String, String, String) {
    let name = format!("cygnet-{}", uuid(7));
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let loaded = (b.charon.connection(&name), b.charon.secret(&format!("ike-{name}")));
    (read(b.record(&uuid(7))), read(b.conf(&uuid(7))), format!("{loaded:?}"))
}

/// The numbers of the IKE SAs.
fn sas(b: &Bench) -> Vec<u64> {
    let native = b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).json();
    native["ike_sas"].as_array().expect("a list").iter().filter_map(|sa| sa["id"].as_u64()).collect()
}

/// The `details` of an error with this code.
#[track_caller]
fn details(answer: Response, code: &str) -> String {
    let error = answer.expect(503).json()["error"].take();
    assert_eq!(error["code"], code, "{error}");
    error["details"].as_str().expect("details").to_owned()
}

#[track_caller]
fn no_trial_is_left(b: &Bench, records: usize) {
    let mut names = files(&b.connections_dir());
    // A record that is just being written anew, because its tunnel was seen to run.
    names.retain(|name| !name.starts_with(".cygnet-"));
    assert_eq!(names.len(), records, "{names:?}");
    let on_trial =
        |name: &String| fs::read_to_string(b.connections_dir().join(name)).is_ok_and(|t| t.contains("\"trial\""));
    assert!(!names.iter().any(on_trial), "{names:?}");
}

#[test]
fn wrong_values_are_refused_by_name() {
    let b = bench();
    let before = everything(&b);
    let confirm =
        ["", "0s", "999ms", "601s", "11m", "-5s", "soon", "5", "1y", "5s5s", "5s%0A"].map(|value| ("confirm", value));
    let immediate = ["", "yes", "1", "TRUE"].map(|value| ("immediate", value));
    for (name, value) in confirm.into_iter().chain(immediate) {
        for answer in
            [put(&b, &format!("{name}={value}"), &json!({ "lifeTime": 700 })), post(&b, &format!("{name}={value}"))]
        {
            let said = details(answer, "SYS.1007");
            assert!(said.contains(&format!("query parameter {name}")), "{name}={value}: {said}");
        }
    }
    assert_eq!(everything(&b), before);
}

#[test]
fn a_change_that_comes_up_is_confirmed() {
    let b = bench();
    for (lifetime, confirm) in [(2000, "10s"), (2001, "1m")] {
        let answer =
            put(&b, &format!("confirm={confirm}"), &json!({ "lifeTime": lifetime, "authKey": "test-only-new" }));
        let inventory = answer.expect(200).json()["inventory"].take();
        assert_eq!((&inventory["status"], &inventory["lifeTime"]), (&json!("Ready"), &json!(lifetime)), "{confirm}");
        no_trial_is_left(&b, 1);
    }
    assert_eq!(b.inventory(&uuid(7))["authKey"], "test-only-new");
}

#[test]
fn a_change_that_does_not_come_up_is_undone() {
    let b = bench();
    let (before, running) = (b.inventory(&uuid(7)), sas(&b));
    let conf = fs::read_to_string(b.conf(&uuid(7))).expect("written");
    b.charon.establish(false);
    let said = details(put(&b, "confirm=1s", &json!({ "lifeTime": 2000 })), "SYS.1007");
    let start = format!("IPsec connection[{}] status down: not up within 1 s (", uuid(7));
    let end = "the old connection was put back and is up; the tunnel was out for 0.0 s";
    assert!(said.starts_with(&start) && said.ends_with(end), "{said}");
    let mut after = b.inventory(&uuid(7));
    after["lastOpDate"] = before["lastOpDate"].clone();
    assert_eq!(after, before);
    assert_eq!(fs::read_to_string(b.conf(&uuid(7))).expect("written"), conf, "the same bytes");
    assert_eq!(sas(&b), running, "the SA was not touched");
    no_trial_is_left(&b, 1);
}

#[test]
fn another_key_that_does_not_come_up_is_undone() {
    let b = bench();
    b.charon.establish(false);
    let changed = || fs::read_to_string(b.conf(&uuid(7))).is_ok_and(|text| text.contains("life_time = 2000s"));
    let said = thread::scope(|scope| {
        let asked = scope.spawn(|| put(&b, "confirm=1s", &json!({ "lifeTime": 2000, "authKey": "test-only-new" })));
        wait_until("it is on trial", || changed().then_some(()));
        let stored = fs::read_to_string(b.record(&uuid(7))).expect("stored");
        assert!(stored.contains("\"before\""), "the record says what would be put back");
        wait_until("the old one is put back", || (!changed()).then_some(()));
        b.charon.establish(true);
        details(asked.join().expect("no panic"), "SYS.1007")
    });
    assert!(said.contains("put back and is up"), "{said}");
    let secret = b.charon.secret(&format!("ike-cygnet-{}", uuid(7))).expect("loaded");
    assert_eq!(secret.bytes("data"), Some(KEY.as_bytes()));
    assert_eq!(b.inventory(&uuid(7))["authKey"], KEY);
    no_trial_is_left(&b, 1);
}

#[test]
fn what_charon_refuses_is_never_on_trial() {
    let b = bench();
    let before = everything(&b);
    for command in ["load-shared", "load-conn"] {
        b.charon.once(command, Behaviour::Refuse("no such thing".into()));
        let said =
            details(put(&b, "confirm=10s", &json!({ "lifeTime": 2000, "authKey": "test-only-new" })), "SYS.1006");
        assert!(said.contains("no such thing"), "{said}");
        assert_eq!(everything(&b), before, "{command}");
        no_trial_is_left(&b, 1);
    }
}

#[test]
fn a_create_may_be_on_trial() {
    let b = Bench::start();
    let said = details(post(&b, "confirm=1s"), "SYS.1007");
    assert!(said.contains("there is no IKE SA") && said.ends_with("it was removed again"), "{said}");
    assert_eq!(everything(&b).0, "");
    assert!(b.charon.connections().is_empty() && b.charon.secrets().is_empty() && files(&b.conf_dir()).is_empty());
    no_trial_is_left(&b, 0);
    b.charon.establish(true);
    assert_eq!(post(&b, "confirm=10s").expect(200).json()["inventory"]["status"], "Ready");
    no_trial_is_left(&b, 1);
}

/// Has a change on trial while `meanwhile` is done, and returns what the trial's caller hears.
fn during_a_trial(b: &Bench, meanwhile: impl FnOnce()) -> String {
    b.charon.establish(false);
    thread::scope(|scope| {
        let asked = scope.spawn(|| put(b, "confirm=1s", &json!({ "lifeTime": 2000 })));
        let changed = || fs::read_to_string(b.conf(&uuid(7))).is_ok_and(|text| text.contains("life_time = 2000s"));
        wait_until("it is on trial", || changed().then_some(()));
        meanwhile();
        details(asked.join().expect("no panic"), "SYS.1007")
    })
}

#[test]
fn a_deletion_during_a_trial_counts() {
    let b = bench();
    let said = during_a_trial(&b, || {
        b.ask("DELETE", &format!("{PATH}/{}", uuid(7)), b"").expect(200);
        // A crash now must not bring it back.
        no_trial_is_left(&b, 0);
    });
    assert!(said.contains("deleted during its trial"), "{said}");
    no_trial_is_left(&b, 0);
    assert!(b.charon.connections().is_empty());
}

#[test]
fn a_change_during_a_trial_counts() {
    let b = bench();
    let said = during_a_trial(&b, || {
        b.change(&uuid(7), &change(7, &json!({ "lifeTime": 3000 }))).expect(200);
        no_trial_is_left(&b, 1);
    });
    assert!(said.contains("another call changed the connection during its trial"), "{said}");
    assert_eq!(b.inventory(&uuid(7))["lifeTime"], 3000);
    no_trial_is_left(&b, 1);
}

#[test]
fn immediate_closes_the_old_sa_before_there_is_a_new_one() {
    let b = bench();
    let old = sas(&b);
    b.charon.establish(false);
    b.charon.forget_requests();
    put(&b, "immediate=false", &json!({ "authKey": "test-only-second" })).expect(200);
    b.charon.wait_for("initiate", 1);
    assert_eq!(sas(&b), old, "without it, the old one carries until the new one does");
    put(&b, "immediate=true", &json!({ "authKey": "test-only-third" })).expect(200);
    wait_until("the old SA is closed", || sas(&b).is_empty().then_some(()));
    let closed = b.charon.requests_of("terminate");
    assert_eq!(closed.iter().filter_map(|request| request.body.number("ike-id")).collect::<Vec<u64>>(), old);
}

#[test]
fn immediate_and_confirm_go_together() {
    let b = bench();
    let old = sas(&b);
    let answer = put(&b, "immediate=true&confirm=10s", &json!({ "authKey": "test-only-new" })).expect(200).json();
    assert_eq!(answer["inventory"]["status"], "Ready");
    assert!(sas(&b).iter().all(|id| !old.contains(id)), "only a new SA is left");
}
