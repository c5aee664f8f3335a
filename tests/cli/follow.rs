//! `log` and `events`: the past, and what follows.

use super::run::{command, keyless, run, up};
use crate::serve::{Bench, PATIENCE, params, uuid, wait_until};
use cygnet::strongswan::section::Section;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

/// A subcommand that goes on until it is ended.
struct Following {
    child: Child,
    lines: Receiver<String>,
    notes: Receiver<String>,
}

/// What is read from there, line by line.
fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    lines
}

impl Following {
    fn start(b: &Bench, arguments: &[&str]) -> Self {
        let mut command = command(b, arguments);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let out = lines(child.stdout.take().expect("piped"));
        let notes = lines(child.stderr.take().expect("piped"));
        Self { child, lines: out, notes }
    }

    /// The next line on standard error.
    #[track_caller]
    fn note(&self) -> String {
        self.notes.recv_timeout(PATIENCE).expect("a note")
    }

    /// The next line with `word` in it.
    #[track_caller]
    fn line(&self, word: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no line with {word}: {error}"));
            keyless(&line);
            if line.contains(word) {
                return line;
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_log_is_shown() {
    let b = up();
    // It may just be growing.
    let (page, lines) = wait_until("both say the same", || {
        let json = run(&b, &["log", "site-7", "--json"]).ends(0).json();
        let page = run(&b, &["log", "site-7"]).ends(0).out;
        let lines = json["lines"].as_array().expect("a list").clone();
        (page.lines().count() == lines.len() && lines.len() > 1).then_some((page, lines))
    });
    assert!(page.contains(lines[0]["text"].as_str().expect("a text")), "{page}");
    let last = run(&b, &["log", "site-7", "-n", "1"]).ends(0).out;
    assert_eq!(last.lines().count(), 1);
    assert!(run(&b, &["log", "site-7"]).ends(0).out.contains(&last), "{page}\n{last}");
    run(&b, &["log", &uuid(9)]).ends(1);
    run(&b, &["log", &uuid(9), "-f"]).ends(1);
}

#[test]
fn a_log_is_followed() {
    let b = up();
    let (people, program) =
        (Following::start(&b, &["log", "site-7", "-f"]), Following::start(&b, &["log", "site-7", "-f", "--json"]));
    people.line("cygnet");
    program.line("\"by\"");
    run(&b, &["disable", "site-7", "--yes"]).ends(0);
    run(&b, &["enable", "site-7", "--wait"]).ends(0);
    let last = run(&b, &["log", "site-7", "--json", "-n", "1"]).ends(0).json()["lines"][0].take();
    people.line(last["text"].as_str().expect("a text"));
    let told = program.line(&format!("\"number\":{}", last["number"]));
    assert_eq!(serde_json::from_str::<Value>(&told).expect("JSON")["text"], last["text"]);
}

#[test]
fn events_are_told() {
    let b = up();
    let all = Following::start(&b, &["events", "--all"]);
    assert!(all.line("changed").contains(&uuid(7)));
    // Whoever has seen what was, is there when something comes.
    run(&b, &["update", "site-7", "--name", "east"]).ends(0);
    run(&b, &["delete", "east", "--yes"]).ends(0);
    assert!(all.line("deleted").contains(&uuid(7)));
    let json = Following::start(&b, &["events", "--all", "--json"]);
    let event: Value = serde_json::from_str(&json.line("\"deleted\"")).expect("JSON");
    assert_eq!(event["uuid"], uuid(7));
}

/// The lines of a connection's log.
fn log_of(b: &Bench, name: &str) -> Vec<Value> {
    run(b, &["log", name, "--json", "-n", "10000"]).ends(0).json()["lines"].as_array().expect("a list").clone()
}

/// Whatever ended it: what was told is told again, once, with the same numbers and times.
#[test]
fn a_log_survives_the_agent() {
    let mut b = up();
    let quiet = params(8, &json!({ "state": "Disabled", "name": "a \"quiet\"\u{1b} one" }));
    b.create(&quiet).expect(200);
    let name = format!("cygnet-{}", uuid(7));
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGTERM] {
        let text = format!("a line before {signal} of \"charon\"");
        let event = Section::new().with("group", "IKE").with("level", "1").with("thread", "7");
        let event = event.with("ikesa-name", name.as_str()).with("ikesa-uniqueid", "1").with("msg", text.as_str());
        b.charon.send_event("log", &event);
        let before = wait_until("the line", || {
            let lines = log_of(&b, "site-7");
            lines.iter().any(|line| line["text"] == format!("[IKE] {text}")).then_some(lines)
        });
        let (last, quiet) = (before.last().expect("a line").to_string(), log_of(&b, &uuid(8)));
        let last = serde_json::from_str::<Value>(&last).expect("JSON")["text"].to_string();
        if signal == Signal::SIGKILL {
            let file = b.path("state/connections.log");
            wait_until("it is written", || std::fs::read_to_string(&file).ok().filter(|text| text.contains(&last)));
        }
        b.signal(signal);
        b.reap();
        b.run();
        for (id, before) in [(uuid(7), before), (uuid(8), quiet)] {
            let after = log_of(&b, &id);
            let was = &after[..before.len()];
            assert_eq!(was, before, "{signal}");
            assert!(after.iter().any(|line| line["text"].to_string().contains("the agent was started")), "{signal}");
            let numbers: Vec<_> = after.iter().map(|line| line["number"].as_u64().expect("a number")).collect();
            assert_eq!(numbers, (1..=after.len() as u64).collect::<Vec<_>>(), "{signal}");
        }
    }
    let mode = std::fs::metadata(b.path("state/connections.log")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    // A connection that was deleted leaves nothing to one that is created with its uuid.
    run(&b, &["delete", "site-7", "--yes"]).ends(0);
    b.stop();
    b.run();
    b.create(&params(7, &json!({}))).expect(200);
    assert!(log_of(&b, "site-7").iter().all(|line| !line["text"].to_string().contains("a line before")));
}

/// The readers wait for the agent, say so once, and go on where they were: no line comes twice, and none is left out.
#[test]
fn readers_outlive_the_agent() {
    let mut b = up();
    let (log, page) =
        (Following::start(&b, &["log", "site-7", "-f", "--json"]), Following::start(&b, &["log", "site-7", "-f"]));
    let (events, all) = (Following::start(&b, &["events", "--json"]), Following::start(&b, &["events", "--all"]));
    page.line("cygnet");
    all.line("changed");
    let mut numbers = Vec::new();
    let number = |line: String| serde_json::from_str::<Value>(&line).expect("JSON")["number"].as_u64().expect("one");
    numbers.push(number(log.line("")));
    for signal in [Signal::SIGTERM, Signal::SIGTERM] {
        run(&b, &["update", "site-7", "--description", "before"]).ends(0);
        b.signal(signal);
        b.reap();
        for following in [&log, &page, &events, &all] {
            assert!(following.note().contains("the agent has ended; waiting"));
        }
        b.run();
        for following in [&log, &page, &events, &all] {
            assert_eq!(following.note(), "cygnet: the agent is back");
        }
        run(&b, &["update", "site-7", "--description", "after"]).ends(0);
        let last = log_of(&b, "site-7").last().expect("a line")["number"].as_u64().expect("a number");
        while *numbers.last().expect("one") < last {
            numbers.push(number(log.line("")));
        }
        page.line("the agent was started");
        // Whoever had events of another run has them all of this one, and is told that some may be missing.
        assert_eq!(
            serde_json::from_str::<Value>(&events.line("\"missed\"")).expect("JSON"),
            json!({"event": "missed"})
        );
        serde_json::from_str::<Value>(&events.line("\"changed\"")).expect("JSON");
        all.line("missed");
        all.line("changed");
    }
    assert_eq!(numbers, (numbers[0]..).take(numbers.len()).collect::<Vec<_>>());
    assert!(log.notes.try_recv().is_err(), "nothing else is said");
    // What is gone for good ends it.
    let mut page = page;
    run(&b, &["delete", "site-7", "--yes"]).ends(0);
    let code = wait_until("it ends", || page.child.try_wait().expect("a child"));
    assert_eq!(code.code(), Some(1));
}

/// A link, or no space, where the file should be: the log is shown, and the agent starts.
#[test]
fn a_log_that_cannot_be_written_disturbs_nothing() {
    let mut b = up();
    let file = b.path("state/connections.log");
    // It may be there already, or not yet.
    let _ = std::fs::remove_file(&file);
    std::os::unix::fs::symlink(b.path("elsewhere"), &file).expect("a link");
    run(&b, &["update", "site-7", "--description", "x"]).ends(0);
    wait_until("it is said", || b.logs().contains("logs are not kept over a restart").then_some(()));
    assert!(!b.path("elsewhere").exists(), "no link is followed");
    assert!(!log_of(&b, "site-7").is_empty());
    b.stop();
    b.run();
    run(&b, &["log", "site-7"]).ends(0);
}
