//! docs/quick-start.md, as it has it: every command is run on two machines. A block says where (`sh left`, `sh right`) and,
//! if it is not 0, with which exit code it ends. A block with `key` is run in a terminal, and the key that was printed
//! before is typed when it is asked for.

use crate::{
    machine::{Machine, package, possible},
    pair::cable,
};

const PAGE: &str = include_str!("../../docs/quick-start.md");

/// What asks for the key.
const QUESTION: &str = "Pre-shared key";

/// Where a block is to be run, the exit code that it has, whether the key is typed, and its text.
fn blocks() -> Vec<(&'static str, i32, bool, &'static str)> {
    let block = |part: &'static str| {
        let (words, text) = part.split_once('\n')?;
        let mut words = words.strip_prefix("sh ")?.split(' ');
        let (place, code) = (words.next()?, words.next().map_or(0, |code| code.parse().expect("an exit code")));
        Some((place, code, words.next() == Some("key"), text))
    };
    // Between the fences, every second part is a block.
    PAGE.split("```").skip(1).step_by(2).filter_map(block).collect()
}

/// A machine as the page presumes it: with the package in a file and strongSwan from Debian.
fn machine() -> Machine {
    let machine = Machine::boot();
    machine.put(&package(), "/var/tmp/cygnet.deb");
    machine
}

#[test]
#[ignore = "needs the package: make box"]
fn the_quick_start_works() {
    if !possible() {
        return;
    }
    let (left, right) = (machine(), machine());
    cable([&left, &right]);
    let blocks = blocks();
    assert!(blocks.len() > 8, "{} blocks were found", blocks.len());
    let mut key = String::new();
    for (place, code, is_typed, text) in blocks {
        let machine = match place {
            "left" => &left,
            "right" => &right,
            other => panic!("no machine is called {other}"),
        };
        let output = if is_typed {
            machine.write("/var/tmp/typed.py", include_str!("typed.py"));
            machine.try_words(&["python3", "/var/tmp/typed.py", text, QUESTION, &key])
        } else {
            machine.try_words(&["sh", "-ec", text])
        };
        assert_eq!(output.status.code(), Some(code), "on {place}:\n{text}\n{output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(key.is_empty() || !said.contains(&key), "the key is shown again: {said}");
        if let Some(line) = said.lines().find_map(|line| line.strip_prefix("key for the peer, shown once: ")) {
            key = line.trim_end().to_owned();
        }
    }
    assert_eq!(key.len(), 64, "a key was made");
    a_management_plane_is_let_in(&left);
    for machine in [&left, &right] {
        let said = machine.run("cygnet list --json");
        assert!(!said.contains("192.0.2."), "a connection is left: {said}");
    }
}

/// As docs/operate.md has it: afterwards the token opens the API over TLS, and nothing else does.
fn a_management_plane_is_let_in(machine: &Machine) {
    // Made by the first `init`; it is shown once, so this one makes another.
    machine.run("rm /etc/cygnet/credentials/tokens");
    let said = machine.run("cygnet init --yes --listen 192.0.2.1:8443");
    let token = said.lines().find_map(|line| line.strip_prefix("token for a management plane, shown once: "));
    let token = token.unwrap_or_else(|| panic!("no token: {said}"));
    let ask = |token: &str| {
        let call = "curl -s -o /dev/null -w '%{http_code}' --cacert /etc/cygnet/credentials/tls.crt";
        machine.shell(&format!("{call} -H 'Authorization: OAuth {token}' https://192.0.2.1:8443/zstack/v1/ipsec"))
    };
    assert_eq!(ask(token), "200");
    assert_ne!(ask("test-only-another-token"), "200");
    let site = machine.run("cat /etc/cygnet/conf.d/10-site.toml");
    assert!(machine.run("cygnet init --yes --listen 192.0.2.1:8443").contains("kept /etc/cygnet/conf.d/10-site.toml"));
    assert_eq!(machine.run("cat /etc/cygnet/conf.d/10-site.toml"), site);
    assert_eq!(machine.run("cygnet serve --check"), "the settings are valid\n");
}
