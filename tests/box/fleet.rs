//! A fleet on machines with systemd: the packages of agent and follower on two gateways, Debian's etcd beside them with the
//! roles of docs/fleet.md, sealed keys, and a tunnel that two specs ask for. The follower starts before etcd, outlives it,
//! is killed, restarted, upgraded, removed and purged, and the tunnel does not notice.

use crate::{
    life::comes_back,
    machine::{Machine, fleet_package, newer, possible},
    pair::{NETWORK, VIP, cable, gateway},
};
use serde_json::{Value, json};
use std::thread;

const UUID: &str = "0a5e3c00000040008000000000000001";
const KEY: &str = "test-only-canary-of-the-fleet";
const PASSWORD: &str = "test-only-password";
const UNIT: &str = "cygnet-fleet";
/// A member on the second gateway, and its client.
const ETCD: &str = "http://192.0.2.2:2379";

/// What is found of the package beside what dpkg and the journal keep.
const LEFT: &str = "find /etc /var/lib /run /usr/bin /usr/lib/systemd /usr/share -xdev \
    \\( -name '*cygnet-fleet*' -o -path '/etc/cygnet/fleet*' \\) ! -path '/var/lib/dpkg/*' ! -path '/run/systemd/*' | sort";

fn names(number: u8) -> String {
    format!("g{number}")
}

/// Both packages and the settings.
fn member(number: u8) -> Machine {
    let machine = gateway(number, "");
    assert_eq!(machine.shell(LEFT), "", "the agent's package has nothing of the fleet");
    machine.install(&fleet_package());
    is_complete(&machine);
    machine.write(
        "/etc/cygnet/fleet.toml",
        &format!(
            "gateway = \"{0}\"\nendpoints = [\"{ETCD}\"]\nuser = \"{0}\"\n\
             password_file = \"/etc/cygnet/fleet-credentials/etcd-password\"\n\
             fleet_key_file = \"/etc/cygnet/fleet-credentials/fleet-key\"\n",
            names(number)
        ),
    );
    machine
}

/// The files that only root may read.
fn give_credentials(machine: &Machine, fleet_key: &str) {
    for (file, text) in [("etcd-password", PASSWORD), ("fleet-key", fleet_key.trim())] {
        machine.shell(&format!("umask 077; echo '{text}' >/etc/cygnet/fleet-credentials/{file}"));
    }
}

/// What an operator looks for after the installation; nothing runs before there are settings.
fn is_complete(machine: &Machine) {
    assert_eq!(machine.run("stat --format=%U:%G:%a /etc/cygnet/fleet-credentials").trim(), "root:root:700");
    for file in [
        "/usr/share/cygnet-fleet/fleet.toml",
        "/usr/share/doc/cygnet-fleet/copyright",
        "/usr/share/doc/cygnet-fleet/changelog.Debian.gz",
        "/usr/share/doc/cygnet-fleet/fleet.md",
        "/usr/share/man/man8/cygnet-fleet.8.gz",
        "/usr/share/man/man8/cygnet-fleet-put.8.gz",
        "/usr/share/bash-completion/completions/cygnet-fleet",
        "/usr/share/zsh/vendor-completions/_cygnet-fleet",
        "/usr/share/fish/vendor_completions.d/cygnet-fleet.fish",
    ] {
        // A machine may be told to unpack no documents.
        machine.shell(&format!("test -s {file} || dpkg -L cygnet-fleet | grep -qx {file}"));
        assert_eq!(
            machine
                .shell(&format!("[ ! -e {file} ] || stat --format=%U:%a {file}"))
                .trim()
                .trim_start_matches("root:644"),
            ""
        );
    }
    let script = "source /usr/share/bash-completion/completions/cygnet-fleet; COMP_WORDS=(cygnet-fleet re) COMP_CWORD=1; \
        _cygnet_fleet; echo $COMPREPLY";
    machine.write("/var/tmp/completes.sh", script);
    assert_eq!(machine.run("bash /var/tmp/completes.sh"), "reseal\n");
    assert!(!machine.try_run(&format!("systemctl is-enabled {UNIT}")).status.success(), "it has no settings yet");
    machine.run(&format!("systemctl start {UNIT}"));
    assert_eq!(machine.show(UNIT, "ConditionResult"), "no");
    assert_eq!(machine.show(UNIT, "ActiveState"), "inactive");
}

/// The unit runs without etcd, says so, and holds nothing of the host.
fn starts_without_etcd(machine: &Machine) {
    machine.run(&format!("systemctl enable --now --quiet {UNIT}"));
    machine.wait("the journal says that etcd is away", || journal(machine).contains("tunnels stay as they are"));
    assert_eq!((machine.show(UNIT, "ActiveState"), machine.show(UNIT, "NRestarts")), ("active".into(), "0".into()));
}

fn journal(machine: &Machine) -> String {
    machine.shell(&format!("journalctl --no-pager --output=cat -u {UNIT}"))
}

/// In a sandbox, with a user of its own that no file names, and as little access as a caller of the agent needs.
fn is_locked_down(machine: &Machine) {
    machine.run(&format!("systemd-analyze security --no-pager --threshold=15 {UNIT}.service"));
    let said = machine.shell(&format!("systemd-analyze verify /usr/lib/systemd/system/{UNIT}.service 2>&1 || true"));
    let complaints: Vec<_> = said.lines().filter(|line| line.contains(UNIT) && !line.contains("'man ")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    let pid = machine.show(UNIT, "MainPID");
    let status = machine.run(&format!("cat /proc/{pid}/status"));
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).expect(name).trim().to_owned();
    let uid: u32 = line("Uid:").split_whitespace().next().expect("a uid").parse().expect("a number");
    assert!((61184..=65519).contains(&uid), "a dynamic user: {uid}");
    assert_eq!((line("CapEff:").as_str(), line("NoNewPrivs:").as_str()), ("0000000000000000", "1"));
    let group = machine.shell("getent group cygnet | cut -d: -f3").trim().to_owned();
    let all = format!("{} {}", line("Gid:"), line("Groups:"));
    let others: Vec<_> = all.split_whitespace().filter(|id| *id != group).collect();
    assert!(others.is_empty(), "the agent's socket, and nothing else: {all}");
    let limits = machine.shell(&format!("grep core /proc/{pid}/limits"));
    assert_eq!(limits.split_whitespace().nth(4), Some("0"), "{limits}");
    // What is not dumpable belongs to root in /proc, not to its user.
    assert_eq!(machine.run(&format!("stat --format=%U /proc/{pid}/environ")).trim(), "root");
    assert_eq!(machine.show(UNIT, "MemorySwapMax"), "0");
    let key = "/etc/cygnet/fleet-credentials/fleet-key";
    let reads = format!("setpriv --reuid={uid} --regid={group} --clear-groups cat {key}");
    assert!(!machine.try_run(&reads).status.success(), "the credential is read through systemd alone");
}

/// One member of etcd, and the lines of the page, once more for the second gateway.
fn etcd_begins(machine: &Machine) {
    machine.write("/etc/default/etcd", &format!("ETCD_LISTEN_CLIENT_URLS={ETCD}\nETCD_ADVERTISE_CLIENT_URLS={ETCD}\n"));
    machine.run("systemctl start etcd");
    let page = include_str!("../../docs/fleet.md");
    let section = page.split("\n## Roles\n").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let lines = section.lines().filter(|line| line.starts_with("etcdctl "));
    let (gateway, mut recipe): (Vec<_>, Vec<_>) = lines.map(ToOwned::to_owned).partition(|line| line.contains("g1"));
    let last = recipe.pop().expect("a line that switches it on");
    assert!(gateway.len() == 5 && last.contains("auth enable"), "{gateway:#?} {last}");
    let second: Vec<_> = gateway.iter().map(|line| line.replace("g1", "g2")).collect();
    let recipe = [recipe, gateway, second, vec![last, String::new()]].concat().join("\n");
    machine.write("/var/tmp/roles.sh", &recipe);
    machine.shell(&format!("ETCDCTL_API=3 ETCDCTL_ENDPOINTS={ETCD} PASSWORD={PASSWORD} sh -e /var/tmp/roles.sh"));
}

/// A plane on the second gateway, with a settings file of its own.
fn plane(machine: &Machine, arguments: &str) -> String {
    machine.shell(&format!("cygnet-fleet {arguments} --config /root/plane.toml"))
}

fn spec(number: u8, more: &str) -> String {
    let peer = 3 - number;
    let mut spec = json!({ "gateway": names(number), "uuid": UUID, "name": "fleet", "vipUuid": VIP,
        "peerAddress": format!("192.0.2.{peer}"), "authKey": KEY, "l3NetworkUuid": NETWORK,
        "peerCidrs": [format!("10.{peer}.0.0/24")], "ikeVersion": "ikev2" });
    spec["description"] = more.into();
    if number == 2 {
        // Two ends that begin at once would leave it open which of their SAs stays.
        spec["startMode"] = "respond".into();
    }
    spec.to_string()
}

/// Both ends are written in one step, and must be Ready.
fn write(machine: &Machine, more: &str) {
    machine.write("/root/specs.json", &format!("[{},{}]", spec(1, more), spec(2, more)));
    plane(machine, "apply /root/specs.json --confirm");
    are_ready(machine);
}

/// Waits until both gateways say that all is as wanted.
fn are_ready(machine: &Machine) {
    machine.wait("both are Ready", || {
        let said = machine.try_words(&["cygnet-fleet", "list", "--json", "--config", "/root/plane.toml"]);
        let listed: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        let all = listed["connections"].as_array().cloned().unwrap_or_default();
        all.len() == 2 && all.iter().all(|one| one["state"] == "Ready")
    });
}

/// The SAs by which a restarted tunnel would be told.
fn spis(machine: &Machine) -> Vec<String> {
    let sas = machine.run("swanctl --list-sas");
    let lines = sas.lines().map(str::trim).filter(|line| line.starts_with("in ") || line.starts_with("out "));
    let mut all: Vec<_> = lines.filter_map(|line| line.split_whitespace().nth(1).map(ToOwned::to_owned)).collect();
    all.sort();
    all
}

#[test]
#[ignore = "needs the packages: make box"]
fn two_gateways_follow_etcd_and_a_purge_leaves_nothing() {
    if !possible() {
        return;
    }
    let other = thread::spawn(|| member(1));
    let two = member(2);
    let one = other.join().expect("the first gateway");
    cable([&one, &two]);
    let key = two.run("cygnet-fleet keygen");
    for machine in [&one, &two] {
        give_credentials(machine, &key);
        starts_without_etcd(machine);
    }
    is_locked_down(&one);
    etcd_begins(&two);
    two.write("/root/plane.toml", &format!("endpoints = [\"{ETCD}\"]\nuser = \"plane\"\npassword_file = \"/root/password\"\nfleet_key_file = \"/root/fleet-key\"\n"));
    two.shell(&format!(
        "umask 077; echo {PASSWORD} >/root/password; cp /etc/cygnet/fleet-credentials/fleet-key /root/"
    ));
    write(&two, "first");
    one.wait("packets arrive", || one.try_run("ping -q -c 1 -W 1 -I 10.1.0.1 10.2.0.1").status.success());
    let shown = one.call("GET", &format!("/zstack/v1/ipsec/{UUID}"), &Value::Null);
    assert_eq!(shown["inventories"][0]["authKey"], KEY, "the sealed key is opened on the gateway");
    assert!(!two.try_run(&format!("grep -rq {KEY} /var/lib/etcd")).status.success(), "etcd has no key");

    it_outlives_what_fails(&one, &two);
    it_says_what_is_wrong(&one);
    upgrades_and_goes(&one, &two);
}

/// The follower is restarted and killed, the agent is restarted, etcd stops: the tunnel stays the same, and what is
/// written afterwards comes.
fn it_outlives_what_fails(one: &Machine, two: &Machine) {
    let before = spis(one);
    assert!(before.len() >= 2, "{before:?}");
    one.run(&format!("systemctl restart {UNIT}"));
    are_ready(two);
    write(two, "after a restart");
    let pid = one.show(UNIT, "MainPID");
    one.run(&format!("kill -KILL {pid}"));
    one.wait("it is started anew", || {
        let now = one.show(UNIT, "MainPID");
        now != "0" && now != pid
    });
    are_ready(two);
    write(two, "after a kill");
    assert_eq!(one.show(UNIT, "NRestarts"), "1");
    let agent = one.show("cygnet", "MainPID");
    one.run("systemctl restart cygnet");
    comes_back(one, &agent);
    are_ready(two);
    write(two, "after the agent's restart");
    let missed = || journal(one).matches("tunnels stay as they are").count();
    let before_it = missed();
    two.run("systemctl stop etcd");
    one.wait("it misses etcd", || missed() > before_it);
    assert_eq!(one.show(UNIT, "ActiveState"), "active");
    two.run("systemctl start etcd");
    are_ready(two);
    write(two, "after etcd's restart");
    assert_eq!(spis(one), before, "no step touches the tunnel");
    let all = one.run("journalctl --no-pager --output=export");
    assert!(!all.contains(KEY) && !all.contains(PASSWORD), "a secret is in the journal");
}

/// A wrong setting ends it, with the reason in the journal; it is not tried for ever.
fn it_says_what_is_wrong(machine: &Machine) {
    machine.shell(
        "cp -p /etc/cygnet/fleet.toml /root/; sed -i 's/^gateway.*/gateway = \"a\\/b\"/' /etc/cygnet/fleet.toml",
    );
    assert!(!machine.try_run(&format!("systemctl restart {UNIT}")).status.success());
    machine.run(&format!("systemctl stop {UNIT}"));
    machine.wait("the journal says why", || journal(machine).contains("/etc/cygnet/fleet.toml: gateway"));
    machine
        .shell(&format!("cp -p /root/fleet.toml /etc/cygnet/; systemctl reset-failed {UNIT}; systemctl start {UNIT}"));
}

fn upgrades_and_goes(one: &Machine, two: &Machine) {
    let (aside, before, pid) = (tempfile::tempdir().expect("a directory"), spis(one), one.show(UNIT, "MainPID"));
    one.install(&newer(&fleet_package(), aside.path()));
    assert!(one.run("dpkg-query --show cygnet-fleet").trim().ends_with(".1"));
    one.wait("the new one runs", || {
        let now = one.show(UNIT, "MainPID");
        now != "0" && now != pid
    });
    assert_eq!(one.run(&format!("systemctl is-enabled {UNIT}")).trim(), "enabled");
    are_ready(two);

    one.run("dpkg --remove cygnet-fleet");
    assert_eq!(one.show(UNIT, "ActiveState"), "inactive");
    one.run("test -s /etc/cygnet/fleet.toml -a -s /etc/cygnet/fleet-credentials/fleet-key");
    one.run("dpkg --purge cygnet-fleet");
    assert_eq!(one.shell(LEFT), "", "a purge leaves nothing");
    assert_eq!(spis(one), before, "the connections are the agent's");
    assert!(one.is_ready());
    one.run("test -s /etc/cygnet/cygnet.toml");

    // The agent's purge is not the fleet's.
    two.run("dpkg --purge cygnet");
    two.run(
        "test -s /etc/cygnet/fleet.toml -a -s /etc/cygnet/fleet-credentials/fleet-key -a ! -e /etc/cygnet/cygnet.toml",
    );
    two.run("dpkg --purge cygnet-fleet");
    assert_eq!(two.shell(LEFT), "");
    two.run("test ! -e /etc/cygnet");
}
