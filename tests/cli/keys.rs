//! Keys come by files and standard input, never by the command line; what is refused is not shown.

use crate::{
    run::{OTHER_KEY, fed, run, up, up_with},
    serve::{Bench, KEY, Options, uuid},
};
use std::fs;

fn key_of(b: &Bench) -> String {
    let secret = b.charon.secret(&format!("ike-cygnet-{}", uuid(7))).expect("loaded");
    String::from_utf8(secret.bytes("data").expect("a key").to_vec()).expect("text")
}

#[test]
fn a_key_that_is_not_named_is_kept() {
    for top in ["", "mask_auth_key = true"] {
        let b = up_with(&Options { top, ..Options::default() });
        let set = ["--set", "ikeEncryptionAlgorithm=aes-128", "--set", "lifeTime=1000"];
        let ended = run(&b, &[&["change", "site-7", "--yes"], &set[..]].concat());
        assert!(matches!(ended.code, 0 | 4), "{ended:?}");
        let inventory = b.inventory(&uuid(7));
        assert_eq!((&inventory["ikeEncryptionAlgorithm"], &inventory["lifeTime"]), (&"aes-128".into(), &1000.into()));
        assert_eq!(inventory["ikeDhGroup"], 2);
        assert_eq!(key_of(&b), KEY);
    }
}

#[test]
fn another_key_comes_by_a_file_or_standard_input() {
    let b = up();
    fs::write(b.path("key"), format!("{OTHER_KEY}\n")).expect("written");
    let file = b.path("key");
    let file = file.to_str().expect("UTF-8");
    let plan = run(&b, &["plan", "site-7", "--auth-key-file", file]).ends(0).out;
    assert!(plan.starts_with("impact: reauth"), "{plan}");
    let ended = run(&b, &["change", "site-7", "--yes", "--wait", "--auth-key-file", file, "--json"]).ends(0);
    assert_eq!(ended.json()["inventory"]["authKey"], "******");
    assert_eq!(key_of(&b), OTHER_KEY);
    fed(&b, &["change", "site-7", "--yes", "--wait", "--auth-key-file", "-"], KEY).ends(0);
    assert_eq!(key_of(&b), KEY);
}

#[test]
fn a_key_that_is_none_is_refused_and_not_shown() {
    let b = up();
    let change = ["change", "site-7", "--yes"];
    for (name, code) in [("authKey", 2), ("AUTHKEY", 2)] {
        let ended = run(&b, &[&change[..], &["--set", &format!("{name}={OTHER_KEY}")]].concat()).ends(code);
        assert!(ended.err.contains("--auth-key-file"), "{}", ended.err);
    }
    // Somebody forgets the name, or the option.
    run(&b, &[&change[..], &["--set", &format!("nothing={OTHER_KEY}")]].concat()).ends(2);
    run(&b, &[&change[..], &["--set", OTHER_KEY]].concat()).ends(2);
    for input in ["", "\n", "two words of test-only-other-key-4712", "\u{fffd}'"] {
        fed(&b, &[&change[..], &["--auth-key-file", "-"]].concat(), input).ends(1);
    }
    let ended = run(&b, &[&change[..], &["--auth-key-file", "/nowhere/key"]].concat()).ends(1);
    assert!(ended.err.contains("cannot read the key from /nowhere/key"), "{}", ended.err);
    assert_eq!(key_of(&b), KEY);
}
