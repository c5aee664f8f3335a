//! What callers with the role `read` may do, and what they see: tokens, accounts with their sessions and access keys.

use super::accounts::{PASSWORD, call, login, now, signature, tool, with_accounts};
use crate::serve::{Bench, KEY, Options, TOKEN, params, uuid, wait_until};
use cygnet::http::ROUTES;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{fs, process::Command};

const READER: &str = "test-only-reader-0123456789abcdef";

/// All calls for callers with credentials that change nothing but their own session.
const READS: [&str; 31] = [
    "QueryIPSecConnection",
    "GetCandidateL3Networks",
    "QueryIPSecConnectionByUuid",
    "RenewSession",
    "GetVpcIPsecLog",
    "GetVpcAttachedIpsec",
    "QueryVip",
    "QueryVipByUuid",
    "QueryL3Network",
    "QueryL3NetworkByUuid",
    "QueryVpcRouter",
    "QueryVpcRouterByUuid",
    "Doctor",
    "ListConnections",
    "ListForeign",
    "ShowConnection",
    "PlanChange",
    "PlanRevert",
    "SendMessage",
    "SendMessageByPut",
    "SendMessageWithSlash",
    "SendMessageWithSlashByPut",
    "GetMessageResult",
    "GetMessageResultByPut",
    "ConnectionLog",
    "Events",
    // For everybody.
    "GetVersion",
    "GetJob",
    "LogInByAccount",
    "LogInByUser",
    "LogOut",
];

/// An agent with a token of each role, a read account `auditor` and the connection 7.
fn bench() -> Bench {
    let mut b = Bench::idle(&Options::default());
    with_accounts(&b);
    fs::write(b.path("tokens"), format!("test:{TOKEN}:write\nprometheus:{READER}:read\n")).expect("tokens");
    tool(&b, &["passwd", "auditor", "--role", "read"], &format!("{PASSWORD}\n"));
    b.run();
    b.create(&params(7, &json!({}))).expect(200);
    b
}

fn ask(b: &Bench, token: &str, method: &str, path: &str, body: &Value) -> (u16, String) {
    call(b, method, path, &[("Authorization", &format!("OAuth {token}"))], body)
}

fn session(b: &Bench, name: &str) -> String {
    let (status, answer) = login(b, name, PASSWORD);
    assert_eq!(status, 200, "{answer}");
    answer["inventory"]["uuid"].as_str().expect("a uuid").to_owned()
}

/// What one of each call says to a reader: of the writes that it may not.
fn all_writes_are_refused(b: &Bench, token: &str) {
    let mut writes = 0;
    for route in &ROUTES {
        for call in route.calls.iter().filter(|call| !READS.contains(&call.operation)) {
            let method = call.method.described().to_uppercase();
            if method == "GET" {
                continue;
            }
            writes += 1;
            let path = route.path.replace("{uuid}", &uuid(7));
            for headers in [&[][..], &[("X-Job-UUID", uuid(9).as_str())], &[("Prefer", "respond-async")]] {
                let bearer = format!("OAuth {token}");
                let headers: Vec<_> = headers.iter().copied().chain([("Authorization", bearer.as_str())]).collect();
                let answer = b.tcp().request(&method, &path, &headers, b"{\"params\":{}}").expect("an answer");
                let text = answer.text();
                assert!(answer.status == 403 && text.contains("has the role read"), "{method} {path}: {text}");
                assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{path}");
            }
        }
    }
    assert_eq!(writes, 24, "of all routes");
    assert_eq!(b.inventory(&uuid(7))["authKey"], KEY, "nothing has changed");
}

#[test]
fn who_may_read_writes_nothing() {
    let b = bench();
    all_writes_are_refused(&b, READER);
    all_writes_are_refused(&b, &session(&b, "auditor"));
    assert!(b.charon.requests_of("unload-conn").is_empty());
    let line = "by token prometheus from 127.0.0.1: refused (403); token prometheus has the role read and may not call";
    wait_until("the audit trail has it", || b.logs().contains(line).then_some(()));
}

#[test]
fn who_may_read_reads_all_but_keys() {
    let b = bench();
    for token in [READER, &session(&b, "auditor")] {
        for route in &ROUTES {
            for call in route.calls {
                // Events have no end, the log may have no journal, and the document has this very key as an example.
                let left_out = ["Events", "GetVpcIPsecLog", "GetJob", "Description"];
                if call.method.described() != "get" || left_out.contains(&call.operation) {
                    continue;
                }
                let (status, text) = ask(&b, token, "GET", &route.path.replace("{uuid}", &uuid(7)), &Value::Null);
                assert!(status != 403 && !text.contains(KEY), "{}: {status} {text}", call.operation);
            }
        }
        let path = "/zstack/v1/vpc/virtual-routers/x/attached-ipsec";
        let (status, text) = ask(&b, token, "POST", path, &json!({ "params": {} }));
        assert!(status == 200 && text.contains("site-7") && !text.contains(KEY), "{text}");
        let found = |q: &str| ask(&b, token, "GET", &format!("/zstack/v1/ipsec?q=authKey{q}"), &Value::Null).1;
        assert_eq!(found(&format!("={KEY}")), found("=another"), "nobody tries keys by a condition");
        let bearer = [("Authorization", format!("OAuth {token}"))];
        let bearer = bearer.each_ref().map(|(name, value)| (*name, value.as_str()));
        let metrics = call(&b, "GET", "/metrics", &[bearer[0], ("Via", "a proxy")], &Value::Null).1;
        assert!(metrics.contains("cygnet_connection_info{"), "{metrics}");
    }
    let (_, text) = ask(&b, TOKEN, "GET", "/zstack/v1/ipsec", &Value::Null);
    assert!(text.contains(KEY), "who may write reads them as before");
}

#[test]
fn a_reader_may_plan_and_learns_no_key_by_it() {
    let b = bench();
    let path = format!("/cygnet/v1/connections/{}/plan", uuid(7));
    let plan = |key: &str| {
        let body = json!({ "params": { "peerAddress": "198.51.100.7", "authKey": key, "mtu": 1400 } });
        ask(&b, READER, "POST", &path, &body)
    };
    assert_eq!(plan(KEY).0, 200, "{:?}", plan(KEY));
    assert_eq!(plan(KEY), plan("test-only-some-other-key"));
}

#[test]
fn sessions_and_keys_have_the_role_of_their_account_as_it_is_now() {
    let b = bench();
    let created = tool(&b, &["accesskey", "auditor"], "");
    let text = String::from_utf8(created.stdout).expect("UTF-8");
    b.signal(Signal::SIGHUP);
    let path = format!("/zstack/v1/ipsec/{}", uuid(7));
    let word = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).expect("printed").trim();
    let sign = |method: &str| {
        let date = now("UTC");
        let path = path.strip_prefix("/zstack").expect("of the API");
        let value = format!("ZStack {}:{}", word("id"), signature(word("secret"), method, &date, path));
        let headers = [("Authorization", value.as_str()), ("Date", &date)];
        call(&b, method, &format!("/zstack{path}"), &headers, &Value::Null).0
    };
    wait_until("the key counts", || (sign("GET") == 200).then_some(()));
    assert_eq!(sign("DELETE"), 403);
    let session = session(&b, "auditor");
    let body = json!({ "renewSession": { "duration": 86_400 } });
    let (status, _) = ask(&b, &session, "PUT", &format!("/zstack/v1/accounts/sessions/{session}/renew"), &body);
    assert_eq!(status, 200, "a session of a reader is renewed as any other");
    tool(&b, &["passwd", "auditor"], &format!("{PASSWORD}\n"));
    b.signal(Signal::SIGHUP);
    let update = json!({ "updateIPsecConnection": { "name": "renamed" } });
    assert_eq!(ask(&b, &session, "PUT", &path, &update).0, 403, "a new password changes no role");
    tool(&b, &["passwd", "auditor", "--role", "write"], &format!("{PASSWORD}\n"));
    b.signal(Signal::SIGHUP);
    wait_until("it may write", || (ask(&b, &session, "PUT", &path, &update).0 == 200).then_some(()));
}

/// The tokens file with these lines, checked.
fn check(b: &Bench, lines: &str) -> (bool, String) {
    fs::write(b.path("tokens"), lines).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cygnet"));
    let output = command.args(["serve", "--check", "--config"]).arg(b.path("cygnet.toml")).output().expect("it runs");
    (output.status.success(), String::from_utf8(output.stderr).expect("UTF-8"))
}

#[test]
fn a_role_that_there_is_not_is_a_fault_of_its_line() {
    let b = Bench::idle(&Options::default());
    for role in ["admin", "Read", "readonly", "ro", "read:write", "write:write", ""] {
        let (is_valid, said) = check(&b, &format!("# one\na:{TOKEN}\nb:{READER}:{role}\n"));
        assert!(!is_valid && said.contains("tokens:3: line 3 has") && said.contains("role"), "{role}: {said}");
        assert!(!said.contains(READER), "{said}");
    }
    let both = check(&b, &format!("a:{TOKEN}\nb:{TOKEN}:read\n:x\nc:short:read\n"));
    assert!(
        !both.0
            && ["line 2 gives b the token that a has", "line 3 is not name:token", "line 4 has a token of c"]
                .iter()
                .all(|words| both.1.contains(words)),
        "{}",
        both.1
    );
    // Tokens of before there were roles may have colons.
    for token in ["test-only:token:0123456789", "0123456789abcdef:0123456789abcdef", " spaced-0123456789 : read "] {
        assert_eq!(check(&b, &format!("a:{token}\n")), (true, String::new()), "{token}");
    }
}

#[test]
fn a_token_is_added_with_its_role_and_shown_once() {
    let mut b = Bench::idle(&Options::default());
    fs::write(b.path("tokens"), format!("# the plane's\ntest:{TOKEN}")).expect("written");
    let token = |arguments: &[&str]| {
        let output = tool(&b, &[&["token"], arguments].concat(), "");
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    };
    let (reader, writer) = (token(&["prometheus", "--role", "read"]), token(&["second plane"]));
    let text = fs::read_to_string(b.path("tokens")).expect("there");
    assert_eq!(text, format!("# the plane's\ntest:{TOKEN}\nprometheus:{reader}:read\nsecond plane:{writer}\n"));
    for name in ["prometheus", "a:b", "#a", "", " a", "a\nb"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cygnet"));
        let output = command.args(["token", name, "--config"]).arg(b.path("cygnet.toml")).output().expect("it runs");
        assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{name:?}: {output:?}");
    }
    assert_eq!(fs::read_to_string(b.path("tokens")).expect("there"), text);
    b.run();
    let path = format!("/zstack/v1/ipsec/{}", uuid(9));
    assert_eq!([&reader, &writer].map(|token| ask(&b, token, "DELETE", &path, &Value::Null).0), [403, 503]);
}
