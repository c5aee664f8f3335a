//! `[[auth.callers]]` with `answers = "async"`: all writes of one caller are jobs, for clients that ask for none and take
//! nothing but 202 for success.

use super::{
    accounts::{PASSWORD, digest, signature, tool, with_accounts},
    jobs::{OTHERS, PATH, call, creation, outcome},
};
use crate::serve::{Bench, Options, TOKEN, uuid, wait_until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;

/// The section for a caller.
fn section(kind: &str, name: &str) -> String {
    format!("\n[[auth.callers]]\n{kind} = \"{name}\"\nanswers = \"async\"\n")
}

/// Settings beside those of the bench.
fn put(b: &Bench, file: &str, text: &str) {
    fs::create_dir_all(b.path("conf.d")).expect("conf.d");
    fs::write(b.path(&format!("conf.d/{file}")), text).expect("written");
}

/// An agent with the tokens `test` and `second`, and the accounts `ops` and `admin` with an access key of each: the keys'
/// ids and secrets.
fn bench(mode: &'static str, sections: &[(&str, &str)]) -> (Bench, [(String, String); 2]) {
    let mut b = Bench::idle(&Options { top: mode, ..Options::default() });
    with_accounts(&b);
    let key = |account: &str| {
        tool(&b, &["passwd", account], &format!("{PASSWORD}\n"));
        let printed = String::from_utf8(tool(&b, &["accesskey", account], "").stdout).expect("text");
        let word =
            |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)).expect("printed").trim().to_owned();
        (word("id "), word("secret "))
    };
    let keys = [key("ops"), key("admin")];
    fs::write(b.path("tokens"), format!("test:{TOKEN}\nsecond:{}\n", OTHERS[0])).expect("tokens");
    for (kind, name) in sections {
        put(&b, &format!("{kind}-{name}.toml"), &section(kind, name));
    }
    b.run();
    (b, keys)
}

/// A write that fails: the connection is not there.
fn update(b: &Bench, headers: &[(&str, &str)]) -> (u16, String) {
    call(b, "PUT", &format!("{PATH}/{}", uuid(9)), headers, &json!({ "updateIPsecConnection": { "name": "x" } }))
}

fn bearer(b: &Bench, token: &str) -> u16 {
    update(b, &[("Authorization", &format!("OAuth {token}"))]).0
}

fn signed(b: &Bench, (id, secret): &(String, String)) -> u16 {
    let date = super::accounts::now("UTC");
    let value = format!("ZStack {id}:{}", signature(secret, "PUT", &date, &format!("/v1/ipsec/{}", uuid(9))));
    update(b, &[("Authorization", &value), ("Date", &date)]).0
}

fn session(b: &Bench, account: &str) -> String {
    let body = json!({ "logInByAccount": { "accountName": account, "password": digest(PASSWORD) } });
    let answer = b.tcp().request("PUT", "/zstack/v1/accounts/login", &[], body.to_string().as_bytes());
    // A login is direct, whoever logs in.
    answer.expect("an answer").expect(200).json()["inventory"]["uuid"].as_str().expect("a uuid").to_owned()
}

#[test]
fn all_writes_of_a_caller_are_jobs_and_nobody_elses() {
    // Also where the settings want no jobs: the single caller counts more.
    for mode in ["", "jobs.async = \"never\""] {
        let (b, keys) = bench(mode, &[("token", "test"), ("account", "ops")]);
        assert_eq!((bearer(&b, TOKEN), bearer(&b, OTHERS[0])), (202, 503), "{mode}");
        assert_eq!((bearer(&b, &session(&b, "ops")), bearer(&b, &session(&b, "admin"))), (202, 503), "{mode}");
        assert_eq!((signed(&b, &keys[0]), signed(&b, &keys[1])), (202, 503), "{mode}");
        // A wrong session is nobody's, and the name of a token is no token.
        assert_eq!((bearer(&b, "test"), bearer(&b, "ops")), (503, 503), "{mode}");
    }
}

/// As a client does that takes 202 for the only success of a POST: it polls the `location`.
#[test]
fn a_client_that_takes_only_202_makes_a_whole_connection() {
    let (b, _) = bench("", &[("token", "test")]);
    let write = |method: &str, path: &str, body: &Value| {
        let (status, text) = call(&b, method, path, &[], body);
        assert_eq!(status, 202, "{method} {path}: {text}");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        let id = answer["location"].as_str().and_then(|place| place.rsplit('/').next()).expect("a job").to_owned();
        let (status, result) = outcome(&b, &id);
        assert_eq!(status, 200, "{method} {path}: {result}");
        result
    };
    let one = format!("{PATH}/{}", uuid(7));
    assert_eq!(write("POST", PATH, &creation())["inventory"]["uuid"], uuid(7));
    write("POST", &format!("{one}/remote-cidrs"), &json!({ "params": { "peerCidrs": ["10.77.0.0/16"] } }));
    write("PUT", &format!("{one}/actions"), &json!({ "updateIPsecConnection": { "name": "x" } }));
    write("DELETE", &format!("{one}/remote-cidrs?peerCidrs=10.77.0.0/16"), &Value::Null);
    // A read stays direct, and so does what is no write of the contract.
    assert_eq!(call(&b, "GET", PATH, &[], &Value::Null).0, 200);
    assert_eq!(
        call(
            &b,
            "POST",
            &format!("/cygnet/v1/connections/{}/plan", uuid(7)),
            &[],
            &json!({ "changeIPsecConnection": {} })
        )
        .0,
        503
    );
    assert_eq!(call(&b, "POST", "/cygnet/v1/reload", &[], &Value::Null).0, 200);
    // What is no request is no job either.
    assert_eq!(call(&b, "PUT", &one, &[], &json!({})).0, 400);
    assert_eq!(call(&b, "POST", PATH, &[], &json!({ "params": { "lifeTime": "x" } })).0, 400);
    // Over the Unix socket nobody has a token.
    let body = json!({ "updateIPsecConnection": { "name": "y" } }).to_string();
    b.unix().request("PUT", &one, &[], body.as_bytes()).expect("an answer").expect(200);
    write("DELETE", &one, &Value::Null);
    assert!(b.charon.connections().is_empty());
}

#[test]
fn a_reload_takes_callers_over_and_one_that_is_gone_is_no_fault() {
    let (b, _) = bench("", &[]);
    assert_eq!(bearer(&b, TOKEN), 503);
    put(&b, "callers.toml", &(section("token", "test") + &section("account", "nosuch")));
    b.signal(Signal::SIGHUP);
    wait_until("it is taken over", || (bearer(&b, TOKEN) == 202).then_some(()));
    assert!(
        b.logs().contains("auth.callers names the account \"nosuch\", and there is no such account"),
        "{}",
        b.logs()
    );
    // A token that is withdrawn goes, although the settings name it still.
    fs::write(b.path("tokens"), format!("second:{}\n", OTHERS[0])).expect("tokens");
    b.signal(Signal::SIGHUP);
    wait_until("the token is gone", || b.logs().contains("auth.callers names the token \"test\"").then_some(()));
    wait_until("and is no good", || (bearer(&b, TOKEN) == 503).then_some(()));
    assert_eq!(bearer(&b, OTHERS[0]), 503);
    fs::remove_file(b.path("conf.d/callers.toml")).expect("removed");
    fs::write(b.path("tokens"), format!("test:{TOKEN}\n")).expect("tokens");
    b.signal(Signal::SIGHUP);
    wait_until("the second token is gone", || {
        let headers = [("Authorization", format!("OAuth {}", OTHERS[0]))];
        let read = call(&b, "GET", PATH, &[("Authorization", &headers[0].1)], &Value::Null);
        (read.0 == 503).then_some(())
    });
    let (status, text) = update(&b, &[]);
    assert!(status == 503 && text.contains("SYS.1003"), "{status} {text}");
}
