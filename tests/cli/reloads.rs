//! New settings: what a reload takes over, what it leaves to a restart, and that faulty ones change nothing; and a listener
//! whose address is not there yet.

use super::run::{run, up};
use crate::serve::{Bench, Options, wait_until};
use std::{fs, os::unix::net::UnixDatagram, path::Path, process::Stdio, time::Duration};

/// Replaces a text of the settings.
fn edit(path: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(path).expect("settings");
    assert!(text.contains(old), "{old} is not in {text}");
    fs::write(path, text.replace(old, new)).expect("written");
}

#[test]
fn a_reload_says_what_was_taken_over_and_what_was_not() {
    let b = up();
    let settings = b.path("cygnet.toml");
    let ended = run(&b, &["reload"]).ends(0);
    assert_eq!(ended.out, "taken over: gateway (VIPs: 1, networks: 1), tokens\n");
    fs::create_dir(b.path("conf.d")).expect("conf.d");
    fs::write(b.path("conf.d/10.toml"), "[[gateway.vips]]\nname = \"dsl\"\naddress = \"192.0.2.9\"\n")
        .expect("written");
    edit(&settings, "wait = \"0s\"", "wait = \"1s\"");
    let ended = run(&b, &["reload"]).ends(0);
    let restart = "not before `systemctl restart cygnet`, which touches no tunnel: charon\n";
    assert_eq!(ended.out, format!("taken over: gateway (VIPs: 2, networks: 1), tokens\n{restart}"));
    let answer = run(&b, &["reload", "--json"]).ends(0).json();
    assert_eq!(answer["needs_restart"], serde_json::json!(["charon"]));

    fs::write(b.path("conf.d/10.toml"), "nosuch = 1\n\n[[gateway.vips]]\naddress = \"x\"\n").expect("written");
    let ended = run(&b, &["reload"]).ends(1);
    for place in ["conf.d/10.toml:1: ", "conf.d/10.toml:4: "] {
        assert!(ended.err.contains(place) && b.logs().contains(place), "{place}: {}", ended.err);
    }
    let refused = b.ask("POST", "/cygnet/v1/reload", b"").expect(503).json();
    let details = refused["error"]["details"].as_str().expect("details");
    assert!(
        details.contains("10.toml:1: ") && details.contains("10.toml:4: ") && details.contains("nothing has changed")
    );
    // What was taken over before is still in force.
    b.ask("GET", "/zstack/v1/ipsec/candidatesL3Networks?vipUuid=dsl", b"").expect(200);
    fs::remove_file(b.path("conf.d/10.toml")).expect("removed");
    run(&b, &["reload"]).ends(0);
    fs::write(b.path("tokens"), "plane:short\n").expect("written");
    let ended = run(&b, &["reload"]).ends(1);
    assert!(ended.err.contains("tokens:1: ") && ended.err.contains("16 bytes"), "{}", ended.err);
}

/// The last `STATUS` that came to the socket, of all that are there.
fn status(socket: &UnixDatagram) -> Option<String> {
    let (mut last, mut message) = (None, [0; 4096]);
    while let Ok(length) = socket.recv(&mut message) {
        let text = String::from_utf8_lossy(&message[..length]).into_owned();
        last = text.lines().find_map(|line| line.strip_prefix("STATUS=").map(str::to_owned)).or(last);
    }
    last
}

#[test]
fn the_status_tells_of_settings_that_are_refused_and_of_no_loop_that_hangs_while_it_starts() {
    let b = Bench::idle(&Options::default());
    let socket = UnixDatagram::bind(b.path("notify")).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a limit");
    edit(&b.path("cygnet.toml"), "listen = \"127.0.0.1:0\"", "listen = \"203.0.113.77:0\"\ninsecure_http = true");
    let mut command = b.command();
    command.env("NOTIFY_SOCKET", b.path("notify")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("started");
    let mut all = Vec::new();
    let mut until = |what: &str| {
        wait_until(what, || {
            all.extend(status(&socket));
            all.last().is_some_and(|status| status.contains(what)).then_some(())
        });
    };
    until("0 connections, strongSwan");
    until("; listens on 203.0.113.77:0 as soon as this host has the address");
    let settings = fs::read_to_string(b.path("cygnet.toml")).expect("settings");
    fs::write(b.path("cygnet.toml"), format!("nosuch = 1\n{settings}")).expect("written");
    let ended = run(&b, &["reload"]).ends(1);
    assert!(ended.err.contains("cygnet.toml:1: "), "{}", ended.err);
    until("; new settings are refused: ");
    fs::write(
        b.path("cygnet.toml"),
        settings.replace("insecure_http = true", "insecure_http = true\nmask_auth_key = true"),
    )
    .expect("written");
    run(&b, &["reload"]).ends(0);
    until("; restart to take over mask_auth_key");
    assert!(!all.iter().any(|status| status.contains("hangs")), "{all:#?}");
    child.kill().expect("it runs");
    child.wait().expect("a child");
}

#[test]
fn an_address_that_is_not_there_yet_holds_nothing_up() {
    for address in ["203.0.113.77:0", "[2001:db8:ffff::77]:0"] {
        let mut b = Bench::idle(&Options::default());
        edit(
            &b.path("cygnet.toml"),
            "listen = \"127.0.0.1:0\"",
            &format!("listen = \"{address}\"\ninsecure_http = true"),
        );
        b.run();
        b.unix().request("GET", "/readyz", &[], b"").expect("an answer").expect(200);
        assert!(b.logs().contains("this host does not have the address of listen"), "{}", b.logs());
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let b = Bench::idle(&Options::default());
    edit(&b.path("cygnet.toml"), "127.0.0.1:0", &address);
    let done = b.command().output().expect("started");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("another program listens there"), "{said}");
}
