//! Hostile names and words in every member of every answer: no subcommand prints what a terminal would obey, and none
//! lets a stranger begin a line. The agent here is a socket that answers everything with the same JSON.

use super::run::{Run, command, fed};
use crate::serve::{Bench, Options};
use cygnet::visible::is_hidden;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    process::Stdio,
    thread,
};

const HOSTILE: &str =
    "x\u{1b}]0;y\u{7}\u{1b}[2J\r\nFORGED \u{202e}\u{2066}\u{9b}31m\u{85}\u{7f}\u{200b}\u{2028}\u{feff}";
const UUID: &str = "c0000000000040008000000000000007";

/// What each subcommand looks for, all of it hostile.
fn everything() -> Value {
    let h = || json!(HOSTILE);
    let inventory = json!({ "uuid": h(), "name": h(), "description": h(), "peerAddress": h(), "vipUuid": h(),
        "state": h(), "status": h(), "localId": h(), "remoteId": h(), "idType": h(), "ikeVersion": h(),
        "policyMode": "tunnel", "pfs": h(), "peerCidrs": [{ "cidr": h() }], "l3NetworkRefs": [{ "l3NetworkUuid": h() }],
        "lastOpDate": h(), "createDate": h(), "authKey": h() });
    let mut answered = inventory.clone();
    // It is asked for again.
    answered["uuid"] = UUID.into();
    let reason = json!({ "code": h(), "details": h(), "advice": h(), "since": h(), "trigger": h() });
    let sa = json!({ "id": h(), "state": h(), "version": h(), "local": h(), "remote": h(), "encryption": h(),
        "integrity": h(), "prf": h(), "group": h(), "age_s": h(), "bytes_in": 1 });
    let children = json!([
        { "local": [h()], "remote": [h()], "condition": h(), "reason": reason, "sas": [sa] },
        { "local": [h()], "remote": [h()], "condition": h(), "reason": reason, "sas": [] }]);
    let difference = json!([{ "field": h(), "from": h(), "to": h() }, { "setting": h(), "from": [h()], "to": h() }]);
    let finding = json!([{ "check": h(), "level": h(), "what": h(), "fix": h(), "evidence": h(), "seen": h() }]);
    json!({ "uuid": h(), "inventory": answered, "inventories": [inventory], "reason": reason, "children": children,
        "ike_sas": [sa], "drift": { "put_back": [h()], "last": h(), "count": h() }, "impact": h(), "steps": [h()],
        "fields": difference, "file": difference, "warnings": [{ "code": h(), "message": h() }],
        "connections": [{ "inventory": inventory, "reason": reason }], "ready": false, "why": h(), "strongswan": h(),
        "damaged": [{ "file": h(), "why": h() }], "lines": [{ "at": h(), "by": h(), "text": h() }],
        "healthy": false, "findings": finding, "passed": finding,
        "at": h(), "by": h(), "text": h(), "event": h(), "put_back": [h()] })
}

/// How the socket answers.
#[derive(Clone, Copy)]
enum Answers {
    Everything,
    Refusals,
    Text,
}

/// Answers every request on the bench's socket until the test's process ends.
fn answer(b: &Bench, how: Answers) {
    let listener = UnixListener::bind(b.path("cygnet.sock")).expect("a socket");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that has gone needs no answer.
            let _ = reply(stream, how);
        }
    });
}

fn reply(mut stream: UnixStream, how: Answers) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let before = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
        let line = head[before..].to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    reader.take(length).read_to_end(&mut Vec::new())?;
    let is_stream = head.contains("/events") || head.contains("follow=true");
    let (status, body) = match how {
        Answers::Everything if is_stream => {
            let events = ["down", "drift", "missed", "charon_lost", HOSTILE].map(|name| {
                let mut event = everything();
                event["event"] = name.into();
                format!("data: {event}\n\n")
            });
            ("200 OK", events.concat())
        }
        Answers::Everything => ("200 OK", everything().to_string()),
        Answers::Refusals => {
            let error = json!({ "error": { "code": HOSTILE, "details": HOSTILE, "elaboration": HOSTILE } });
            ("503 Service Unavailable", error.to_string())
        }
        Answers::Text => ("503 Service Unavailable", HOSTILE.to_owned()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

const COMMANDS: [&[&str]; 15] = [
    &["status"],
    &["list"],
    &["show", UUID],
    &["plan", UUID, "--set", "lifeTime=1000"],
    &["change", UUID, "--set", "lifeTime=1000", "--yes"],
    &["update", UUID, "--name", "y"],
    &["delete", UUID, "--yes"],
    &["reconnect", UUID],
    &["enable", UUID],
    &["disable", UUID, "--yes"],
    &["add-cidr", UUID, "10.9.0.0/24"],
    &["log", UUID],
    &["log", UUID, "--follow"],
    &["events", "--all"],
    &["doctor"],
];

#[track_caller]
fn harmless(run: &Run, what: &[&str]) {
    for text in [&run.out, &run.err] {
        let hidden: Vec<_> = text.chars().filter(|c| is_hidden(*c) && *c != '\n').collect();
        assert!(hidden.is_empty(), "{what:?}: {hidden:?} in\n{text}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("FORGED")), "{what:?}:\n{text}");
    }
}

#[test]
fn no_answer_is_obeyed() {
    for how in [Answers::Everything, Answers::Refusals, Answers::Text] {
        let b = Bench::idle(&Options::default());
        answer(&b, how);
        for words in COMMANDS {
            for more in [&[][..], &["--json"]] {
                let all = [words, more].concat();
                let run = fed(&b, &all, "");
                harmless(&run, &all);
                let is_silent = matches!(words[0], "delete" | "disable") || matches!(how, Answers::Text);
                let shown = format!("{}{}", run.out, run.err);
                // A table cuts what is too long.
                let mark = if all == ["list"] { "x\\u{1b}" } else { "FORGED" };
                assert!(is_silent || shown.contains(mark), "{all:?} shows nothing: {shown}");
                assert!(!shown.contains("panicked"), "{all:?}: {shown}");
            }
        }
    }
}

/// The values are the same for a program that reads the JSON.
#[test]
fn json_keeps_its_values() {
    let b = Bench::idle(&Options::default());
    answer(&b, Answers::Everything);
    let list = fed(&b, &["list", "--json"], "").ends(0).json();
    assert_eq!(list["connections"][0]["inventory"]["name"], HOSTILE);
    let events = fed(&b, &["events", "--all", "--json"], "").out;
    let event: Value = serde_json::from_str(events.lines().next().expect("an event")).expect("JSON");
    assert_eq!(event["text"], HOSTILE);
}

/// Candidates of an ambiguous name, and errors of the settings and of files, whose names are strange.
#[test]
fn errors_are_not_obeyed() {
    let b = Bench::idle(&Options::default());
    answer(&b, Answers::Everything);
    let name = HOSTILE.replace('/', "");
    for words in [&["show", "x"][..], &["show", "abcd"], &["delete", "x"]] {
        harmless(&fed(&b, words, ""), words);
    }
    for words in [
        &["plan", UUID, &name][..],
        &["change", UUID, "--yes", "--auth-key-file", &name],
        &["change", UUID, "--yes", "--set", &format!("{name}=1")],
        &["change", UUID, "--yes", "--set", "pfs=none", &format!("--wait={name}")],
        &["render", &name],
        &["passwd", &name],
        &["accesskey", &name],
    ] {
        harmless(&fed(&b, words, "x"), words);
    }
    let strange = b.path(&name);
    for words in [&["list"][..], &["doctor"], &["passwd", "x"], &["render"]] {
        for text in [None, Some("lisen = \"\u{202e}\"\n"), Some("\u{9b} = 1\n")] {
            if let Some(text) = text {
                std::fs::write(&strange, text).expect("written");
            }
            let mut command = command(&b, words);
            let output = command.env("CYGNET_CONFIG", &strange).stdin(Stdio::null());
            // The last one counts.
            let output = output.arg("--config").arg(&strange).output();
            let output = output.expect("ended");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let run =
                Run { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) };
            harmless(&run, words);
        }
    }
}
