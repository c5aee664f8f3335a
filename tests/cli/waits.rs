//! A write whose tunnel does not come up: what is said, how long the command waits, and what is put back.

use super::run::{run, up};
use crate::serve::{uuid, wait_until};
use serde_json::json;
use std::thread;

const CHANGE: [&str; 5] = ["change", "site-7", "--yes", "--set", "lifeTime=1000"];

#[test]
fn a_tunnel_that_is_not_up_has_an_exit_code_of_its_own() {
    let b = up();
    b.charon.establish(false);
    let ended = run(&b, &[&CHANGE[..], &["--json"]].concat()).ends(4);
    assert_eq!(ended.json()["inventory"]["lifeTime"], 1000);
    let previous = "the new configuration is not up yet, the previous one still carries";
    assert!(ended.err.contains(previous), "{}", ended.err);
    let page = run(&b, &["show", "site-7"]).ends(0).out;
    let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(previous), "{page}");
    let page = run(&b, &["list", "-o", "wide"]).ends(0).out;
    assert!(page.contains("Connecting (carrying)"), "{page}");
    let ended = run(&b, &["status"]).ends(4);
    assert!(ended.err.contains("1 of 1 tunnel is not as wanted: site-7 ("), "{}", ended.err);
    assert_eq!(b.inventory(&uuid(7))["lifeTime"], 1000, "it is done");
    let ended = run(&b, &["reconnect", "site-7", "--wait=1s"]).ends(4);
    assert!(ended.out.starts_with("reconnected site-7 ("), "{}", ended.out);
}

#[test]
fn a_tunnel_is_waited_for() {
    let b = up();
    b.charon.establish(false);
    let ended = thread::scope(|scope| {
        let asked = scope.spawn(|| run(&b, &[&CHANGE[..], &["--wait=30s", "--json"]].concat()));
        wait_until("it is changed", || (b.inventory(&uuid(7))["lifeTime"] == 1000).then_some(()));
        b.charon.establish(true);
        asked.join().expect("no panic")
    });
    let inventory = ended.ends(0).json()["inventory"].take();
    assert_eq!((&inventory["status"], &inventory["lifeTime"]), (&json!("Ready"), &json!(1000)));
    assert_eq!(inventory["authKey"], "******");
}

#[test]
fn a_trial_that_fails_is_put_back() {
    let b = up();
    b.charon.establish(false);
    let ended = run(&b, &[&CHANGE[..], &["--confirm", "1s"]].concat()).ends(1);
    assert!(ended.err.contains("the old connection was put back"), "{}", ended.err);
    assert_eq!(b.inventory(&uuid(7))["lifeTime"], 3600);
    b.charon.establish(true);
    // Both options take a time alike: joined, as the next word, or none.
    for option in ["--confirm", "--wait"] {
        for words in [&[&format!("{option}=10s")[..]][..], &[option, "10s"], &[option]] {
            run(&b, &[&CHANGE[..], words].concat()).ends(0);
        }
    }
    assert_eq!(b.inventory(&uuid(7))["lifeTime"], 1000);
}

#[test]
fn an_old_sa_is_closed_at_once() {
    let b = up();
    b.charon.establish(false);
    run(&b, &[&CHANGE[..], &["--immediate"]].concat()).ends(4);
    let page = run(&b, &["show", "site-7"]).ends(0).out;
    assert!(!page.contains("installed"), "{page}");
}
