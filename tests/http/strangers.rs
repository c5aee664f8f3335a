//! What those without valid credentials can make the agent do: answer them, and no more.

use super::{
    hooks::{Recorder, hook_hosts},
    jobs::{JOB, PATH, call, creation, outcome},
};
use crate::serve::{Bench, Options, TOKEN, files, params, uuid};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

const WRONG: (&str, &str) = ("Authorization", "OAuth test-only-no-session");

#[test]
fn a_wrong_session_leaves_no_file_and_calls_nobody() {
    let recorder = Recorder::start(&[]);
    let b = Bench::with(&Options { top: hook_hosts(&[&recorder.host()]), ..Options::default() });
    let url = recorder.url();
    let strange = "5".repeat(32);
    let headers = [WRONG, ("X-Job-UUID", strange.as_str()), ("X-Web-Hook", &url)];
    let (status, text) = call(&b, "POST", PATH, &headers, &creation());
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((status, &answer["apiTimeout"]), (202, &json!(1_800_000)));
    assert_eq!(answer["location"], format!("http://cygnet.test/zstack/v1/api-jobs/{strange}"));
    let (status, result) = outcome(&b, &strange);
    assert_eq!(
        (status, &result["error"]["code"], &result["error"]["details"]),
        (503, &json!("ID.1001"), &json!("Session expired"))
    );
    assert_eq!(files(&b.path("state/jobs")), Vec::<String>::new());
    // Where a hook may not go is a caller's business too.
    assert_eq!(call(&b, "POST", PATH, &[WRONG, ("X-Web-Hook", "http://127.0.0.1:1/")], &creation()).0, 202);
    // Whatever the stranger's job would have posted would be here before this.
    assert_eq!(call(&b, "POST", PATH, &[("X-Job-UUID", JOB), ("X-Web-Hook", &url)], &creation()).0, 202);
    let first = recorder.next();
    assert!(first.text.to_ascii_lowercase().contains(&format!("x-job-uuid: {JOB}")), "{}", first.text);
    assert!(b.charon.connections().len() <= 1, "the caller's");
}

#[test]
fn two_thousand_strangers_push_out_nobody() {
    let b = Bench::with(&Options { log: "warn", ..Options::default() });
    call(&b, "POST", PATH, &[("X-Job-UUID", JOB)], &creation());
    let kept = outcome(&b, JOB);
    let jobs: Vec<_> = (0..2100).map(|n| format!("{n:032}")).collect();
    for job in &jobs {
        assert_eq!(call(&b, "POST", PATH, &[WRONG, ("X-Job-UUID", job)], &creation()).0, 202);
    }
    assert_eq!(outcome(&b, JOB), kept);
    assert_eq!(files(&b.path("state/jobs")), [format!("{JOB}.json")]);
    assert_eq!(outcome(&b, jobs.last().expect("some")).1["error"]["code"], "ID.1001");
    assert_eq!(outcome(&b, &jobs[0]).0, 404, "there is room for a few of one address");
}

#[test]
fn a_stranger_takes_no_id() {
    let b = Bench::start();
    assert_eq!(call(&b, "POST", PATH, &[WRONG, ("X-Job-UUID", JOB)], &creation()).0, 202);
    assert_eq!(outcome(&b, JOB).0, 503);
    assert_eq!(call(&b, "POST", PATH, &[("X-Job-UUID", JOB)], &creation()).0, 202);
    let (status, result) = outcome(&b, JOB);
    assert_eq!((status, &result["inventory"]["uuid"]), (200, &json!(uuid(7))));
    // Nor does he hear that there is one: his own job is another.
    let (status, text) = call(&b, "POST", PATH, &[WRONG, ("X-Job-UUID", JOB)], &creation());
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let job = answer["location"].as_str().and_then(|l| l.rsplit('/').next()).expect("a job");
    assert!(status == 202 && job != JOB);
    assert_eq!(outcome(&b, job).1["error"]["code"], "ID.1001");
}

#[test]
fn the_body_of_a_stranger_is_not_waited_for() {
    let b = Bench::start();
    let mut stream = TcpStream::connect(b.address()).expect("connected");
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth wrong\r\nX-Job-UUID: {JOB}\r\nContent-Length: 900000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).expect("an answer");
    assert!(line.starts_with("HTTP/1.1 202 "), "{line}");
    // Nor is it judged.
    let answer = b.tcp().request("POST", PATH, &[WRONG, ("X-Job-UUID", JOB)], b"no JSON").expect("answered");
    assert_eq!(answer.status, 202);
}

#[test]
fn what_has_no_form_is_refused_at_once() {
    let b = Bench::start();
    for (headers, status) in [
        (&[("X-Job-UUID", JOB)][..], 400),
        (&[("X-Job-UUID", JOB), ("Authorization", "Basic x")], 400),
        (&[("X-Job-UUID", JOB), ("Authorization", "ZStack id:signature")], 400),
        (&[("X-Job-UUID", "short"), WRONG], 400),
        (&[("X-Job-UUID", JOB), ("X-API-Timeout", "soon"), WRONG], 400),
        (&[WRONG], 503),
    ] {
        let answer = b.tcp().request("POST", PATH, headers, creation().to_string().as_bytes()).expect("answered");
        assert_eq!(answer.status, status, "{headers:?}");
    }
    assert_eq!(outcome(&b, JOB).0, 404);
    assert_eq!(files(&b.path("state/jobs")), Vec::<String>::new());
}

fn trail(b: &Bench) -> Vec<String> {
    b.logs().lines().filter(|line| line.contains("cygnet::audit")).map(ToOwned::to_owned).collect()
}

#[test]
fn strangers_do_not_drown_the_audit_trail() {
    let mut b = Bench::start();
    let path = format!("{PATH}/{}", uuid(7));
    for n in 0..500 {
        let job = format!("{n:032}");
        match n % 4 {
            0 => b.tcp().request("DELETE", &path, &[WRONG], b"").expect("answered").expect(503),
            1 => b.tcp().request("DELETE", &path, &[], b"").expect("answered").expect(400),
            2 => b.tcp().request("DELETE", &path, &[WRONG, ("X-Job-UUID", &job)], b"").expect("answered").expect(202),
            _ => b
                .tcp()
                .request("POST", &format!("/cygnet/v1/connections/{}/plan", uuid(7)), &[WRONG], b"")
                .expect("answered")
                .expect(503),
        };
    }
    for _ in 0..3 {
        b.ask("DELETE", &path, b"").expect(503);
    }
    b.create(&params(7, &json!({}))).expect(200);
    let lines = trail(&b);
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert!(lines[0].contains("an unauthenticated caller") && lines[0].contains("127.0.0.1"), "{}", lines[0]);
    assert!(lines[1..].iter().all(|line| line.contains("by token test from ")), "each of a caller's: {lines:#?}");
    assert_eq!(b.logs().matches("a write is asked for").count(), 4);
    assert!(b.logs().lines().count() < 40, "nor anything else: {}", b.logs());
    b.stop();
    let lines = trail(&b);
    let sum = lines.last().expect("a sum");
    assert!(lines.len() == 6 && sum.contains("499 more writes without valid credentials from 127.0.0.1"), "{sum}");
    assert!(sum.contains("count=499") && !b.logs().contains(TOKEN));
}
