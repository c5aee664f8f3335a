//! Logins by strangers: how many passwords are looked at, whom failures lock out, what the journal says; and when a
//! session ends.

use super::accounts::{PASSWORD, digest, tool, with_accounts};
use crate::serve::{Bench, Options, PATIENCE, wait_until};
use nix::sys::{
    signal::Signal,
    socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd,
};

/// An agent with the accounts `admin` and `ops`.
fn bench() -> Bench {
    let mut b = Bench::idle(&Options::default());
    with_accounts(&b);
    tool(&b, &["passwd", "admin"], &format!("{PASSWORD}\n"));
    tool(&b, &["passwd", "ops"], "test-only-ops\n");
    b.run();
    b
}

fn dial(b: &Bench, host: &str) -> TcpStream {
    let stream = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    let local: SocketAddr = format!("{host}:0").parse().expect("an address");
    bind(stream.as_raw_fd(), &SockaddrStorage::from(local)).expect("bound");
    connect(stream.as_raw_fd(), &SockaddrStorage::from(b.address())).expect("connected");
    let stream = TcpStream::from(stream);
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

/// Sends a login and does not wait for the answer.
fn send(b: &Bench, host: &str, name: &str, password: &str) -> TcpStream {
    let body = json!({ "logInByAccount": { "accountName": name, "password": digest(password) } }).to_string();
    let mut stream = dial(b, host);
    let head = format!(
        "PUT /zstack/v1/accounts/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream
}

/// The body of the answer.
fn answer(mut stream: TcpStream) -> Value {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    serde_json::from_str(text.split_once("\r\n\r\n").expect("a head").1).expect("JSON")
}

fn login(b: &Bench, host: &str, name: &str, password: &str) -> Value {
    answer(send(b, host, name, password))
}

/// The session of an answer.
#[track_caller]
fn session(answer: &Value) -> String {
    answer["inventory"]["uuid"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn is_valid(b: &Bench, session: &str) -> bool {
    let path = format!("/zstack/v1/accounts/sessions/{session}/valid");
    b.tcp().request("GET", &path, &[], b"").expect("answered").json()["valid"] == true
}

/// How many passwords were looked at and found wrong.
fn looked_at(b: &Bench) -> usize {
    b.logs().lines().filter(|line| line.contains(" a login as ") && line.contains(" failed: ")).count()
}

#[test]
fn ten_passwords_are_looked_at_however_many_come_at_once() {
    let b = bench();
    let streams: Vec<_> = (0..100).map(|n| send(&b, "127.0.0.1", "admin", &format!("test-only-{n}"))).collect();
    let answers: Vec<_> = streams.into_iter().map(|stream| answer(stream)["error"]["details"].to_string()).collect();
    let wrong = answers.iter().filter(|text| text.contains("wrong account name or password")).count();
    assert_eq!((wrong, looked_at(&b)), (10, 10), "{answers:?}");
    assert!(answers.iter().all(|text| text.contains("wrong") || text.contains("too many")), "{answers:?}");
    let refused = b.logs().lines().filter(|line| line.contains("refused unseen")).count();
    assert!((1..=3).contains(&refused), "a flood is few lines: {refused}");
    session(&login(&b, "127.0.0.9", "admin", PASSWORD));
}

#[test]
fn who_hangs_up_has_tried_all_the_same() {
    let b = bench();
    wait_until("ten were looked at", || {
        drop(send(&b, "127.0.0.1", "admin", "test-only-wrong"));
        b.logs().contains("refused unseen").then_some(())
    });
    assert_eq!(looked_at(&b), 10);
}

#[test]
fn strangers_everywhere_do_not_lock_the_owner_out() {
    let b = bench();
    session(&login(&b, "127.0.0.7", "admin", PASSWORD));
    for host in 20..32 {
        for _ in 0..10 {
            login(&b, &format!("127.0.0.{host}"), "admin", "test-only-wrong");
        }
    }
    assert_eq!(looked_at(&b), 100, "strangers have so many tries together");
    let details = login(&b, "127.0.0.99", "admin", PASSWORD)["error"]["details"].to_string();
    assert!(details.contains("too many failed logins"), "{details}");
    session(&login(&b, "127.0.0.7", "admin", PASSWORD));
}

#[test]
fn checks_do_not_fill_the_memory() {
    let b = bench();
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", b.pid())).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    };
    session(&login(&b, "127.0.0.1", "admin", PASSWORD));
    let first = resident();
    let streams: Vec<_> = (0..40).map(|_| send(&b, "127.0.0.1", "admin", PASSWORD)).collect();
    for stream in streams {
        session(&answer(stream));
    }
    let grown = resident().saturating_sub(first);
    assert!(grown < 18 * 1024, "forty checks took {grown} KiB: one takes 19456");
}

#[test]
fn each_login_is_a_line_with_its_address_and_no_name_writes_another() {
    let b = bench();
    session(&login(&b, "127.0.0.7", "admin", PASSWORD));
    login(&b, "127.0.0.8", "admin", "test-only-wrong");
    let forged = format!("x\n2026-01-01 a login as admin\u{1b}[2J\u{202e}{}", "y".repeat(200));
    login(&b, "127.0.0.9", &forged, "test-only-wrong");
    let logs = b.logs();
    let lines: Vec<_> = logs.lines().filter(|line| line.contains(" login ")).collect();
    let [good, bad, odd] = lines.as_slice() else { panic!("{lines:#?}") };
    assert!(good.contains("a login as admin from 127.0.0.7 is accepted") && good.contains("INFO"), "{good}");
    assert!(bad.contains("a login as admin from 127.0.0.8 failed") && bad.contains("WARN"), "{bad}");
    assert!(odd.contains("127.0.0.9") && odd.contains("u{a}") && !odd.contains(['\u{1b}', '\u{202e}']), "{odd}");
    assert!(!odd.contains(&"y".repeat(65)), "{odd}");
    assert!(!logs.contains(PASSWORD) && !logs.contains(&digest(PASSWORD)));
}

/// Opens a stream of events, up to the session's number. The connection ends with the stream: a kept one ends later.
const FOLLOW: &str = "GET /cygnet/v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: OAuth ";

#[test]
fn a_session_ends_when_its_account_goes() {
    let b = bench();
    let (admin, ops) = (login(&b, "127.0.0.1", "admin", PASSWORD), login(&b, "127.0.0.1", "ops", "test-only-ops"));
    let (admin, ops) = (session(&admin), session(&ops));
    // A stream of events goes with the session that opened it.
    let mut stream = dial(&b, "127.0.0.1");
    write!(stream, "{FOLLOW}{admin}\r\n\r\n").expect("sent");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 200");
    b.signal(Signal::SIGHUP);
    wait_until("read anew", || b.logs().contains("were read anew").then_some(()));
    assert!(is_valid(&b, &admin) && is_valid(&b, &ops), "nothing has changed for them");

    let file = fs::read_to_string(b.path("accounts")).expect("accounts");
    let (_, rest) = file.split_once("[[account]]").expect("admin is the first");
    let (_, others) = rest.split_once("[[account]]").expect("ops is the second");
    fs::write(b.path("accounts"), format!("[[account]]{others}")).expect("written");
    b.signal(Signal::SIGHUP);
    wait_until("the session of admin ends", || (!is_valid(&b, &admin)).then_some(()));
    assert!(is_valid(&b, &ops), "the other account is still there");
    stream.read_to_end(&mut Vec::new()).expect("the stream ends");

    tool(&b, &["passwd", "admin"], "test-only-second\n");
    b.signal(Signal::SIGHUP);
    wait_until("admin is there again", || {
        login(&b, "127.0.0.1", "admin", "test-only-second")["inventory"].is_object().then_some(())
    });
    assert!(!is_valid(&b, &admin), "it is another account");
    // Logging out ends a stream, too.
    let mut stream = dial(&b, "127.0.0.1");
    write!(stream, "{FOLLOW}{ops}\r\n\r\n").expect("sent");
    stream.read_exact(&mut head).expect("an answer");
    let path = format!("/zstack/v1/accounts/sessions/{ops}");
    b.tcp().request("DELETE", &path, &[], b"").expect("answered").expect(200);
    stream.read_to_end(&mut Vec::new()).expect("the stream ends");
}
