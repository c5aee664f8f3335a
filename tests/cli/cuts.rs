//! What cuts a tunnel or a part of it shows what it cuts, and asks; a script says `--yes`.

use super::{
    run::{run, up},
    tty::Terminal,
};
use crate::serve::{Bench, uuid};

/// The pairs of networks of site-7.
const FIRST: &str = "  10.1.0.0/24 === 10.7.2.0/24";
const SECOND: &str = "  10.1.0.0/24 === 10.7.3.0/24";

/// Runs it in a terminal and answers: the exit code, and all that was shown.
fn asked(b: &Bench, arguments: &[&str], answer: &str) -> (i32, String) {
    let mut terminal = Terminal::start(b, arguments, &[("NO_COLOR", "1")]);
    terminal.until("[y/N] ");
    terminal.types(answer);
    terminal.end()
}

#[test]
fn what_is_cut_is_shown_and_asked_for() {
    let b = up();
    run(&b, &["add-cidr", "site-7", "10.7.3.0/24", "--wait"]).ends(0);
    let head = format!("site-7 ({}) to 198.51.100.7 is Ready.", uuid(7));
    let both = [FIRST, SECOND, "Nothing is left: the tunnel goes down."];
    for (arguments, cut) in [
        (&["remove-cidr", "site-7", "10.7.3.0/24"][..], &[SECOND][..]),
        (&["remove-cidr", "site-7", "10.7.2.0/24", "10.7.3.0/24"], &both),
        (&["detach", "site-7", "10.1.0.0/24"], &both),
        (&["detach", "site-7", crate::serve::NETWORK], &both),
        (&["disable", "site-7"], &both),
        (&["delete", "site-7"], &both),
    ] {
        let before = b.inventory(&uuid(7));
        let (code, shown) = asked(&b, arguments, "n");
        assert!(code == 1 && shown.contains("nothing was done") && shown.contains(&head), "{arguments:?}: {shown}");
        for line in both {
            assert_eq!(shown.contains(line), cut.contains(&line), "{arguments:?}: {line}: {shown}");
        }
        let refused = run(&b, arguments).ends(2);
        assert!(refused.err.contains("add --yes"), "{}", refused.err);
        assert_eq!(b.inventory(&uuid(7)), before);
    }
    let (code, shown) = asked(&b, &["remove-cidr", "site-7", "10.7.3.0/24", "--wait"], "y");
    assert!(code == 0 && shown.contains("networks removed: site-7"), "{shown}");
    assert_eq!(b.inventory(&uuid(7))["peerCidrs"].as_array().map(Vec::len), Some(1));
    let (code, shown) = asked(&b, &["disable", "site-7"], "yes");
    assert!(code == 0 && shown.contains("disabled site-7"), "{shown}");
    run(&b, &["delete", "site-7", "-y"]).ends(0);
}

#[test]
fn times_are_given_alike() {
    let b = up();
    for (at, times) in
        [&["--confirm=5s", "--wait"][..], &["--confirm", "5s", "--wait", "20s"], &["--wait=20s", "--confirm"]]
            .iter()
            .enumerate()
    {
        let set = format!("lifeTime={}", 1000 + at);
        run(&b, &[&["change", "--yes", "--set", &set], *times, &["site-7"]].concat()).ends(0);
        assert_eq!(b.inventory(&uuid(7))["lifeTime"], 1000 + at);
    }
    run(&b, &["reconnect", "--wait", "site-7"]).ends(0);
}
