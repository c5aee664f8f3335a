//! The journal of the agent: one line of message that says it all, for every kind of event, and none of them written or
//! flooded by a stranger.

use super::run::{run, up};
use crate::serve::{Bench, change, params, uuid, wait_until};
use serde_json::json;
use unicode_width::UnicodeWidthStr;

/// What the journal calls the connection 7.
const SITE: &str = "site-7 (c0000000…): ";

/// Waits for a line with this text, and returns it.
#[track_caller]
fn said(b: &Bench, text: &str) -> String {
    wait_until(text, || b.logs().lines().find(|line| line.contains(text)).map(ToOwned::to_owned))
}

/// The lines with this text.
fn count(b: &Bench, text: &str) -> usize {
    b.logs().lines().filter(|line| line.contains(text)).count()
}

/// Fails if the log has what only a debugger reads, or what a terminal would obey.
#[track_caller]
fn is_plain(b: &Bench) {
    let logs = b.logs();
    for debugged in ["Some(", "None", "Ok(", "Err(", "Network(", "Local(", "Initiate", "next step", " { "] {
        assert!(!logs.contains(debugged), "{debugged}: {logs}");
    }
    assert!(!logs.chars().any(|c| c.is_control() && c != '\n'), "{logs:?}");
}

#[test]
fn every_event_is_a_line_that_says_it_all() {
    let mut b = up();
    b.charon.establish(false);
    said(&b, &format!("{SITE}up"));
    let created = said(&b, "CreateIPsecConnection by");
    assert!(
        created.contains(&format!("{SITE}CreateIPsecConnection by token test from 127.0.0.1: done; it is new")),
        "{created}"
    );
    std::fs::remove_file(b.conf(&uuid(7))).expect("removed");
    said(&b, &format!("{SITE}had drifted from its record, put back: "));
    // A change, with the account, the members and no key.
    let other = super::run::OTHER_KEY;
    run(&b, &["change", "site-7", "--set", "lifeTime=1000", "--yes"]).ends(4);
    said(
        &b,
        &format!(
            "{SITE}ChangeIPsecConnection by uid {} from this host: done; lifeTime 3600 -> 1000",
            nix::unistd::getuid()
        ),
    );
    super::run::fed(&b, &["change", "site-7", "--auth-key-file", "-", "--yes"], other).ends(4);
    said(&b, "from this host: done; authKey changed");
    // charon goes and comes back, without SAs.
    b.charon.kill();
    b.charon.hang_up();
    let lost = said(&b, "charon is unreachable: ");
    assert!(lost.contains("; the status of all connections is unknown"), "{lost}");
    b.charon.revive();
    wait_until("charon is back", || {
        (count(&b, "charon has loaded the stored connections (strongSwan 5.9.8)") > 1).then_some(())
    });
    said(&b, &format!("{SITE}down, "));
    is_plain(&b);
    assert!(!b.logs().contains(other), "a key is in the journal");
}

#[test]
fn refused_calls_have_a_line_and_their_reason() {
    let b = up();
    let path = format!("/zstack/v1/ipsec/{}", uuid(7));
    let wrong = ("Authorization", "OAuth wrong");
    b.tcp().request("GET", "/cygnet/v1/connections", &[wrong], b"").expect("answered").expect(503);
    said(&b, "GET /cygnet/v1/connections by an unauthenticated caller from 127.0.0.1: refused (ID.1001); ");
    b.tcp().request("DELETE", &path, &[wrong], b"").expect("answered").expect(503);
    said(&b, &format!("{SITE}DeleteIPsecConnection by an unauthenticated caller from 127.0.0.1: refused (ID.1001); "));
    b.ask("GET", "/cygnet/v1/connections?q=nonsense", b"").expect(400);
    said(&b, "GET /cygnet/v1/connections by token test from 127.0.0.1: refused (400); ");
    b.change(&uuid(7), &change(7, &json!({ "lifeTime": 1 }))).expect(503);
    let refused = said(&b, &format!("{SITE}ChangeIPsecConnection by token test from 127.0.0.1: refused (SYS.1007); "));
    assert!(refused.contains("lifeTime"), "{refused}");
    is_plain(&b);
}

/// Whatever a stranger sends and however often: a bounded number of lines, each of one line.
#[test]
fn a_stranger_cannot_write_or_flood_the_journal() {
    let b = Bench::start();
    let before = b.logs().lines().count();
    let hostile = format!("/zstack/v1/x%0a%1b[2J{}", "y".repeat(3000));
    for n in 0..400 {
        let wrong = [("Authorization", "OAuth wrong"), ("X-Request-Ip", "forged")];
        let headers = if n % 2 == 0 { &wrong[..] } else { &[] };
        let (method, path) = match n % 5 {
            0 => ("GET", "/cygnet/v1/connections"),
            1 => ("PUT", "/zstack/v1/accounts/login"),
            2 => ("POST", "/zstack/v1/ipsec"),
            3 => ("PATCH", "/zstack/v1/ipsec"),
            _ => ("DELETE", hostile.as_str()),
        };
        b.tcp().request(method, path, headers, b"{}").expect("answered");
    }
    let lines: Vec<_> = b.logs().lines().skip(before).map(ToOwned::to_owned).collect();
    assert!((2..8).contains(&lines.len()), "{lines:#?}");
    assert!(lines.iter().all(|line| line.width() < 1500), "{lines:#?}");
    is_plain(&b);
}

/// A name may be anything: it stays a part of its line.
#[test]
fn a_hostile_name_is_visible() {
    let b = Bench::start();
    let name = format!("x\n2026-01-01 forged\u{1b}[2J\u{202e}{}", "y".repeat(200));
    b.create(&params(7, &json!({ "name": name }))).expect(200);
    let line = said(&b, "CreateIPsecConnection by");
    assert!(line.contains("x\\n2026-01-01 forged\\u{1b}[2J\\u{202e}yyy"), "{line}");
    is_plain(&b);
}
