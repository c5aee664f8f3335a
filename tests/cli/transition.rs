//! A connection in transition, carried to another gateway by a backup, and beside another gateway.

use super::{
    backups::{PASSPHRASE, backup, restore},
    compares::{compared, pair, token, url},
    run::run,
};
use crate::{
    http::transition::{bench, native, new, proposals, put},
    serve::{Bench, KEY, hex, params, uuid, wait_until},
    stream::Events,
};
use cygnet::seal;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn log(b: &Bench) -> String {
    b.ask("GET", &format!("/cygnet/v1/connections/{}/log?lines=500", uuid(7)), b"").expect(200).text()
}

/// The same backup, with a time that is over.
fn aged(b: &Bench, file: &Path) -> PathBuf {
    let plain = seal::open(PASSPHRASE, &fs::read(file).expect("there")).expect("opened");
    let mut whole: Value = serde_json::from_slice(&plain).expect("JSON");
    whole["connections"][0]["transition"]["until"] = "2026-01-01T00:00:00Z".into();
    let path = b.path("aged");
    fs::write(&path, whole.to_string()).expect("written");
    path
}

#[track_caller]
fn shows_no_key(b: &Bench, told: &str) {
    for text in [told, &b.logs(), &log(b)] {
        assert!(!text.contains(KEY) && !text.contains(&hex(KEY.as_bytes())), "{text}");
    }
}

#[test]
fn a_backup_carries_a_transition_to_its_end() {
    let b = bench();
    put(&b, "transition=24h&accept=true", &new()).expect(200);
    let file = backup(&b, "b.sealed");
    let (was, both) = (native(&b)["transition"].clone(), proposals(&b));
    let kept = |other: &Bench| {
        let now = native(other)["transition"].clone();
        for member in ["caller", "began", "until", "accept", "over", "ike", "child"] {
            assert_eq!(now[member], was[member], "{member}");
        }
        assert_eq!(proposals(other), both);
    };
    // Nothing answers it there, so nothing moves.
    let mut other = Bench::start();
    let ended = restore(&other, &file, &[]).ends(0);
    kept(&other);
    shows_no_key(&other, &(ended.out + &ended.err));
    other.stop();
    other.run();
    wait_until("charon has it", || other.charon.connections().pop());
    kept(&other);
    // Whoever says the same is not touched, in transition or not.
    put(&other, "transition=0s", &new()).expect(200);
    let ended = restore(&other, &file, &["--replace"]).ends(0);
    assert!(ended.out.contains("1 connections were as in the backup"), "{}", ended.out);
    assert_eq!(native(&other)["transition"], Value::Null);
    // Whoever says something else says what the backup says.
    put(&other, "", &json!({ "ikeEncryptionAlgorithm": "aes-256", "ikeDhGroup": 19 })).expect(200);
    let ended = restore(&other, &file, &[]).ends(1);
    assert!(ended.err.contains("differ from the backup; nothing was done"), "{}", ended.err);
    assert_eq!(native(&other)["transition"], Value::Null);
    restore(&other, &file, &["--replace"]).ends(0);
    kept(&other);
}

#[test]
fn a_transition_whose_time_is_over_ends_where_it_is_restored() {
    let b = bench();
    put(&b, "transition=24h", &new()).expect(200);
    let (file, both) = (aged(&b, &backup(&b, "b.sealed")), proposals(&b));
    let there = Bench::start();
    there.create(&params(7, &json!({ "ikeDhGroup": 19 }))).expect(200);
    for (other, more) in [(Bench::start(), &[][..]), (there, &["--replace"][..])] {
        let events = Events::open(&other.path("cygnet.sock"), "/cygnet/v1/events", None);
        let ended = restore(&other, &file, more).ends(0);
        let over = || Some(native(&other)).filter(|view| view["transition"]["over"] == true);
        let view = wait_until("it is over", over);
        assert_eq!(view["transition"]["until"], "2026-01-01T00:00:00Z", "{view:#}");
        let is_first = || proposals(&other).iter().zip(&both).all(|(now, both)| both.starts_with(&format!("{now}, ")));
        wait_until("the file has what is wanted alone", || is_first().then_some(()));
        let of_end = || events.all().into_iter().find(|event| event.name == "transition_over");
        let reason = wait_until("the event", of_end).data["reason"].clone();
        assert_eq!(reason["code"], "TRANSITION_OVER", "{reason:#}");
        let told = reason["details"].as_str().unwrap_or_default();
        assert!(told.contains("198.51.100.7 never moved") && told.contains("no tunnel was up"), "{reason:#}");
        assert!(log(&other).contains("never moved"));
        shows_no_key(&other, &(ended.out + &ended.err));
        other.charon.establish(true);
        wait_until("it moves late", || native(&other)["transition"].is_null().then_some(()));
    }
}

/// What is wanted is the same. But who takes over from the other one refuses a peer that has not moved.
#[test]
fn a_transition_on_one_of_two_gateways_is_a_row_of_its_own() {
    let [here, there] = pair();
    put(&here, "", &new()).expect(200);
    put(&there, "transition=24h", &new()).expect(200);
    let until = native(&there)["transition"]["until"].as_str().expect("a time").to_owned();
    let found = compared(&here, &there, "writer", 1);
    let fields = json!([{ "field": "transition", "here": null, "there": format!("until {until}") }]);
    assert_eq!((&found["differing"], &found["connections"][0]["fields"]), (&json!(1), &fields), "{found:#}");
    let page = run(&there, &["compare", "--with", &url(&here), "--token-file", &token(&there, "writer")]).ends(1);
    let row = page.out.lines().find(|line| line.contains("transition")).unwrap_or_else(|| panic!("{}", page.out));
    assert!(row.starts_with("site-7 ") && row.contains(&format!("until {until}")), "{row}");
    assert!(!page.out.contains("aes"), "{}", page.out);
    // Both are changed, one after the other.
    for (b, lasts) in [(&here, "24h"), (&there, "48h")] {
        put(b, &format!("transition={lasts}"), &json!({ "ikeEncryptionAlgorithm": "aes-128" })).expect(200);
    }
    assert_ne!(native(&here)["transition"]["until"], native(&there)["transition"]["until"]);
    assert_eq!(compared(&here, &there, "writer", 0)["same"], true);
}
