//! `log` and `events`: what was, and what comes.

use super::run::{command, keyless, run, up};
use crate::serve::{Bench, PATIENCE, uuid, wait_until};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

/// A subcommand that goes on until it is ended.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn start(b: &Bench, arguments: &[&str]) -> Self {
        let mut command = command(b, arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("started");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
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

#[test]
fn the_end_of_the_agent_is_the_end() {
    let mut b = up();
    let mut following = Following::start(&b, &["log", "site-7", "-f"]);
    following.line("cygnet");
    b.stop();
    let code = wait_until("it ends", || following.child.try_wait().expect("a child"));
    assert_eq!(code.code(), Some(3));
}
