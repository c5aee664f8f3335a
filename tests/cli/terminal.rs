//! What only a terminal sees: colour, questions, and a line that says what is waited for.

use super::{
    run::{run, up},
    tty::Terminal,
};
use crate::serve::{Bench, Options, uuid};
use nix::sys::signal::Signal;

const CHANGE: [&str; 4] = ["change", "site-7", "--set", "lifeTime=1000"];
const ESCAPE: char = '\u{1b}';

fn shown(b: &Bench, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let (code, text) = Terminal::start(b, arguments, environment).end();
    assert_eq!(code, 0, "{text}");
    text
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let b = up();
    for arguments in [&["list"][..], &["show", "site-7"], &["status"], &["plan", "site-7", "--set", "pfs=none"]] {
        let coloured = shown(&b, arguments, &[]);
        assert!(coloured.contains(ESCAPE), "{arguments:?}: {coloured:?}");
        for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let plain = shown(&b, arguments, &[environment]);
            assert!(!plain.contains(ESCAPE), "{arguments:?}: {plain:?}");
        }
        assert!(shown(&b, arguments, &[("NO_COLOR", "")]).contains(ESCAPE), "an empty NO_COLOR says nothing");
        assert!(!run(&b, arguments).ends(0).out.contains(ESCAPE));
    }
    assert!(shown(&b, &["list"], &[]).contains("\u{1b}[32mReady\u{1b}[0m"));
    assert!(!shown(&b, &["list", "--json"], &[]).contains(ESCAPE), "JSON has no colour");
}

#[test]
fn a_change_is_shown_and_confirmed() {
    let b = up();
    for answer in ["n", "", "perhaps"] {
        let mut terminal = Terminal::start(&b, &CHANGE, &[("NO_COLOR", "1")]);
        terminal.until("Apply this change to site-7? [y/N] ");
        terminal.types(answer);
        let (code, text) = terminal.end();
        assert!(code == 1 && text.contains("nothing was done"), "{text}");
        assert!(text.contains("impact: child") && text.contains("lifeTime  3600  1000"), "{text}");
        assert_eq!(b.inventory(&uuid(7))["lifeTime"], 3600);
    }
    for (answer, lifetime) in [("y", 1000), ("YES", 1001)] {
        let set = format!("lifeTime={lifetime}");
        let mut terminal = Terminal::start(&b, &["change", "site-7", "--set", &set, "--wait"], &[]);
        terminal.until("Apply this change to site-7? [y/N] ");
        terminal.types(answer);
        let (code, text) = terminal.end();
        assert!(code == 0 && text.contains("changed site-7"), "{text}");
        assert_eq!(b.inventory(&uuid(7))["lifeTime"], lifetime);
    }
    let text = shown(&b, &["change", "site-7", "--set", "lifeTime=1001"], &[]);
    assert!(!text.contains("Apply this change"), "of what changes nothing nobody is asked: {text}");
}

#[test]
fn a_plan_that_is_refused_is_no_question() {
    let b = up();
    let (code, text) = Terminal::start(&b, &["change", "site-7", "--set", "lifeTime=1"], &[]).end();
    assert!(code == 1 && text.contains("cygnet: lifeTime must be ") && !text.contains("Apply this change"), "{text}");
}

#[test]
fn a_deletion_is_confirmed() {
    let b = up();
    let mut terminal = Terminal::start(&b, &["delete", "site-7"], &[]);
    terminal.until("[y/N] ");
    terminal.types("no");
    let (code, text) = terminal.end();
    assert!(code == 1 && text.contains(&format!("site-7 ({}) to 198.51.100.7 is Ready.", uuid(7))), "{text}");
    let mut terminal = Terminal::start(&b, &["delete", "site-7"], &[]);
    terminal.until("[y/N] ");
    terminal.types("y");
    assert_eq!(terminal.end().0, 0);
    assert_eq!(run(&b, &["list"]).ends(0).out.lines().count(), 1);
}

#[test]
fn a_terminal_says_what_is_waited_for() {
    let b = up();
    b.charon.establish(false);
    let mut terminal = Terminal::start(&b, &[&CHANGE[..], &["--yes", "--wait=60s"]].concat(), &[]);
    terminal.until("waiting for site-7: LOCAL_ADDRESS_MISSING ... ");
    b.charon.establish(true);
    let (code, text) = terminal.end();
    assert_eq!(code, 0, "{text}");
    let line = text.rfind("waiting for").expect("shown");
    assert!(text[line..].contains("\r\u{1b}[K"), "the line is cleared: {text:?}");
    b.charon.establish(false);
    let ended = run(&b, &["reconnect", "site-7", "--wait=2s"]).ends(4);
    assert!(!ended.err.contains("waiting for"), "no terminal, no progress: {}", ended.err);
}

#[test]
fn a_terminal_would_show_a_key() {
    let b = up();
    let (code, text) = Terminal::start(&b, &["change", "site-7", "--yes", "--auth-key-file", "-"], &[]).end();
    assert!(code == 2 && text.contains("a terminal would show the key"), "{text}");
}

/// Types a password twice; what was shown.
fn passwd(b: &Bench, first: &str, second: &str) -> (i32, String) {
    let mut terminal = Terminal::start(b, &["passwd", "admin"], &[]);
    terminal.until("New password: ");
    terminal.types(first);
    terminal.until("Retype new password: ");
    terminal.types(second);
    terminal.end()
}

fn with_accounts(b: &Bench) -> std::path::PathBuf {
    let (settings, file) = (b.path("cygnet.toml"), b.path("accounts"));
    let text = std::fs::read_to_string(&settings).expect("settings");
    let line = format!("[auth]\naccounts_file = \"{}\"", file.display());
    std::fs::write(&settings, text.replace("[auth]", &line)).expect("settings");
    file
}

#[test]
fn a_password_is_asked_for_twice_and_not_shown() {
    let b = Bench::idle(&Options::default());
    let file = with_accounts(&b);
    let (code, text) = passwd(&b, "test-only-one", "test-only-two");
    assert!(code == 1 && text.contains("the two passwords differ; nothing was changed"), "{text}");
    assert!(!text.contains("test-only-") && !file.exists(), "{text}");
    let (code, text) = passwd(&b, "test-only-one", "test-only-one");
    assert!(code == 0 && text.contains("the password of admin is set") && !text.contains("test-only-"), "{text}");
    let stored = std::fs::read_to_string(&file).expect("written");
    assert!(stored.contains("name = \"admin\"") && stored.contains("$argon2id$"), "{stored}");
    let mut terminal = Terminal::start(&b, &["passwd", "admin"], &[]);
    terminal.until("New password: ");
    terminal.types("");
    let (code, text) = terminal.end();
    assert!(code == 1 && text.contains("the password is empty") && !text.contains("Retype"), "{text}");
    assert_eq!(std::fs::read_to_string(&file).expect("there"), stored);
}

/// However it ends, the terminal echoes again.
#[test]
fn the_echo_comes_back() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP] {
        let b = Bench::idle(&Options::default());
        with_accounts(&b);
        let mut terminal = Terminal::start(&b, &["passwd", "admin"], &[]);
        terminal.until("New password: ");
        assert!(!terminal.echoes());
        terminal.signal(signal);
        let (code, text) = terminal.until_ended(|terminal| assert!(terminal.echoes(), "{signal}"));
        assert!(code == 1 && text.contains("interrupted"), "{text}");
    }
}
