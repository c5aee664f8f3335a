//! `cygnet apply` and `cygnet export`: the plan, the questions, the writes one by one, and where they end.

use super::{
    run::{OTHER_KEY, Run, command, fed, run},
    tty::Terminal,
};
use crate::serve::{Bench, KEY, Options, params, uuid, wait_until};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

/// The connection `n` in a file of its own document; `more` are lines.
pub fn document(n: u8, more: &str) -> String {
    format!(
        "---\nname: site-{n}\nuuid: {}\nvipUuid: 192.0.2.1\npeerAddress: 198.51.100.{n}\nl3NetworkUuids: [10.1.0.0/24]\n\
         peerCidrs:\n  - 10.{n}.2.0/24\n{more}",
        uuid(n)
    )
}

/// Writes a file of the bench.
pub fn file(b: &Bench, name: &str, text: &str) -> String {
    let path = b.path(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(&path, text).expect("a file");
    path.display().to_string()
}

/// An agent with the connections 1 to `count`, which are up.
fn up(count: u8) -> Bench {
    up_waiting(count, "0s")
}

/// The same, whose writes wait so long for their tunnel.
fn up_waiting(count: u8, wait: &'static str) -> Bench {
    let b = Bench::with(&Options { wait, ..Options::default() });
    b.charon.establish(true);
    for n in 1..=count {
        b.create(&params(n, &json!({}))).expect(200);
    }
    for n in 1..=count {
        wait_until("it is up", || (b.inventory(&uuid(n))["status"] == "Ready").then_some(()));
        proven(&b, n);
    }
    b
}

fn proven(b: &Bench, n: u8) {
    let stored = || fs::read_to_string(b.record(&uuid(n))).is_ok_and(|text| !text.contains("\"unproven\""));
    wait_until("that it runs is stored", || stored().then_some(()));
}

fn set(b: &Bench, more: &[(u8, &str)]) -> String {
    let text: String = more.iter().map(|(n, more)| document(*n, more)).collect();
    file(b, "set.yaml", &text)
}

fn lifetime(b: &Bench, n: u8) -> Value {
    b.inventory(&uuid(n))["lifeTime"].clone()
}

fn records(b: &Bench) -> Vec<(PathBuf, String)> {
    let all = fs::read_dir(b.connections_dir()).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<_> = all.map(|path| (path.clone(), fs::read_to_string(path).unwrap_or_default())).collect();
    all.sort();
    all
}

#[test]
fn a_second_apply_does_nothing() {
    let b = up_waiting(2, "10s");
    file(&b, "third.key", &format!("{OTHER_KEY}\n"));
    let files = set(&b, &[(1, "lifeTime: 1800\n"), (2, ""), (3, "authKeyFile: third.key\ndescription: new\n")]);
    let first = run(&b, &["apply", "-f", &files, "--yes"]).ends(0);
    let lines: Vec<_> = first.out.lines().collect();
    let wanted =
        [format!("[1/2] changed site-1 ({}): Ready", uuid(1)), format!("[2/2] created site-3 ({}): Ready", uuid(3))];
    assert_eq!(lines, wanted);
    assert_eq!((lifetime(&b, 1), &b.inventory(&uuid(3))["authKey"]), (json!(1800), &json!(OTHER_KEY)));
    (1..=3).for_each(|n| proven(&b, n));
    let before = records(&b);
    b.charon.forget_requests();
    let second = run(&b, &["apply", "-f", &files, "--yes"]).ends(0);
    assert_eq!(second.out, "0 to create, 0 to change, 0 to delete, 3 as the files say\n");
    assert_eq!(records(&b), before);
    let sent = b.charon.commands();
    assert!(!sent.iter().any(|command| command.contains("load") || command.contains("initiate")), "{sent:?}");
}

#[test]
fn the_plan_is_shown_and_a_terminal_is_asked() {
    let b = up_waiting(3, "10s");
    let files = set(&b, &[(1, "lifeTime: 1800\n"), (4, &format!("authKey: {KEY}\n"))]);
    let shown = run(&b, &["apply", "-f", &files, "--dry-run"]).ends(0).out;
    for part in [
        "site-1  change  child",
        "lifeTime 3600 -> 1800",
        "site-4  create",
        "1 to create, 1 to change, 0 to delete, 0 as the files say",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(lifetime(&b, 1), 3600);
    let alone = run(&b, &["apply", "-f", &files]).ends(2);
    assert!(alone.err.contains("add --yes to skip the question"), "{}", alone.err);
    for (answer, code, now) in [("n", 1, 3600), ("y", 0, 1800)] {
        let mut terminal = Terminal::start(&b, &["apply", "-f", &files, "--prune"], &[]);
        terminal.until("Write 2 connections? [y/N]");
        terminal.types(answer);
        if answer == "y" {
            terminal.until("Delete 2 connections that the files do not have, and close their tunnels? [y/N]");
            terminal.types("y");
        }
        let (ended, screen) = terminal.end();
        assert_eq!(ended, code, "{screen}");
        assert_eq!(lifetime(&b, 1), now);
        assert_eq!(b.inventory(&uuid(2)).is_null(), answer == "y");
    }
}

#[test]
fn only_what_is_meant_is_deleted() {
    let b = up(3);
    let with_tag = |n: u8| {
        let path = format!("/zstack/v1/ipsec/{}", uuid(n));
        b.ask("PUT", &path, br#"{"updateIPsecConnection":{},"userTags":["mine"]}"#).expect(200);
    };
    (1..=2).for_each(with_tag);
    let files = set(&b, &[(1, "userTags: [mine]\n")]);
    let prune = |more: &[&str]| run(&b, &[&["apply", "-f", &files, "--prune"], more].concat());
    let unconfirmed = prune(&["--yes"]).ends(2);
    assert!(
        unconfirmed.err.contains("2 connections would be deleted") && unconfirmed.err.contains("site-2, site-3"),
        "{}",
        unconfirmed.err
    );
    let many = prune(&["--yes", "--max-deletions", "1"]).ends(1);
    assert!(many.err.contains("--max-deletions is 1"), "{}", many.err);
    let untagged = set(&b, &[(1, "")]);
    let outside = run(&b, &["apply", "-f", &untagged, "--prune", "--scope", "mine", "--dry-run"]).ends(1);
    assert!(outside.err.contains("set.yaml, line 2: userTags must have mine"), "{}", outside.err);
    let files = set(&b, &[(1, "userTags: [mine]\n")]);
    run(&b, &["apply", "-f", &files, "--prune", "--scope", "mine", "--yes", "--max-deletions", "1"]).ends(0);
    assert_eq!([1, 2, 3].map(|n| b.inventory(&uuid(n)).is_null()), [false, true, false]);
    let empty = file(&b, "empty.yaml", "# nothing\n");
    let all = ["apply", "-f", &empty, "--prune", "--yes", "--max-deletions", "9"];
    let refused = run(&b, &all).ends(1);
    assert!(
        refused.err.contains("the files have no connection") && refused.err.contains("--allow-empty"),
        "{}",
        refused.err
    );
    run(&b, &[&all[..], &["--allow-empty"]].concat()).ends(0);
    assert_eq!(records(&b), []);
}

#[test]
fn the_first_failure_ends_it_and_the_rest_is_untouched() {
    let b = up(3);
    let files = set(&b, &[(1, "lifeTime: 1800\n"), (2, "ikeDhGroup: 19\n"), (3, "lifeTime: 1800\n")]);
    // Only the first is let through: the fake peer then answers no negotiation any more.
    let name = format!("cygnet-{}", uuid(3));
    let third = format!("{:?}", b.charon.connection(&name));
    b.charon.establish(false);
    let ended = run(&b, &["apply", "-f", &files, "--yes", "--confirm=1s", "-o", "json"]).ends(1);
    let answer = ended.json();
    let states: Vec<_> =
        answer["connections"].as_array().expect("a list").iter().map(|item| item["result"]["state"].clone()).collect();
    assert_eq!(json!(states), json!(["failed", "not_done", "not_done"]));
    let stopped = answer["stopped"]["details"].as_str().unwrap_or_default().to_owned();
    assert!(stopped.contains("put back"), "{answer}");
    assert_eq!([1, 2, 3].map(|n| lifetime(&b, n)), [3600, 3600, 3600].map(|n| json!(n)));
    assert_eq!(format!("{:?}", b.charon.connection(&name)), third, "it was not touched");
    let told = run(&b, &["apply", "-f", &files, "--yes", "--confirm=1s"]).ends(1);
    assert!(told.out.contains("not done: site-2, site-3"), "{}", told.out);
    assert!(told.err.contains("stopped after 0 of 3: site-1: ") && told.err.contains("put back"), "{}", told.err);
    // Without a trial the old SA goes on, so the first one is not up again, and nothing else is tried.
    let waited = run(&b, &["apply", "-f", &files, "--yes", "--wait=1s", "--max-unavailable=3"]).ends(1);
    assert!(waited.err.contains("site-1 was up and is not up again within 1 s"), "{}", waited.err);
    assert_eq!([1, 2, 3].map(|n| lifetime(&b, n)), [1800, 3600, 3600].map(|n| json!(n)));
}

#[test]
fn more_may_be_down_once_the_first_is_up_again() {
    let b = up(4);
    let files =
        set(&b, &[(1, "lifeTime: 1800\n"), (2, "lifeTime: 1800\n"), (3, "lifeTime: 1800\n"), (4, "lifeTime: 1800\n")]);
    // The first comes up; the others are lost as soon as it has.
    let child = command(&b, &["apply", "-f", &files, "--yes", "--wait=3s", "--max-unavailable=2"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    wait_until("the first is changed", || (lifetime(&b, 1) == 1800).then_some(()));
    wait_until("and up", || (b.inventory(&uuid(1))["status"] == "Ready").then_some(()));
    b.charon.establish(false);
    let output = child.wait_with_output().expect("ended");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let done = [1, 2, 3, 4].map(|n| lifetime(&b, n) == 1800);
    // Which of the second and third is reached before the peer is lost is open; the fourth never is.
    let down =
        [2, 3, 4].iter().filter(|n| done[**n as usize - 1] && b.inventory(&uuid(**n))["status"] != "Ready").count();
    assert!(down <= 2, "{down} are down: {done:?} {err}");
    if !done[3] {
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains("is not up again within 3 s"), "{err}");
    }
}

#[test]
fn what_another_call_changed_since_the_plan_is_left_alone() {
    let b = up(1);
    let files = set(&b, &[(1, "lifeTime: 1800\n")]);
    let mut terminal = Terminal::start(&b, &["apply", "-f", &files], &[]);
    terminal.until("Write 1 connection? [y/N]");
    let path = format!("/zstack/v1/ipsec/{}", uuid(1));
    b.ask("PUT", &path, br#"{"updateIPsecConnection":{"description":"theirs"}}"#).expect(200);
    terminal.types("y");
    let (code, screen) = terminal.end();
    assert!(code == 1 && screen.contains("was changed by another call at"), "{screen}");
    assert_eq!((lifetime(&b, 1), &b.inventory(&uuid(1))["description"]), (json!(3600), &json!("theirs")));
}

/// Two at once make each connection once, whoever wins.
#[test]
fn two_at_once_do_not_make_a_connection_twice() {
    let b = Bench::start();
    let text: String = (1..=5)
        .map(|n| document(n, &format!("authKey: {KEY}\n")).replace(&format!("uuid: {}\n", uuid(n)), ""))
        .collect();
    let files = file(&b, "set.yaml", &text);
    let start = || {
        let mut command = command(&b, &["apply", "-f", &files, "--yes", "--json"]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("started")
    };
    let both = [start(), start()].map(|child| child.wait_with_output().expect("ended").status.code());
    assert_eq!(records(&b).len(), 5, "{both:?}");
    let again = run(&b, &["apply", "-f", &files, "--dry-run"]).ends(0);
    assert!(again.out.contains("5 as the files say"), "{}", again.out);
}

#[test]
fn an_export_is_applied_without_effect_and_makes_the_same_elsewhere() {
    let (b, other) = (up(2), Bench::start());
    let more = json!({ "ikeVersion": "ikev2", "idType": "fqdn", "remoteId": "on.example", "description": "quo\"te: # \n\u{e9}",
                       "dpdDelay": 17, "peerCidrs": ["10.3.2.0/24", "10.3.4.0/24"], "userTags": ["yes", "0x1f", "- a"] });
    b.create(&params(3, &more)).expect(200);
    for format in ["yaml", "json"] {
        let text = run(&b, &["export", "-o", format]).ends(0).out;
        let name = format!("export.{format}");
        let path = file(&b, &name, &text);
        let kept = run(&b, &["apply", "-f", &path, "--dry-run"]).ends(0);
        assert_eq!(kept.out, "0 to create, 0 to change, 0 to delete, 3 as the files say\n", "{text}");
        let keyless = fed(&other, &["apply", "-f", "-", "--yes"], &text).ends(1);
        assert!(keyless.err.contains("authKey is missing"), "{}", keyless.err);
    }
    let text = run(&b, &["export"]).ends(0).out;
    let text = text.replace("---\n", "---\nauthKeyFile: the.key\n");
    file(&other, "the.key", KEY);
    let path = file(&other, "in/../all.yaml", &text);
    run(&other, &["apply", "-f", &path, "--yes"]).ends(4);
    for n in 1..=3 {
        let read = |b: &Bench| fs::read_to_string(b.conf(&uuid(n))).expect("a file");
        assert_eq!(read(&other), read(&b), "site-{n}");
    }
    let one = run(&b, &["export", "site-2", "-o", "json"]).ends(0).json();
    assert_eq!((one.as_array().map(Vec::len), &one[0]["uuid"]), (Some(1), &json!(uuid(2))));
    assert!(run(&b, &["export", "nobody"]).ends(1).err.contains("no connection has the name"));
}

#[test]
fn new_connections_that_are_not_up_are_told() {
    let b = Bench::start();
    let files = set(&b, &[(1, &format!("authKey: {KEY}\n"))]);
    let Run { err, .. } = run(&b, &["apply", "-f", &files, "--yes"]).ends(4);
    assert!(err.contains("done, but not up: site-1"), "{err}");
}
