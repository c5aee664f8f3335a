//! The directories in which swanctl looks for certificates and keys: only the service may write there, also after an
//! upgrade from a package that let the socket's group do it, and a purge leaves nothing of ours behind.

use crate::{
    certificates::{Ca, Kind},
    life::{SETTINGS, comes_back},
    machine::{Machine, package, possible, released},
};
use serde_json::{Value, json};

const DIRECTORIES: [&str; 4] = ["x509", "x509ca", "x509crl", "private"];
/// What the agent laid down.
const OURS: &str = "find /etc/swanctl -name 'cygnet-*.pem' -printf '%P %u:%g %m\\n' | sort";

fn groups(machine: &Machine) -> Vec<String> {
    let of = |name: &&str| machine.run(&format!("stat --format=%U:%G:%a /etc/swanctl/{name}")).trim().to_owned();
    DIRECTORIES.iter().map(of).collect()
}

/// Runs a line as a member of the group cygnet; whether it succeeded.
fn as_member(machine: &Machine, line: &str) -> bool {
    machine.try_words(&["runuser", "-u", "member", "--", "sh", "-c", line]).status.success()
}

fn may_plant(machine: &Machine, directory: &str) -> bool {
    as_member(machine, &format!("umask 022; touch /etc/swanctl/{directory}/planted.pem"))
}

fn body(bundle: &str) -> Value {
    json!({ "name": "box", "vipUuid": "8db7a95857db4771b309933783a6975e", "peerAddress": "192.0.2.2",
        "authMode": "certs", "authKey": bundle, "idType": "name", "remoteId": "CN=peer",
        "l3NetworkUuid": "5a1c3c1ab5b24a5c8d1f2a3b4c5d6e7f", "peerCidrs": ["10.2.0.0/24"] })
}

#[test]
#[ignore = "needs the package: make box"]
fn only_the_service_may_write_where_swanctl_looks_and_a_purge_leaves_nothing() {
    if !possible() {
        return;
    }
    let (machine, aside) = (Machine::boot(), tempfile::tempdir().expect("a directory"));
    machine.run("systemctl start strongswan");
    machine.install(&released(&package(), aside.path()));
    machine.write("/etc/cygnet/cygnet.toml", SETTINGS);
    machine.run("systemctl restart cygnet");
    machine.wait("the agent is ready", || machine.is_ready());
    machine.run("useradd --groups cygnet member");
    let of_socket = |mode: &str| format!("root:cygnet:{mode}");
    assert_eq!(groups(&machine), ["1775", "1775", "1775", "1770"].map(of_socket));
    assert!(may_plant(&machine, "x509ca"), "the control: the fault is there");
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    let bundle = || ca.issue(Kind::Ecdsa, "CN=gw", &["gw.example"]).bundle(&[&ca]);
    let created = machine.call("POST", "/zstack/v1/ipsec", &json!({ "params": body(&bundle()) }));
    let uuid = created["inventory"]["uuid"].as_str().expect("a uuid").to_owned();
    let before = machine.shell(OURS);
    assert_eq!(before.lines().count(), 3, "{before}");
    let pid = machine.show("cygnet", "MainPID");

    let said = machine.install(&package());
    assert_eq!(machine.run("cat /etc/cygnet/cygnet.toml"), SETTINGS, "an operator's file stays, without a question");
    assert!(said.contains("x509ca/planted.pem belongs neither to root nor to cygnet"), "{said}");
    comes_back(&machine, &pid);
    let of_certs = |mode: &str| format!("root:cygnet-certs:{mode}");
    assert_eq!(groups(&machine), ["1775", "1775", "1775", "1770"].map(of_certs));
    assert_eq!(machine.shell(OURS), before, "the files are as they were");
    assert_eq!(machine.run("getent group cygnet-certs").trim().rsplit(':').next(), Some(""), "nobody is a member");
    let id = machine.shell("getent group cygnet-certs | cut -d: -f3").trim().to_owned();
    let status = machine.run(&format!("cat /proc/{}/status", machine.show("cygnet", "MainPID")));
    let own = status.lines().find_map(|line| line.strip_prefix("Groups:")).expect("its groups");
    assert!(own.split_whitespace().any(|group| group == id), "{own}");
    machine.run("rm /etc/swanctl/x509ca/planted.pem");
    for directory in DIRECTORIES {
        assert!(!may_plant(&machine, directory), "{directory}");
    }
    let list = "curl -sf --unix-socket /run/cygnet/cygnet.sock http://localhost/zstack/v1/ipsec";
    assert!(as_member(&machine, list), "the socket is still for the group");

    // The service still lays down and takes away.
    let body = json!({ "changeIPsecConnection": body(&bundle()) });
    machine.call("PUT", &format!("/zstack/v1/ipsec/config/{uuid}"), &body);
    let after = machine.shell(OURS);
    assert!(after.lines().count() == 3 && after != before && after.contains("cygnet:cygnet 600"), "{after}");
    machine.run("swanctl --load-all --noprompt");
    names_are_shown(&machine);

    let theirs = ["x509/site.pem", "x509ca/cygnet-mine.pem", "private/cygnet-old.pem.bak"];
    for name in theirs {
        machine.write(&format!("/etc/swanctl/{name}"), "an operator's\n");
    }
    let temporary = "/etc/swanctl/private/.cygnet-x.tmp";
    machine.write(temporary, "what a crash left\n");
    machine.run("dpkg --remove cygnet");
    assert_eq!(machine.shell(OURS).matches(&uuid).count(), 3, "removing keeps them");
    machine.run("dpkg --purge cygnet");
    assert!(!machine.shell(OURS).contains(&uuid), "{}", machine.shell(OURS));
    machine.run(&format!("test ! -e {temporary}"));
    for name in theirs {
        machine.run(&format!("test -e /etc/swanctl/{name}"));
    }
    assert_eq!(groups(&machine), ["root:root:755", "root:root:755", "root:root:755", "root:root:700"]);
}

/// A name that a terminal would obey: the journal has it as text, and `doctor` and `status` show it.
fn names_are_shown(machine: &Machine) {
    machine.shell("printf x >\"$(printf '/var/lib/cygnet/connections/a\\033[2J\\302\\233\\nFORGED.json')\"");
    let pid = machine.show("cygnet", "MainPID");
    machine.run("systemctl restart cygnet");
    comes_back(machine, &pid);
    machine
        .wait("it is in the journal", || machine.shell("journalctl -u cygnet -o json --no-pager").contains("FORGED"));
    let all = machine.run("journalctl -u cygnet -o json --no-pager");
    for line in all.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")) {
        // What cannot be printed comes as numbers.
        let hidden = line.as_object().expect("an object").iter().find(|(name, value)| {
            let is_ours = *name == "MESSAGE" || name.starts_with("CYGNET_");
            is_ours && value.as_str().is_none_or(|text| text.contains(cygnet::visible::is_hidden))
        });
        assert!(hidden.is_none(), "{hidden:?}");
    }
    for command in
        ["cygnet doctor; true", "cygnet doctor --json; true", "cygnet status; true", "cygnet status --json; true"]
    {
        let shown = machine.shell(&format!("{{ {command}; }} 2>&1"));
        assert!(shown.contains("FORGED") && !shown.lines().any(|line| line.starts_with("FORGED")), "{shown}");
        assert!(!shown.chars().any(|c| cygnet::visible::is_hidden(c) && c != '\n'), "{shown:?}");
    }
}
