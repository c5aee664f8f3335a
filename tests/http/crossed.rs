//! Trials, shared keys and connections that are set aside, all at once: each keeps its promise beside the others.

use crate::{
    client::Response,
    serve::{Bench, Options, TOKEN, change, params, uuid, wait_until},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, thread};

const PATH: &str = "/zstack/v1/ipsec";
const OLD: &str = "test-only-key-of-both";
const NEW: &str = "test-only-key-anew";
/// A second address of the gateway.
const SECOND: &str = "a0000000000040008000000000000002";

fn bench() -> Bench {
    let policy = "[policy]\ndefault = \"off\"\n[[gateway.vips]]\nuuid = \"a0000000000040008000000000000002\"\naddress = \"192.0.2.9\"";
    Bench::with(&Options { policy, ..Options::default() })
}

/// The members of `more` on top of those of `all`.
fn and(mut all: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        all[name.as_str()] = value.clone();
    }
    all
}

/// One peer's identity and a key for it.
fn peer(key: &str) -> Value {
    json!({ "remoteId": "198.51.100.7", "authKey": key })
}

/// No answer if the agent is killed meanwhile.
fn try_put(b: &Bench, n: u8, query: &str, more: &Value) -> Option<Response> {
    let (mut client, token) = (b.tcp(), format!("OAuth {TOKEN}"));
    let body = json!({ "changeIPsecConnection": change(n, more) }).to_string();
    let path = format!("{PATH}/config/{}?{query}", uuid(n));
    client.request("PUT", &path, &[("Authorization", &token)], body.as_bytes()).ok()
}

fn put(b: &Bench, n: u8, query: &str, more: &Value) -> Response {
    try_put(b, n, query, more).expect("an answer")
}

fn delete(b: &Bench, n: u8) -> Response {
    b.ask("DELETE", &format!("{PATH}/{}", uuid(n)), b"")
}

fn stored(b: &Bench, n: u8) -> Option<Value> {
    serde_json::from_slice(&fs::read(b.record(&uuid(n))).ok()?).ok()
}

fn is_on_trial(b: &Bench, n: u8) -> bool {
    stored(b, n).is_some_and(|record| record["trial"].is_object())
}

/// Begins `trial` of the connection `n`, does `meanwhile`, and lets what is put back come up when it is decided.
fn during(b: &Bench, n: u8, trial: impl Fn() -> Response + Sync, meanwhile: impl FnOnce()) -> Response {
    thread::scope(|scope| {
        let asked = scope.spawn(&trial);
        wait_until("it is on trial", || is_on_trial(b, n).then_some(()));
        meanwhile();
        wait_until("it is decided", || (asked.is_finished() || !is_on_trial(b, n)).then_some(()));
        b.charon.establish(true);
        asked.join().expect("no panic")
    })
}

/// Begins a trial of the connection `n`, does `meanwhile`, kills the agent and starts it again.
fn killed(b: &mut Bench, n: u8, more: &Value, meanwhile: impl FnOnce(&Bench)) {
    let agent = &*b;
    thread::scope(|scope| {
        scope.spawn(|| try_put(agent, n, "confirm=10m", more));
        wait_until("it is on trial", || is_on_trial(agent, n).then_some(()));
        meanwhile(agent);
        agent.signal(Signal::SIGKILL);
    });
    b.reap();
    b.run();
    wait_until("it is ready", || (b.ask("GET", "/readyz", b"").status == 200).then_some(()));
}

/// The key that charon has for the connection, and its owner.
fn secret(b: &Bench, n: u8) -> Option<(String, String)> {
    let secret = b.charon.secret(&format!("ike-cygnet-{}", uuid(n)))?;
    let key = String::from_utf8(secret.bytes("data")?.to_vec()).ok()?;
    let owner = secret.items("owners").next()?.into();
    Some((key, owner))
}

/// The connection has this key in the inventory and in charon, and this lifetime.
#[track_caller]
fn assert_has(b: &Bench, n: u8, key: &str, lifetime: u64) {
    let inventory = b.inventory(&uuid(n));
    assert_eq!((&inventory["authKey"], &inventory["lifeTime"]), (&json!(key), &json!(lifetime)), "{n}");
    wait_until("charon has what counts", || secret(b, n).filter(|(loaded, _)| loaded == key));
    assert!(!is_on_trial(b, n), "{n}");
}

/// The connections 7 and 8 with one key, for one identity.
fn shared(b: &Bench) {
    for n in [7, 8] {
        b.create(&params(n, &and(peer(OLD), &json!({ "lifeTime": 1000 })))).expect(200);
    }
}

#[track_caller]
fn assert_both(b: &Bench, key: &str, lifetime: u64) {
    for n in [7, 8] {
        assert_has(b, n, key, lifetime);
    }
}

fn lifetime(key: &str, lifetime: u64) -> Value {
    and(peer(key), &json!({ "lifeTime": lifetime }))
}

/// The key goes to a connection that has something else on trial: the new key stays, the rest is taken back.
#[test]
fn a_shared_key_is_changed_while_one_is_on_trial() {
    let b = bench();
    shared(&b);
    let meanwhile = || {
        put(&b, 7, "together=true", &lifetime(NEW, 1000)).expect(200);
        assert!(is_on_trial(&b, 8), "nobody has confirmed the lifetime");
    };
    during(&b, 8, || put(&b, 8, "confirm=3s", &lifetime(OLD, 2000)), meanwhile).expect(503);
    assert_both(&b, NEW, 1000);
}

#[test]
fn a_shared_key_that_came_during_a_trial_is_there_after_a_kill() {
    let mut b = bench();
    shared(&b);
    killed(&mut b, 8, &lifetime(OLD, 2000), |b| drop(put(b, 7, "together=true", &lifetime(NEW, 1000)).expect(200)));
    assert_both(&b, NEW, 1000);
}

/// A key on trial that another call replaces in all connections is that call's.
#[test]
fn a_key_on_trial_is_overruled_by_the_key_of_all() {
    let b = bench();
    b.create(&params(7, &lifetime(OLD, 1000))).expect(200);
    b.create(&params(8, &and(lifetime(OLD, 1000), &json!({ "vipUuid": SECOND })))).expect(200);
    let meanwhile = || drop(put(&b, 7, "together=true", &lifetime(NEW, 1000)).expect(200));
    let wrong = lifetime("test-only-wrong", 2000);
    during(&b, 8, || put(&b, 8, "confirm=3s", &wrong), meanwhile).expect(503);
    assert_both(&b, NEW, 1000);
}

/// Two addresses of the gateway to one peer: another key for the one needs another owner of the other's, also of what
/// its trial would put back.
#[test]
fn whose_a_key_is_changes_while_it_is_on_trial() {
    let start = || {
        let b = bench();
        b.create(&params(7, &lifetime(OLD, 1000))).expect(200);
        b.create(&params(8, &and(lifetime(OLD, 1000), &json!({ "vipUuid": SECOND })))).expect(200);
        b
    };
    let told_apart = |b: &Bench| {
        assert_has(b, 7, NEW, 1000);
        assert_has(b, 8, OLD, 1000);
        let owners = [7, 8].map(|n| secret(b, n).expect("a secret").1);
        assert_eq!(owners, ["192.0.2.1", "192.0.2.9"]);
    };
    let b = start();
    let meanwhile = || drop(put(&b, 7, "", &lifetime(NEW, 1000)).expect(200));
    during(&b, 8, || put(&b, 8, "confirm=3s", &lifetime(OLD, 2000)), meanwhile).expect(503);
    told_apart(&b);
    let mut b = start();
    killed(&mut b, 8, &lifetime(OLD, 2000), |b| drop(put(b, 7, "", &lifetime(NEW, 1000)).expect(200)));
    told_apart(&b);
}

/// A new key that comes during a trial of something else needs another owner, also for what is put back.
#[test]
fn a_key_that_comes_during_a_trial_is_told_apart() {
    let b = bench();
    b.create(&params(7, &lifetime(OLD, 1000))).expect(200);
    b.create(&params(8, &and(lifetime(OLD, 1000), &json!({ "vipUuid": SECOND })))).expect(200);
    let meanwhile = || {
        let key = json!({ "changeIPsecConnection": { "authKey": NEW } }).to_string();
        b.ask("PUT", &format!("{PATH}/config/{}?keep=true", uuid(8)), key.as_bytes()).expect(200);
        assert!(is_on_trial(&b, 8), "the lifetime is on trial still");
    };
    during(&b, 8, || put(&b, 8, "confirm=3s", &lifetime(OLD, 2000)), meanwhile).expect(503);
    assert_has(&b, 7, OLD, 1000);
    assert_has(&b, 8, NEW, 1000);
}

/// A trial of another key makes charon tell the keys apart; what is put back goes with that.
#[test]
fn a_key_on_trial_for_one_of_two_addresses_is_taken_back() {
    let b = bench();
    b.create(&params(7, &lifetime(OLD, 1000))).expect(200);
    b.create(&params(8, &and(lifetime(OLD, 1000), &json!({ "vipUuid": SECOND })))).expect(200);
    let wrong = lifetime("test-only-wrong", 1000);
    let file = || fs::read_to_string(b.conf(&uuid(7))).expect("written");
    let (before, owners) = (file(), || [7, 8].map(|n| secret(&b, n).expect("a secret").1));
    let told_apart = || assert_eq!(owners(), ["192.0.2.1", "192.0.2.9"]);
    during(&b, 8, || put(&b, 8, "confirm=2s", &wrong), told_apart).expect(503);
    assert_both(&b, OLD, 1000);
    assert_eq!((file(), owners()), (before.clone(), ["198.51.100.7", "198.51.100.7"].map(Into::into)));
    // The same of one that is created on trial, and of a trial whose companion another call changes.
    delete(&b, 8).expect(200);
    b.charon.establish(false);
    let create = || {
        let params = params(8, &and(wrong.clone(), &json!({ "vipUuid": SECOND })));
        b.ask("POST", &format!("{PATH}?confirm=1s"), json!({ "params": params }).to_string().as_bytes())
    };
    during(&b, 8, create, || ()).expect(503);
    assert_eq!((stored(&b, 8), file()), (None, before));
    b.create(&params(8, &and(lifetime(OLD, 1000), &json!({ "vipUuid": SECOND })))).expect(200);
    b.charon.establish(false);
    let meanwhile = || drop(put(&b, 7, "", &lifetime(OLD, 3000)).expect(200));
    during(&b, 8, || put(&b, 8, "confirm=2s", &wrong), meanwhile).expect(503);
    assert_has(&b, 7, OLD, 3000);
    assert_eq!(owners(), ["198.51.100.7", "198.51.100.7"]);
    put(&b, 8, "", &lifetime(NEW, 1000)).expect(200);
    assert_has(&b, 7, OLD, 3000);
    assert_has(&b, 8, NEW, 1000);
}

/// An agent with `connections`, whose records were altered while it was away.
fn altered(connections: &[(u8, Value)], alter: impl Fn(u8, &mut Value)) -> Bench {
    let mut b = bench();
    for (n, more) in connections {
        b.create(&params(*n, more)).expect(200);
    }
    b.stop();
    for (n, _) in connections {
        let mut record = stored(&b, *n).expect("a record");
        alter(*n, &mut record);
        fs::write(b.record(&uuid(*n)), serde_json::to_vec_pretty(&record).expect("JSON")).expect("altered");
    }
    b.run();
    wait_until("it is ready", || (b.ask("GET", "/readyz", b"").status == 200).then_some(()));
    b
}

fn aside(b: &Bench) -> Vec<String> {
    let ready = b.ask("GET", "/readyz", b"").json();
    let all = ready["set_aside"].as_array().cloned().unwrap_or_default();
    all.iter().map(|one| one["uuid"].as_str().expect("a uuid").to_owned()).collect()
}

/// The address of 8 is that of 7.
fn same_peer(n: u8, record: &mut Value) {
    if n == 8 {
        record["peer"] = json!("198.51.100.7");
    }
}

/// One that is set aside for its address has the shared key too; it is in the way of nobody's key.
#[test]
fn a_shared_key_is_changed_also_in_one_that_is_set_aside() {
    let b = altered(&[7, 8, 9].map(|n| (n, peer(OLD))), same_peer);
    assert_eq!(aside(&b), [uuid(8)]);
    put(&b, 7, "", &peer(NEW)).expect(503);
    let body = json!({ "changeIPsecConnection": change(7, &peer(NEW)) }).to_string();
    let plan = format!("/cygnet/v1/connections/{}/plan?together=true", uuid(7));
    let planned = b.ask("POST", &plan, body.as_bytes()).expect(200).json()["together"].take();
    let done = put(&b, 7, "together=true", &peer(NEW)).expect(200).json()["together"].take();
    assert_eq!((planned, done.as_array().map(Vec::len)), (done.clone(), Some(2)));
    assert_eq!(aside(&b), [uuid(8)]);
    assert_eq!([7, 9].map(|n| secret(&b, n).expect("a secret").0), [NEW; 2]);
    assert_eq!((b.inventory(&uuid(8))["authKey"].as_str(), secret(&b, 8)), (Some(NEW), None));
    put(&b, 8, "", &peer(NEW)).expect(200);
    assert_eq!((aside(&b), secret(&b, 8).expect("a secret").0.as_str()), (vec![], NEW));
}

/// What needs no other place than before may be written, and has nothing to prove: it is not loaded.
#[test]
fn one_that_is_set_aside_has_no_trial() {
    let b = altered(&[7, 8].map(|n| (n, peer(OLD))), same_peer);
    let more = json!({ "params": { "peerCidrs": ["10.77.0.0/24"] } }).to_string();
    for query in ["confirm=1s", "confirm=10m"] {
        let same = and(peer(OLD), &json!({ "peerAddress": "198.51.100.7", "idType": "ip" }));
        put(&b, 8, query, &same).expect(200);
        assert!(!is_on_trial(&b, 8), "{query}");
    }
    b.ask("POST", &format!("{PATH}/{}/remote-cidrs?confirm=1s", uuid(8)), more.as_bytes());
    assert!(!is_on_trial(&b, 8));
}

/// What a trial would put back is in the way until the trial has ended, and then no more.
#[test]
fn one_that_is_set_aside_waits_for_the_end_of_a_trial() {
    for comes_up in [false, true] {
        let b = altered(&[7, 8].map(|n| (n, peer(OLD))), same_peer);
        assert_eq!(aside(&b), [uuid(8)]);
        let away = and(peer(OLD), &json!({ "peerAddress": "198.51.100.99" }));
        let answer = during(
            &b,
            7,
            || put(&b, 7, "confirm=3s", &away),
            || {
                assert_eq!(aside(&b), [uuid(8)]);
                assert_eq!(secret(&b, 8), None, "the old address is reserved");
                b.charon.establish(comes_up);
            },
        );
        if comes_up {
            answer.expect(200);
            wait_until("it is loaded", || secret(&b, 8));
        } else {
            answer.expect(503);
            assert_eq!((aside(&b), secret(&b, 8)), (vec![uuid(8)], None));
        }
    }
}

/// Identities that charon takes for one, though they are spelled otherwise, or stand at the other end.
#[test]
fn identities_are_compared_at_a_start_as_charon_compares_them() {
    for (local, remote) in [("other.example", "PEER.example"), ("Peer.Example", "GW.example")] {
        let ids = |local: &str, remote: &str, key: &str| json!({ "idType": "fqdn", "localId": local, "remoteId": remote, "authKey": key });
        let connections = [(7, ids("gw.example", "peer.example", OLD)), (8, ids("eight.example", "site.example", NEW))];
        let b = altered(&connections, |n, record| {
            if n == 8 {
                record["identity"]["local"] = json!(local);
                record["identity"]["remote"] = json!(remote);
            }
        });
        assert_eq!(aside(&b), [uuid(8)], "{local} {remote}");
        assert_eq!(secret(&b, 8), None);
        // With the same key there is nothing to tell apart.
        put(&b, 7, "", &ids("gw.example", "peer.example", NEW)).expect(200);
        wait_until("it is loaded", || secret(&b, 8));
        assert_eq!(aside(&b), Vec::<String>::new());
    }
}

/// Numbers that look random, and are the same at each run.
struct Dice(u64);

impl Dice {
    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        all[usize::try_from(self.0 >> 33).expect("small") % all.len()].clone()
    }
}

const IDS: [u8; 3] = [7, 8, 9];
const PEERS: [&str; 3] = ["198.51.100.7", "198.51.100.8", "198.51.100.9"];
const REMOTES: [&str; 2] = ["peer.example", "Site.example"];

fn spec(dice: &mut Dice) -> Value {
    json!({
        "peerAddress": dice.of(&PEERS), "idType": "fqdn", "remoteId": dice.of(&["peer.example", "PEER.example", "site.example"]),
        "localId": dice.of(&["gw.example", "gw2.example"]), "authKey": dice.of(&[OLD, NEW]),
        "lifeTime": dice.of(&[1000, 2000]),
    })
}

/// One call of some kind; most are done, some are refused.
fn act(b: &Bench, dice: &mut Dice) {
    let n = dice.of(&IDS);
    let event = |word: &str| json!({ "changeIPSecConnectionState": { "stateEvent": word } }).to_string();
    let actions = format!("{PATH}/{}/actions", uuid(n));
    match dice.of(&[0, 0, 1, 2, 3, 4, 5, 6, 7]) {
        0 => drop(b.create(&params(n, &and(spec(dice), &json!({ "vipUuid": dice.of(&[crate::serve::VIP, SECOND]) }))))),
        1 => drop(put(b, n, "", &spec(dice))),
        2 => drop(put(b, n, "together=true", &spec(dice))),
        3 => drop(put(b, n, "keep=true", &spec(dice))),
        4 => drop(b.ask("PUT", &actions, event(dice.of(&["disable", "enable"])).as_bytes())),
        5 => drop(b.ask(
            "PUT",
            &format!("{PATH}/{}", uuid(n)),
            json!({ "updateIPsecConnection": { "name": dice.of(&["a", "b"]) } }).to_string().as_bytes(),
        )),
        6 => drop(delete(b, n)),
        _ => {
            let command = dice.of(&["load-conn", "load-shared", "unload-conn"]);
            b.charon.once(command, crate::fake_charon::Behaviour::Refuse("test-only refusal".into()));
        }
    }
}

/// Nothing is taken any more: each address, identity and owner can be had, and needs no other owner of a key.
#[track_caller]
fn assert_free(b: &Bench, seed: u64) {
    for (vip, local) in [(crate::serve::VIP, "gw.example"), (SECOND, "gw2.example")] {
        for address in PEERS {
            for remote in REMOTES {
                for [local, remote] in [[local, remote], [remote, local]] {
                    let ends = json!({ "idType": "fqdn", "localId": local, "remoteId": remote, "vipUuid": vip });
                    let more = and(ends, &json!({ "peerAddress": address, "authKey": "test-only-of-nobody" }));
                    let answer = b.create(&params(10, &more));
                    assert_eq!(answer.status, 200, "seed {seed}: {vip} {address} {more}: {}", answer.text());
                    let owner = secret(b, 10).expect("a secret").1;
                    assert_eq!(owner, format!("fqdn:{remote}"), "seed {seed}: somebody has a key for it");
                    delete(b, 10).expect(200);
                }
            }
        }
    }
}

/// Writes of every kind, trials among them, in any order: when all is deleted, nothing is reserved.
#[test]
fn what_is_deleted_has_taken_nothing() {
    let b = bench();
    for seed in 0..12 {
        let mut dice = Dice(seed);
        for _ in 0..3 {
            b.charon.establish(dice.of(&[true, false]));
            let (n, query, more) = (dice.of(&IDS), dice.of(&["confirm=1s", "confirm=1s&keep=true"]), spec(&mut dice));
            thread::scope(|scope| {
                let asked = scope.spawn(|| put(&b, n, query, &more));
                (0..8).for_each(|_| act(&b, &mut dice));
                wait_until("it is decided", || (asked.is_finished() || !is_on_trial(&b, n)).then_some(()));
                b.charon.behave();
                b.charon.establish(true);
                drop(asked.join().expect("no panic"));
            });
            act(&b, &mut dice);
        }
        b.charon.behave();
        for n in IDS.into_iter().filter(|n| stored(&b, *n).is_some()).collect::<BTreeSet<_>>() {
            delete(&b, n).expect(200);
        }
        assert_free(&b, seed);
    }
}
