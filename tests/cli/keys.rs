//! Keys come from files and standard input, never from the command line. A refused key is not shown.

use super::run::{OTHER_KEY, fed, run, up, up_with};
use crate::serve::{Bench, KEY, Options, uuid};
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

#[test]
fn what_is_too_long_is_refused_and_not_cut() {
    let b = up();
    let (file, most) = (b.path("key"), 256 * 1024);
    let name = file.to_str().expect("UTF-8");
    fs::write(&file, "k".repeat(most + 1)).expect("written");
    for words in
        [&["change", "site-7", "--yes", "--auth-key-file", name][..], &["plan", "site-7", "--auth-key-file", name]]
    {
        let ended = run(&b, words).ends(1);
        assert!(ended.err.contains("it is longer than 262144 bytes; check that"), "{}", ended.err);
    }
    let ended = fed(&b, &["change", "site-7", "--yes", "--auth-key-file", "-"], &"k".repeat(most + 1)).ends(1);
    assert!(ended.err.contains("cannot read the key from -: it is longer than"), "{}", ended.err);
    // The whole of what is just as long as it may be goes to the agent, which judges it.
    fs::write(&file, format!("{}\n", "k".repeat(most - 1))).expect("written");
    let ended = run(&b, &["change", "site-7", "--yes", "--auth-key-file", name]).ends(1);
    assert!(!ended.err.contains("it is longer than") && ended.err.contains("authKey"), "{}", ended.err);
    assert_eq!(key_of(&b), KEY);
    fs::write(&file, " ".repeat(1024 * 1024 + 1)).expect("written");
    let ended = run(&b, &["plan", "site-7", name]).ends(1);
    assert!(ended.err.contains("it is longer than 1048576 bytes"), "{}", ended.err);
    let ended = run(&b, &["render", name]).ends(1);
    assert!(ended.err.contains("it is longer than 1048576 bytes"), "{}", ended.err);
}

#[test]
fn line_ends_at_the_end_are_not_of_the_key() {
    let b = up();
    for end in ["", "\n", "\r\n", "\n\n"] {
        fed(&b, &["change", "site-7", "--yes", "--wait", "--auth-key-file", "-"], &format!("{OTHER_KEY}{end}")).ends(0);
        assert_eq!(key_of(&b), OTHER_KEY, "{end:?}");
    }
}

#[test]
fn a_password_from_a_pipe_is_its_first_line() {
    let b = up();
    let (settings, file) = (b.path("cygnet.toml"), b.path("accounts"));
    let text = fs::read_to_string(&settings).expect("settings");
    let line = format!("[auth]\naccounts_file = \"{}\"", file.display());
    fs::write(&settings, text.replace("[auth]", &line)).expect("settings");
    let long = "x".repeat(1024);
    for input in [
        "test-only-pass\n",
        "test-only-pass",
        "test-only-pass\r\n",
        "test-only-pass\nmore\n",
        &long,
        &(long.clone() + "\r\n"),
    ] {
        fed(&b, &["passwd", "admin"], input).ends(0);
        let accounts = cygnet::http::Accounts::read(&file).expect("read");
        let password = input.lines().next().expect("a line");
        let digest = <sha2::Sha512 as sha2::Digest>::digest(password);
        let digest = digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        let found = accounts.with_password("admin", &digest, &mut cygnet::http::Arena::default());
        assert!(found.is_some(), "{input:?}");
    }
    let before = fs::read_to_string(&file).expect("there");
    for (input, word) in [("", "empty"), ("\n", "empty"), (&*(long + "x"), "longer than 1024 bytes")] {
        let ended = fed(&b, &["passwd", "admin"], input).ends(1);
        assert!(ended.err.contains(word), "{}", ended.err);
    }
    assert_eq!(fs::read_to_string(&file).expect("there"), before);
}
