//! Connections in charon that are not cygnet's: `list --all` and `show` have them, marked, and nothing else is done.

use super::run::{run, up};
use crate::serve::{Bench, uuid, wait_until};
use cygnet::strongswan::section::{Section, Value};
use serde_json::json;
use unicode_width::UnicodeWidthStr;

fn list(items: &[&str]) -> Value {
    Value::List(items.iter().map(|item| item.as_bytes().to_vec()).collect())
}

/// A connection of somebody else as charon describes it, with this peer.
fn loaded(peer: &str) -> Section {
    let child = Section::new()
        .with("local-ts", list(&["10.1.0.0/24"]))
        .with("remote-ts", list(&["172.16.0.0/16", "172.17.0.0/16"]));
    Section::new()
        .with("version", "IKEv2")
        .with("local_addrs", list(&["192.0.2.1"]))
        .with("remote_addrs", list(&[peer]))
        .with("children", Section::new().with("net", child))
}

/// An SA of `name`.
fn running(name: &str) -> Section {
    let child = Section::new()
        .with("name", "net")
        .with("uniqueid", "41")
        .with("state", "INSTALLED")
        .with("mode", "TUNNEL")
        .with("protocol", "ESP")
        .with("spi-in", "c0ffee01")
        .with("spi-out", "c0ffee02")
        .with("packets-in", "7")
        .with("install-time", "60")
        .with("local-ts", list(&["10.1.0.0/24"]))
        .with("remote-ts", list(&["172.16.0.0/16"]));
    let ike = Section::new()
        .with("uniqueid", "40")
        .with("version", "2")
        .with("state", "ESTABLISHED")
        .with("local-host", "192.0.2.1")
        .with("remote-host", "203.0.113.5")
        .with("initiator-spi", "0000000000000040")
        .with("responder-spi", "0000000000000041")
        .with("established", "3600")
        .with("child-sas", Section::new().with("net-41", child));
    Section::new().with(name, ike)
}

/// charon takes printable ASCII for names, up to 255 characters.
const HOSTILE: &str = "x;$(reboot)\"\\ with a name that is longer than a line of the terminal can be, and: {a} % more";

/// An agent with a connection, beside three of somebody else: one is up, one is not, of one only the SAs are left.
fn beside() -> Bench {
    let b = up();
    b.charon.establish(false);
    b.charon.load(Some(("by-hand", loaded("%any"))), None);
    b.charon.load(Some((HOSTILE, loaded("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"))), None);
    b.charon.set_sas([running("by-hand"), running("left")]);
    b
}

#[test]
fn a_list_of_all_has_what_is_foreign() {
    let b = beside();
    let out = run(&b, &["list", "--all"]).ends(0).out;
    let row = |name: &str| {
        let line = out.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {out}"));
        line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("by-hand")[3..6], ["foreign", "up", "1h0m"], "{out}");
    assert_eq!(row("left")[3..5], ["foreign", "up"]);
    assert_ne!(row("site-7")[3], "foreign");
    assert!(
        out.lines().any(|line| line.starts_with("x;$(") && line.contains(" foreign ") && line.contains(" down ")),
        "{out}"
    );
    assert!(out.lines().all(|line| line.width() <= 80), "{out}");
    assert!(!run(&b, &["list"]).ends(0).out.contains("by-hand"));
    assert!(run(&b, &["list", "-a", "-o", "name"]).ends(0).out.lines().any(|line| line == "by-hand"));
    let wide = run(&b, &["list", "--all", "-o", "wide", "--sort", "status"]).ends(0).out;
    assert!(
        wide.contains("172.16.0.0/16,172.17.0.0/16") && wide.contains("  203.0.113.5") && wide.contains(" UTC "),
        "{wide}"
    );
    let json = run(&b, &["list", "--all", "--json"]).ends(0).json();
    let names: Vec<_> = json["foreign"].as_array().expect("a list").iter().map(|other| &other["name"]).collect();
    assert_eq!(names, ["by-hand", "left", HOSTILE]);
    assert_eq!(json["foreign"][1]["loaded"], false);
    assert_eq!(json["foreign"][0]["ike_sas"][0]["children"][0]["packets_in"], 7);
    assert_eq!(json["connections"][0]["inventory"]["uuid"], uuid(7));
    run(&b, &["list", "--all", "--status", "ready"]).ends(2);
    let acts = ["terminate", "unload-conn", "rekey", "load-conn"];
    let requests = b.charon.requests();
    let touched = |name: &str| {
        requests.iter().any(|r| acts.contains(&r.command.as_str()) && format!("{:?}", r.body).contains(name))
    };
    assert!(!touched("by-hand") && !touched("left"), "they are left alone");
}

#[test]
fn what_is_known_of_a_foreign_connection_is_shown() {
    let mut b = beside();
    let page = run(&b, &["show", "by-hand"]).ends(0).out;
    for line in [
        "  status       foreign, up",
        "  version      IKEv2",
        "  peer         %any",
        "child  net",
        "    there        172.16.0.0/16, 172.17.0.0/16",
        "IKE SA 40  established, 1h0m old",
        "    version      IKEv2, begun by the peer",
        "    SPIs         in c0ffee01, out c0ffee02",
        "    in           0 B, 7 packets, never used",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}: {page}");
    }
    let page = run(&b, &["show", "left"]).ends(0).out;
    assert!(page.contains("its configuration is not loaded any more"), "{page}");
    let page = run(&b, &["show", HOSTILE]).ends(0).out;
    assert!(page.contains("foreign, down") && page.contains("There is no IKE SA."), "{page}");
    assert!(page.lines().all(|line| line.width() <= 80) && !page.contains('\u{1b}'), "{page}");
    assert_eq!(run(&b, &["show", "by-hand", "--json"]).ends(0).json()["name"], json!("by-hand"));
    assert!(run(&b, &["show", "nowhere"]).ends(1).err.contains("no connection has the name"));
    // A connection of cygnet with the name comes first.
    b.charon.load(Some(("site-7", loaded("%any"))), None);
    assert!(run(&b, &["show", "site-7"]).ends(0).out.contains(&uuid(7)));
    b.charon.kill();
    b.charon.hang_up();
    wait_until("it is noticed", || (b.ask("GET", "/readyz", b"").status == 503).then_some(()));
    let out = run(&b, &["list", "--all"]).ends(0).out;
    assert!(out.contains("Connections that are not cygnet's are unknown"), "{out}");
}
