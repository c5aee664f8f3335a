//! Two gateways, each a machine with systemd, strongswan.service and the package, and a tunnel between them that was
//! made by calls. One is rebooted, then it loses its power; each time the tunnel comes back without a call.

use crate::machine::{Machine, package, possible};
use serde_json::{Value, json};
use std::{process::Command, thread};

/// The resource uuids of the gateways.
pub const VIP: &str = "8db7a95857db4771b309933783a6975e";
pub const NETWORK: &str = "5a1c3c1ab5b24a5c8d1f2a3b4c5d6e7f";

/// Changes the networks of machines.
#[track_caller]
pub fn ip(line: &str) {
    let status = Command::new("ip").args(line.split(' ')).status().expect("ip runs");
    assert!(status.success(), "ip {line}");
}

/// A gateway with the address 192.0.2.N, and 10.N.0.0/24 behind it: strongSwan and the package, and `more` settings.
pub fn gateway(number: u8, more: &str) -> Machine {
    let machine = Machine::boot();
    machine.run("systemctl enable --now --quiet strongswan");
    machine.install(&package());
    machine.write(
        "/etc/cygnet/cygnet.toml",
        &format!(
            "{more}[[gateway.vips]]\nuuid = \"{VIP}\"\naddress = \"192.0.2.{number}\"\n\
             [[gateway.l3_networks]]\nuuid = \"{NETWORK}\"\ncidrs = [\"10.{number}.0.0/24\"]\n"
        ),
    );
    machine.run("systemctl restart cygnet");
    machine
}

/// Joins two machines, and gives each its addresses.
pub fn cable(machines: [&Machine; 2]) {
    let [one, two] = machines.map(Machine::network);
    ip(&format!("link add wan netns {one} type veth peer name wan netns {two}"));
    for (network, number) in [(one, 1), (two, 2)] {
        ip(&format!("-n {network} address add 192.0.2.{number}/24 dev wan"));
        ip(&format!("-n {network} address add 10.{number}.0.1/24 dev lo"));
        ip(&format!("-n {network} link set wan up"));
    }
}

/// The body of the Create on the gateway `number`.
fn body(number: u8) -> Value {
    let peer = 3 - number;
    json!({ "params": { "name": "pair", "vipUuid": VIP, "peerAddress": format!("192.0.2.{peer}"),
        "authKey": "test-only-key-of-the-pair", "l3NetworkUuid": NETWORK, "peerCidrs": [format!("10.{peer}.0.0/24")],
        "ikeVersion": "ikev2" } })
}

/// Waits until the tunnel between both carries packets.
#[track_caller]
pub fn carries(machines: [&Machine; 2]) {
    for machine in machines {
        machine.wait("the tunnel is ready", || {
            let list = machine.try_call("GET", "/zstack/v1/ipsec", &Value::Null);
            list.is_some_and(|(_, list)| list["inventories"][0]["status"] == "Ready")
        });
    }
    machines[0]
        .wait("packets arrive", || machines[0].try_run("ping -q -c 1 -W 1 -I 10.1.0.1 10.2.0.1").status.success());
    // Ends that begin at once make two SAs for a moment; one of them carries.
    let sas = machines[0].run("swanctl --list-sas");
    let is_used = |line: &str| line.trim_start().starts_with("in ") && !line.contains(" 0 packets");
    assert!(sas.lines().any(is_used), "the packets took another way:\n{sas}");
}

/// Two gateways with a tunnel that carries.
pub fn tunnel() -> (Machine, Machine) {
    let other = thread::spawn(|| gateway(2, ""));
    let one = gateway(1, "");
    let two = other.join().expect("the second gateway");
    cable([&one, &two]);
    assert!(!one.try_run("ping -q -c 1 -W 1 -I 10.1.0.1 10.2.0.1").status.success(), "there is a way without a tunnel");
    for (machine, number) in [(&one, 1), (&two, 2)] {
        machine.call("POST", "/zstack/v1/ipsec", &body(number));
    }
    carries([&one, &two]);
    (one, two)
}

#[test]
#[ignore = "needs the package: make box"]
fn a_tunnel_survives_a_reboot_and_a_power_cut() {
    if !possible() {
        return;
    }
    let (one, two) = tunnel();
    let both = [&one, &two];
    let said = one.run("cygnet ping pair");
    assert!(said.contains("10.2.0.1 from 10.1.0.1 through pair") && said.contains(" of 3 answered"), "{said}");
    let boot = two.run("cat /proc/sys/kernel/random/boot_id");
    two.down();
    two.up();
    assert_ne!(two.run("cat /proc/sys/kernel/random/boot_id"), boot);
    carries(both);
    two.crash();
    two.up();
    carries(both);
    assert_eq!(one.show("cygnet", "NRestarts"), "0");
}
