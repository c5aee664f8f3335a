//! What cuts a tunnel or a part of it shows what it cuts, and asks; a script says `--yes`.

use super::{
    run::{run, up},
    tty::Terminal,
};
use crate::{
    serve::{Bench, uuid},
    stream::Events,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

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

/// Whoever goes away without an answer has not agreed: the end of the input (Ctrl-D), and a signal (Ctrl-C).
#[test]
fn no_answer_is_no() {
    let b = up();
    let before = b.inventory(&uuid(7));
    for arguments in [
        &["remove-cidr", "site-7", "10.7.2.0/24"][..],
        &["detach", "site-7", "10.1.0.0/24"],
        &["disable", "site-7"],
        &["delete", "site-7"],
    ] {
        let mut terminal = Terminal::start(&b, arguments, &[("NO_COLOR", "1")]);
        terminal.until("[y/N] ");
        terminal.types_alone("\u{4}");
        let (code, shown) = terminal.end();
        assert!(code == 1 && shown.contains("nothing was done"), "{arguments:?}: {shown}");
        for answer in ["", "yess", "j"] {
            let (code, shown) = asked(&b, arguments, answer);
            assert!(code == 1 && shown.contains("nothing was done"), "{arguments:?}: {shown}");
        }
        let mut terminal = Terminal::start(&b, arguments, &[("NO_COLOR", "1")]);
        terminal.until("[y/N] ");
        terminal.signal(Signal::SIGINT);
        assert_eq!(terminal.ended_by(), Some(Signal::SIGINT as i32));
        assert_eq!(b.inventory(&uuid(7)), before, "{arguments:?}");
    }
}

/// An option that could do nothing here is refused, not ignored.
#[test]
fn a_cut_gives_no_key() {
    let b = up();
    for command in ["remove-cidr", "detach"] {
        let refused = run(&b, &[command, "site-7", "10.7.2.0/24", "--together", "--yes"]).ends(2);
        assert!(refused.err.contains("--together gives a key"), "{}", refused.err);
    }
    assert_eq!(b.inventory(&uuid(7))["peerCidrs"].as_array().map(Vec::len), Some(1));
}

/// What is cut off is down, for all who look, and says why; what never had networks waits for them.
#[test]
fn the_last_network_that_goes_takes_the_tunnel_down() {
    let b = up();
    let events = Events::open(&b.path("cygnet.sock"), "/cygnet/v1/events", None);
    let named = |name: &str| {
        let all = events.all().into_iter().filter(|event| event.name == name);
        all.map(|event| event.data).collect::<Vec<Value>>()
    };
    let down = || named("down");
    run(&b, &["add-cidr", "site-7", "10.7.3.0/24", "--wait"]).ends(0);
    run(&b, &["remove-cidr", "site-7", "10.7.3.0/24", "--yes", "--wait"]).ends(0);
    crate::serve::wait_until("both changes", || (named("changed").len() >= 2).then_some(()));
    assert!(down().is_empty(), "one of several networks is no tunnel: {:?}", down());
    let ended = run(&b, &["remove-cidr", "site-7", "10.7.2.0/24", "--yes"]).ends(0);
    assert!(ended.out.contains("Disconnected"), "{}", ended.out);
    let told = crate::serve::wait_until("the event", || down().pop());
    assert!(told["uuid"] == uuid(7) && told["reason"]["code"] == "NO_NETWORKS", "{told}");
    assert!(told["reason"]["details"].as_str().is_some_and(|text| text.contains("no networks")), "{told}");
    assert!(b.logs().contains("site-7 (c0000000…): down, NO_NETWORKS"), "{}", b.logs());
    let view = run(&b, &["show", "site-7", "--json"]).ends(0).json();
    assert_eq!(
        (&view["inventory"]["status"], &view["reason"]["code"]),
        (&json!("Disconnected"), &json!("NO_NETWORKS"))
    );
    let status = run(&b, &["status"]).ends(4);
    assert!(status.out.contains("site-7 is down") && status.out.contains("no networks"), "{}", status.out);
    let created = run(&b, &["add-cidr", "site-7", "10.7.2.0/24", "--wait"]).ends(0);
    assert!(created.out.contains("Ready"), "{}", created.out);
    run(&b, &["status"]).ends(0);
    assert_eq!(down().len(), 1, "it is told once");
}

#[test]
fn texts_and_identities_are_taken_away() {
    let b = up();
    run(&b, &["update", "site-7", "--description", "to the branch"]).ends(0);
    assert_eq!(b.inventory(&uuid(7))["description"], "to the branch");
    run(&b, &["update", "site-7", "--description", ""]).ends(0);
    let inventory = b.inventory(&uuid(7));
    assert!(
        inventory["description"].as_str().is_none_or(str::is_empty) && inventory["name"] == "site-7",
        "{inventory}"
    );
    for way in [&["--unset", "localId", "--unset", "remoteId"][..], &["--set", "localId=", "--set", "remoteId="]] {
        let set = ["--set", "idType=name", "--set", "localId=left.example", "--set", "remoteId=right.example"];
        // Whether the new tunnel is up already is not the matter.
        let change = |more: &[&str]| run(&b, &[&["change", "site-7", "--yes"][..], more].concat());
        assert!(matches!(change(&set).code, 0 | 4));
        assert_eq!(b.inventory(&uuid(7))["localId"], "left.example");
        assert!(matches!(change(&[&["--set", "idType=ip"][..], way].concat()).code, 0 | 4));
        let inventory = b.inventory(&uuid(7));
        assert!(
            inventory["localId"] != "left.example" && inventory["remoteId"] != "right.example",
            "{way:?}: {inventory}"
        );
    }
}

#[test]
fn times_are_given_alike() {
    let b = up();
    for (at, times) in [
        &["--confirm=5s", "--wait"][..],
        &["--confirm", "5s", "--wait", "20s"],
        &["--wait=20s", "--confirm"],
        &["--confirm=5", "--wait=20"],
        &["--wait", "20", "--confirm", "5"],
    ]
    .iter()
    .enumerate()
    {
        let set = format!("lifeTime={}", 1000 + at);
        run(&b, &[&["change", "--yes", "--set", &set], *times, &["site-7"]].concat()).ends(0);
        assert_eq!(b.inventory(&uuid(7))["lifeTime"], 1000 + at);
    }
    run(&b, &["reconnect", "--wait", "site-7"]).ends(0);
}
