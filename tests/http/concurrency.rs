//! Many changes at once: afterwards the answer, the record, the file and charon agree.

use crate::serve::{Bench, change, hex, params, uuid};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, thread};

/// Asserts that one connection is the same thing everywhere, and returns its lifetime and its key.
#[track_caller]
fn agreed(b: &Bench, n: u8) -> (u64, String) {
    let inventory = b.inventory(&uuid(n));
    let (lifetime, key) =
        (inventory["lifeTime"].as_u64().expect("a number"), inventory["authKey"].as_str().expect("a key"));
    let record: Value = serde_json::from_slice(&fs::read(b.record(&uuid(n))).expect("stored")).expect("JSON");
    let hex = hex(key.as_bytes());
    assert_eq!(
        (record["child"]["lifetime_s"].as_u64(), record["psk_hex"].as_str()),
        (Some(lifetime), Some(hex.as_str()))
    );
    let conf = fs::read_to_string(b.conf(&uuid(n))).expect("written");
    assert!(
        conf.contains(&format!("life_time = {lifetime}s\n")) && conf.contains(&format!("secret = 0x{hex}\n")),
        "{n}"
    );
    let name = format!("cygnet-{}", uuid(n));
    let secret = b.charon.secret(&format!("ike-{name}")).expect("loaded");
    assert_eq!(secret.bytes("data"), Some(key.as_bytes()), "{n}");
    let loaded = b.charon.connection(&name).expect("loaded");
    let (_, child) = loaded.section("children").expect("children").sections().next().expect("a child");
    assert_eq!(child.text("life_time"), Some(format!("{lifetime}s").as_str()), "{n}");
    (lifetime, key.to_owned())
}

/// A change whose lifetime and key both tell its number.
fn numbered(n: u8, number: u32) -> Value {
    change(n, &json!({ "lifeTime": 1000 + number, "authKey": format!("test-only-key-{number}") }))
}

#[test]
fn fifty_changes_of_one_connection() {
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    thread::scope(|scope| {
        for number in 0..50 {
            let b = &b;
            scope.spawn(move || {
                let changed = b.change(&uuid(7), &numbered(7, number)).expect(200).json();
                assert_eq!(changed["inventory"]["lifeTime"], 1000 + number, "everyone hears of their own change");
            });
        }
    });
    let (lifetime, key) = agreed(&b, 7);
    assert_eq!(key, format!("test-only-key-{}", lifetime - 1000), "no mixture of two changes");
    assert_eq!(b.charon.requests_of("load-conn").len(), 51);
}

#[test]
fn fifty_changes_of_each_of_twenty_connections() {
    let b = Bench::start();
    for n in 1..=20 {
        b.create(&params(n, &json!({}))).expect(200);
    }
    thread::scope(|scope| {
        for n in 1..=20 {
            let b = &b;
            scope.spawn(move || (0..50).for_each(|number| drop(b.change(&uuid(n), &numbered(n, number)).expect(200))));
        }
    });
    for n in 1..=20 {
        assert_eq!(agreed(&b, n), (1049, "test-only-key-49".to_owned()), "{n}");
    }
}

#[test]
fn of_many_creates_for_one_peer_one_wins() {
    let b = Bench::start();
    let answers: Vec<_> = thread::scope(|scope| {
        let ask = |n: u8| {
            let b = &b;
            scope.spawn(move || b.create(&params(n, &json!({ "peerAddress": "198.51.100.200" }))))
        };
        (1..=20).map(ask).collect::<Vec<_>>().into_iter().map(|t| t.join().expect("no panic")).collect()
    });
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!((b.charon.connections().len(), b.charon.secrets().len()), (1, 1));
    assert_eq!(fs::read_dir(b.connections_dir()).expect("there").count(), 1);
}

#[test]
fn creates_and_deletes_at_once_end_in_one_of_both() {
    let b = Bench::start();
    thread::scope(|scope| {
        for round in 0..10 {
            for n in 1..=4 {
                let b = &b;
                scope.spawn(move || {
                    if round % 2 == 0 {
                        b.create(&params(n, &json!({})));
                    } else {
                        b.ask("DELETE", &format!("/zstack/v1/ipsec/{}", uuid(n)), b"");
                    }
                });
            }
        }
    });
    let listed = b.ask("GET", "/zstack/v1/ipsec?fields=uuid", b"").expect(200).json();
    let ids = listed["inventories"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|i| i["uuid"].as_str().expect("a uuid").to_owned());
    let ids: BTreeSet<_> = ids.collect();
    let loaded: BTreeSet<_> =
        b.charon.connections().iter().filter_map(|name| name.strip_prefix("cygnet-").map(str::to_owned)).collect();
    assert_eq!(loaded, ids);
    let secrets: BTreeSet<_> =
        b.charon.secrets().iter().filter_map(|id| id.strip_prefix("ike-cygnet-").map(str::to_owned)).collect();
    assert_eq!(secrets, ids);
    let stored: BTreeSet<_> =
        crate::serve::files(&b.connections_dir()).iter().map(|f| f.replace(".json", "")).collect();
    assert_eq!(stored, ids);
    let confs = crate::serve::files(&b.conf_dir());
    assert_eq!(confs.iter().map(|f| f[7..39].to_owned()).collect::<BTreeSet<_>>(), ids);
}
