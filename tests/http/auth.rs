//! Who may call (contract 1.10).

use super::transcript::Transcript;
use crate::serve::{Bench, TOKEN, params, uuid, wait_until};
use nix::sys::signal::Signal;
use serde_json::json;

const PATH: &str = "/zstack/v1/ipsec";

fn status(b: &Bench, authorization: &str) -> u16 {
    let headers = [("Authorization", authorization)];
    b.tcp().request("GET", PATH, &headers, b"").expect("answered").status
}

#[test]
fn who_has_no_token_is_told_so() {
    let b = Bench::start();
    let mut t = Transcript::default();
    let mut ask = |note: &str, headers: &[(&str, &str)]| {
        t.note(note);
        let answer = b.tcp().request("GET", PATH, headers, b"").expect("answered");
        t.add("GET", PATH, b"", &answer);
    };
    ask("no header", &[]);
    ask("an empty header", &[("Authorization", "")]);
    ask("another scheme", &[("Authorization", "Bearer x")]);
    ask("the scheme of access keys", &[("Authorization", "ZStack key:signature")]);
    ask("the scheme in another letter case", &[("Authorization", &format!("oauth {TOKEN}"))]);
    ask("no token", &[("Authorization", "OAuth")]);
    ask("an unknown token", &[("Authorization", "OAuth 5700953056a03c589a264faa51db6a8f")]);
    t.check("auth");
}

#[test]
fn a_token_is_compared_in_full() {
    let b = Bench::start();
    let flipped: String = TOKEN.chars().rev().collect();
    for wrong in [
        &TOKEN[..TOKEN.len() - 1],
        &TOKEN[1..],
        &format!("{TOKEN}x"),
        &TOKEN.to_uppercase(),
        &flipped,
        "test",
        "test:",
        "*",
    ] {
        assert_eq!(status(&b, &format!("OAuth {wrong}")), 503, "{wrong}");
    }
    assert_eq!(status(&b, &format!("OAuth test:{TOKEN}")), 503, "the name is not part of it");
    for right in [format!("OAuth {TOKEN}"), format!("OAuth{TOKEN}"), format!("  OAuth   {TOKEN}  ")] {
        assert_eq!(status(&b, &right), 200, "{right}");
    }
}

#[test]
fn no_write_is_done_without_a_token() {
    let b = Bench::start();
    let body = json!({ "params": params(7, &json!({})) }).to_string();
    b.tcp().request("POST", PATH, &[], body.as_bytes()).expect("answered").expect(400);
    b.create(&params(7, &json!({}))).expect(200);
    b.tcp().request("DELETE", &format!("{PATH}/{}", uuid(7)), &[], b"").expect("answered").expect(400);
    let change = json!({ "params": { "peerAddress": "198.51.100.99", "authKey": "test-only-other" } }).to_string();
    b.tcp()
        .request("PUT", &format!("{PATH}/config/{}", uuid(7)), &[], change.as_bytes())
        .expect("answered")
        .expect(400);
    b.tcp().request("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), &[], b"").expect("answered").expect(400);
    assert_eq!(b.inventory(&uuid(7))["peerAddress"], "198.51.100.7");
}

#[test]
fn the_unix_socket_needs_none_and_health_neither() {
    let b = Bench::start();
    b.unix().request("GET", PATH, &[], b"").expect("answered").expect(200);
    b.unix().request("GET", PATH, &[("Authorization", "OAuth wrong")], b"").expect("answered").expect(200);
    for path in ["/healthz", "/readyz"] {
        b.tcp().request("GET", path, &[], b"").expect("answered").expect(200);
    }
}

#[test]
fn tokens_are_read_anew_on_a_signal() {
    let b = Bench::start();
    let tokens = b.path("tokens");
    std::fs::write(&tokens, "test:test-only-second-token\nother:test-only-third-token\n").expect("written");
    b.signal(Signal::SIGHUP);
    wait_until("the new token counts", || (status(&b, "OAuth test-only-second-token") == 200).then_some(()));
    assert_eq!(status(&b, "OAuth test-only-third-token"), 200);
    assert_eq!(status(&b, &format!("OAuth {TOKEN}")), 503, "the old one is gone");
    std::fs::write(&tokens, "this line is not one\n").expect("written");
    b.signal(Signal::SIGHUP);
    wait_until("the mistake is logged", || b.logs().contains("the settings stay as they were").then_some(()));
    assert_eq!(status(&b, "OAuth test-only-second-token"), 200, "a wrong file changes nothing");
}
