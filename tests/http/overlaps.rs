//! Changes on trial (`?confirm=`) while others call: what one caller was promised, nobody takes away.

use crate::{
    client::{Client, Response},
    fake_charon::Behaviour,
    serve::{Bench, KEY, NETWORK, Options, TOKEN, change, params, uuid, wait_until},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{fs, thread};

const PATH: &str = "/zstack/v1/ipsec";

fn send(mut client: Client, method: &str, path: &str, body: &Value) -> Response {
    let token = format!("OAuth {TOKEN}");
    client.request(method, path, &[("Authorization", &token)], body.to_string().as_bytes()).expect("an answer")
}

/// A call about the connection 7.
fn call(b: &Bench, method: &str, tail: &str, body: &Value) -> Response {
    send(b.tcp(), method, &format!("{PATH}/{}{tail}", uuid(7)), body)
}

/// `ChangeIPsecConnection` of the connection 7 with a query.
fn put(b: &Bench, query: &str, more: &Value) -> Response {
    let body = json!({ "changeIPsecConnection": change(7, more) });
    send(b.tcp(), "PUT", &format!("{PATH}/config/{}?{query}", uuid(7)), &body)
}

/// A Change of the connection 7 that names one value.
fn keep(b: &Bench, query: &str, value: &Value) -> Response {
    let body = json!({ "changeIPsecConnection": value });
    send(b.tcp(), "PUT", &format!("{PATH}/config/{}?keep=true&{query}", uuid(7)), &body)
}

/// The `details` of an argument error.
#[track_caller]
fn details(answer: Response) -> String {
    let error = answer.expect(503).json()["error"].take();
    assert_eq!(error["code"], "SYS.1007", "{error}");
    error["details"].as_str().expect("details").to_owned()
}

fn record(b: &Bench) -> String {
    fs::read_to_string(b.record(&uuid(7))).unwrap_or_default()
}

/// Whether a change is on trial, by what the agent says.
fn is_on_trial(b: &Bench) -> bool {
    b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").json()["trial"].is_object()
}

fn wait_for_trial(b: &Bench) {
    wait_until("it is on trial", || is_on_trial(b).then_some(()));
}

/// Waits until a trial that runs, or is about to, has been decided; what was put back comes up then.
fn wait_for_end(b: &Bench, asked: &thread::ScopedJoinHandle<'_, Response>) {
    let mut seen = false;
    wait_until("the trial is decided", || {
        let now = is_on_trial(b);
        seen |= now;
        (asked.is_finished() || seen && !now).then_some(())
    });
    b.charon.establish(true);
}

/// An agent with the connection 7, which is up; nothing new comes up from now on.
fn bench() -> Bench {
    let b = Bench::start();
    b.charon.establish(true);
    b.create(&params(7, &json!({ "lifeTime": 1000 }))).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    wait_until("that it runs is stored", || (!record(&b).contains("\"unproven\"")).then_some(()));
    b.charon.establish(false);
    b
}

/// Has `trial` run while `meanwhile` is done, and returns the trial's answer.
fn during(b: &Bench, trial: impl Fn() -> Response + Sync, meanwhile: impl FnOnce()) -> Response {
    thread::scope(|scope| {
        let asked = scope.spawn(&trial);
        wait_for_trial(b);
        meanwhile();
        asked.join().expect("no panic")
    })
}

/// The inventory without what every write alters.
fn inventory(b: &Bench) -> Value {
    let mut inventory = b.inventory(&uuid(7));
    for member in ["lastOpDate", "status"] {
        inventory[member] = Value::Null;
    }
    inventory
}

/// The inventory and charon agree on the key and the lifetime of the connection 7.
#[track_caller]
fn assert_in_force(b: &Bench, key: &str, lifetime: u64) {
    let inventory = inventory(b);
    assert_eq!((&inventory["authKey"], &inventory["lifeTime"]), (&json!(key), &json!(lifetime)));
    let name = format!("cygnet-{}", uuid(7));
    wait_until("charon holds what counts", || {
        let secret = b.charon.secret(&format!("ike-{name}"))?;
        (secret.bytes("data") == Some(key.as_bytes())).then_some(())
    });
    wait_until("conf.d says what counts", || {
        let conf = fs::read_to_string(b.conf(&uuid(7))).ok()?;
        conf.contains(&format!("life_time = {lifetime}s\n")).then_some(())
    });
    assert!(!record(b).contains("\"trial\""), "no trial is left");
}

#[test]
fn a_trial_that_waits_behind_a_change_puts_that_change_back() {
    let b = bench();
    b.charon.forget_requests();
    b.charon.once("load-conn", Behaviour::Late);
    thread::scope(|scope| {
        let first = scope.spawn(|| put(&b, "", &json!({ "lifeTime": 1500 })));
        b.charon.wait_for("load-conn", 1);
        let second = scope.spawn(|| put(&b, "confirm=1s", &json!({ "lifeTime": 2000 })));
        // A third that is refused at once came in behind the second, which waits for the first.
        put(&b, "confirm=soon", &json!({})).expect(503);
        b.charon.release();
        first.join().expect("no panic").expect(200);
        wait_for_end(&b, &second);
        details(second.join().expect("no panic"));
    });
    assert_in_force(&b, KEY, 1500);
}

/// As it was seen: two clients within a few milliseconds, again and again.
#[test]
fn of_a_change_and_a_trial_at_once_the_change_is_never_lost() {
    let b = bench();
    for round in 0..10 {
        b.charon.establish(false);
        let lifetime = 1500 + round;
        thread::scope(|scope| {
            let change = scope.spawn(|| put(&b, "", &json!({ "lifeTime": lifetime })));
            let trial = scope.spawn(|| put(&b, "confirm=1s", &json!({ "lifeTime": 3000 })));
            change.join().expect("no panic").expect(200);
            wait_for_end(&b, &trial);
            details(trial.join().expect("no panic"));
        });
        assert_in_force(&b, KEY, lifetime);
    }
}

#[test]
fn a_refused_trial_of_what_is_being_created_takes_nothing_away() {
    let b = Bench::start();
    b.charon.once("load-conn", Behaviour::Late);
    thread::scope(|scope| {
        let created = scope.spawn(|| b.create(&params(7, &json!({ "lifeTime": 1000 }))));
        b.charon.wait_for("load-conn", 1);
        let tried = scope.spawn(|| put(&b, "confirm=1s", &json!({ "lifeTime": 2000 })));
        b.charon.release();
        created.join().expect("no panic").expect(200);
        wait_for_end(&b, &tried);
        tried.join().expect("no panic").expect(503);
    });
    assert_in_force(&b, KEY, 1000);
    b.charon.once("load-conn", Behaviour::Refuse("no such thing".into()));
    put(&b, "confirm=1s", &json!({ "lifeTime": 2000 })).expect(503);
    assert_in_force(&b, KEY, 1000);
}

#[test]
fn a_creation_on_trial_that_another_repairs_is_kept() {
    let b = Bench::start();
    let create = || {
        send(
            b.tcp(),
            "POST",
            &format!("{PATH}?confirm=5s"),
            &json!({ "params": params(7, &json!({ "authKey": "test-only-wrong" })) }),
        )
    };
    let answer = during(&b, create, || {
        b.charon.establish(true);
        put(&b, "", &json!({ "lifeTime": 1000 })).expect(200);
        wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    });
    // Never 200: it is up, but not as it was created.
    let said = details(answer);
    assert!(said.contains("another call changed the connection during its trial"), "{said}");
    assert_in_force(&b, KEY, 1000);
    for (method, tail, body) in [
        ("POST", "/remote-cidrs", json!({ "params": { "peerCidrs": ["10.77.0.0/24"] } })),
        ("PUT", "/actions", json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } })),
    ] {
        call(&b, "DELETE", "", &Value::Null).expect(200);
        b.charon.establish(false);
        let create =
            || send(b.tcp(), "POST", &format!("{PATH}?confirm=1s"), &json!({ "params": params(7, &json!({})) }));
        let said = details(during(&b, create, || drop(call(&b, method, tail, &body).expect(200))));
        assert!(said.contains("another call changed the connection during its trial"), "{said}");
        b.inventory(&uuid(7));
        assert!(!record(&b).contains("\"trial\""));
    }
}

#[test]
fn a_call_that_waits_never_tells_of_the_tunnel_that_another_made() {
    let b = Bench::with(&Options { wait: "10m", ..Options::default() });
    let wrong = params(7, &json!({ "authKey": "test-only-wrong" }));
    let inventory = thread::scope(|scope| {
        let created = scope.spawn(|| b.create(&wrong));
        wait_until("it is there", || (!record(&b).is_empty()).then_some(()));
        let repaired = scope.spawn(|| put(&b, "", &json!({})));
        wait_until("another has repaired it", || (b.inventory(&uuid(7))["authKey"] == KEY).then_some(()));
        b.charon.establish(true);
        assert_eq!(repaired.join().expect("no panic").expect(200).json()["inventory"]["status"], "Ready");
        created.join().expect("no panic").expect(200).json()["inventory"].take()
    });
    assert_eq!(inventory["authKey"], "test-only-wrong");
    assert_ne!(inventory["status"], "Ready", "that key was never proven");
}

#[test]
fn a_name_does_not_keep_a_creation_that_failed() {
    let b = Bench::start();
    let create = || send(b.tcp(), "POST", &format!("{PATH}?confirm=1s"), &json!({ "params": params(7, &json!({})) }));
    let said = details(during(&b, create, || {
        call(&b, "PUT", "", &json!({ "updateIPsecConnection": { "name": "another" } })).expect(200);
    }));
    assert!(said.ends_with("it was removed again"), "{said}");
    assert_eq!((record(&b).as_str(), b.charon.connections()), ("", vec![]));
}

#[test]
fn one_trial_at_a_time() {
    let mut b = bench();
    let before = inventory(&b);
    let wrong = || put(&b, "confirm=10m", &json!({ "authKey": "test-only-wrong" }));
    thread::scope(|scope| {
        let _first = scope.spawn(|| {
            let token = format!("OAuth {TOKEN}");
            let body = json!({ "changeIPsecConnection": change(7, &json!({ "authKey": "test-only-wrong" })) });
            // It has no answer: the agent is killed.
            b.tcp().request(
                "PUT",
                &format!("{PATH}/config/{}?confirm=10m", uuid(7)),
                &[("Authorization", &token)],
                body.to_string().as_bytes(),
            )
        });
        wait_for_trial(&b);
        let on_trial = record(&b);
        let remote = json!({ "params": { "peerCidrs": ["10.77.0.0/24"] } });
        for answer in [
            wrong(),
            put(&b, "confirm=10s", &json!({})),
            keep(&b, "confirm=10s", &json!({})),
            call(&b, "POST", "/remote-cidrs?confirm=10s", &remote),
            call(&b, "DELETE", "/remote-cidrs?confirm=10s&peerCidrs=10.7.2.0%2F24", &Value::Null),
            call(&b, "DELETE", &format!("/l3networks?confirm=10s&l3NetworkUuids={NETWORK}"), &Value::Null),
            call(
                &b,
                "PUT",
                "/actions?confirm=10s",
                &json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } }),
            ),
            call(&b, "PUT", "/actions?confirm=10s", &json!({ "reconnectIPsecConnection": {} })),
            send(
                b.tcp(),
                "POST",
                &format!("/cygnet/v1/connections/{}/plan?confirm=10s", uuid(7)),
                &json!({ "changeIPsecConnection": change(7, &json!({})) }),
            ),
        ] {
            let said = details(answer);
            for words in ["on trial", "began it at", "decided at", "test", &uuid(7), "site-7", "without confirm"] {
                assert!(said.contains(words), "{words}: {said}");
            }
        }
        assert_eq!(record(&b), on_trial, "what was refused has changed nothing");
        b.signal(Signal::SIGKILL);
    });
    b.reap();
    b.charon.establish(true);
    b.run();
    assert_eq!(inventory(&b), before, "nobody has confirmed the first");
    assert_in_force(&b, KEY, 1000);
}

#[test]
fn what_others_write_stays_when_a_trial_is_taken_back() {
    let b = bench();
    let mut wanted = inventory(&b);
    let said = details(during(
        &b,
        || put(&b, "confirm=2s", &json!({ "lifeTime": 2000 })),
        || {
            let names = json!({ "name": "another", "description": "new", "userTags": ["blue"] });
            call(&b, "PUT", "", &json!({ "updateIPsecConnection": names })).expect(200);
            keep(&b, "", &json!({ "ikeLifeTime": 7200 })).expect(200);
            let remote = json!({ "params": { "peerCidrs": ["10.77.0.0/24"] } });
            call(&b, "POST", "/remote-cidrs", &remote).expect(200);
            call(&b, "DELETE", "/remote-cidrs?peerCidrs=10.7.2.0%2F24", &Value::Null).expect(200);
            call(&b, "DELETE", &format!("/l3networks?l3NetworkUuids={NETWORK}"), &Value::Null).expect(200);
            call(&b, "POST", "/l3networks", &json!({ "params": { "l3NetworkUuids": [NETWORK] } })).expect(200);
            call(&b, "PUT", "/actions", &json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } }))
                .expect(200);
            assert_eq!(b.inventory(&uuid(7))["lifeTime"], 2000, "it is on trial still");
        },
    ));
    assert!(said.contains("the old connection was put back and is disabled"), "{said}");
    let found = inventory(&b);
    for (member, value) in [
        ("name", json!("another")),
        ("description", json!("new")),
        ("ikeLifeTime", json!(7200)),
        ("state", json!("Disabled")),
    ] {
        wanted[member] = value;
    }
    assert_eq!(found["peerCidrs"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["peerCidrs"][0]["cidr"], "10.77.0.0/24");
    assert_eq!(found["l3NetworkRefs"].as_array().map(Vec::len), Some(1));
    for member in ["peerCidrs", "l3NetworkRefs"] {
        wanted[member] = found[member].clone();
    }
    assert_eq!(found, wanted, "the lifetime alone was taken back");
    assert!(record(&b).contains("blue") && !record(&b).contains("\"trial\""));
}

#[test]
fn a_whole_change_during_a_trial_decides_it() {
    for value in [json!({ "lifeTime": 2000, "ikeDhGroup": 19 }), json!({ "ikeLifeTime": 7200, "lifeTime": 2000 })] {
        let b = bench();
        let trial = || put(&b, "confirm=10m", &json!({ "lifeTime": 2000, "ikeDhGroup": 19 }));
        // Some of it is the same as on trial: whoever was told 200 for it keeps it.
        let said = details(during(&b, trial, || drop(put(&b, "", &value).expect(200))));
        assert!(said.contains("another call changed the connection during its trial"), "{said}");
        assert_eq!(b.inventory(&uuid(7))["lifeTime"], 2000);
        assert!(!record(&b).contains("\"trial\""));
    }
}

#[test]
fn a_value_on_trial_that_another_writes_is_his_and_the_rest_is_taken_back() {
    for lifetime in [2000, 3000] {
        let b = bench();
        let trial = || put(&b, "confirm=2s", &json!({ "lifeTime": 2000, "authKey": "test-only-wrong" }));
        thread::scope(|scope| {
            let asked = scope.spawn(trial);
            wait_for_trial(&b);
            keep(&b, "", &json!({ "lifeTime": lifetime })).expect(200);
            wait_for_end(&b, &asked);
            details(asked.join().expect("no panic"));
        });
        assert_in_force(&b, KEY, lifetime);
    }
}

#[test]
fn what_another_made_of_a_trial_is_never_its_success() {
    let b = bench();
    let answer = during(
        &b,
        || put(&b, "confirm=10m", &json!({ "lifeTime": 2000, "authKey": "test-only-wrong" })),
        || {
            keep(&b, "", &json!({ "authKey": "test-only-right" })).expect(200);
            b.charon.establish(true);
        },
    );
    let said = details(answer);
    assert!(said.contains("another call changed the connection during its trial"), "{said}");
    assert_in_force(&b, "test-only-right", 2000);
}

#[test]
fn a_network_on_trial_that_another_removes_is_not_put_back() {
    let b = bench();
    let more = json!({ "params": { "peerCidrs": ["10.77.0.0/24", "10.78.0.0/24"] } });
    thread::scope(|scope| {
        let asked = scope.spawn(|| call(&b, "POST", "/remote-cidrs?confirm=2s", &more));
        wait_for_trial(&b);
        call(&b, "DELETE", "/remote-cidrs?peerCidrs=10.77.0.0%2F24", &Value::Null).expect(200);
        call(&b, "POST", "/remote-cidrs", &json!({ "params": { "peerCidrs": ["10.79.0.0/24"] } })).expect(200);
        wait_for_end(&b, &asked);
        details(asked.join().expect("no panic"));
    });
    let found = inventory(&b);
    let cidrs: Vec<_> =
        found["peerCidrs"].as_array().expect("a list").iter().map(|entry| entry["cidr"].clone()).collect();
    assert_eq!(cidrs, ["10.7.2.0/24", "10.79.0.0/24"]);
}

#[test]
fn a_name_during_a_trial_that_comes_up_is_kept_with_it() {
    let b = bench();
    let answer = during(
        &b,
        || put(&b, "confirm=10m", &json!({ "lifeTime": 2000, "authKey": "test-only-new" })),
        || {
            call(&b, "PUT", "", &json!({ "updateIPsecConnection": { "name": "another" } })).expect(200);
            b.charon.establish(true);
        },
    );
    let confirmed = answer.expect(200).json()["inventory"].take();
    assert_eq!(
        (&confirmed["status"], &confirmed["lifeTime"], &confirmed["name"]),
        (&json!("Ready"), &json!(2000), &json!("another"))
    );
    assert_in_force(&b, "test-only-new", 2000);
}

#[test]
fn every_kind_of_write_on_trial_is_taken_back() {
    let remote = json!({ "params": { "peerCidrs": ["10.77.0.0/24"] } });
    let event = |word: &str| json!({ "changeIPSecConnectionState": { "stateEvent": word } });
    for (disabled, method, tail, body) in [
        (false, "PUT", "/actions?confirm=1s", json!({ "reconnectIPsecConnection": { "userTags": ["blue"] } })),
        (false, "POST", "/remote-cidrs?confirm=1s", remote.clone()),
        (false, "DELETE", "/remote-cidrs?confirm=1s&peerCidrs=10.78.0.0%2F24", Value::Null),
        (true, "PUT", "/actions?confirm=1s", event("enable")),
    ] {
        let b = bench();
        b.charon.establish(true);
        let more = json!({ "params": { "peerCidrs": ["10.78.0.0/24"] } });
        call(&b, "POST", "/remote-cidrs", &more).expect(200);
        wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
        if disabled {
            call(&b, "PUT", "/actions", &event("disable")).expect(200);
        }
        wait_until("that it runs is stored", || (disabled || !record(&b).contains("\"unproven\"")).then_some(()));
        let before = (inventory(&b), record(&b).contains("blue"));
        b.charon.establish(false);
        if method == "DELETE" {
            // What is left would be up already.
            b.charon.set_sas([]);
        }
        let said = thread::scope(|scope| {
            let asked = scope.spawn(|| call(&b, method, tail, &body));
            wait_for_end(&b, &asked);
            details(asked.join().expect("no panic"))
        });
        assert!(said.contains("not up within 1 s"), "{method} {tail}: {said}");
        assert_eq!((inventory(&b), record(&b).contains("blue")), before, "{method} {tail}");
    }
}

#[test]
fn what_needs_no_proof_is_done_at_once() {
    let b = bench();
    let disable = json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } });
    call(&b, "PUT", "/actions?confirm=10m", &disable).expect(200);
    call(&b, "DELETE", "/remote-cidrs?confirm=10m&peerCidrs=10.7.2.0%2F24", &Value::Null).expect(200);
    call(&b, "DELETE", &format!("/l3networks?confirm=10m&l3NetworkUuids={NETWORK}"), &Value::Null).expect(200);
    call(&b, "POST", "/l3networks?confirm=10m", &json!({ "params": { "l3NetworkUuids": [NETWORK] } })).expect(200);
    assert!(!record(&b).contains("\"trial\""));
}

#[test]
fn what_cannot_be_on_trial_refuses_it() {
    let b = bench();
    for answer in [
        call(&b, "DELETE", "?confirm=5s", &Value::Null),
        call(&b, "PUT", "?confirm=5s", &json!({ "updateIPsecConnection": { "name": "another" } })),
    ] {
        assert!(details(answer).contains("query parameter confirm"));
    }
    assert_eq!(b.inventory(&uuid(7))["name"], "site-7");
}

#[test]
fn what_a_trial_would_put_back_stays_reserved() {
    let mut b = bench();
    let before = inventory(&b);
    let moved = json!({ "peerAddress": "198.51.100.99", "remoteId": "198.51.100.99", "authKey": "test-only-new" });
    let attempts = |b: &Bench| {
        // The old address, the new one, and another key for the old identity, and for the new one.
        for more in [
            json!({ "peerAddress": "198.51.100.7" }),
            json!({ "peerAddress": "198.51.100.99" }),
            json!({ "peerAddress": "198.51.100.50", "remoteId": "198.51.100.7", "authKey": "test-only-new" }),
            json!({ "peerAddress": "198.51.100.50", "remoteId": "198.51.100.99", "authKey": KEY }),
        ] {
            let said = details(b.create(&params(8, &more)));
            assert!(said.contains("with a change on trial until"), "{said}");
        }
    };
    let said = thread::scope(|scope| {
        let asked = scope.spawn(|| put(&b, "confirm=2s", &moved));
        wait_for_trial(&b);
        attempts(&b);
        wait_until("it is taken back", || (!record(&b).contains("\"trial\"")).then_some(()));
        b.charon.establish(true);
        details(asked.join().expect("no panic"))
    });
    assert!(said.contains("the old connection was put back"), "{said}");
    assert_eq!(inventory(&b), before);
    // What was on trial is free again.
    b.create(&params(8, &json!({ "peerAddress": "198.51.100.99", "authKey": "test-only-new" }))).expect(200);
    call(&b, "DELETE", "", &Value::Null).expect(200);
    b.create(&params(9, &json!({ "peerAddress": "198.51.100.7", "authKey": "test-only-other" }))).expect(200);
    b.stop();
}

#[test]
fn a_trial_that_charon_cannot_take_back_is_taken_back_all_the_same() {
    let mut b = bench();
    let said = thread::scope(|scope| {
        let asked = {
            let client = b.tcp();
            let body = json!({ "changeIPsecConnection": change(7, &json!({ "authKey": "test-only-wrong" })) });
            let path = format!("{PATH}/config/{}?confirm=2s", uuid(7));
            scope.spawn(move || send(client, "PUT", &path, &body))
        };
        wait_for_trial(&b);
        b.charon.kill();
        details(asked.join().expect("no panic"))
    });
    assert!(said.contains("what was there before counts again"), "{said}");
    assert!(!record(&b).contains("\"trial\""));
    assert_eq!(b.inventory(&uuid(7))["authKey"], KEY);
    b.charon.establish(true);
    b.charon.revive();
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    assert_in_force(&b, KEY, 1000);
}

#[test]
fn what_others_wrote_during_a_trial_is_there_after_a_kill() {
    let mut b = bench();
    thread::scope(|scope| {
        let client = b.tcp();
        scope.spawn(move || {
            let (mut client, token) = (client, format!("OAuth {TOKEN}"));
            let body = json!({ "changeIPsecConnection": change(7, &json!({ "lifeTime": 2000 })) }).to_string();
            // It has no answer: the agent is killed.
            client
                .request(
                    "PUT",
                    &format!("{PATH}/config/{}?confirm=10m", uuid(7)),
                    &[("Authorization", &token)],
                    body.as_bytes(),
                )
                .ok()
        });
        wait_for_trial(&b);
        call(&b, "PUT", "", &json!({ "updateIPsecConnection": { "name": "another" } })).expect(200);
        call(&b, "POST", "/remote-cidrs", &json!({ "params": { "peerCidrs": ["10.77.0.0/24"] } })).expect(200);
        b.signal(Signal::SIGKILL);
    });
    b.reap();
    b.run();
    let found = inventory(&b);
    assert_eq!((&found["name"], &found["lifeTime"]), (&json!("another"), &json!(1000)));
    assert_eq!(found["peerCidrs"].as_array().map(Vec::len), Some(2));
    assert_in_force(&b, KEY, 1000);
}
