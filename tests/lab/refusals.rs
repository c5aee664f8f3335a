//! charon refuses, or does not answer: the old configuration stays in force everywhere, and the caller hears why.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::lab;
use crate::pair::{Pair, WAIT, creation, for_side};
use crate::peer::Charon;
use crate::proxy::Proxy;
use crate::support::agent::AgentOptions;
use crate::support::http::Response;
use crate::support::lab::{CharonOptions, Lab, Side};
use crate::support::{poll, wait_until};

/// The deadline of one vici call here, and the longest that a write may take with it: it makes a few.
const DEADLINE: &str = "1s";
const BOUND: Duration = Duration::from_secs(20);

/// Everything that a refused write must leave as it was.
#[derive(Debug, PartialEq)]
struct Standing {
    inventory: Value,
    files: Vec<(String, Vec<u8>)>,
    connections: Map<String, Value>,
    secrets: Vec<String>,
    tunnel: (String, std::collections::BTreeSet<String>),
}

fn standing(pair: &Pair, side: Side) -> Standing {
    let agent = pair.agent(side);
    let directories = [agent.conf_dir(), agent.state_dir().join("connections")];
    let entries = || directories.iter().flat_map(|directory| fs::read_dir(directory).into_iter().flatten().flatten());
    let read = |entry: fs::DirEntry| (entry.path().display().to_string(), fs::read(entry.path()).unwrap_or_default());
    // The agent may be writing, after what the test did last; a temporary file that stays is a fault. Until it is stored that
    // nothing older runs, which comes after the tunnel is Ready, the record is still to be written once more.
    let is_written = |(path, bytes): &(String, Vec<u8>)| {
        !path.contains("/.cygnet-") && !String::from_utf8_lossy(bytes).contains("\"unproven\"")
    };
    let files = wait_until(Duration::from_secs(20), "all files are written", || {
        let mut files: Vec<_> = entries().map(read).collect();
        files.sort();
        files.iter().all(is_written).then_some(files)
    });
    Standing {
        inventory: agent.get(pair.uuid(side)).expect(200).json()["inventories"][0].clone(),
        files,
        connections: pair.lab.conns(side),
        secrets: Charon::of(&pair.lab, side).secrets(),
        tunnel: pair.settled(1)[side as usize].numbers(),
    }
}

/// Waits until all is as it was, and carries traffic. What was in doubt is unknown for a moment.
fn stands(pair: &Pair, side: Side, before: &Standing) {
    let same = poll(Duration::from_secs(10), || (standing(pair, side) == *before).then_some(()));
    assert!(same.is_some(), "not as it was:\n{before:#?}\nbut\n{:#?}", standing(pair, side));
    pair.carries();
}

/// The key that charon holds is the one that is stored: with it the tunnel comes up again after it was closed.
fn comes_up_again(pair: &Pair, side: Side) {
    let before = pair.settled(1);
    let closed = pair.lab.swanctl(side, &["--terminate", "--ike", &pair.name(side)]);
    assert!(closed.status.success(), "{closed:?}");
    pair.renewed(&before, 1);
    pair.carries();
}

/// An agent that soon gives up on charon.
fn quick(side: Side) -> AgentOptions {
    let wait = WAIT[side as usize].to_owned();
    AgentOptions { wait, timeout: DEADLINE.to_owned(), ..Default::default() }
}

/// The error of an answer.
#[track_caller]
fn refusal(answer: Response) -> String {
    answer.expect(503).json()["error"]["details"].as_str().expect("details").to_owned()
}

fn try_change(pair: &Pair, side: Side, options: &Value) -> Response {
    pair.agent(side).change(pair.uuid(side), &for_side(side, options))
}

#[test]
fn charon_refuses_a_connection() {
    let Some(lab) = lab() else { return };
    // The wire is there before the agent comes, and honest at first.
    for side in Side::BOTH {
        lab.start_charon(side);
    }
    let proxy = Proxy::before(&lab, Side::A);
    let mut pair = Pair::join(&lab, quick);
    pair.create_both(&json!({}));
    pair.settled(1);
    let before = standing(&pair, Side::A);
    proxy.replace("sha384", "sha38x");
    let options = json!({ "policyAuthAlgorithm": "sha384", "authKey": "test-only-another-key" });
    let why = refusal(try_change(&pair, Side::A, &options));
    assert!(why.contains("invalid value for: esp_proposals, config discarded"), "{why}");
    stands(&pair, Side::A, &before);
    pair.agent(Side::A).delete(pair.uuid(Side::A)).expect(200);
    let why = refusal(pair.agent(Side::A).create(&creation(Side::A, &options)));
    assert!(why.contains("invalid value for: esp_proposals, config discarded"), "{why}");
    assert_eq!((lab.list_conns(Side::A), Charon::of(&lab, Side::A).secrets()), (vec![], vec![]));
    assert_eq!(fs::read_dir(pair.agent(Side::A).conf_dir()).map(Iterator::count).unwrap_or_default(), 0);
    proxy.release();
    pair.create(Side::A, &json!({}));
    comes_up_again(&pair, Side::A);
}

/// An algorithm that the plugins of this charon do not bring is refused before charon is asked, by its name.
#[test]
fn charon_lacks_an_algorithm() {
    let Some(lab) = lab() else { return };
    let plugins = CharonOptions::default().plugins.replace(" openssl", "").replace(" chapoly", "");
    lab.start_charon_with(Side::A, CharonOptions { plugins, ..Default::default() });
    lab.start_charon(Side::B);
    let mut pair = Pair::join(&lab, quick);
    pair.create_both(&json!({}));
    pair.settled(1);
    let before = standing(&pair, Side::A);
    // The plugin openssl came into the base package with 6.0.0.
    let package = if Lab::strongswan() < [6, 0, 0] { "libstrongswan-standard-plugins" } else { "libstrongswan" };
    let of = |what: &str| format!("{what} (Debian package {package})");
    for (options, words) in [
        (json!({ "ikeDhGroup": 19 }), &*of("no dh-group19")),
        (json!({ "pfs": "dh-group20" }), &of("dh-group20")),
        (json!({ "policyEncryptionAlgorithm": "chacha20-poly1305" }), "no chacha20-poly1305 (Debian package"),
        (json!({ "ikeEncryptionAlgorithm": "3des" }), "no 3des (Debian package"),
        (json!({ "policyAuthAlgorithm": "sha256-96" }), "no sha256-96 with its plugin kernel-libipsec"),
    ] {
        let why = refusal(try_change(&pair, Side::A, &options));
        assert!(why.contains(words), "{options}: {why}");
    }
    stands(&pair, Side::A, &before);
}

/// A charon that was built without IKEv1 takes such connections and never brings one up: refused by the agent.
#[test]
fn charon_lacks_ikev1() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({}));
    let before = standing(&pair, Side::A);
    let options = json!({ "ikeVersion": "ikev1" });
    if Lab::ike_versions().contains(&"ikev1") {
        assert_eq!(try_change(&pair, Side::A, &options).expect(200).json()["inventory"]["ikeVersion"], "ikev1");
        return;
    }
    let why = refusal(try_change(&pair, Side::A, &options));
    assert!(why.contains("has no ikev1"), "{why}");
    stands(&pair, Side::A, &before);
    assert_eq!(lab.list_conns(Side::A), [pair.name(Side::A)], "nothing is left of the trial");
    assert_eq!(
        try_change(&pair, Side::A, &json!({ "ikeVersion": "ike" })).expect(200).json()["inventory"]["ikeVersion"],
        "ike"
    );
}

/// A stopped charon reads what waits in its sockets when it goes on; what was given up must not come into force.
#[test]
fn charon_is_paused() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start_with(&lab, quick);
    pair.create_both(&json!({}));
    pair.settled(1);
    let before = standing(&pair, Side::A);
    let options = json!({ "authKey": "test-only-another-key", "ikeDhGroup": 19 });
    lab.pause_charon(Side::A);
    let bounded = |what: &str, write: &dyn Fn() -> Response| {
        let start = Instant::now();
        let why = refusal(write());
        assert!(why.contains("charon did not answer"), "{what}: {why}");
        assert!(start.elapsed() < BOUND, "{what} took {:?}", start.elapsed());
    };
    bounded("change", &|| try_change(&pair, Side::A, &options));
    let start = Instant::now();
    let inventory = pair.agent(Side::A).get(pair.uuid(Side::A)).expect(200).json()["inventories"][0].clone();
    assert!(inventory["uuid"].is_string() && inventory.get("status").is_none(), "unknown is not down: {inventory}");
    assert!(start.elapsed() < BOUND);
    let mut elsewhere = creation(Side::A, &json!({}));
    elsewhere["peerAddress"] = "192.0.2.99".into();
    elsewhere["peerCidrs"] = json!(["10.99.0.0/24"]);
    bounded("create", &|| pair.agent(Side::A).create(&elsewhere));
    bounded("delete", &|| pair.agent(Side::A).delete(pair.uuid(Side::A)));
    lab.resume_charon(Side::A);
    stands(&pair, Side::A, &before);
    comes_up_again(&pair, Side::A);
}

/// The request arrives after the agent gave up on it; the stored configuration prevails.
#[test]
fn charon_obeys_too_late() {
    let Some(lab) = lab() else { return };
    for side in Side::BOTH {
        lab.start_charon(side);
    }
    let proxy = Proxy::before(&lab, Side::A);
    let mut pair = Pair::join(&lab, quick);
    pair.create_both(&json!({}));
    pair.settled(1);
    for command in ["load-conn", "load-shared"] {
        let before = standing(&pair, Side::A);
        proxy.hold(command, 1);
        let options = json!({ "authKey": "test-only-another-key", "ikeDhGroup": 19 });
        let why = refusal(try_change(&pair, Side::A, &options));
        assert!(why.contains("charon did not answer"), "{why}");
        assert!(proxy.holds());
        proxy.release();
        stands(&pair, Side::A, &before);
        comes_up_again(&pair, Side::A);
    }
}
