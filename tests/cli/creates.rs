//! `cygnet create`: what is missing is asked for or refused, the VIP follows the peer, and a key is made and shown once.

use super::{
    run::{OTHER_KEY, fed, run},
    tty::Terminal,
};
use crate::serve::{Bench, NETWORK, Options, VIP};
use serde_json::json;
use std::fs;

const PEER: [&str; 4] = ["create", "branch", "--peer", "198.51.100.8"];
const NETWORKS: [&str; 4] = ["--network", "10.1.0.0/24", "--peer-cidr", "10.8.2.0/24"];

/// The key that is shown, which the client of the tests may not find among the known ones.
fn shown_key(text: &str) -> String {
    let line = text.lines().find_map(|line| line.trim_end().strip_prefix("key for the peer, shown once: "));
    line.unwrap_or_else(|| panic!("no key in {text}")).to_owned()
}

#[test]
fn what_never_comes_up_is_refused() {
    let b = Bench::start();
    let refused =
        |more: &[&str]| fed(&b, &[&PEER[..], &["--auth-key-file", "-"], more].concat(), OTHER_KEY).ends(2).err;
    for (more, missing) in [
        (&NETWORKS[..2], "networks behind the peer"),
        (&NETWORKS[2..], "a network behind this gateway"),
        (&[], "a network behind this gateway, networks behind the peer"),
    ] {
        let said = refused(more);
        assert!(said.contains(missing) && said.contains("--no-networks"), "{more:?}: {said}");
    }
    let said = run(&b, &["create"]).ends(2).err;
    for option in ["NAME", "--peer PEER", "--network NETWORK", "--peer-cidr CIDR", "--generate-key"] {
        assert!(said.contains(option), "{option}: {said}");
    }
    assert_eq!(run(&b, &["list"]).ends(0).out.lines().count(), 1, "nothing was created");
    fed(&b, &[&PEER[..], &["--auth-key-file", "-", "--no-networks"]].concat(), OTHER_KEY).ends(0);
    run(&b, &["delete", "branch", "--yes"]).ends(0);
    // Transport mode joins the gateways themselves.
    fed(&b, &[&PEER[..], &["--auth-key-file", "-", "--set", "policyMode=transport"]].concat(), OTHER_KEY).ends(4);
}

#[test]
fn a_key_is_made_and_shown_once() {
    let b = Bench::start();
    let made = run(&b, &[&PEER[..], &NETWORKS, &["--generate-key"]].concat()).ends(4);
    let key = shown_key(&made.out);
    assert!(key.len() == 64 && made.out.matches(&key).count() == 1 && !made.err.contains(&key), "{made:?}");
    let id = b.inventory_of("branch")["uuid"].as_str().expect("a uuid").to_owned();
    assert_eq!(b.inventory(&id)["authKey"], json!(key));
    assert!(!b.logs().contains(&key), "the key is in the log");
    for look in [&["show", "branch"][..], &["list", "--json"], &["log", "branch"]] {
        let ended = run(&b, look);
        assert!(!ended.out.contains(&key) && !ended.err.contains(&key), "{look:?}");
    }
    let other = ["create", "other", "--peer", "198.51.100.9", "--generate-key", "--json"];
    let answer = run(&b, &[&other[..], &["--network", NETWORK, "--peer-cidr", "10.9.2.0/24"]].concat()).ends(4).json();
    assert!(answer["generatedKey"].as_str().is_some_and(|other| other.len() == 64 && other != key), "{answer:#}");
    assert_eq!(answer["inventory"]["authKey"], "******");
    let both = [&PEER[..], &NETWORKS, &["--generate-key", "--auth-key-file", "-"]].concat();
    assert!(run(&b, &both).ends(2).err.contains("cannot be used with"));
    let refused = run(&b, &[&PEER[..], &NETWORKS, &["--generate-key"]].concat()).ends(1);
    assert!(!refused.out.contains("shown once"), "of what was not created no key is shown: {}", refused.out);
}

#[test]
fn the_vip_is_that_of_the_peers_family() {
    let mut b = Bench::idle(&Options::default());
    fs::create_dir(b.path("conf.d")).expect("conf.d");
    let six = "[[gateway.vips]]\nname = \"six\"\naddress = \"2001:db8::1\"\n[[gateway.l3_networks]]\ncidrs = [\"fd00:1::/64\"]\n";
    fs::write(b.path("conf.d/10.toml"), six).expect("written");
    b.run();
    let key = ["--generate-key", "--json"];
    let four = run(&b, &[&PEER[..], &NETWORKS, &key].concat()).ends(4).json();
    assert_eq!(four["inventory"]["vipUuid"], VIP);
    let six = ["create", "six", "--peer", "2001:db8::8", "--network", "fd00:1::/64", "--peer-cidr", "fd00:8::/64"];
    let six = run(&b, &[&six[..], &key].concat()).ends(4).json();
    assert_ne!(six["inventory"]["vipUuid"], VIP);
}

#[test]
fn a_terminal_is_asked_for_what_is_missing() {
    let b = Bench::start();
    let mut terminal = Terminal::start(&b, &["create"], &[]);
    for (question, answer) in [
        ("Name of the connection: ", "branch"),
        ("Address or name of the peer: ", "198.51.100.8"),
        ("Network behind this gateway, of 10.1.0.0/24 (", ""),
        ("Networks behind the peer, such as 10.2.0.0/24: ", "10.8.2.0/24 10.8.3.0/24"),
        ("Pre-shared key (not shown; empty: one is made): ", OTHER_KEY),
    ] {
        terminal.until(question);
        terminal.types(answer);
    }
    let (code, shown) = terminal.end();
    assert!(code == 4 && shown.contains("created branch (") && !shown.contains("shown once"), "{shown}");
    let made = b.inventory_of("branch");
    assert_eq!((&made["authKey"], &made["l3NetworkRefs"][0]["l3NetworkUuid"]), (&json!(OTHER_KEY), &json!(NETWORK)));
    assert_eq!(made["peerCidrs"].as_array().map(Vec::len), Some(2));

    let more = ["create", "other", "--peer", "198.51.100.9", "--network", "10.1.0.0/24", "--peer-cidr", "10.9.2.0/24"];
    let mut terminal = Terminal::start(&b, &more, &[]);
    terminal.until("Pre-shared key");
    terminal.types("");
    let (code, shown) = terminal.end();
    let key = shown_key(&shown);
    assert!(code == 4 && b.inventory_of("other")["authKey"] == json!(key), "{shown}");
}
