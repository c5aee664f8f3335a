//! A plan does nothing; and a change that is planned as `none` sends charon nothing.

use super::{ask, bench, proven};
use crate::{
    fake_charon::Recorded,
    serve::{Bench, Options, change, files, params, uuid, wait_until},
};
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};
use std::{fs, time::SystemTime};

/// The commands that change anything in charon.
const EFFECTS: [&str; 6] = ["load-conn", "load-shared", "unload-conn", "unload-shared", "initiate", "terminate"];

/// What was sent to charon with an effect.
fn effects(b: &Bench) -> Vec<Recorded> {
    b.charon.requests().into_iter().filter(|request| EFFECTS.contains(&request.command.as_str())).collect()
}

/// The files of the agent with their contents and times.
fn disk(b: &Bench) -> Vec<(String, Vec<u8>, SystemTime)> {
    let of = |directory: std::path::PathBuf| {
        files(&directory).into_iter().map(move |name| {
            let path = directory.join(&name);
            let time = fs::metadata(&path).and_then(|data| data.modified()).expect("a time");
            (name, fs::read(path).expect("a file"), time)
        })
    };
    of(b.connections_dir()).chain(of(b.conf_dir())).collect()
}

#[test]
fn a_plan_does_nothing() {
    let b = bench();
    let native = || b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).json();
    let (before, on_disk) = (native(), disk(&b));
    b.charon.forget_requests();
    for more in [
        json!({}),
        json!({ "lifeTime": 1000 }),
        json!({ "ikeDhGroup": 20, "authKey": "test-only-new-key" }),
        json!({ "peerAddress": "198.51.100.99" }),
        json!({ "lifeTime": 1 }),
    ] {
        ask(&b, 7, &change(7, &more));
    }
    assert_eq!((native(), disk(&b)), (before, on_disk), "what was planned left no trace");
    assert!(effects(&b).is_empty(), "{:?}", b.charon.commands());
    // Also what a plan claimed is free: nobody has this peer.
    b.create(&params(8, &json!({ "peerAddress": "198.51.100.99" }))).expect(200);
}

#[test]
fn the_same_change_twice_is_none_and_silent_the_second_time() {
    let b = bench();
    let new = change(7, &json!({ "lifeTime": 1000, "authKey": "test-only-new-key", "ikeDhGroup": 20 }));
    assert_ne!(ask(&b, 7, &new).expect(200).json()["impact"], "none");
    b.change(&uuid(7), &new).expect(200);
    let sas = || b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").json()["ike_sas"].clone();
    wait_until("only the new SA is left", || {
        let now = sas();
        (now.as_array().is_some_and(|all| all.len() == 1) && now[0]["as_wanted"] == true).then_some(())
    });
    proven(&b);
    b.charon.forget_requests();
    let on_disk = disk(&b);
    assert_eq!(ask(&b, 7, &new).expect(200).json()["impact"], "none");
    b.change(&uuid(7), &new).expect(200);
    assert_eq!(disk(&b), on_disk);
    assert_eq!(effects(&b).len(), 0, "{:?}", b.charon.commands());
}

/// A random value of an option, or none; with `what` it means although it is not said otherwise.
fn option(values: &[Value]) -> impl Strategy<Value = Option<Value>> + use<> {
    let value = select(values.to_vec());
    prop_oneof![2 => Just(None), 1 => value.prop_map(Some)]
}

/// Random options of Create or Change; many of them say the same in other words, or what has no effect.
fn options() -> impl Strategy<Value = Value> {
    let of = |name: &'static str, values: &[Value]| option(values).prop_map(move |value| (name, value));
    let all = (
        of("lifeTime", &[json!(3600), json!("3600"), json!(1000)]),
        of("ikeDhGroup", &[json!(2), json!(0), json!(14)]),
        of("policyEncryptionAlgorithm", &[json!("aes-256"), json!("aes-256-gcm"), json!("aes-128")]),
        of("policyAuthAlgorithm", &[json!("sha256"), json!("sha512")]),
        of("transformProtocol", &[json!("esp"), json!("ah")]),
        of("pfs", &[json!("dh-group14"), json!("none")]),
        of("ikeVersion", &[json!("ike"), json!("ikev2")]),
        of("localId", &[json!("192.0.2.1"), json!("192.0.2.9")]),
        of("systemTags", &[json!([]), json!(["a-tag"])]),
        of("authKey", &[json!("test-only-key-4711"), json!("test-only-new-key")]),
    );
    all.prop_map(|(a, b, c, d, e, f, g, h, i, j)| {
        let said =
            [a, b, c, d, e, f, g, h, i, j].into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(said.collect())
    })
}

/// A connection with the change to be made of it: half of them of a few options only, which often mean nothing.
fn pair() -> impl Strategy<Value = (Value, Value)> {
    let similar = (options(), options(), 0..10_usize).prop_map(|(old, other, at)| {
        let mut new = old.clone();
        let one =
            other.as_object().and_then(|all| all.iter().nth(at)).map(|(name, value)| (name.clone(), value.clone()));
        if let (Some((name, value)), Some(members)) = (one, new.as_object_mut()) {
            members.insert(name, value);
        }
        (old, new)
    });
    prop_oneof![3 => similar, 1 => (options(), options())]
}

/// What charon was asked with effect for the connection `n`, and the numbers of its SAs.
fn seen(b: &Bench, n: u8) -> (Vec<String>, Value) {
    let named = |request: &Recorded| format!("{:?}", request.body).contains(&uuid(n));
    let commands = effects(b).into_iter().filter(named).map(|request| request.command).collect();
    let native = b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(n)), b"").expect(200).json();
    let of = |list: &Value| list.as_array().into_iter().flatten().map(|sa| sa["id"].clone()).collect::<Vec<_>>();
    (commands, json!([of(&native["ike_sas"]), of(&native["children"][0]["sas"])]))
}

#[test]
fn none_is_planned_exactly_when_charon_hears_nothing() {
    let b = Bench::with(&Options { wait: "5s", ..Options::default() });
    b.charon.establish(true);
    let mut runner = TestRunner::default();
    let pairs: Vec<_> = (1..=60).map(|n: u8| (n, pair().new_tree(&mut runner).expect("a value").current())).collect();
    for (n, (old, _)) in &pairs {
        let created = b.create(&params(*n, old)).expect(200).json();
        assert_eq!(created["inventory"]["status"], "Ready", "{old}");
    }
    b.charon.forget_requests();
    let before: Vec<_> = pairs.iter().map(|(n, _)| seen(&b, *n)).collect();
    let mut planned = Vec::new();
    for (n, (_, new)) in &pairs {
        planned.push(ask(&b, *n, &change(*n, new)).expect(200).json()["impact"].clone());
        assert!(effects(&b).iter().all(|request| !format!("{:?}", request.body).contains(&uuid(*n))), "by a plan");
        b.change(&uuid(*n), &change(*n, new)).expect(200);
    }
    for (((n, pair), before), planned) in pairs.iter().zip(&before).zip(&planned) {
        let now = seen(&b, *n);
        assert_eq!(
            planned == "none",
            now.0.is_empty(),
            "{pair:?} is planned as {planned}, and charon heard {:?}",
            now.0
        );
        assert!(planned != "none" || now == *before, "{pair:?}: its SAs are the same");
    }
    let nones = planned.iter().filter(|impact| *impact == "none").count();
    eprintln!("{nones} of 60 changes are none; all: {planned:?}");
    assert!((5..55).contains(&nones), "both kinds are there");
}
