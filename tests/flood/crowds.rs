//! Crowds of connections: idle ones, slow ones, and ones that never read. Whoever calls properly is served, nobody's
//! memory is the agent's, and who was there first and says nothing makes room.

use super::bodies::peak;
use crate::serve::{Bench, TOKEN, params, uuid, wait_until};
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt},
};
use serde_json::json;
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd,
    os::unix::net::UnixStream,
    sync::{Mutex, MutexGuard, PoisonError},
};

const PATH: &str = "/zstack/v1/ipsec";
/// More connections than there are places.
const CROWD: usize = 600;

/// One crowd at a time, and file descriptors for it.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("a limit of our own");
    guard
}

/// A connection from `host`, whose system takes little before it is read.
fn dial(b: &Bench, host: &str) -> TcpStream {
    let stream = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    setsockopt(&stream, sockopt::RcvBuf, &4096).expect("a small buffer");
    let local: SocketAddr = format!("{host}:0").parse().expect("an address");
    bind(stream.as_raw_fd(), &SockaddrStorage::from(local)).expect("bound");
    connect(stream.as_raw_fd(), &SockaddrStorage::from(b.address())).expect("connected");
    stream.into()
}

/// A crowd from one address, each of which sends `text` and then nothing.
fn crowd(b: &Bench, text: &[u8]) -> Vec<TcpStream> {
    members(b, text, CROWD)
}

fn members(b: &Bench, text: &[u8], count: usize) -> Vec<TcpStream> {
    let member = |_| {
        let mut stream = dial(b, "127.0.0.1");
        stream.set_nonblocking(true).expect("set");
        // What is not taken is not sent.
        let _ = stream.write(text);
        stream
    };
    (0..count).map(member).collect()
}

/// Whether the agent has closed this connection, which does not block.
fn is_closed(stream: &mut impl Read) -> bool {
    match stream.read(&mut [0; 4096]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// A call with the token from `host`: the first line of the answer.
fn call(b: &Bench, host: &str) -> String {
    let mut stream = dial(b, host);
    let head = format!("GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {TOKEN}\r\nConnection: close\r\n\r\n");
    stream.set_read_timeout(Some(crate::serve::PATIENCE)).expect("set");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("no answer for {host}: {error}"));
    answer.lines().next().unwrap_or_default().to_owned()
}

/// That calls are answered, from the crowd's own address and from another one.
#[track_caller]
fn serves(b: &Bench, what: &str) {
    for host in ["127.0.0.1", "127.0.0.9"] {
        assert_eq!(call(b, host), "HTTP/1.1 200 OK", "{what}: {host}");
    }
}

#[test]
fn who_idles_makes_room_the_oldest_first() {
    let _alone = alone();
    let b = Bench::start();
    let half_head = format!("GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthoriz");
    let login = "PUT /zstack/v1/accounts/login HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{";
    let body =
        format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {TOKEN}\r\nContent-Length: 900\r\n\r\n{{");
    for text in ["", "G", &half_head, login, &body] {
        // Those of one part are heard before the next part comes: of hundreds at once, a busy agent hears any first.
        let mut streams = Vec::new();
        while streams.len() < CROWD {
            streams.extend(members(&b, text.as_bytes(), 50));
            serves(&b, text);
        }
        // All are of one age: those that time closes go together.
        let closed = wait_until("no more of one address than may be", || {
            let closed: Vec<_> = streams.iter_mut().map(is_closed).collect();
            (closed.iter().filter(|closed| !**closed).count() <= 384).then_some(closed)
        });
        // Which of two neighbours was heard first, the machine decides.
        let count = |part: &[bool]| part.iter().filter(|closed| **closed).count();
        let (first, last) = (count(&closed[..100]), count(&closed[CROWD - 100..]));
        assert!(first > last, "{text:?}: the first go, the last stay: {first} and {last} of 100");
    }
}

#[test]
fn who_reads_nothing_keeps_no_place_and_no_memory() {
    let _alone = alone();
    let b = Bench::start();
    b.ask("GET", "/openapi.json", b"").expect(200);
    let used = peak(&b);
    let _crowd = crowd(&b, "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500).as_bytes());
    serves(&b, "strangers");
    let known = format!("GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {TOKEN}\r\n\r\n");
    let _known = crowd(&b, known.repeat(900).as_bytes());
    serves(&b, "callers");
    let grown = peak(&b) - used;
    assert!(grown < 100 * 1024, "{grown} KiB");
}

#[test]
fn who_is_served_stays_whatever_crowd_comes() {
    let _alone = alone();
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    // A stream of events that has nothing to say, and a client that keeps its connection.
    let mut events = dial(&b, "127.0.0.1");
    write!(events, "GET /cygnet/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {TOKEN}\r\n\r\n").expect("sent");
    let mut heard = vec![0; 12];
    events.read_exact(&mut heard).expect("an answer");
    assert_eq!(heard, b"HTTP/1.1 200");
    let (mut client, authorization) = (b.tcp(), format!("OAuth {TOKEN}"));
    let mut ask =
        || client.request("GET", PATH, &[("Authorization", &authorization)], b"").expect("answered").expect(200);
    ask();
    let _crowd = crowd(&b, b"GET / HTTP/1.1\r\n");
    ask();
    assert_eq!(client.connections(), 1, "a caller who idles stays before all strangers");
    b.ask("DELETE", &format!("{PATH}/{}", uuid(7)), b"").expect(200);
    events.set_read_timeout(Some(crate::serve::PATIENCE)).expect("set");
    let mut text = String::new();
    wait_until("the event", || {
        let mut piece = [0; 4096];
        let length = events.read(&mut piece).expect("the stream lives");
        text += &String::from_utf8_lossy(&piece[..length]);
        text.contains("event: deleted").then_some(())
    });
}

#[test]
fn a_user_of_the_unix_socket_leaves_room_for_others() {
    let b = Bench::start();
    let dial = |_| {
        let mut stream = UnixStream::connect(b.path("cygnet.sock")).expect("connected");
        stream.write_all(b"GET / HT").expect("sent");
        stream.set_nonblocking(true).expect("set");
        stream
    };
    let mut crowd: Vec<_> = (0..100).map(dial).collect();
    b.unix().request("GET", PATH, &[], b"").expect("answered").expect(200);
    // Which of them was heard first, the machine decides; those that came early go before those that came late.
    wait_until("there is room for others", || {
        let closed: Vec<_> = crowd.iter_mut().map(is_closed).collect();
        let count = |part: &[bool]| part.iter().filter(|closed| **closed).count();
        // 64 of 101 stay. Time would close all half heads, and that is no room that somebody made.
        ((36..=38).contains(&count(&closed)) && count(&closed[..50]) > count(&closed[50..])).then_some(())
    });
}

#[test]
fn bodies_that_stop_before_their_end_share_a_bounded_memory() {
    let _alone = alone();
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    let used = peak(&b);
    let config = format!("{PATH}/config/{}", uuid(7));
    for (what, head) in [
        ("a login", "PUT /zstack/v1/accounts/login HTTP/1.1\r\nHost: x\r\n".to_owned()),
        ("a message", "POST /zstack/api HTTP/1.1\r\nHost: x\r\n".to_owned()),
        ("no credentials", format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n")),
        (
            "a bogus job",
            format!("PUT {config} HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth bogus\r\nPrefer: respond-async\r\n"),
        ),
        ("a caller", format!("PUT {config} HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {TOKEN}\r\n")),
        (
            "a caller's job",
            format!("PUT {config} HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {TOKEN}\r\nPrefer: respond-async\r\n"),
        ),
    ] {
        let rest = " ".repeat(900_000);
        let streams: Vec<_> = (0..500)
            .map(|_| {
                let mut stream = dial(&b, "127.0.0.1");
                stream.set_write_timeout(Some(std::time::Duration::from_millis(300))).expect("set");
                // Who is not read cannot send: that is the point.
                let _ = write!(stream, "{head}Content-Length: 1000000\r\n\r\n{rest}");
                stream
            })
            .collect();
        serves(&b, what);
        b.change(&uuid(7), &crate::serve::change(7, &json!({ "lifeTime": 3600 }))).expect(200);
        let grown = peak(&b) - used;
        assert!(grown < 120 * 1024, "{what}: {grown} KiB");
        drop(streams);
    }
}
