//! Web hooks: who gets the result, when, and how many at a time.

use super::jobs::{JOB, OTHERS, PATH, call, creation, three_callers};
use crate::serve::{Bench, KEY, Options, uuid, wait_until};
use serde_json::json;
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

/// Calls at a time.
const AT_A_TIME: usize = 16;
/// How long after the 202 a result is posted at the earliest.
const DELAY: Duration = Duration::from_millis(250);

/// The setting that allows these hosts.
pub fn hook_hosts(hosts: &[&str]) -> &'static str {
    Box::leak(format!("jobs.web_hook_hosts = {hosts:?}").into_boxed_str())
}

/// A request that came.
pub struct Recorded {
    /// All of it.
    pub text: String,
}

/// A server that takes one request after another, records it, and answers with the next of its statuses, then with 204.
pub struct Recorder {
    address: SocketAddr,
    requests: Receiver<Recorded>,
}

impl Recorder {
    /// Starts it; it ends with the test's process.
    pub fn start(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (record, requests) = channel();
        thread::spawn(move || {
            for status in statuses.iter().chain(std::iter::repeat(&204)) {
                let (mut stream, _) = listener.accept().expect("a connection");
                let text = read(&mut stream);
                write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").expect("written");
                if record.send(Recorded { text }).is_err() {
                    return;
                }
            }
        });
        Self { address, requests }
    }

    /// Its address, as the settings name it.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Where hooks go.
    pub fn url(&self) -> String {
        format!("http://{}/done?x=1", self.address)
    }

    /// The next request.
    #[track_caller]
    pub fn next(&self) -> Recorded {
        self.requests.recv_timeout(crate::serve::PATIENCE).expect("a request")
    }
}

/// One request with a JSON object as its body.
fn read(stream: &mut TcpStream) -> String {
    let (mut text, mut bytes) = (String::new(), [0; 4096]);
    while !text.contains("\r\n\r\n") || !text.trim_end().ends_with('}') {
        let count = stream.read(&mut bytes).expect("readable");
        assert_ne!(count, 0, "it ends early: {text}");
        text += &String::from_utf8_lossy(&bytes[..count]);
    }
    text
}

#[test]
fn a_web_hook_gets_the_result_if_its_host_is_allowed() {
    let recorder = Recorder::start(&[500]);
    let b = Bench::with(&Options { top: hook_hosts(&[&recorder.host(), "localhost"]), ..Options::default() });
    let url = recorder.url();
    assert_eq!(call(&b, "POST", PATH, &[("X-Web-Hook", &url), ("X-Job-UUID", JOB)], &creation()).0, 202);
    for request in [recorder.next().text, recorder.next().text] {
        assert!(request.starts_with("POST /done?x=1 HTTP/1.1\r\n"), "{request}");
        let head = request.to_ascii_lowercase();
        assert!(head.contains(&format!("x-job-uuid: {JOB}")) && head.contains("x-job-success: true"), "{request}");
        assert!(head.contains(&format!("host: {}\r\n", recorder.host())), "{request}");
        assert!(request.contains("\"inventory\"") && !request.contains(KEY), "{request}");
    }
    let refused = [
        "http://127.0.0.1/",
        "http://localhost:9/",
        "http://localhost:80@127.0.0.1/",
        "https://localhost/",
        "file:///etc/passwd",
        "nonsense",
    ];
    for url in refused {
        let (status, text) = call(&b, "POST", PATH, &[("X-Web-Hook", url)], &creation());
        assert!(status == 400 && text.starts_with("Invalid header[X-Web-Hook]"), "{url}: {status} {text}");
    }
}

#[test]
fn a_hook_comes_after_its_202() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let b = Bench::with(&Options { top: hook_hosts(&[&address]), ..Options::default() });
    let body = json!({ "updateIPsecConnection": { "name": "x" } }).to_string();
    for round in 0..10 {
        let mut stream = TcpStream::connect(b.address()).expect("connected");
        let began = Instant::now();
        write!(
            stream,
            "PUT {PATH}/{} HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {}\r\nX-Web-Hook: http://{address}/\r\nContent-Length: {}\r\n\r\n{body}",
            uuid(9), crate::serve::TOKEN, body.len()
        )
        .expect("sent");
        let (mut hook, _) = listener.accept().expect("a hook");
        // Nothing has read it until now: it was sent before.
        stream.set_nonblocking(true).expect("a socket");
        let mut answer = [0; 4096];
        let count = stream.read(&mut answer).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(String::from_utf8_lossy(&answer[..count]).starts_with("HTTP/1.1 202 "));
        assert!(began.elapsed() >= DELAY, "round {round}");
        assert!(read(&mut hook).contains("SYS.1003"));
        write!(hook, "HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n").expect("written");
    }
}

/// Descriptors that the agent has open.
fn descriptors(b: &Bench) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", b.pid())).expect("it lives").count()
}

#[test]
fn a_silent_host_holds_few_places_and_no_other_caller_waits_for_it() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let recorder = Recorder::start(&[]);
    let b = three_callers(&Options { top: hook_hosts(&[&address, &recorder.host()]), ..Options::default() });
    let write = |token: &str, job: &str, url: &str| {
        let bearer = format!("OAuth {token}");
        let headers = [("Authorization", bearer.as_str()), ("X-Job-UUID", job), ("X-Web-Hook", url)];
        let body = json!({ "updateIPsecConnection": { "name": "x" } });
        assert_eq!(call(&b, "PUT", &format!("{PATH}/{}", uuid(9)), &headers, &body).0, 202);
    };
    let before = descriptors(&b);
    for n in 0..50 {
        write(OTHERS[0], &format!("{n:032}"), &format!("http://{address}/"));
    }
    silent.set_nonblocking(true).expect("a socket");
    let mut held = Vec::new();
    let take = |held: &mut Vec<TcpStream>| match silent.accept() {
        Ok((stream, _)) => held.push(stream),
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
    };
    wait_until("all places are taken", || {
        take(&mut held);
        (held.len() == AT_A_TIME).then_some(())
    });
    write(OTHERS[1], JOB, &recorder.url());
    // Time enough for all to come, if they could.
    let began = Instant::now();
    wait_until("nobody else comes", || {
        take(&mut held);
        (began.elapsed() > 4 * DELAY).then_some(())
    });
    assert_eq!(held.len(), AT_A_TIME);
    assert!(descriptors(&b) <= before + AT_A_TIME + 8, "{before} before, {} now", descriptors(&b));
    // One place is free: it is not for those of whoever has the other fifteen.
    drop(held.pop());
    assert!(recorder.next().text.contains(JOB));
}

#[test]
fn a_silent_host_is_left_after_ten_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let b = Bench::with(&Options { top: hook_hosts(&[&address]), ..Options::default() });
    assert_eq!(call(&b, "POST", PATH, &[("X-Web-Hook", &format!("http://{address}/"))], &creation()).0, 202);
    let (mut stream, _) = silent.accept().expect("a hook");
    // A beginning of an answer gives no more time.
    stream.write_all(b"HTTP/1.1 2").expect("written");
    stream.set_nonblocking(true).expect("a socket");
    let mut bytes = [0; 4096];
    wait_until("it is closed", || match stream.read(&mut bytes) {
        Ok(0) => Some(()),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Some(()),
        _ => None,
    });
    wait_until("the log says so", || b.logs().contains("did not answer in time").then_some(()));
}
