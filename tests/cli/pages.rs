//! `list`, `show`, `status` and `plan`: their pages, their JSON and their exit codes.

use super::run::{run, timeless, up};
use crate::serve::{Bench, params, uuid, wait_until};
use insta::assert_snapshot;
use serde_json::json;
use unicode_width::UnicodeWidthStr;

/// An agent with a tunnel that is up, one that is not, one that is disabled and one without networks.
fn many() -> Bench {
    let b = up();
    b.charon.establish(false);
    b.create(&params(8, &json!({ "name": "分公司", "description": "the branch in the east" }))).expect(200);
    b.create(&params(9, &json!({ "name": "off" }))).expect(200);
    b.create(&params(10, &json!({ "name": "empty", "l3NetworkUuid": null, "peerCidrs": null }))).expect(200);
    run(&b, &["disable", "off", "--yes"]).ends(0);
    b
}

#[test]
fn a_list() {
    let b = many();
    let list = run(&b, &["list"]).ends(0).out;
    let heads: Vec<_> = list.lines().next().expect("a head").split_whitespace().collect();
    assert_eq!(heads, ["NAME", "PEER", "NETWORKS", "STATUS", "CONDITION", "SINCE", "REASON", "UUID"]);
    let rows: Vec<Vec<_>> = list.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][3..5], ["Connecting", "-"]);
    assert_eq!(rows[1][3..7], ["Disabled", "-", "-", "-"]);
    assert_eq!((rows[2][0], rows[2][3], rows[2][4]), ("site-7", "Ready", "up"));
    assert!(rows[2][5].ends_with(['s', 'm']) && rows[2][7] == &uuid(7)[..8], "{list}");
    assert!(list.lines().all(|line| line.width() <= 80), "{list}");
    let names = |arguments: &[&str]| {
        let out = run(&b, &[&["list"], arguments].concat()).ends(0).out;
        out.lines().skip(1).filter_map(|line| line.split("  ").next()).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&["--status", "ready"]), ["site-7"]);
    assert_eq!(names(&["--status", "Disconnected"]), ["off", "分公司"]);
    assert_eq!(names(&["--status", "unknown"]), [""; 0]);
    assert_eq!(names(&["-q", "name~=%i%", "-q", "peerAddress=198.51.100.7"]), ["site-7"]);
    assert_eq!(names(&["--where", "name=分公司"]), ["分公司"]);
    let json = run(&b, &["list", "--json", "-q", "name=site-7"]).ends(0).json();
    assert_eq!(json["connections"][0]["inventory"]["uuid"], uuid(7));
    assert_eq!(json["connections"][0]["inventory"].get("authKey"), None);
    let refused = run(&b, &["list", "-q", "nothing"]).ends(1);
    assert!(refused.err.contains("doesn't contain any query operator"), "{}", refused.err);
    let refused = run(&b, &["list", "-q", "nothing=1"]).ends(1);
    assert!(refused.err.contains("has no field[nothing]"), "{}", refused.err);
}

#[test]
fn a_connection_on_a_page() {
    let b = many();
    let page = |text: &str| timeless(&run(&b, &["show", text]).ends(0).out);
    assert_snapshot!("show_up", page("site-7"));
    assert_snapshot!("show_down", page("分公司"));
    assert_snapshot!("show_disabled", page("off"));
    assert_snapshot!("show_empty", page("empty"));
    let json = run(&b, &["show", "site-7", "--json"]).ends(0).json();
    assert_eq!((&json["inventory"]["authKey"], &json["inventory"]["status"]), (&json!("******"), &json!("Ready")));
    assert!(json["children"][0]["sas"][0]["as_wanted"].is_boolean(), "{json}");
}

#[test]
fn options_that_were_chosen_are_shown() {
    let b = up();
    // A line that is too long goes on in the next one.
    let page = || run(&b, &["show", "site-7"]).ends(0).out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!page().contains("options"));
    let options =
        ["--set", "forceEncapsulation=true", "--set", "selectorProtocol=47", "--set", "childRekeyBytes=4608000000"];
    let plan = run(&b, &[&["plan", "site-7"][..], &options].concat()).ends(0).out;
    let rows = ["forceEncapsulation  false", "selectorProtocol    any", "childRekeyBytes     0"];
    assert!(rows.iter().all(|row| plan.contains(row)), "{plan}");
    run(&b, &[&["change", "site-7", "--yes"][..], &options].concat());
    let shown = "options forceEncapsulation true, childRekeyBytes 4608000000, selectorProtocol gre";
    assert!(page().contains(shown), "{}", page());
}

#[test]
fn what_runs_is_not_known_without_charon() {
    let mut b = up();
    b.charon.kill();
    b.charon.hang_up();
    wait_until("it is noticed", || (b.ask("GET", "/readyz", b"").status == 503).then_some(()));
    let page = run(&b, &["show", "site-7"]).ends(0).out;
    assert!(page.contains("Unknown, Enabled") && page.contains("The SAs are unknown"), "{page}");
    assert!(run(&b, &["list", "-o", "wide", "--status", "unknown"]).ends(0).out.contains("CHARON_UNREACHABLE"));
    let status = run(&b, &["status"]).ends(1);
    assert!(status.out.contains("not ready") && status.out.contains("1 Unknown"), "{}", status.out);
    assert!(status.err.contains("the agent is not ready"), "{}", status.err);
    let json = run(&b, &["status", "--json"]).ends(1);
    assert_eq!(json.json()["agent"]["ready"], false);
    assert!(json.err.starts_with("{\"error\":{\"details\":"), "{}", json.err);
}

#[test]
fn the_state_of_the_gateway() {
    let b = up();
    let well = "all is well: 1 of 1 Ready; the agent is ready (strongSwan 5.9.8)\n";
    assert_eq!(run(&b, &["status"]).ends(0).out, well);
    let b = many();
    let status = run(&b, &["status"]).ends(4);
    let since = status.out.lines().find_map(|line| line.split_once(" since ")).expect("since when").1.to_owned();
    assert!(since.starts_with("20") && since.ends_with(" UTC"), "{since}");
    assert_snapshot!(status.out.replace(&since, "[since]") + &status.err);
    let json = run(&b, &["status", "--json"]).ends(4).json();
    assert_eq!(json["connections"]["missing"], 1);
    let b = Bench::start();
    wait_until("it is ready", || (run(&b, &["status"]).code == 0).then_some(()));
    assert!(run(&b, &["status"]).ends(0).out.starts_with("all is well: no connections; "));
    assert_eq!(run(&b, &["list"]).ends(0).out, "NAME  PEER  NETWORKS  STATUS  CONDITION  SINCE  REASON  UUID\n");
}

#[test]
fn a_plan() {
    let b = up();
    let plan = ["plan", "site-7", "--set", "lifeTime=1000", "--set", "ikeDhGroup=19"];
    assert_snapshot!(run(&b, &plan).ends(0).out);
    let json = run(&b, &[&plan[..], &["--json"]].concat()).ends(0).json();
    assert_eq!((&json["impact"], &json["fields"][0]["field"]), (&json!("ike"), &json!("ikeDhGroup")));
    let same = run(&b, &["plan", "site-7", "--set", "lifeTime=3600"]).ends(0).out;
    assert_eq!(same, "impact: none (nothing is sent to charon)\n");
    let body = json!({ "changeIPsecConnection": { "peerAddress": "198.51.100.7", "authKey": super::run::OTHER_KEY } });
    let reset = super::run::fed(&b, &["plan", "site-7"], &body.to_string()).ends(0).out;
    assert!(reset.starts_with("impact: reauth") && reset.contains("authKey  (hidden)  (changed)"), "{reset}");
    let refused = run(&b, &["plan", "site-7", "--set", "lifeTime=1"]).ends(1);
    assert!(refused.err.starts_with("cygnet: lifeTime must be "), "{}", refused.err);
    assert_eq!(b.inventory(&uuid(7))["lifeTime"], 3600);
}

#[test]
fn hostile_texts_are_not_obeyed() {
    let b = Bench::start();
    let name = "x\u{1b}]0;title\u{7}\u{1b}[2J\u{202e}";
    b.create(&params(7, &json!({ "name": name, "description": "a\r\nb\u{9b}31m" }))).expect(200);
    for arguments in
        [&["list", "-o", "wide"][..], &["show", &uuid(7)], &["update", &uuid(7), "--description", "c\u{1b}c"]]
    {
        let out = run(&b, arguments).ends(0).out;
        assert!(out.contains("x\\u{1b}]0;title\\u{7}\\u{1b}[2J\\u{202e}"), "{out}");
        assert!(!out.chars().any(|c| c.is_control() && c != '\n'), "{out:?}");
    }
}

#[test]
fn a_list_in_other_forms() {
    let b = many();
    let said = |arguments: &[&str]| run(&b, &[&["list"], arguments].concat()).ends(0).out;
    assert_eq!(said(&["-o", "name"]), "empty\noff\nsite-7\n分公司\n");
    assert_eq!(said(&["-o", "name", "--sort", "uuid"]), "site-7\n分公司\noff\nempty\n");
    assert_eq!(said(&["-o", "name", "--sort", "STATUS"]), "empty\noff\n分公司\nsite-7\n");
    let wide = said(&["-o", "wide"]);
    assert!(wide.contains(&uuid(8)) && wide.contains("LOCAL_ADDRESS_MISSING") && wide.contains(" UTC "), "{wide}");
    let json: serde_json::Value = serde_json::from_str(&said(&["-o", "json"])).expect("JSON");
    assert_eq!(json["connections"][2]["condition"], "up");
    run(&b, &["list", "--sort", "colour"]).ends(2);
    run(&b, &["list", "-o", "wide", "--json"]).ends(2);
}

/// Whatever the names are: no line is wider than the output, and nothing is obeyed.
#[test]
fn no_line_is_wider_than_the_output() {
    let b = many();
    let names =
        ["分".repeat(80), "e\u{301}".repeat(90), "a b ".repeat(40) + "c", "x".repeat(255), "😀\u{1b}[2J".repeat(9)];
    for (number, name) in (20..).zip(&names) {
        let long = json!({ "name": name, "description": name.as_str(), "idType": "name", "localId": "x".repeat(200) });
        b.create(&params(number, &long)).expect(200);
    }
    let all = [
        &["list"][..],
        &["status"],
        &["--help"],
        &["list", "--help"],
        &["change", "-h"],
        &["reconnect", "--help"],
        &["plan", "site-7", "--set", "lifeTime=1000"],
        &["show", "site-7"],
        &["show", "分公司"],
    ];
    let ids: Vec<_> = (20..25).map(uuid).collect();
    let shows: Vec<_> = ids.iter().map(|id| ["show", id.as_str()]).collect();
    for arguments in all.into_iter().chain(shows.iter().map(|show| &show[..])) {
        for columns in [40, 80, 132] {
            let output =
                super::run::command(&b, arguments).env("COLUMNS", columns.to_string()).output().expect("ended");
            let out = String::from_utf8(output.stdout).expect("UTF-8");
            assert!(!out.is_empty(), "{arguments:?}");
            for line in out.lines() {
                assert!(line.width() <= columns, "{arguments:?} in {columns}: {line}");
            }
        }
    }
}

/// Who takes the last network away takes the tunnel down: that is told, and not that nothing is wrong.
#[test]
fn the_last_network_that_goes_is_told() {
    let b = up();
    wait_until("it is up", || b.logs().contains("site-7 (c0000000…): up").then_some(()));
    run(&b, &["remove-cidr", "site-7", "10.7.2.0/24", "--yes"]).ends(0);
    let down = "site-7 (c0000000…): down, NO_NETWORKS: the connection has no networks";
    wait_until(down, || b.logs().contains(down).then_some(()));
    let page = run(&b, &["show", "site-7"]).ends(0).out;
    assert!(page.contains("NO_NETWORKS") && !page.contains("Nothing is wrong"), "{page}");
    // A connection that never had any tells nothing.
    b.create(&params(10, &json!({ "name": "empty", "l3NetworkUuid": null, "peerCidrs": null }))).expect(200);
    run(&b, &["update", "empty", "--description", "none yet"]).ends(0);
    assert!(!b.logs().contains("empty (c0000000…): down"), "{}", b.logs());
}

/// What `show` prints at this width.
fn shown(b: &Bench, name: &str, columns: usize) -> String {
    let output = super::run::command(b, &["show", name]).env("COLUMNS", columns.to_string()).output().expect("ended");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Everything that runs, and what of it is not wanted; in any width the same words, none of them broken.
#[test]
fn a_page_has_all_of_what_runs() {
    let b = up();
    b.charon.double_children();
    b.charon.alter_ikes(|ike| {
        let more = [("established", "11520"), ("rekey-time", "7200"), ("nat-local", "yes")];
        for (key, value) in more {
            ike.0.insert(key.into(), value.into());
        }
    });
    b.charon.alter_children(|child| {
        let used =
            [("packets-in", "5"), ("bytes-in", "1536"), ("use-in", "61"), ("encap", "yes"), ("rekey-time", "-2")];
        for (key, value) in used {
            child.0.insert(key.into(), value.into());
        }
    });
    let page = shown(&b, "site-7", 80);
    for line in [
        "IKE SA 1  established, 3h12m old",
        "    version      IKEv2, begun by this gateway",
        "    NAT-T        yes: this gateway is behind a NAT",
        "    to go        rekey in 2h0m",
        "  CHILD_SA 2  installed, 1s old; not wanted: duplicate of others",
        "    SPIs         in c0000002, out d0000002",
        "    algorithms   AES_CBC-256, HMAC_SHA2_256_128",
        "    protocol     ESP in UDP, tunnel mode",
        "    in           1.5 KiB, 5 packets, idle for 1m",
        "    out          0 B, 0 packets, never used",
        "    to go        rekey overdue by 2s, expiry in 1h0m",
        "    here         10.1.0.0/24",
        "    there        10.7.2.0/24",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}: {page}");
    }
    b.charon.alter_ikes(|ike| drop(ike.0.shift_remove("initiator")));
    b.charon.alter_children(|child| drop(child.0.insert("state".into(), "REKEYED".into())));
    let page = shown(&b, "site-7", 80);
    assert!(page.contains("begun by the peer") && page.contains("not wanted: replaced by a rekeying"), "{page}");
}

#[test]
fn no_word_is_broken() {
    let b = Bench::start();
    b.charon.establish(true);
    let cidrs: Vec<_> = (0..40).map(|n| format!("2001:db8:ffff:ff{n:02x}::/64")).collect();
    let long = json!({ "name": "branch of the north ".repeat(6).trim(), "description": "why it is there ".repeat(9).trim(),
                       "ikeVersion": "ikev2", "peerCidrs": cidrs });
    b.create(&params(7, &long));
    let words = |columns: usize| -> Vec<String> {
        let page = shown(&b, &uuid(7), columns);
        assert!(page.lines().all(|line| line.width() <= columns), "{columns}: {page}");
        timeless(&page).split_whitespace().map(ToOwned::to_owned).collect()
    };
    let whole = words(2000);
    assert!(whole.iter().all(|word| word.width() <= 40), "{whole:?}");
    assert_eq!(words(80), whole);
    assert_eq!(words(40), whole);
}

/// Times are in local time with the zone, everywhere in one form; JSON has UTC.
#[test]
fn times_are_local() {
    let b = many();
    let said = |arguments: &[&str]| {
        let output = super::run::command(&b, arguments).env("TZ", "Asia/Shanghai").output().expect("ended");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let is_local = |line: &str| {
        let words: Vec<_> = line.split([' ', ';']).collect();
        let moment = words.windows(3).find(|words| words[0].parse::<jiff::civil::Date>().is_ok());
        moment.is_some_and(|words| words[1].parse::<jiff::civil::Time>().is_ok() && words[2] == "CST")
    };
    for (arguments, title) in [
        (&["show", "分公司"][..], "  reason "),
        (&["show", "分公司"], "  changed "),
        (&["list", "-o", "wide"], "分公司"),
        (&["status"], "分公司"),
        (&["log", "分公司"], "20"),
    ] {
        let out = said(arguments);
        let lines: Vec<_> = out.lines().filter(|line| line.starts_with(title)).collect();
        assert!(!lines.is_empty() && lines.iter().all(|line| is_local(line)), "{arguments:?}: {out}");
    }
    let since = said(&["show", "分公司", "--json"]);
    let since: serde_json::Value = serde_json::from_str(&since).expect("JSON");
    assert!(since["reason"]["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{since}");
}

/// A line of the journal says it all: which connection, what, and why.
#[test]
fn the_journal_names_what_went_up_and_down() {
    let b = many();
    let said = |text: &str| wait_until(text, || b.logs().lines().any(|line| line.contains(text)).then_some(()));
    said("site-7 (c0000000…): up");
    said("分公司 (c0000000…): down, LOCAL_ADDRESS_MISSING: ");
    assert!(!b.logs().contains("next step"), "{}", b.logs());
}
