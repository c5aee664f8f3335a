//! Starting: what is kept, what is damaged, and which settings are refused.

use super::transcript::Transcript;
use crate::serve::{Bench, Options, change, files, params, uuid};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt};

const PATH: &str = "/zstack/v1/ipsec";

/// All inventories without their status.
fn inventories(b: &Bench) -> Value {
    let mut all = b.ask("GET", PATH, b"").expect(200).json()["inventories"].take();
    all.as_array_mut().expect("a list").iter_mut().for_each(|item| drop(item["status"].take()));
    all
}

#[test]
fn a_restart_keeps_everything() {
    let mut b = Bench::start();
    let hostile =
        json!({ "authKey": "0x#{$é}", "idType": "name", "localId": "a\"b", "remoteId": "é\n", "userTags": ["u"] });
    b.create(&params(7, &hostile)).expect(200);
    b.create(&params(8, &json!({ "policyMode": "tunnel", "pfs": "none" }))).expect(200);
    b.change(&uuid(8), &change(8, &json!({ "lifeTime": 700, "authKey": "test-only-second" }))).expect(200);
    let before = inventories(&b);
    let disk =
        |b: &Bench| [7, 8].map(|n| [b.record(&uuid(n)), b.conf(&uuid(n))].map(|file| fs::read(file).expect("there")));
    let (on_disk, connections) = (disk(&b), b.charon.connections());
    assert!(b.stop().success(), "SIGTERM is an orderly end");
    assert!(!b.path("cygnet.sock").exists(), "the socket is removed");
    assert_eq!(b.charon.connections(), connections, "tunnels stay when the agent goes");
    b.run();
    assert_eq!(inventories(&b), before);
    assert_eq!(disk(&b), on_disk);
    assert_eq!(b.charon.connections(), connections);
}

#[test]
fn what_was_lost_while_it_was_away_is_put_back() {
    let mut b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    let conf = fs::read(b.conf(&uuid(7))).expect("there");
    b.stop();
    fs::remove_file(b.conf(&uuid(7))).expect("removed");
    fs::write(b.conf(&uuid(9)), "connections {\n}\n").expect("a stranger with our name");
    fs::write(b.conf_dir().join(".cygnet-abc.tmp"), "half").expect("what a crash leaves behind");
    b.charon.kill();
    b.charon.revive();
    b.run();
    crate::serve::wait_until("it is ready", || (b.ask("GET", "/readyz", b"").status == 200).then_some(()));
    assert_eq!(fs::read(b.conf(&uuid(7))).expect("there again"), conf);
    assert_eq!(files(&b.conf_dir()), [format!("cygnet-{}.conf", uuid(7))]);
    assert_eq!(b.charon.connections(), [format!("cygnet-{}", uuid(7))]);
}

#[test]
fn a_damaged_record_stops_nobody_else_and_is_never_overwritten() {
    let mut b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    b.create(&params(8, &json!({}))).expect(200);
    b.stop();
    let cut = fs::read(b.record(&uuid(8))).expect("there");
    let cut = &cut[..cut.len() / 2];
    fs::write(b.record(&uuid(8)), cut).expect("damaged");
    let conf = fs::read(b.conf(&uuid(8))).expect("there");
    b.run();
    let ready = b.ask("GET", "/readyz", b"").json();
    let file = ready["damaged"][0]["file"].as_str().expect("it is named");
    assert!(file.ends_with(&format!("{}.json", uuid(8))) && !ready["damaged"][0]["why"].is_null(), "{ready}");
    assert!(!b.logs().contains("746573742d6f6e6c79"), "the key is not in the reason");
    assert_eq!(b.ask("GET", PATH, b"").json()["inventories"].as_array().map(Vec::len), Some(1));
    b.change(&uuid(7), &change(7, &json!({ "lifeTime": 700 }))).expect(200);
    b.create(&params(9, &json!({}))).expect(200);
    b.create(&params(8, &json!({}))).expect(503);
    b.change(&uuid(8), &change(8, &json!({}))).expect(503);
    let answer = b.ask("DELETE", &format!("{PATH}/{}", uuid(8)), b"").expect(503).json();
    let details = answer["error"]["details"].as_str().expect("details");
    assert!(details.contains("is damaged") && details.contains("restart cygnet"), "not \"not found\": {details}");
    assert_eq!(fs::read(b.record(&uuid(8))).expect("there"), cut, "a human may still repair it");
    assert_eq!(fs::read(b.conf(&uuid(8))).expect("there"), conf);
    assert!(b.charon.connections().contains(&format!("cygnet-{}", uuid(8))), "its tunnel is left alone");
}

#[test]
fn what_an_earlier_version_left_on_trial_is_put_back() {
    let mut b = Bench::start();
    for n in [7, 8] {
        b.create(&params(n, &json!({ "lifeTime": 1000 }))).expect(200);
    }
    let aside = |n| b.connections_dir().join(format!("{}.before-trial", uuid(n)));
    let (changed, created) = (aside(7), aside(8));
    let before = fs::read(b.record(&uuid(7))).expect("there");
    b.change(&uuid(7), &change(7, &json!({ "lifeTime": 2000, "authKey": "test-only-wrong" }))).expect(200);
    b.stop();
    // The old record lay beside the new one, and an empty file beside what was created on trial.
    fs::write(&changed, &before).expect("written");
    fs::write(&created, "").expect("written");
    b.run();
    crate::serve::wait_until("it is ready", || (b.ask("GET", "/readyz", b"").status == 200).then_some(()));
    let inventory = b.inventory(&uuid(7));
    assert_eq!((&inventory["lifeTime"], &inventory["authKey"]), (&json!(1000), &json!(crate::serve::KEY)));
    assert_eq!(files(&b.connections_dir()), [format!("{}.json", uuid(7))]);
    assert_eq!(b.charon.connections(), [format!("cygnet-{}", uuid(7))]);
}

/// What `cygnet serve` says about settings with `line` at the top, when it will not start.
fn refusal(line: &'static str) -> String {
    let b = Bench::idle(&Options { top: line, ..Options::default() });
    let done = b.command().output().expect("started");
    assert_eq!(done.status.code(), Some(1), "{line}");
    assert!(done.stdout.is_empty(), "{line}");
    String::from_utf8_lossy(&done.stderr).into_owned()
}

#[test]
fn settings_with_mistakes_are_refused() {
    for (line, word) in [
        ("lisen = \"127.0.0.1:1\"", "lisen"),
        ("mask_auth_key = \"yes\"", "mask_auth_key"),
        ("conf_dir = \"/nonexistent/conf.d\"", "/nonexistent/conf.d"),
        ("[gateway]\nvip = []", "vip"),
    ] {
        let said = refusal(line);
        assert!(said.contains(word), "{line}: {said}");
    }
}

#[test]
fn plain_http_on_a_network_is_refused() {
    let b = Bench::idle(&Options::default());
    let settings = fs::read_to_string(b.path("cygnet.toml")).expect("there");
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"] {
        fs::write(b.path("cygnet.toml"), settings.replace("127.0.0.1:0", address)).expect("written");
        let done = b.command().output().expect("started");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && said.contains("insecure_http"), "{address}: {said}");
    }
}

#[test]
fn a_second_agent_does_not_take_the_socket_of_the_first() {
    let b = Bench::start();
    let done = b.command().output().expect("started");
    assert!(!done.status.success());
    assert!(String::from_utf8_lossy(&done.stderr).contains("another process listens there"));
    b.unix().request("GET", PATH, &[], b"").expect("the first goes on").expect(200);
}

#[test]
fn tokens_that_are_missing_or_wrong_are_an_error_at_the_start() {
    let b = Bench::idle(&Options::default());
    fs::write(b.path("tokens"), "a line without a colon and with test-only-token\n").expect("written");
    let done = b.command().output().expect("started");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("line 1") && !said.contains("test-only"), "{said}");
    fs::remove_file(b.path("tokens")).expect("removed");
    assert!(!b.command().output().expect("started").status.success());
}

#[test]
fn directories_and_the_socket_are_private() {
    let b = Bench::start();
    let mode = |path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(b.connections_dir()), 0o700);
    assert_eq!(mode(b.path("cygnet.sock")), 0o660);
    let mut t = Transcript::default();
    t.ask(&b, "GET", "/readyz", "").expect(200);
    t.check("restart_readyz");
}
