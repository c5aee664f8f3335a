//! The life of the package on one machine: installed beside a charon that runs, reloaded, killed, hung, upgraded,
//! removed and purged. charon is never restarted on the way.

use crate::{
    machine::{Machine, newer, package, possible},
    troubleshooting,
};
use serde_json::{Value, json};

/// The settings of these tests, beyond those of the package.
pub const SETTINGS: &str = "[charon]\nwait = \"0s\"\n\
    [[gateway.vips]]\nuuid = \"8db7a95857db4771b309933783a6975e\"\naddress = \"192.0.2.1\"\n\
    [[gateway.l3_networks]]\nuuid = \"5a1c3c1ab5b24a5c8d1f2a3b4c5d6e7f\"\ncidrs = [\"10.1.0.0/24\"]\n";
/// Obviously of a test.
const TOKEN: &str = "test-only-token-4711";

fn create(machine: &Machine) -> String {
    let body = json!({ "params": { "name": "box", "vipUuid": "8db7a95857db4771b309933783a6975e",
        "peerAddress": "192.0.2.2", "authKey": "test-only-key", "l3NetworkUuid": "5a1c3c1ab5b24a5c8d1f2a3b4c5d6e7f",
        "peerCidrs": ["10.2.0.0/24"] } });
    let answer = machine.call("POST", "/zstack/v1/ipsec", &body);
    answer["inventory"]["uuid"].as_str().expect("a uuid").to_owned()
}

/// A log survives a restart, completions are where the shells look and know names, also for an operator who is not root, and
/// an archive has the journal and no key.
fn operators_find_what_they_need(machine: &Machine, uuid: &str) {
    let log = || {
        serde_json::from_str::<Value>(&machine.run("cygnet log box --json -n 10000")).expect("JSON")["lines"].clone()
    };
    let before = log();
    let pid = machine.show("cygnet", "MainPID");
    machine.run("systemctl restart cygnet");
    comes_back(machine, &pid);
    let after = log();
    let count = before.as_array().expect("a list").len();
    assert!(
        count > 0 && after.as_array().expect("a list")[..count] == before.as_array().expect("a list")[..],
        "{before} {after}"
    );
    machine.run("useradd --create-home --groups cygnet op");
    let script = "source /usr/share/bash-completion/completions/cygnet; COMP_WORDS=(cygnet show b) COMP_CWORD=2; \
        _cygnet; echo $COMPREPLY";
    machine.write("/var/tmp/completes.sh", script);
    assert_eq!(machine.run("runuser -u op -- bash /var/tmp/completes.sh"), "box\n");
    machine.run(
        "test -s /usr/share/zsh/vendor-completions/_cygnet -a -s /usr/share/fish/vendor_completions.d/cygnet.fish",
    );
    for archive in ["/root/support.tar.gz", "/home/op/support.tar.gz"] {
        let who = if archive.starts_with("/root") { "" } else { "runuser -u op -- " };
        machine.run(&format!("{who}cygnet support {archive}"));
        assert_eq!(machine.run(&format!("stat --format=%a {archive}")), "600\n");
        let all = machine.run(&format!("tar -xzOf {archive}"));
        assert!(all.contains(uuid) && !all.contains("test-only-key") && !all.contains(TOKEN), "{all}");
    }
    let read = |name: &str| machine.run(&format!("tar -xzOf /root/support.tar.gz cygnet-support/{name}"));
    assert!(read("journal.txt").contains("cygnet[") && read("units.txt").contains("cygnet.service"));
    assert!(read("charon/connections.txt").contains(uuid), "{}", read("index.txt"));
    machine.run("userdel --remove op");
}

/// Waits until the agent is another process than `before`, and holds charon.
#[track_caller]
pub fn comes_back(machine: &Machine, before: &str) -> String {
    machine.wait("the agent is started anew", || {
        let now = machine.show("cygnet", "MainPID");
        now != before && now != "0" && machine.is_ready()
    });
    machine.show("cygnet", "MainPID")
}

#[test]
#[ignore = "needs the package: make box"]
fn the_package_lives_beside_charon() {
    if !possible() {
        return;
    }
    let machine = Machine::boot();
    machine.run("systemctl start strongswan");
    let charon = machine.show("strongswan", "MainPID");
    machine.install(&package());
    machine.wait("the agent is ready", || machine.is_ready());
    assert_eq!(machine.run("systemctl is-enabled cygnet").trim(), "enabled");
    settings_are_reloaded(&machine);
    let uuid = create(&machine);
    let file = format!("/var/lib/cygnet/swanctl/cygnet-{uuid}.conf");
    assert_eq!(machine.run(&format!("stat --format=%U:%G:%a {file}")).trim(), "cygnet:cygnet:600");
    writes_are_in_the_journal(&machine, &uuid);
    swanctl_finds_it(&machine, &uuid);
    tokens_come_through_systemd(&machine);
    it_survives(&machine);
    operators_find_what_they_need(&machine, &uuid);
    machine.run("ip address add 192.0.2.1/32 dev lo");
    the_doctor_looks(&machine);
    troubleshooting::works(&machine);

    a_backup_is_made(&machine);
    let aside = tempfile::tempdir().expect("a directory");
    let before = machine.show("cygnet", "MainPID");
    machine.install(&newer(&package(), aside.path()));
    assert_ne!(comes_back(&machine, &before), before);
    assert!(machine.run("dpkg-query --show cygnet").trim().ends_with(".1"));
    assert!(machine.shell("cat /etc/cygnet/cygnet.toml").contains("10.1.0.0/24"), "the settings were kept");
    let listed = machine.call("GET", &format!("/zstack/v1/ipsec/{uuid}"), &Value::Null);
    assert_eq!(listed["inventories"][0]["name"], "box", "{listed:#}");

    machine.run("dpkg --remove cygnet");
    assert_eq!(machine.show("cygnet", "ActiveState"), "inactive");
    machine.run(&format!("test -e {file}"));
    assert!(machine.run("swanctl --list-conns").contains(&format!("cygnet-{uuid}")), "tunnels go on");
    assert_eq!(machine.show("strongswan", "MainPID"), charon, "charon was never restarted");
    machine.run("dpkg --purge cygnet");
    for gone in ["/var/lib/cygnet", "/etc/cygnet", "/etc/swanctl/conf.d/cygnet.conf", "/etc/strongswan.d/cygnet.conf"] {
        machine.run(&format!("test ! -e {gone}"));
    }
    machine.run("systemctl restart strongswan");
    assert!(!machine.run("swanctl --list-conns").contains("cygnet-"));
    a_backup_makes_a_new_gateway(&machine, &uuid);
}

/// Settings, credentials and connections in one file that shows nothing.
fn a_backup_is_made(machine: &Machine) {
    machine.write("/root/passphrase", "test-only passphrase of the box\n");
    machine.run("cygnet backup /root/backup --passphrase-file /root/passphrase");
    assert_eq!(machine.run("stat --format=%a /root/backup"), "600\n");
    assert!(!machine.try_run("grep -q test-only /root/backup").status.success(), "it is sealed");
    assert!(!machine.try_run("cygnet backup /root/backup --passphrase-file /root/passphrase").status.success());
    // Here everything is as in the backup: no tunnel is touched.
    let said = machine.run("cygnet restore /root/backup --passphrase-file /root/passphrase --yes");
    assert!(said.starts_with("restored 0 connections and 0 files; 1 connections were as in the backup"), "{said}");
}

/// After a purge, the package and the backup are enough.
fn a_backup_makes_a_new_gateway(machine: &Machine, uuid: &str) {
    machine.install(&package());
    machine.wait("the agent is ready", || machine.is_ready());
    let said = machine.run("cygnet restore /root/backup --passphrase-file /root/passphrase --yes");
    assert!(said.starts_with("restored 1 connections"), "{said}");
    assert!(machine.run("swanctl --list-conns").contains(&format!("cygnet-{uuid}")));
    let before = machine.show("cygnet", "MainPID");
    machine.run("systemctl restart cygnet");
    comes_back(machine, &before);
    assert!(machine.run("cat /etc/cygnet/cygnet.toml").contains("10.1.0.0/24"), "the settings are back");
    let answer = machine
        .shell(&format!("curl -sS -H 'Authorization: OAuth {TOKEN}' http://127.0.0.1:8080/zstack/v1/ipsec/{uuid}"));
    assert!(answer.contains("test-only-other-key"), "the token lets in, and the key is back: {answer}");
    assert!(machine.run("cygnet history box").contains("lifeTime"), "revisions are back");
}

fn settings_are_reloaded(machine: &Machine) {
    machine.write("/etc/cygnet/cygnet.toml", SETTINGS);
    let before = machine.show("cygnet", "MainPID");
    machine.run("systemctl reload cygnet");
    let candidates = "/zstack/v1/ipsec/candidatesL3Networks?vipUuid=8db7a95857db4771b309933783a6975e";
    machine.wait("the settings are taken over", || {
        let answer = machine.try_call("GET", candidates, &Value::Null);
        answer.is_some_and(|(_, answer)| answer.to_string().contains("5a1c3c1ab5b24a5c8d1f2a3b4c5d6e7f"))
    });
    assert_eq!(machine.show("cygnet", "MainPID"), before);

    machine.write("/etc/cygnet/conf.d/20-wrong.toml", "\nnosuch = 1\n");
    assert!(!machine.try_run("systemctl reload cygnet").status.success(), "wrong settings are no success");
    let status = machine.show("cygnet", "StatusText");
    assert!(status.contains("refused: /etc/cygnet/conf.d/20-wrong.toml:2: "), "{status}");
    machine.wait("the journal has the fault", || {
        machine
            .shell("journalctl --no-pager -u cygnet")
            .contains("stay as they were: /etc/cygnet/conf.d/20-wrong.toml:2: ")
    });
    assert_eq!((machine.show("cygnet", "MainPID"), machine.is_ready()), (before, true), "the agent goes on");
    assert!(!machine.try_run("systemctl restart cygnet").status.success());
    machine.run("systemctl stop cygnet");
    machine.wait("the journal says why it does not start", || {
        let started = machine.shell("journalctl --no-pager --output=cat -u cygnet");
        started.lines().any(|line| line.starts_with("/etc/cygnet/conf.d/20-wrong.toml:2: "))
    });
    // An address that the host gets later.
    machine.write("/etc/cygnet/conf.d/20-wrong.toml", "listen = \"192.0.2.77:8080\"\ninsecure_http = true\n");
    machine.shell("systemctl reset-failed cygnet; systemctl start cygnet");
    machine.wait("the agent is ready", || machine.is_ready());
    let status = machine.show("cygnet", "StatusText");
    assert!(status.contains("listens on 192.0.2.77:8080 as soon as"), "{status}");
    machine.run("ip address add 192.0.2.77/32 dev lo");
    assert_eq!(machine.run("curl -sS http://192.0.2.77:8080/healthz"), "ok\n");
    machine.run("ip address delete 192.0.2.77/32 dev lo");
    machine.run("rm /etc/cygnet/conf.d/20-wrong.toml");
    machine.run("systemctl restart cygnet");
    machine.wait("the agent is ready", || machine.is_ready());
}

fn writes_are_in_the_journal(machine: &Machine, uuid: &str) {
    let body = json!({ "changeIPsecConnection": { "peerAddress": "192.0.2.2", "authKey": "test-only-other-key", "lifeTime": 1000 } });
    machine.call("PUT", &format!("/zstack/v1/ipsec/config/{uuid}"), &body);
    let find = |rest: &str| machine.shell(&format!("journalctl --no-pager -u cygnet CYGNET_UUID={uuid} {rest}"));
    machine.wait("the change is in the journal", || {
        find("--output=cat").contains("ChangeIPsecConnection by uid 0 from this host: done")
    });
    let said = find("--output=cat");
    assert!(said.contains("CreateIPsecConnection by uid 0 from this host: done; it is new"), "{said}");
    assert!(said.contains("lifeTime 3600 -> 1000") && said.contains("authKey changed"), "{said}");
    let fields = find("CYGNET_ACTION=ChangeIPsecConnection --output=json");
    let fields: Value = serde_json::from_str(fields.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&fields["CYGNET_PEER"], &fields["CYGNET_CALLER"]), (&json!("192.0.2.2"), &json!("uid 0")));
    assert!(fields["CYGNET_DURATION_MS"].is_string() && fields["CYGNET_REQUEST"].is_string(), "{fields:#}");
    assert!(
        !machine.run("journalctl --no-pager --output=export -u cygnet").contains("test-only-"),
        "a key is in the journal"
    );
}

/// What an operator's `swanctl --load-all` makes of our files: the same that is loaded. It unloads what it does not find.
fn swanctl_finds_it(machine: &Machine, uuid: &str) {
    let said = machine.run("swanctl --load-all --noprompt");
    assert!(said.contains(&format!("loaded connection 'cygnet-{uuid}'")), "{said}");
    let refused = machine.try_run(&format!(
        "setpriv --reuid=nobody --regid=nogroup --clear-groups cat /var/lib/cygnet/swanctl/cygnet-{uuid}.conf"
    ));
    assert!(!refused.status.success(), "others may read the key");
    // A directory that is not there yet must not cost the operator his own connections.
    machine.write("/etc/swanctl/conf.d/site.conf", "connections {\n\tsite {\n\t\tremote_addrs = 192.0.2.9\n\t}\n}\n");
    machine.shell("mv /var/lib/cygnet/swanctl /var/lib/cygnet/aside && swanctl --load-conns; mv /var/lib/cygnet/aside /var/lib/cygnet/swanctl");
    assert!(machine.run("swanctl --list-conns").contains("site:"));
    machine.shell("rm /etc/swanctl/conf.d/site.conf && swanctl --load-conns");
}

fn tokens_come_through_systemd(machine: &Machine) {
    let named =
        format!("listen = \"127.0.0.1:8080\"\n{SETTINGS}[auth]\ntokens_file = \"/etc/cygnet/credentials/tokens\"\n");
    machine.write("/etc/cygnet/cygnet.toml", &named);
    assert!(!machine.try_run("systemctl restart cygnet").status.success(), "a credential that is missing is an error");
    machine.run("systemctl stop cygnet");
    machine.wait("the journal says which one", || {
        machine.shell("journalctl --no-pager -u cygnet").contains("/etc/cygnet/credentials/tokens was not there")
    });
    machine.shell(&format!("umask 077; echo test:{TOKEN} >/etc/cygnet/credentials/tokens"));
    machine.shell("systemctl reset-failed cygnet; systemctl start cygnet");
    machine.wait("the agent is ready", || machine.is_ready());
    let ask = |token: &str| {
        machine.shell(&format!(
            "curl -s -o /dev/null -w '%{{http_code}}' -H 'Authorization: OAuth {token}' http://127.0.0.1:8080/zstack/v1/ipsec"
        ))
    };
    assert_eq!(ask(TOKEN), "200");
    assert_ne!(ask("test-only-another"), "200");
    machine.run("systemctl reload cygnet");
    machine.wait("a reload says what it cannot do", || {
        machine.shell("journalctl --no-pager -u cygnet").contains("is as it was at the start")
    });
}

/// It is started anew when it is killed and when it hangs, and not for nothing.
fn it_survives(machine: &Machine) {
    assert!(machine.show("cygnet", "StatusText").contains("1 connection, strongSwan"));
    let first = machine.show("cygnet", "MainPID");
    machine.run(&format!("kill -KILL {first}"));
    let second = comes_back(machine, &first);
    // Four times charon.timeout must fit into WatchdogSec, or the agent does not start.
    machine.shell("sed -i 's/^wait = .*/&\\ntimeout = \"1s\"/' /etc/cygnet/cygnet.toml");
    machine.run("mkdir -p /etc/systemd/system/cygnet.service.d");
    machine.write("/etc/systemd/system/cygnet.service.d/box.conf", "[Service]\nWatchdogSec=8s\n");
    machine.run("systemctl daemon-reload");
    machine.run("systemctl restart cygnet");
    let third = comes_back(machine, &second);
    // charon that is stopped is no reason to think that the agent hangs.
    let charon = machine.show("strongswan", "MainPID");
    machine.run(&format!("kill -STOP {charon}"));
    machine.wait("charon is missed", || machine.show("cygnet", "StatusText").contains("charon"));
    machine.run(&format!("kill -CONT {charon}"));
    machine.wait("charon is back", || machine.is_ready());
    assert_eq!(machine.show("cygnet", "MainPID"), third);
    machine.run(&format!("kill -STOP {third}"));
    comes_back(machine, &third);
    assert!(machine.shell("journalctl --no-pager -u cygnet").contains("Watchdog timeout"));
    machine.run("rm -r /etc/systemd/system/cygnet.service.d");
    machine.run("systemctl daemon-reload");
}

/// From within the sandbox, what cannot be looked at is no fault.
fn the_doctor_looks(machine: &Machine) {
    machine.shell("umask 077; echo 'connections { }' >/etc/swanctl/conf.d/closed.conf");
    let report = machine.call("GET", "/cygnet/v1/doctor", &Value::Null);
    machine.run("rm /etc/swanctl/conf.d/closed.conf");
    let findings = report["findings"].as_array().expect("a list");
    for finding in findings.iter().filter(|finding| finding["level"] != "info") {
        // The kernel's clock is the host's, and no route leads to addresses for documentation.
        let expected = ["forwarding", "clock", "routes"];
        assert!(expected.iter().any(|check| finding["check"] == *check), "{finding:#}");
    }
    let passed = report["passed"].as_array().expect("a list");
    for check in ["charon", "vici", "include", "addresses", "modes", "leftovers", "store"] {
        assert!(passed.iter().any(|item| item["check"] == check), "{check}: {report:#}");
    }
}
