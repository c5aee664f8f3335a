//! What else the host needs: a firewall that lets IPsec pass, forwarding, and an agent that has read the settings.

use super::wanted::{Below, Wanted};
use crate::cli::{
    ask,
    init_args::InitArgs,
    stop::{Result, Stop, print},
};
use cygnet::{
    disk::{
        self,
        open::{Kind, read_to_string},
    },
    rights,
};
use std::{path::Path, process::Command};

/// The file that keeps forwarding on.
const SYSCTL: &str = "/etc/sysctl.d/60-cygnet.conf";

const FIREWALL: &str = "
The firewall of this host, and each one on the way to the peers, must let pass in both directions:
  UDP 500, UDP 4500, ESP (IP protocol 50)
If nftables drops input here, for example:
  nft add rule inet filter input udp dport '{ 500, 4500 }' accept
  nft add rule inet filter input meta l4proto esp accept
";

/// Says what must pass. Nothing is opened.
pub fn firewall() -> Result<()> {
    print(FIREWALL).map(drop)
}

/// A switch of the kernel.
struct Switch {
    family: &'static str,
    name: &'static str,
    path: &'static str,
}

const SWITCHES: [Switch; 2] = [
    Switch { family: "IPv4", name: "net.ipv4.ip_forward", path: "/proc/sys/net/ipv4/ip_forward" },
    Switch { family: "IPv6", name: "net.ipv6.conf.all.forwarding", path: "/proc/sys/net/ipv6/conf/all/forwarding" },
];

/// Says whether forwarding is on, and switches it on if it is wanted.
pub fn forwarding(args: &InitArgs, wanted: &Wanted, below: Below<'_>) -> Result<()> {
    let has_v6 = wanted.networks.iter().any(|network| network.value.addr().is_ipv6());
    let is_on = |switch: &Switch| {
        let text = read_to_string(Path::new(switch.path), Kind::Kernel).unwrap_or_default();
        text.trim() != "0"
    };
    let needed = SWITCHES.iter().filter(|switch| has_v6 || switch.family == "IPv4");
    let off: Vec<_> = needed.filter(|switch| !is_on(switch)).collect();
    if off.is_empty() {
        return print("\nForwarding is on.\n").map(drop);
    }
    let lines: Vec<_> = off.iter().map(|switch| format!("{}=1\n", switch.name)).collect();
    let lines = lines.concat();
    let families: Vec<_> = off.iter().map(|switch| switch.family).collect();
    print(&format!(
        "\nForwarding of {} is off: this host itself reaches the peers' networks, the hosts behind it do not.\n",
        families.join(" and ")
    ))?;
    if args.forwarding || (!args.yes && ask::yes("Switch it on?", false)?) {
        return switch_on(args, &off, &lines, below);
    }
    let first = if off.len() > 1 { lines.trim_end().replace('\n', "\\n") } else { lines.trim_end().to_owned() };
    print(&format!("To switch it on:\n  printf '{first}\\n' >{SYSCTL}\n  sysctl --load {SYSCTL}\n")).map(drop)
}

fn switch_on(args: &InitArgs, off: &[&Switch], lines: &str, below: Below<'_>) -> Result<()> {
    let path = below(Path::new(SYSCTL));
    let failed = |path: &Path, e: &dyn std::fmt::Display| {
        Stop::failed(format!("cannot write {}: {e}", path.display())).hint("run it as root")
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(directory).map_err(|e| failed(&path, &rights::explained(&e)))?;
    disk::replace(&path, lines.as_bytes(), 0o644).map_err(|e| failed(&path, &e))?;
    // Another root is not this host's.
    for switch in off.iter().filter(|_| args.root.is_none()) {
        std::fs::write(switch.path, "1\n").map_err(|e| failed(Path::new(switch.path), &e))?;
    }
    print(&format!("wrote {}: it is on\n", path.display())).map(drop)
}

/// Has the agent read the settings, if systemd runs here; whether it did. No restart of the agent touches a tunnel.
pub fn take_over(args: &InitArgs, is_changed: bool) -> Result<bool> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Ok(false);
    }
    let is_active = || Command::new("systemctl").args(["is-active", "--quiet", "cygnet"]).status();
    if !is_changed && is_active().is_ok_and(|status| status.success()) {
        return Ok(true);
    }
    if !args.yes && !ask::yes("\nRestart the agent, so that it reads the settings? No tunnel is touched.", true)? {
        return Ok(false);
    }
    let status = Command::new("systemctl").args(["restart", "cygnet"]).status();
    match status.map_err(|e| Stop::failed(format!("systemctl cannot be run: {e}")))? {
        status if status.success() => Ok(true),
        _ => Err(Stop::failed("the agent did not start").hint("`journalctl -u cygnet -n 20` says why")),
    }
}
