//! Asynchronous writes: 202, polling without credentials, whose an id is, and what a restart leaves of them.

use crate::{
    fake_charon::Behaviour,
    serve::{Bench, Options, TOKEN, files, params, uuid, wait_until},
};
use serde_json::{Value, json};

pub const PATH: &str = "/zstack/v1/ipsec";
pub const JOB: &str = "0123456789abcdef0123456789abcdef";

/// One call over TCP with the token: status and text.
pub fn call(b: &Bench, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, String) {
    let bearer = format!("OAuth {TOKEN}");
    let mut all = headers.to_vec();
    if !headers.iter().any(|(name, _)| *name == "Authorization") {
        all.push(("Authorization", &bearer));
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = b.tcp().request(method, path, &all, body.as_bytes()).expect("an answer");
    (answer.status, answer.text())
}

pub fn creation() -> Value {
    json!({ "params": params(7, &json!({})) })
}

/// Polls without credentials until the job has ended.
pub fn outcome(b: &Bench, job: &str) -> (u16, Value) {
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

/// Tokens of two callers, beside that of the tests.
pub const OTHERS: [&str; 2] = ["test-only-token-of-a-second-one", "test-only-token-of-a-third-one"];

/// An agent with three callers.
pub fn three_callers(options: &Options) -> Bench {
    let mut b = Bench::idle(options);
    let [second, third] = OTHERS;
    std::fs::write(b.path("tokens"), format!("test:{TOKEN}\nsecond:{second}\nthird:{third}\n")).expect("written");
    b.run();
    b
}

/// A write of whoever has `token`, which fails: the connection is not there. With the id of its job; status and text.
fn update(b: &Bench, token: &str, job: &str) -> (u16, String) {
    let bearer = format!("OAuth {token}");
    let body = json!({ "updateIPsecConnection": { "name": job } });
    call(b, "PUT", &format!("{PATH}/{}", uuid(9)), &[("Authorization", &bearer), ("X-Job-UUID", job)], &body)
}

fn location(text: &str) -> String {
    let answer: Value = serde_json::from_str(text).expect("JSON");
    answer["location"].as_str().and_then(|l| l.rsplit('/').next()).expect("a job").to_owned()
}

#[test]
fn an_id_is_taken_for_its_caller_only() {
    let mut b = three_callers(&Options::default());
    let (status, _) = update(&b, OTHERS[0], JOB);
    assert_eq!(status, 202);
    assert_eq!(outcome(&b, JOB).1["error"]["code"], "SYS.1003");
    let (status, text) = call(&b, "POST", PATH, &[("X-Job-UUID", JOB)], &creation());
    let own = location(&text);
    assert!(status == 202 && own != JOB, "{status} {text}");
    // By the location, as the SDKs do; by the chosen id with credentials; without, it is whoever had it first.
    assert_eq!(outcome(&b, &own).1["inventory"]["uuid"], uuid(7));
    let polled = |b: &Bench, token: &str| {
        let bearer = format!("OAuth {token}");
        call(b, "GET", &format!("/zstack/v1/api-jobs/{JOB}"), &[("Authorization", &bearer)], &Value::Null)
    };
    let check = |b: &Bench| {
        assert_eq!(polled(b, TOKEN).0, 200);
        assert_eq!(polled(b, OTHERS[0]).0, 503);
        assert_eq!(polled(b, "null").0, 503);
        assert_eq!(update(b, OTHERS[0], JOB), (400, format!("Duplicate job uuid[{JOB}]")));
        assert_eq!(update(b, TOKEN, JOB), (400, format!("Duplicate job uuid[{JOB}]")));
    };
    check(&b);
    b.signal(nix::sys::signal::Signal::SIGKILL);
    b.stop();
    b.run();
    check(&b);
    assert_eq!(outcome(&b, &own).0, 200);
    assert_eq!(update(&b, OTHERS[1], JOB).0, 202, "a third one may have it too");
}

#[test]
fn one_caller_pushes_out_his_own_results_only() {
    let b = three_callers(&Options { log: "warn", ..Options::default() });
    call(&b, "POST", PATH, &[("X-Job-UUID", JOB)], &creation());
    let kept = outcome(&b, JOB);
    let jobs: Vec<_> = (0..2100).map(|n| format!("{n:032}")).collect();
    std::thread::scope(|scope| {
        for part in jobs.chunks(jobs.len() / 4) {
            scope.spawn(|| part.iter().for_each(|job| assert_eq!(update(&b, OTHERS[0], job).0, 202)));
        }
    });
    for job in jobs.iter().rev().take(8) {
        assert_eq!(outcome(&b, job).0, 503);
    }
    assert_eq!(outcome(&b, JOB), kept);
    let directory = b.path("state/jobs");
    wait_until("his oldest ones go from the disk too", || (files(&directory).len() == 2001).then_some(()));
}

#[test]
fn an_acknowledged_job_survives_a_kill_at_any_moment() {
    let mut b = Bench::start();
    for round in 0..5 {
        let jobs: Vec<_> = (0..8).map(|n| format!("{round}{n:031}")).collect();
        let acknowledged: Vec<_> = std::thread::scope(|scope| {
            let asked: Vec<_> = jobs
                .iter()
                .map(|job| {
                    let mut client = b.tcp();
                    scope.spawn(move || {
                        let bearer = format!("OAuth {TOKEN}");
                        let headers = [("Authorization", bearer.as_str()), ("X-Job-UUID", job)];
                        let body = br#"{"updateIPsecConnection":{"name":"x"}}"#;
                        let path = format!("{PATH}/{}", uuid(9));
                        let answer = client.request("PUT", &path, &headers, body);
                        answer.is_ok_and(|answer| answer.status == 202).then_some(job)
                    })
                })
                .collect();
            // As soon as one is answered: the others are anywhere.
            let mut asked = asked.into_iter();
            let first = asked.next().and_then(|first| first.join().expect("no panic"));
            b.signal(nix::sys::signal::Signal::SIGKILL);
            first.into_iter().chain(asked.filter_map(|asked| asked.join().expect("no panic"))).collect()
        });
        assert!(!acknowledged.is_empty());
        b.reap();
        b.run();
        for job in acknowledged {
            assert_eq!(outcome(&b, job).0, 503, "{job}");
        }
    }
}

#[test]
fn jobs_of_an_older_agent_are_taken_over() {
    let mut b = Bench::start();
    b.stop();
    let directory = b.path("state/jobs");
    let put = |name: &str, ended: &str| {
        let outcome = json!([200, { "success": true }]);
        let job = json!({ "began": "2020-01-01T00:00:00Z", "ended": ended, "outcome": outcome });
        std::fs::write(directory.join(name), job.to_string()).expect("written");
    };
    let early = "e".repeat(32);
    // The clock was ahead when it ended; the other one ended long ago.
    put(&format!("{JOB}.json"), "2999-01-01T00:00:00Z");
    put(&format!("{early}.json"), "2020-01-01T00:00:00Z");
    b.run();
    assert_eq!(outcome(&b, JOB), (200, json!({ "success": true })));
    assert_eq!(outcome(&b, &early).0, 404);
    let (status, text) = call(&b, "POST", PATH, &[("X-Job-UUID", JOB)], &creation());
    assert_eq!(status, 202, "it is nobody's duplicate: {text}");
    assert_eq!(outcome(&b, &location(&text)).1["inventory"]["uuid"], uuid(7));
    wait_until("what has expired is removed", || (files(&directory).len() == 2).then_some(()));
}
