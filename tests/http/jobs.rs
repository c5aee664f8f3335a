//! Asynchronous writes: 202, polling without credentials, web hooks, and what a restart leaves of them.

use crate::{
    fake_charon::Behaviour,
    serve::{Bench, KEY, Options, TOKEN, params, uuid, wait_until},
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpListener,
};

const PATH: &str = "/zstack/v1/ipsec";
const JOB: &str = "0123456789abcdef0123456789abcdef";

/// One call over TCP with the token: status and text.
fn call(b: &Bench, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, String) {
    let bearer = format!("OAuth {TOKEN}");
    let mut all = headers.to_vec();
    if !headers.iter().any(|(name, _)| *name == "Authorization") {
        all.push(("Authorization", &bearer));
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = b.tcp().request(method, path, &all, body.as_bytes()).expect("an answer");
    (answer.status, answer.text())
}

fn creation() -> Value {
    json!({ "params": params(7, &json!({})) })
}

/// Polls without credentials until the job has ended.
fn outcome(b: &Bench, job: &str) -> (u16, Value) {
    wait_until("the job ends", || {
        let answer = b.tcp().request("GET", &format!("/zstack/v1/api-jobs/{job}"), &[], b"").expect("an answer");
        if answer.status == 202 {
            assert_eq!(answer.text(), "{}");
            return None;
        }
        Some((answer.status, serde_json::from_str(&answer.text()).unwrap_or(Value::Null)))
    })
}

#[test]
fn a_write_with_a_job_uuid_is_answered_later() {
    let b = Bench::start();
    let (status, text) = call(&b, "POST", PATH, &[("X-Job-UUID", JOB)], &creation());
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((status, &answer["apiTimeout"]), (202, &json!(1_800_000)));
    assert_eq!(answer["location"], format!("http://cygnet.test/zstack/v1/api-jobs/{JOB}"));
    let (status, result) = outcome(&b, JOB);
    assert_eq!((status, &result["inventory"]["uuid"]), (200, &json!(uuid(7))));
    assert_eq!(result["inventory"]["authKey"], "******", "anybody may poll");
    assert_eq!(
        call(&b, "POST", PATH, &[("X-Job-UUID", JOB)], &creation()),
        (400, format!("Duplicate job uuid[{JOB}]"))
    );
    let poll = format!("/zstack/v1/api-jobs/{JOB}");
    assert_eq!(call(&b, "PUT", &poll, &[], &Value::Null).0, 405);
    let unknown = call(&b, "GET", "/zstack/v1/api-jobs/ffffffffffffffffffffffffffffffff", &[], &Value::Null);
    assert_eq!(unknown, (404, "the job has been expired".to_owned()));
    // A read is always direct, although the Java SDK sends the header there too.
    assert_eq!(call(&b, "GET", PATH, &[("X-Job-UUID", JOB)], &Value::Null).0, 200);
}

#[test]
fn what_cannot_be_a_job_is_refused_at_once_and_the_rest_by_the_job() {
    let b = Bench::start();
    let wrong = call(&b, "POST", PATH, &[("X-Job-UUID", "short")], &creation());
    assert_eq!(wrong, (400, "Invalid header[X-Job-UUID], it must be a UUID with '-' stripped".to_owned()));
    let (status, _) = call(&b, "POST", PATH, &[("X-Job-UUID", JOB), ("Authorization", "Basic x")], &creation());
    assert_eq!(status, 400);
    let (status, _) = call(&b, "POST", PATH, &[("X-Job-UUID", JOB), ("Authorization", "OAuth nosession")], &creation());
    assert_eq!(status, 202, "a wrong session is found by the job");
    let (status, result) = outcome(&b, JOB);
    assert_eq!((status, &result["error"]["code"]), (503, &json!("ID.1001")));
    let (status, text) = call(&b, "POST", PATH, &[("Prefer", "respond-async")], &json!({ "params": { "name": "x" } }));
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let job = answer["location"].as_str().and_then(|l| l.rsplit('/').next()).expect("a job").to_owned();
    assert_eq!(status, 202);
    let (status, result) = outcome(&b, &job);
    assert_eq!((status, &result["error"]["code"]), (503, &json!("SYS.1007")));
    assert!(b.charon.connections().is_empty());
}

#[test]
fn the_settings_may_want_all_writes_or_none_to_be_jobs() {
    let b = Bench::with(&Options { top: "jobs.async = \"never\"", ..Options::default() });
    assert_eq!(call(&b, "POST", PATH, &[("X-Job-UUID", JOB)], &creation()).0, 200);
    let b = Bench::with(&Options { top: "jobs.async = \"always\"", ..Options::default() });
    assert_eq!(call(&b, "POST", PATH, &[], &creation()).0, 202);
}

/// A server that takes one request after another and answers each with the next status; the requests.
fn web_hook(listener: TcpListener, statuses: &'static [u16]) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let take = |status: &u16| {
            let (mut stream, _) = listener.accept().expect("a connection");
            let (mut text, mut bytes) = (String::new(), [0; 4096]);
            while !text.contains("\r\n\r\n") || !text.trim_end().ends_with('}') {
                let count = stream.read(&mut bytes).expect("readable");
                text += &String::from_utf8_lossy(&bytes[..count]);
            }
            write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").expect("written");
            text
        };
        statuses.iter().map(take).collect()
    })
}

#[test]
fn a_web_hook_gets_the_result_if_its_host_is_allowed() {
    let b = Bench::with(&Options { top: "jobs.web_hook_hosts = [\"127.0.0.1\"]", ..Options::default() });
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/done?x=1", listener.local_addr().expect("an address"));
    let server = web_hook(listener, &[500, 204]);
    assert_eq!(call(&b, "POST", PATH, &[("X-Web-Hook", &url), ("X-Job-UUID", JOB)], &creation()).0, 202);
    let requests = server.join().expect("two requests");
    for request in &requests {
        assert!(request.starts_with("POST /done?x=1 HTTP/1.1\r\n"), "{request}");
        let head = request.to_ascii_lowercase();
        assert!(head.contains(&format!("x-job-uuid: {JOB}")) && head.contains("x-job-success: true"), "{request}");
        assert!(request.contains("\"inventory\"") && !request.contains(KEY), "{request}");
    }
    for url in ["http://localhost:9/", "https://127.0.0.1/", "file:///etc/passwd", "nonsense"] {
        let (status, text) = call(&b, "POST", PATH, &[("X-Web-Hook", url)], &creation());
        assert!(status == 400 && text.starts_with("Invalid header[X-Web-Hook]"), "{url}: {status} {text}");
    }
}

#[test]
fn a_restart_keeps_results_and_owns_up_to_interruptions() {
    let mut b = Bench::start();
    call(&b, "POST", PATH, &[("X-Job-UUID", JOB)], &creation());
    let before = outcome(&b, JOB);
    b.charon.on("load-shared", Behaviour::Silence);
    let hanging = "f".repeat(32);
    let change = json!({ "changeIPsecConnection": { "peerAddress": "198.51.100.7", "authKey": "test-only-other" } });
    let path = format!("{PATH}/config/{}", uuid(7));
    assert_eq!(call(&b, "PUT", &path, &[("X-Job-UUID", &hanging)], &change).0, 202);
    b.charon.wait_for("load-shared", 2);
    b.signal(nix::sys::signal::Signal::SIGKILL);
    b.stop();
    b.charon.behave();
    b.run();
    assert_eq!(outcome(&b, JOB), before, "a result is kept");
    let (status, result) = outcome(&b, &hanging);
    let details = result["error"]["details"].as_str().expect("details");
    assert!(status == 503 && details.contains("restarted while this job ran"), "{result}");
}
