//! The page at `/` as an HTTP client gets it, and what the native API has for it.

use super::accounts::{PASSWORD, tool, with_accounts};
use crate::{
    fake_charon::Behaviour,
    serve::{Bench, KEY, Options, TOKEN, params, uuid, wait_until},
};
use cygnet::strongswan::section::Section;
use data_encoding::BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{fs, io::Write, net::Shutdown, os::unix::net::UnixStream};

/// The token with the role read.
pub const READER: &str = "test-only-reader-0123456789abcdef";

/// Names that would be markup, script or confusion if they were anything but text.
pub const HOSTILE: [&str; 5] = [
    "<img src=x onerror=document.title='taken'>",
    "</script><script>document.title='taken'</script>",
    "\" onmouseover=\"document.title='taken'\" x=\"",
    "\u{202e}desrever",
    "javascript:document.title='taken'",
];

/// An agent with a token of each role, an account, and connections that are up: 1 to 5 with hostile names.
pub fn bench() -> Bench {
    let mut b = Bench::idle(&Options { policy: "", ..Options::default() });
    with_accounts(&b);
    fs::write(b.path("tokens"), format!("test:{TOKEN}:write\nreader:{READER}:read\n")).expect("tokens");
    tool(&b, &["passwd", "admin"], &format!("{PASSWORD}\n"));
    b.charon.establish(true);
    b.run();
    for (n, name) in (1..).zip(HOSTILE) {
        b.create(&params(n, &json!({ "name": name, "description": name }))).expect(200);
    }
    b.create(&params(7, &json!({}))).expect(200);
    wait_until("all are up", || {
        let all = b.ask("GET", "/zstack/v1/ipsec?q=status=Ready&count=true", b"").expect(200).json();
        (all["total"] == 6).then_some(())
    });
    b
}

#[test]
fn it_is_one_answer_with_a_policy_that_names_its_style_and_script() {
    let b = Bench::start();
    let answer = b.tcp().request("GET", "/", &[], b"").expect("answered").expect(200);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert!(answer.header("set-cookie").is_none());
    let (policy, text) = (answer.header("content-security-policy").expect("a policy").to_owned(), answer.text());
    assert!(policy.starts_with("default-src 'none';") && policy.contains("connect-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for tag in ["style", "script"] {
        let (_, rest) = text.split_once(&format!("<{tag}>")).expect(tag);
        let (inner, _) = rest.split_once(&format!("</{tag}>")).expect(tag);
        let digest = BASE64.encode(&Sha256::digest(inner));
        assert!(policy.contains(&format!("{tag}-src 'sha256-{digest}'")), "{tag}: {policy}");
    }
    assert!(text.len() <= 16 * 1024, "{} bytes", text.len());
    assert_eq!(b.tcp().request("HEAD", "/", &[], b"").expect("answered").status, 200);
}

#[test]
fn there_is_none_on_the_unix_socket_nor_where_the_settings_say_so() {
    let b = Bench::with(&Options { top: "page = false", ..Options::default() });
    for (mut client, why) in [(b.tcp(), "page = false"), (b.unix(), "the Unix socket")] {
        let answer = client.request("GET", "/", &[], b"").expect("answered");
        assert_eq!((answer.status, answer.text().as_str()), (404, "no api mapping to /"), "{why}");
    }
    let b = Bench::start();
    assert_eq!(b.unix().request("GET", "/", &[], b"").expect("answered").status, 404);
}

#[test]
fn the_gateway_says_who_asks_and_what_answers() {
    let mut b = Bench::start();
    let gateway = b.ask("GET", "/cygnet/v1/gateway", b"").expect(200).json();
    assert_eq!(gateway["caller"], json!({ "name": "token test", "role": "write" }));
    assert_eq!(gateway["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(gateway["charon"]["answers"], true);
    b.charon.kill();
    wait_until("charon is gone", || {
        let charon = b.ask("GET", "/cygnet/v1/gateway", b"").expect(200).json()["charon"].clone();
        (charon["answers"] == false && charon["since"].is_string() && charon["why"].is_string()).then_some(())
    });
}

#[test]
fn the_gateway_says_who_follows_a_fleet() {
    let b = Bench::start();
    let fleet = || b.ask("GET", "/cygnet/v1/gateway", b"").expect(200).json()["fleet"].clone();
    assert_eq!(fleet(), json!([]));
    let mut stream = UnixStream::connect(b.path("cygnet.sock")).expect("the agent's socket");
    stream.write_all(b"GET /cygnet/v1/events?fleet=g1 HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let entry = |follows: bool, connections: u32, revision: u32| json!([{ "follows": follows, "gateway": "g1", "connections": connections, "revision": revision }]);
    wait_until("it is told", || (fleet() == entry(true, 0, 0)).then_some(()));
    let mark =
        |revision: u32| json!({ "userTags": ["own", format!("cygnet-fleet::g1::{revision}"), "cygnet-fleet::x"] });
    for (n, revision) in [(7, 41), (8, 12)] {
        b.create(&params(n, &mark(revision))).expect(200);
    }
    b.create(&params(9, &json!({}))).expect(200);
    assert_eq!(fleet(), entry(true, 2, 41));
    stream.shutdown(Shutdown::Both).expect("closed");
    wait_until("nobody follows", || (fleet() == entry(false, 2, 41)).then_some(()));
    for name in ["", "a%2Fb", &"x".repeat(65)] {
        let refused = b.ask("GET", &format!("/cygnet/v1/events?fleet={name}"), b"").expect(400);
        assert!(refused.text().contains("fleet"), "{}", refused.text());
    }
}

#[test]
fn a_masked_view_has_no_key_and_ups_and_downs_are_kept() {
    let b = bench();
    let view =
        |query: &str| b.ask("GET", &format!("/cygnet/v1/connections/{}{query}", uuid(7)), b"").expect(200).json();
    assert_eq!(view("")["inventory"]["authKey"], KEY);
    assert_eq!(view("?mask=true")["inventory"]["authKey"], "******");
    assert_eq!(view("?mask=false")["inventory"]["authKey"], KEY);
    let events = |view: &Value| {
        let changes = view["availability"]["changes"].as_array().expect("a list").clone();
        changes.iter().map(|change| change["event"].clone()).collect::<Vec<_>>()
    };
    wait_until("it is told up", || (events(&view("")) == ["up"]).then_some(()));
    b.charon.establish(false);
    b.charon.on("initiate", Behaviour::Refuse("test: not now".into()));
    b.charon.set_sas([]);
    let name = format!("cygnet-{}", uuid(7));
    b.charon.send_event("ike-updown", &Section::new().with(&name, Section::new().with("uniqueid", "1")));
    wait_until("it is told down", || (events(&view("")).last()? == "down").then_some(()));
    assert!(view("")["availability"]["changes"][1]["code"].is_string());
}
