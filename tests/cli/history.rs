//! `cygnet history` and `cygnet revert`.

use super::{
    run::{run, up},
    tty::Terminal,
};
use crate::serve::{Bench, uuid, wait_until};
use nix::unistd::Uid;
use serde_json::json;

/// A connection that was changed twice.
fn changed() -> Bench {
    let b = up();
    for value in ["2000", "3000"] {
        run(&b, &["change", "site-7", "--set", &format!("lifeTime={value}"), "--yes", "--wait"]).ends(0);
    }
    b
}

#[test]
fn a_history_is_a_table_and_json() {
    let b = changed();
    let page = run(&b, &["history", "site-7"]).ends(0).out;
    let lines: Vec<_> = page.lines().collect();
    assert!(lines[0].starts_with("REVISION  WHEN"), "{page}");
    assert!(lines[1].starts_with("3 *") && lines[3].starts_with("1 "), "{page}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{page}");
    let wide = run(&b, &["history", "site-7", "-o", "wide"]).ends(0).out;
    assert!(wide.contains(&format!("uid {}", Uid::current())) && wide.contains("token test"), "{wide}");
    assert!(wide.contains("lifeTime 2000 -> 3000") && wide.contains("the first one that is kept"), "{wide}");
    for arguments in [&["history", "site-7", "-o", "json"][..], &["history", &uuid(7), "--json"]] {
        let seen = run(&b, arguments).ends(0).json();
        assert_eq!(seen["revisions"].as_array().map(Vec::len), Some(3));
        assert_eq!((&seen["name"], &seen["revisions"][0]["current"]), (&json!("site-7"), &json!(true)));
    }
    let ended = run(&b, &["history", "nobody"]).ends(1);
    assert!(ended.err.contains("no connection has the name or the uuid nobody"), "{}", ended.err);
}

#[test]
fn a_revert_is_shown_asked_for_and_confirmed() {
    let b = changed();
    let ended = run(&b, &["revert", "site-7", "1"]).ends(2);
    assert!(ended.err.contains("--yes"), "{}", ended.err);
    let mut terminal = Terminal::start(&b, &["revert", "site-7", "1"], &[]);
    terminal.until("Revert site-7 to revision 1?");
    terminal.types("n");
    let (code, shown) = terminal.end();
    assert!(code == 1 && shown.contains("nothing was done") && shown.contains("lifeTime"), "{shown}");
    assert_eq!(b.inventory(&uuid(7))["lifeTime"], 3000);
    let mut terminal = Terminal::start(&b, &["revert", "site-7", "2"], &[("NO_COLOR", "1")]);
    terminal.until("Revert site-7 to revision 2?");
    terminal.types("y");
    let (code, shown) = terminal.end();
    assert!(code == 0 && shown.contains(&format!("reverted site-7 ({}): Ready", uuid(7))), "{shown}");
    assert_eq!(b.inventory(&uuid(7))["lifeTime"], 2000);
    assert_eq!(run(&b, &["history", "site-7", "--json"]).json()["revisions"][0]["revision"], 4);
}

#[test]
fn a_revert_between_the_plan_and_the_answer_is_noticed() {
    let b = changed();
    let mut terminal = Terminal::start(&b, &["revert", "site-7", "1"], &[]);
    terminal.until("Revert site-7 to revision 1?");
    run(&b, &["update", "site-7", "--description", "of the river"]).ends(0);
    terminal.types("y");
    let (code, shown) = terminal.end();
    assert!(code == 1 && shown.contains("the connection is at revision 4 by now"), "{shown}");
    assert_eq!(b.inventory(&uuid(7))["lifeTime"], 3000);
}

#[test]
fn a_revert_that_does_not_come_up_is_taken_back_unless_it_is_kept() {
    let b = &up();
    run(b, &["change", "site-7", "--set", "ikeDhGroup=14", "--yes", "--wait"]).ends(0);
    b.charon.establish(false);
    let ended = std::thread::scope(|scope| {
        let asked = scope.spawn(move || run(b, &["revert", "site-7", "1", "--yes", "--confirm", "1s"]));
        for group in [2, 14] {
            wait_until("the trial and its end", || (b.inventory(&uuid(7))["ikeDhGroup"] == group).then_some(()));
        }
        b.charon.establish(true);
        asked.join().expect("no panic").ends(1)
    });
    assert!(ended.err.contains("put back"), "{}", ended.err);
    assert_eq!(b.inventory(&uuid(7))["ikeDhGroup"], 14);
    b.charon.establish(false);
    run(b, &["revert", "site-7", "1", "--yes", "--no-confirm"]).ends(4);
    assert_eq!(b.inventory(&uuid(7))["ikeDhGroup"], 2);
    let ended = run(b, &["revert", "site-7", "1", "--yes", "--no-confirm", "--confirm"]).ends(2);
    assert!(ended.err.contains("cannot be used with"), "{}", ended.err);
}

/// What a revert goes back to may need the other end too, at another hour.
#[test]
fn a_revert_in_transition_keeps_the_tunnel_and_is_not_on_trial() {
    let b = up();
    run(&b, &["change", "site-7", "--set", "ikeDhGroup=19", "--yes", "--wait"]).ends(0);
    b.charon.establish(false);
    let revert = ["revert", "site-7", "1", "--yes", "--transition", "24h"];
    for (option, name) in [("--confirm", "confirm"), ("--immediate", "immediate")] {
        let ended = run(&b, &[&revert[..], &[option]].concat()).ends(1);
        assert!(ended.err.contains("cannot be combined with transition") && ended.err.contains(name), "{}", ended.err);
    }
    let ended = run(&b, &["revert", "site-7", "1", "--yes", "--accept"]).ends(2);
    assert!(ended.err.contains("--transition"), "{}", ended.err);
    let ended = run(&b, &revert).ends(0);
    assert!(ended.out.starts_with(&format!("reverted site-7 ({}): Connecting", uuid(7))), "{}", ended.out);
    assert!(ended.err.contains("IN_TRANSITION"), "{}", ended.err);
    let view = run(&b, &["show", "site-7", "--json"]).ends(0).json();
    assert!(view["transition"]["over"] == false && view["trial"].is_null(), "{view:#}");
    let page = run(&b, &["list", "--transition"]).ends(0).out;
    assert!(page.contains("site-7") && page.contains("ecp256"), "{page}");
    // An export says what is wanted, so applying it is no write and the transition goes on.
    let file = b.path("export.yaml");
    std::fs::write(&file, run(&b, &["export"]).ends(0).out).expect("written");
    let plan = run(&b, &["apply", "-f", file.to_str().expect("UTF-8"), "--yes", "--json"]).ends(0).json();
    assert_eq!(plan["connections"][0]["action"], "keep", "{plan:#}");
    assert_eq!(run(&b, &["list", "--transition", "-o", "name"]).ends(0).out, "site-7\n");
    // Files are a wish for good: a command that cannot be in transition says so.
    let ended = run(&b, &["apply", "-f", "-", "--yes", "--transition", "24h"]).ends(2);
    assert!(ended.err.contains("--transition"), "{}", ended.err);
}
