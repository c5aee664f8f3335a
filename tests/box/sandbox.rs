//! The sandbox of the unit: what systemd says of it, and what a program that runs in it can do.

use crate::machine::{Machine, package, possible};

/// Makes of the unit one that runs the probe in the same sandbox.
const AS_PROBE: &str = "sed -e 's,^ExecStart=.*,ExecStart=/usr/bin/python3 /usr/local/lib/probe.py,' \
    -e 's,^Type=.*,Type=oneshot,' -e '/^Watchdog/d;/^Restart/d' -e 's,^RuntimeDirectory=,RuntimeDirectoryPreserve=yes\\n&,' \
    /usr/lib/systemd/system/cygnet.service >/etc/systemd/system/probe.service";

#[test]
#[ignore = "needs the package: make box"]
fn the_unit_is_locked_down() {
    if !possible() {
        return;
    }
    let machine = Machine::boot();
    machine.run("systemctl start strongswan");
    machine.install(&package());
    machine.wait("the agent is ready", || machine.is_ready());
    // In tenths: at most 1.5.
    machine.run("systemd-analyze security --no-pager --threshold=15 cygnet.service");
    let said = machine.shell("systemd-analyze verify /usr/lib/systemd/system/cygnet.service 2>&1 || true");
    // Other units of the machine may have faults of their own; a manual page is not looked for in a minimal system.
    let complaints: Vec<_> = said.lines().filter(|l| l.contains("cygnet.service") && !l.contains("'man ")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    assert_eq!(machine.show("cygnet", "MemorySwapMax"), "0");
    let limits = machine.shell(&format!("grep core /proc/{}/limits", machine.show("cygnet", "MainPID")));
    assert_eq!(limits.split_whitespace().nth(4), Some("0"), "{limits}");
    // What is not dumpable belongs to root in /proc, not to its user.
    let owner = machine.run(&format!("stat --format=%U /proc/{}/environ", machine.show("cygnet", "MainPID")));
    assert_eq!(owner.trim(), "root");

    machine.shell("echo test:test-only-token >/etc/cygnet/credentials/tokens; touch /tmp/of-the-machine");
    machine.write("/usr/local/lib/probe.py", include_str!("probe.py"));
    machine.shell(AS_PROBE);
    machine.run("systemctl daemon-reload");
    machine.run("systemctl start probe.service");
    let said = machine.run("journalctl --no-pager --output=cat -u probe.service _COMM=python3");
    let tries: Vec<_> = said.lines().filter_map(|line| line.split_once(": ")).collect();
    assert!(tries.len() > 40, "{said}");
    let wrong: Vec<_> =
        tries.iter().filter(|(name, outcome)| name.starts_with("not ") == (*outcome == "done")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\nof\n{said}");
    // The control: the same tries outside of the sandbox, of which many succeed.
    let outside = machine.shell("CREDENTIALS_DIRECTORY=/none python3 /usr/local/lib/probe.py");
    let done = outside.lines().filter(|line| line.starts_with("not ") && line.ends_with(": done")).count();
    assert!(done >= 12, "the probe tries nothing:\n{outside}");
}
