//! `list`, `show`, `status` and `plan`: their pages, their JSON and their exit codes.

use super::run::{run, timeless, up};
use crate::serve::{Bench, params, uuid, wait_until};
use insta::assert_snapshot;
use serde_json::json;

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
    assert_snapshot!(run(&b, &["list"]).ends(0).out);
    let names = |arguments: &[&str]| {
        let out = run(&b, &[&["list"], arguments].concat()).ends(0).out;
        out.lines().skip(1).filter_map(|line| line.split("  ").nth(1)).map(ToOwned::to_owned).collect::<Vec<_>>()
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
fn what_runs_is_not_known_without_charon() {
    let mut b = up();
    b.charon.kill();
    b.charon.hang_up();
    wait_until("it is noticed", || (b.ask("GET", "/readyz", b"").status == 503).then_some(()));
    let page = run(&b, &["show", "site-7"]).ends(0).out;
    assert!(page.contains("Unknown, Enabled") && page.contains("The SAs are unknown"), "{page}");
    assert!(run(&b, &["list", "--status", "unknown"]).ends(0).out.contains("CHARON_UNREACHABLE"));
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
    assert_eq!(run(&b, &["status"]).ends(0).out, "agent        ready, strongSwan 5.9.8\nconnections  1 Ready\n");
    let b = many();
    let status = run(&b, &["status"]).ends(4);
    assert_snapshot!(status.out + &status.err);
    let json = run(&b, &["status", "--json"]).ends(4).json();
    assert_eq!(json["connections"]["missing"], 1);
    let b = Bench::start();
    wait_until("it is ready", || (run(&b, &["status"]).code == 0).then_some(()));
    assert!(run(&b, &["status"]).ends(0).out.ends_with("connections  none\n"));
    assert_eq!(run(&b, &["list"]).ends(0).out, "UUID  NAME  PEER  STATE  STATUS  REASON\n");
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
    for arguments in [&["list"][..], &["show", &uuid(7)], &["update", &uuid(7), "--description", "c\u{1b}c"]] {
        let out = run(&b, arguments).ends(0).out;
        assert!(out.contains("x\\u{1b}]0;title\\u{7}\\u{1b}[2J\\u{202e}"), "{out}");
        assert!(!out.chars().any(|c| c.is_control() && c != '\n'), "{out:?}");
    }
}
