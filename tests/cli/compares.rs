//! `cygnet compare`, and the doctor's comparison with `ha.peer`: what differs between two gateways is said field by field,
//! and of keys only that they differ.

use super::run::{OTHER_KEY, command, run};
use crate::serve::{Bench, KEY, Options, TOKEN, hex, params, uuid, wait_until};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use std::fs;

const READER: &str = "test-only-reader-0123456789abcdef";

/// Two gateways with the connections 7 and 8.
pub fn pair() -> [Bench; 2] {
    [(); 2].map(|()| {
        let b = Bench::idle(&Options::default());
        fs::write(b.path("tokens"), format!("test:{TOKEN}\nreader:{READER}:read\n")).expect("tokens");
        fs::write(b.path("writer.token"), format!("{TOKEN}\n")).expect("a token");
        fs::write(b.path("reader.token"), format!("{READER}\n")).expect("a token");
        let mut b = b;
        b.run();
        for n in [7, 8] {
            b.create(&params(n, &json!({}))).expect(200);
        }
        b
    })
}

/// The other gateway, as an argument.
pub fn url(b: &Bench) -> String {
    format!("http://{}", b.address())
}

pub fn token(b: &Bench, name: &str) -> String {
    b.path(&format!("{name}.token")).display().to_string()
}

/// Compares `here` with `there` as a program.
pub fn compared(here: &Bench, there: &Bench, whose: &str, code: i32) -> Value {
    let (url, token) = (url(there), token(here, whose));
    run(here, &["compare", "--with", &url, "--token-file", &token, "--json"]).ends(code).json()
}

#[test]
fn two_gateways_are_compared_field_by_field() {
    let [here, there] = pair();
    let (url, token) = (url(&there), token(&here, "writer"));
    let same = run(&here, &["compare", "--with", &url, "--token-file", &token]).ends(0);
    assert_eq!((same.out.as_str(), same.err.as_str()), (&*format!("2 connections are the same as on {url}\n"), ""));

    there
        .change(&uuid(7), &json!({ "ikeDhGroup": 19, "peerAddress": "198.51.100.7", "authKey": OTHER_KEY }))
        .expect(200);
    there.create(&params(9, &json!({}))).expect(200);
    here.create(&params(10, &json!({}))).expect(200);
    let found = compared(&here, &there, "writer", 1);
    assert_eq!((&found["same"], &found["compared"], &found["differing"]), (&json!(false), &json!(4), &json!(3)));
    let all = found["connections"].as_array().expect("a list");
    let what: Vec<_> = all.iter().map(|one| (one["name"].as_str(), one["what"].as_str())).collect();
    let wanted = [("site-10", "only_here"), ("site-7", "differs"), ("site-9", "only_there")];
    assert_eq!(what, wanted.map(|(name, what)| (Some(name), Some(what))));
    let fields = all[1]["fields"].as_array().expect("a list");
    assert!(fields.contains(&json!({ "field": "authKey", "differs": true })), "{fields:?}");
    let group = fields.iter().find(|field| field["field"] == "ikeDhGroup").expect("it differs");
    assert_eq!(group["there"], 19);
    let page = run(&here, &["compare", "--with", &url, "--token-file", &token]).ends(1);
    let row = |name: &str, field: &str| {
        page.out.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(name) && words.next() == Some(field)
        })
    };
    assert!(row("site-7", "authKey") && row("site-7", "ikeDhGroup") && row("site-9", "-"), "{}", page.out);
    assert!(page.err.contains("3 of 4 connections are not the same on both"), "{}", page.err);
    // Who tries keys is seen, at the gateway that has them.
    let line = "a comparison by token test has other keys than are stored for 1 connections: site-7";
    wait_until("the audit trail", || there.logs().contains(line).then_some(()));
    for b in [&here, &there] {
        assert!(!b.logs().contains(KEY) && !b.logs().contains(OTHER_KEY) && !b.logs().contains(&hex(KEY.as_bytes())));
    }
    // Nothing was written on either.
    assert!(there.ask("GET", &format!("/zstack/v1/ipsec/{}", uuid(10)), b"").json()["inventories"] == json!([]));
}

/// The same uuids and names for networks can mean other addresses: the settings are another file on each gateway.
#[test]
fn what_the_settings_mean_differs_too() {
    let [here, mut there] = pair();
    there.stop();
    let settings = fs::read_to_string(there.path("cygnet.toml")).expect("settings");
    let settings = settings.replace("\"192.0.2.1\"", "\"192.0.2.9\"").replace("10.1.0.0/24", "10.1.0.0/25");
    fs::write(there.path("cygnet.toml"), settings).expect("settings");
    there.run();
    run(&there, &["reconnect", "--all-changed"]);
    let taken = || {
        let found = compared(&here, &there, "writer", 1);
        let fields = found["connections"][0]["fields"].as_array().cloned().unwrap_or_default();
        let fields: Vec<_> = fields.iter().filter_map(|field| field["field"].as_str().map(str::to_owned)).collect();
        (fields == ["vipAddress", "localCidrs"]).then_some(())
    };
    wait_until("the settings are taken over", taken);
}

#[test]
fn what_cannot_be_compared_is_no_difference() {
    let [here, there] = pair();
    let with = |arguments: &[&str]| run(&here, &[&["compare"], arguments].concat());
    let url = url(&there);
    // A reader learns all but the keys.
    let reader = token(&here, "reader");
    let seen = with(&["--with", &url, "--token-file", &reader]).ends(0);
    assert!(
        seen.err.contains("keys were not compared: it answered 403: token reader has the role read"),
        "{}",
        seen.err
    );
    assert_eq!(compared(&here, &there, "reader", 0)["keys"]["compared"], false);
    // A write of another key stays unseen then, and is said to.
    for (arguments, code, word) in [
        (vec!["--with", &url], 3, "give a token of that gateway"),
        (vec!["--with", "http://127.0.0.1:1"], 3, "cannot reach http://127.0.0.1:1"),
        (vec!["--with", "unix:/nowhere/cygnet.sock"], 3, "cannot reach unix:/nowhere/cygnet.sock"),
        (vec!["--with", "http://192.0.2.77:8080"], 2, "without TLS"),
        (vec!["--with", "192.0.2.77"], 2, "names no gateway"),
        (vec!["--with", &url, "--token-file", "/nowhere"], 2, "cannot read the token in /nowhere"),
        (vec![], 2, "which gateway is meant?"),
    ] {
        let ended = with(&arguments).ends(code);
        assert!(ended.err.contains(word) && ended.out.is_empty(), "{arguments:?}: {}", ended.err);
    }
    fs::write(here.path("wrong.token"), "test-only-wrong-token-0123456789\n").expect("a token");
    let wrong = with(&["--with", &url, "--token-file", &token(&here, "wrong")]).ends(3);
    assert!(wrong.err.contains(&url) && !wrong.err.contains("test-only-wrong-token"), "{}", wrong.err);
    // The socket of an agent, as ssh forwards it, needs no token.
    let socket = format!("unix:{}", there.path("cygnet.sock").display());
    assert!(with(&["--with", &socket]).ends(0).err.is_empty());
    let error = with(&["--with", "http://127.0.0.1:1", "--json"]).ends(3);
    assert!(serde_json::from_str::<Value>(&error.err).expect("JSON")["error"]["details"].is_string());
}

/// Digests can be held against guesses: who may not read keys gets none.
#[test]
fn digests_are_for_who_may_read_keys() {
    let [here, there] = pair();
    let of = |nonce: &str| json!({ "nonce": nonce.repeat(32), "connections": { (uuid(7)): uuid(7) } }).to_string();
    let body = of("00");
    let path = "/cygnet/v1/compare/digests";
    let refused = here.ask("POST", path, body.as_bytes()).expect(403).text();
    assert!(refused.contains("for root of this host"), "{refused}");
    let local = |b: &Bench, body: &str| {
        b.unix().request("POST", path, &[], body.as_bytes()).expect("an answer").expect(200).json()
    };
    let digest = |answer: Value| answer["digests"][uuid(7)].as_str().expect("a digest").to_owned();
    let first = digest(local(&here, &body));
    assert_eq!(first, digest(local(&there, &body)), "the same key has the same digest");
    let other = digest(local(&here, &of("01")));
    assert_ne!(first, other, "it is of one comparison alone");
    let wrong = json!({ "nonce": "00", "digests": {} }).to_string();
    let wrong = here.ask("POST", "/cygnet/v1/compare", wrong.as_bytes());
    assert!(wrong.status == 503 && wrong.text().contains("64 hexadecimal digits"), "{}", wrong.text());
}

/// A gateway with a certificate of its own, as `cygnet init` makes it, is compared by `ha.peer`, by the command and by the
/// doctor.
#[test]
fn the_doctor_compares_with_the_other_gateway() {
    let [mut here, mut there] = pair();
    there.stop();
    let key = KeyPair::generate().expect("a key");
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name").self_signed(&key).expect("made");
    fs::write(there.path("tls.crt"), certificate.pem()).expect("written");
    fs::write(there.path("tls.key"), key.serialize_pem()).expect("written");
    let (at_cert, at_key) = (there.path("tls.crt").display().to_string(), there.path("tls.key").display().to_string());
    let tls = format!("\n[tls]\ncert = \"{at_cert}\"\nkey = \"{at_key}\"\n");
    let settings = fs::read_to_string(there.path("cygnet.toml")).expect("settings");
    fs::write(there.path("cygnet.toml"), settings + &tls).expect("settings");
    there.run();
    let url = format!("https://{}", there.address());
    let distrusted = run(&here, &["compare", "--with", &url, "--token-file", &token(&here, "writer")]).ends(3);
    assert!(distrusted.err.contains("invalid peer certificate"), "{}", distrusted.err);
    here.stop();
    let ha = format!(
        "ha.peer = \"{url}\"\nha.peer_token_file = \"{}\"\nha.peer_ca = \"{}\"\n",
        token(&here, "writer"),
        at_cert
    );
    let settings = fs::read_to_string(here.path("cygnet.toml")).expect("settings");
    fs::write(here.path("cygnet.toml"), ha + &settings).expect("settings");
    assert!(command(&here, &["serve", "--check"]).output().expect("run").status.success());
    here.run();
    run(&here, &["compare"]).ends(0);
    let doctor = || here.ask("GET", "/cygnet/v1/doctor", b"").expect(200).json();
    let of = |list: &str| {
        let report = doctor();
        let all = report[list].as_array().expect("a list").iter();
        all.filter(|item| item["check"] == "pair").cloned().collect::<Vec<_>>()
    };
    assert_eq!(of("passed")[0]["seen"], format!("2 connections are the same as on {url}, keys included"));
    let change =
        json!({ "changeIPsecConnection": { "peerAddress": "198.51.100.7", "authKey": OTHER_KEY } }).to_string();
    let path = format!("/zstack/v1/ipsec/config/{}", uuid(7));
    there.unix().request("PUT", &path, &[], change.as_bytes()).expect("an answer").expect(200);
    let found = of("findings");
    assert_eq!((found.len(), &found[0]["level"]), (1, &json!("warning")), "{found:?}");
    assert!(found[0]["evidence"].as_str().is_some_and(|seen| seen.starts_with("site-7 (") && seen.contains("authKey")));
    there.stop();
    let found = of("findings");
    assert!(
        found[0]["what"].as_str().is_some_and(|what| what.contains(&format!("not compared with {url}"))),
        "{found:?}"
    );
    fs::write(here.path("cygnet.toml"), format!("ha.peer_ca = \"/x\"\n{settings}")).expect("settings");
    let lonely = command(&here, &["serve", "--check"]).output().expect("run");
    assert!(String::from_utf8_lossy(&lonely.stderr).contains("ha.peer is missing"), "{lonely:?}");
}
