//! Bodies that are meant to fill the memory: each is refused, the process does not grow, and it goes on serving.

use crate::serve::{Bench, TOKEN, params, uuid};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

const PATH: &str = "/zstack/v1/ipsec";
/// Where messages go, whose bodies are read before anybody knows whose they are.
const DOOR: &str = "/zstack/api";
/// A hundred mebibytes.
const HUGE: usize = 104_857_600;
/// What one piece of a huge body has.
const PIECE: usize = 64 * 1024;
/// How much the most memory ever used may grow, in KiB.
const GROWTH: u64 = 20 * 1024;

/// The most memory that the agent ever used, in KiB.
pub fn peak(b: &Bench) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", b.pid())).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// An agent that has done some work; what it used for that.
fn bench() -> (Bench, u64) {
    let b = Bench::start();
    b.create(&params(7, &json!({ "name": "n".repeat(200) }))).expect(200);
    let padded = json!({ "params": params(7, &json!({})) }).to_string() + &" ".repeat(900_000);
    b.ask("POST", PATH, padded.as_bytes()).expect(503);
    let used = peak(&b);
    (b, used)
}

/// That memory did not grow, and that the agent serves.
#[track_caller]
fn is_unmoved(b: &Bench, before: u64, what: &str) {
    let grown = peak(b) - before;
    assert!(grown < GROWTH, "{what}: grew by {grown} KiB");
    assert_eq!(b.inventory(&uuid(7))["state"], "Enabled", "{what}");
}

/// Sends a head and then all of a huge body, and only then reads the answer, as simple clients do.
fn send_huge(b: &Bench, head: &str, chunked: bool) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(b.address())?;
    stream.set_read_timeout(Some(crate::serve::PATIENCE))?;
    stream.write_all(head.as_bytes())?;
    let blanks = " ".repeat(PIECE);
    let piece = if chunked { format!("{PIECE:x}\r\n{blanks}\r\n") } else { blanks };
    for _ in 0..HUGE / PIECE {
        stream.write_all(piece.as_bytes())?;
    }
    if chunked {
        stream.write_all(b"0\r\n\r\n")?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn a_body_of_100_mebibytes_is_refused_with_an_answer() {
    let (b, before) = bench();
    let token = format!("Authorization: OAuth {TOKEN}\r\n");
    let job = format!("{token}Prefer: respond-async\r\n");
    let config = format!("{PATH}/config/{}", uuid(7));
    for (method, path, headers) in [
        ("POST", PATH, token.as_str()),
        ("PUT", config.as_str(), job.as_str()),
        ("PUT", "/zstack/v1/accounts/login", ""),
        ("POST", DOOR, ""),
    ] {
        for (framing, chunked) in
            [(format!("Content-Length: {HUGE}"), false), ("Transfer-Encoding: chunked".into(), true)]
        {
            let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}{framing}\r\n\r\n");
            let answer = send_huge(&b, &head, chunked).unwrap_or_else(|error| panic!("{path} {framing}: {error}"));
            assert!(answer.starts_with("HTTP/1.1 413 "), "{path} {framing}: {answer}");
            is_unmoved(&b, before, path);
        }
    }
}

#[test]
fn a_stranger_with_100_mebibytes_is_cut_off() {
    let (b, before) = bench();
    for (framing, chunked) in [(format!("Content-Length: {HUGE}"), false), ("Transfer-Encoding: chunked".into(), true)]
    {
        let head = format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
        // Whoever has no credentials need not be listened to: the answer may be lost with the connection.
        if let Ok(answer) = send_huge(&b, &head, chunked) {
            assert!(answer.starts_with("HTTP/1.1 400 ") || answer.is_empty(), "{answer}");
        }
        is_unmoved(&b, before, &framing);
    }
}

#[test]
fn bodies_that_unfold_do_not_fill_the_memory() {
    let (b, before) = bench();
    let fill = |item: &str, count: usize| vec![item; count].join(",");
    let members: Vec<_> = (0..60_000).map(|n| format!("\"member{n}\":{n}")).collect();
    let cidrs: Vec<Value> = (0..20_000).map(|n| json!(format!("10.{}.{}.0/24", n / 256, n % 256))).collect();
    for (what, body) in [
        ("lists in a list", format!("{{\"params\":{{\"peerCidrs\":[{}]}}}}", fill("[]", 300_000))),
        ("numbers in a list", format!("{{\"params\":{{\"peerCidrs\":[{}]}}}}", fill("1", 500_000))),
        ("an endless number", format!("{{\"params\":{{\"lifeTime\":{}}}}}", "9".repeat(1_000_000))),
        ("a huge power", "{\"params\":{\"lifeTime\":1e999999999}}".into()),
        ("a huge fraction", format!("{{\"params\":{{\"lifeTime\":1.{}}}}}", "1".repeat(1_000_000))),
        ("many members", format!("{{\"params\":{{{}}}}}", members.join(","))),
        ("one member many times", format!("{{\"params\":{{{}}}}}", fill("\"name\":\"x\"", 80_000))),
        ("deep lists", format!("{{\"params\":{}", "[".repeat(1_000_000))),
        ("deep objects", "{\"params\":".repeat(90_000)),
        ("many networks", json!({ "params": params(8, &json!({ "peerCidrs": cidrs })) }).to_string()),
        ("a long name", json!({ "params": params(8, &json!({ "name": "n".repeat(1_000_000) })) }).to_string()),
        ("a long key", json!({ "params": params(8, &json!({ "authKey": "k".repeat(1_000_000) })) }).to_string()),
    ] {
        for _ in 0..3 {
            let answer = b.ask("POST", PATH, body.as_bytes());
            // 500 is for text that is not JSON at all.
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&body).is_ok();
            let refused = matches!(answer.status, 400 | 413 | 503) || (answer.status == 500 && !is_json);
            assert!(refused, "{what}: {} {}", answer.status, answer.text());
            assert!(answer.body.len() < 8192, "{what}: an answer of {} bytes", answer.body.len());
        }
        let message = body.replacen("\"params\"", "\"org.zstack.ipsec.APICreateIPsecConnectionMsg\"", 1);
        for _ in 0..3 {
            // Without a session what is a message becomes the job of a stranger.
            let answer = b.tcp().request("POST", DOOR, &[], message.as_bytes()).expect("an answer");
            assert!(matches!(answer.status, 200 | 400 | 413), "{what}: {} {}", answer.status, answer.text());
            assert!(answer.body.len() < 8192, "{what}: an answer of {} bytes", answer.body.len());
        }
        is_unmoved(&b, before, what);
    }
}
