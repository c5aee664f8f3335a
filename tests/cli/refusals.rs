//! Refusals and warnings on the command line name its options, not what the API calls them.

use super::run::{OTHER_KEY, Run, fed, run};
use crate::serve::{Bench, Options, params, uuid, wait_until};
use serde_json::json;
use std::thread;

/// What belongs to requests, and to the real server's sentences.
const OF_THE_API: [&str; 5] = ["query parameter", "=true", "field[", "vrouter", "[uuid:"];

/// What it told a person has `wanted`, and nothing of the API.
#[track_caller]
fn assert_tells(ended: &Run, wanted: &str) {
    // A page is folded.
    let text = format!("{} {}", ended.out, ended.err).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(wanted), "{wanted}: {text}");
    for word in OF_THE_API {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[test]
fn warnings_name_the_option_that_helps() {
    let b = Bench::with(&Options { policy: "[policy]\nuntested-pfs = \"warn\"", ..Options::default() });
    b.create(&params(7, &json!({ "pfs": "dh-group14" }))).expect(200);
    let untested = "only then it shows whether the peer has the same group; with --rehearse, it is tried at once";
    assert_tells(
        &run(&b, &["show", "site-7"]).ends(0),
        &format!("UNTESTED_PFS: pfs is first used at the first rekeying: {untested}"),
    );
    let plan = fed(&b, &["plan", "site-7", "--auth-key-file", "-"], OTHER_KEY).ends(0);
    assert_tells(&plan, "the new key is proven; with --immediate, they are closed at once");
}

#[test]
fn what_the_policy_refuses_names_the_option_that_helps() {
    let b = Bench::with(&Options { policy: "[policy]\nuntested-pfs = \"refuse\"", ..Options::default() });
    let create = ["create", "branch", "--peer", "198.51.100.8", "--vip", "192.0.2.1", "--auth-key-file", "-"];
    let networks = ["--network", "10.1.0.0/24", "--peer-cidr", "10.8.2.0/24"];
    let ended = fed(&b, &[&create[..], &networks].concat(), OTHER_KEY).ends(1);
    assert_tells(&ended, "cygnet: pfs: is first used");
    assert_tells(&ended, "(refused by policy.untested-pfs); with --rehearse, it is tried at once");
}

#[test]
fn a_second_trial_names_the_first_and_the_option() {
    let b = Bench::start();
    b.charon.establish(true);
    b.create(&params(7, &json!({}))).expect(200);
    b.charon.establish(false);
    let change =
        |confirm: &str, more: &str| run(&b, &["change", "site-7", "--yes", "--confirm", confirm, "--set", more]);
    let path = format!("/cygnet/v1/connections/{}", uuid(7));
    thread::scope(|scope| {
        let first = scope.spawn(|| change("6s", "lifeTime=1000"));
        wait_until("it is on trial", || b.ask("GET", &path, b"").json()["trial"].is_object().then_some(()));
        let second = change("5s", "ikeLifeTime=4000").ends(1);
        assert_tells(
            &second,
            &format!("cygnet: --confirm: the connection site-7 ({}) has a change on trial: ", uuid(7)),
        );
        assert_tells(&second, " at the latest; wait until then, or leave it out");
        wait_until("it is taken back", || (!b.ask("GET", &path, b"").json()["trial"].is_object()).then_some(()));
        // Else the agent waits for what it has put back.
        b.charon.establish(true);
        let first = first.join().expect("no panic").ends(1);
        assert_tells(&first, "cygnet: the tunnel is down: not up within 6 s (");
        assert!(!first.err.contains("IPsec connection["), "{}", first.err);
    });
}

#[test]
fn what_is_wrong_is_told_by_its_rule() {
    let b = Bench::start();
    b.charon.establish(true);
    b.create(&params(7, &json!({}))).expect(200);
    let create = |peer: &str, more: &[&str], key: &str| {
        let call = ["create", "branch", "--peer", peer, "--vip", "192.0.2.1", "--no-networks", "--auth-key-file", "-"];
        fed(&b, &[&call[..], more].concat(), key).ends(1)
    };
    let key = OTHER_KEY;
    assert_tells(
        &create("198.51.100.300", &[], key),
        "peerAddress must be an IPv4 address, an IPv6 address or a host name; ",
    );
    assert_tells(
        &create("198.51.100.8", &["--uuid", "x"], key),
        "resourceUuid must be a uuid: 32 lower-case hexadecimal",
    );
    assert_tells(
        &create("198.51.100.8", &["--uuid", &uuid(7)], key),
        &format!("resourceUuid: the uuid {} is in use", uuid(7)),
    );
    assert_tells(
        &create("198.51.100.8", &[], "test only"),
        "authKey cannot contain white space and special characters",
    );
    assert_tells(&create("198.51.100.8", &[], "******"), "authKey is the mask of a hidden key");
    assert_tells(&create("198.51.100.8", &["--set", "authMode=certs"], key), "authKey: has no PEM block");
    assert_tells(
        &run(&b, &["add-cidr", "site-7", "10.7.2.0/24"]).ends(1),
        "names 10.7.2.0/24, which the connection has already",
    );
    assert_tells(&run(&b, &["attach", "site-7", "10.1.0.0/24"]).ends(1), "l3NetworkUuids names ");
    assert_tells(
        &run(&b, &["detach", "site-7", "10.9.0.0/24", "--yes"]).ends(1),
        "names 10.9.0.0/24, which the connection does not",
    );
}
