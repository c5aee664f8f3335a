//! A tunnel takes nothing of what the networks around its gateway send each other, although its selectors have it.
//!
//! ```text
//! host 10.1.0.9, fd00:1::9   - lan -+
//!                                   gateway A - 192.0.2.1 - bridge 192.0.2.254
//! host 172.16.0.9, fd00:16::9 - mgmt-+
//! ```

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::{LAN6, VIP6, charon, in_the_kernel, lab};
use crate::pair::{KEY, Pair, WAIT, with};
use crate::support::agent::AgentOptions;
use crate::support::lab::{Lab, Side};
use crate::support::{output, poll, run, wait_until};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A network at gateway A: its name, the gateway's addresses in it, and those of the host there.
pub struct Network {
    pub name: &'static str,
    pub gateway: [&'static str; 2],
    pub host: [&'static str; 2],
}

pub const LAN: Network =
    Network { name: "lan", gateway: ["10.1.0.1/24", "fd00:1::1/64"], host: ["10.1.0.9/24", "fd00:1::9/64"] };
pub const MGMT: Network =
    Network { name: "mgmt", gateway: ["172.16.0.1/24", "fd00:16::1/64"], host: ["172.16.0.9/24", "fd00:16::9/64"] };
const LATE: Network =
    Network { name: "late", gateway: ["172.17.0.1/24", "fd00:17::1/64"], host: ["172.17.0.9/24", "fd00:17::9/64"] };

/// The address without its prefix length.
pub fn address(text: &str) -> &str {
    text.split('/').next().unwrap_or_default()
}

impl Network {
    /// Makes it, with a namespace for its host.
    fn join(&self, lab: &Lab) {
        let (a, host) = (lab.namespace(Side::A), self.namespace(lab));
        run(Command::new("ip").args(["netns", "add", &host]));
        let name = self.name;
        run(Command::new("ip")
            .args(["-n", &a, "link", "add", name, "type", "veth", "peer", "name", "eth", "netns", &host]));
        for (namespace, device, addresses) in [(&a, name, self.gateway), (&host, "eth", self.host)] {
            for address in addresses {
                let mut add = Command::new("ip");
                add.args(["-n", namespace, "address", "add", address, "dev", device]);
                run(if address.contains(':') { add.arg("nodad") } else { &mut add });
            }
            run(Command::new("ip").args(["-n", namespace, "link", "set", device, "up"]));
        }
        for gateway in self.gateway {
            run(Command::new("ip").args(["-n", &host, "route", "add", "default", "via", address(gateway)]));
        }
    }

    fn namespace(&self, lab: &Lab) -> String {
        format!("{}-{}", lab.namespace(Side::A), self.name)
    }

    /// A command on its host.
    pub fn on_host(&self, lab: &Lab) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(lab)]);
        command
    }
}

/// Gateway A, which forwards, with two networks.
#[track_caller]
pub fn bed() -> Lab {
    let lab = lab();
    for address in LAN.gateway {
        run(lab.command_in(Side::A, "ip").args(["address", "del", address, "dev", "lo"]));
    }
    for key in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
        run(lab.command_in(Side::A, "sysctl").args(["-q", "-w", key]));
    }
    for network in [LAN, MGMT] {
        network.join(&lab);
    }
    for (net, via) in [("10.1.0.0/24", "192.0.2.1"), ("172.16.0.0/24", "192.0.2.1"), ("fd00:1::/64", "2001:db8::1")] {
        run(lab.command_in_middle("ip").args(["route", "add", net, "via", via]));
    }
    lab
}

/// The agent on A with a connection that takes everything, on the kernel's IPsec.
#[track_caller]
pub fn everything(lab: &Lab, options: &Value) -> Pair {
    lab.start_charon_with(Side::A, charon());
    lab.start_charon_with(Side::B, charon());
    let mut pair = Pair::join(lab, |side| AgentOptions {
        wait: WAIT[side as usize].to_owned(),
        vips: vec![(VIP6.to_owned(), side.wan6().to_owned())],
        l3_networks: vec![(LAN6.to_owned(), vec![side.lan6().to_owned()])],
        ..Default::default()
    });
    pair.create(
        Side::A,
        &with(options, &json!({ "peerCidrs": [if options["vipUuid"].is_null() { "0.0.0.0/0" } else { "::/0" }] })),
    );
    pair
}

pub fn algorithms() -> Value {
    json!({ "ikeEncryptionAlgorithm": "aes-256", "ikeAuthAlgorithm": "sha256",
            "policyEncryptionAlgorithm": "aes-256", "policyAuthAlgorithm": "sha256" })
}

/// Whether a ping by `command` to `to` comes back.
pub fn comes_back(mut command: Command, to: &str) -> bool {
    output(command.args(["ping", "-n", "-c", "1", "-W", "1", to])).status.success()
}

/// Everyone around the gateway who does not reach everyone else, of the family with this number (0: IPv4).
fn unreached(lab: &Lab, family: usize) -> Vec<String> {
    let bridge = ["192.0.2.254", "2001:db8::ffff"][family];
    let mut lost = Vec::new();
    let mut ping = |from: &str, command: Command, to: &str| {
        if !comes_back(command, to) {
            lost.push(format!("{from} to {to}"));
        }
    };
    for (own, other) in [(LAN, MGMT), (MGMT, LAN)] {
        ping(own.name, own.on_host(lab), address(own.gateway[family]));
        ping(own.name, own.on_host(lab), address(other.gateway[family]));
        ping(own.name, own.on_host(lab), address(other.host[family]));
    }
    ping(LAN.name, LAN.on_host(lab), bridge);
    let gateway = || {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &lab.namespace(Side::A)]);
        command
    };
    for to in [address(LAN.host[family]), address(MGMT.host[family]), bridge] {
        ping("gateway", gateway(), to);
    }
    lost
}

/// Waits until everyone around the gateway reaches everyone else.
#[track_caller]
pub fn all_reach(lab: &Lab, family: usize, when: &str) {
    let reached = poll(PATIENCE, || unreached(lab, family).is_empty().then_some(()));
    assert!(
        reached.is_some(),
        "{when}: {:?}\n{}\n{}",
        unreached(lab, family),
        in_the_kernel(lab, Side::A).join("\n"),
        String::from_utf8_lossy(&run(lab.command_in(Side::A, "ip").args(["route", "show", "table", "220"])).stdout)
    );
}

/// The agent's own view of the connection on A.
pub fn view(pair: &Pair) -> Value {
    let path = format!("/cygnet/v1/connections/{}", pair.uuid(Side::A));
    pair.agent(Side::A).request("GET", &path, None).expect(200).json()
}

/// The peer: it offers the whole Internet.
pub fn hub() -> String {
    format!(
        "connections {{\n  hub {{\n    version = 2\n    local_addrs = 192.0.2.2\n    remote_addrs = 192.0.2.1\n\
         proposals = aes256-sha256-x25519\n    local {{\n auth = psk\n id = 192.0.2.2\n }}\n\
         remote {{\n auth = psk\n id = 192.0.2.1\n }}\n    children {{\n      all {{\n        local_ts = 0.0.0.0/0\n\
         remote_ts = 10.1.0.0/24\n        esp_proposals = aes256-sha256\n      }}\n    }}\n  }}\n}}\n\
         secrets {{\n  ike-hub {{\n    id = 192.0.2.1\n    secret = \"{KEY}\"\n  }}\n}}\n"
    )
}

#[test]
#[ignore = "on a machine of its own"]
fn a_default_route_takes_nothing_from_the_networks_around() {
    let lab = bed();
    all_reach(&lab, 0, "the bed itself");
    // Nobody answers yet: the trap alone must not take them either.
    let pair = everything(&lab, &algorithms());
    wait_until(PATIENCE, "the trap is there", || {
        in_the_kernel(&lab, Side::A).iter().any(|line| line.contains("dst 0.0.0.0/0")).then_some(())
    });
    all_reach(&lab, 0, "with a dead peer");

    lab.load_conf(Side::B, "hub", &hub());
    pair.change(Side::A, &with(&algorithms(), &json!({ "lifeTime": 7200 })));
    wait_until(PATIENCE, "the tunnel is up", || pair.tunnel(Side::A, 1));
    assert_eq!(pair.status(Side::A), "Ready");
    all_reach(&lab, 0, "with a tunnel");
    wait_until(PATIENCE, "the LAN reaches the peer through the tunnel", || {
        comes_back(LAN.on_host(&lab), "10.2.0.1").then_some(())
    });

    // What the view shows is what charon was given; a network that comes later is followed without a renegotiation.
    let made = pair.tunnel(Side::A, 1).expect("the tunnel");
    let view = view(&pair);
    let remote = view["passes"][0]["remote"].clone();
    for net in ["10.1.0.0/24", "172.16.0.0/24", "192.0.2.0/24"] {
        assert!(remote.as_array().is_some_and(|nets| nets.iter().any(|n| n == net)), "{view}");
    }
    LATE.join(&lab);
    wait_until(PATIENCE, "a network that came later is left alone", || {
        comes_back(LAN.on_host(&lab), address(LATE.host[0])).then_some(())
    });
    assert_eq!(pair.tunnel(Side::A, 1).map(|now| now.spis()), Some(made.spis()));
    assert!(self::view(&pair)["drift"].is_null());

    // The check can fail: without the policies the LAN loses its gateway.
    let name = pair.name(Side::A);
    let listed = lab.swanctl(Side::A, &["--list-pols", "--pass"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let pass = listed.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').find(|word| word.contains("-pass-"));
    let pass = pass.unwrap_or_else(|| panic!("no pass policy: {listed}"));
    assert!(lab.swanctl(Side::A, &["--uninstall", "--ike", &name, "--child", pass]).status.success());
    wait_until(PATIENCE, "the LAN loses its gateway without them", || {
        (!comes_back(LAN.on_host(&lab), "10.1.0.1")).then_some(())
    });
}

/// A peer at another address, with a part of the management network behind it.
fn part() -> String {
    hub().replace("hub", "part").replace("192.0.2.2", "192.0.2.3").replace("0.0.0.0/0", "172.16.0.128/25")
}

/// A policy that leaves a network alone comes before those of all tunnels: so it spares what another tunnel carries.
#[test]
#[ignore = "on a machine of its own"]
fn a_part_of_a_network_around_that_another_tunnel_carries_is_carried_on() {
    let lab = bed();
    for address in ["192.0.2.3/24", "172.16.0.200/32"] {
        run(lab.command_in(Side::B, "ip").args(["address", "add", address, "dev", "wan"]));
    }
    lab.start_charon_with(Side::A, charon());
    lab.start_charon_with(Side::B, charon());
    lab.load_conf(Side::B, "part", &part());
    let mut pair = Pair::join(&lab, |side| AgentOptions { wait: WAIT[side as usize].to_owned(), ..Default::default() });
    let to_part = json!({ "peerAddress": "192.0.2.3", "peerCidrs": ["172.16.0.128/25"] });
    let created = pair.create(Side::A, &with(&algorithms(), &to_part));
    assert_eq!(created["status"], "Ready", "{created}\n{}", pair.agent(Side::A).logs());
    let part = pair.uuid(Side::A).to_owned();
    let carried = || comes_back(LAN.on_host(&lab), "172.16.0.200").then_some(());
    wait_until(PATIENCE, "the tunnel carries", carried);
    pair.create(Side::A, &with(&algorithms(), &json!({ "peerCidrs": ["0.0.0.0/0"] })));
    let passed = || view(&pair)["passes"].to_string();
    wait_until(PATIENCE, "the policies are there", || {
        in_the_kernel(&lab, Side::A).iter().any(|line| line.contains("dst 172.16.0.0/25")).then_some(())
    });
    assert!(!passed().contains("172.16.0.0/24"), "{}", passed());
    wait_until(PATIENCE, "the tunnel carries on", carried);
    assert!(comes_back(LAN.on_host(&lab), address(MGMT.host[0])), "the rest is left alone");
    // Without that tunnel all of the network is.
    pair.agent(Side::A).delete(&part).expect(200);
    wait_until(PATIENCE, "it follows", || {
        in_the_kernel(&lab, Side::A).iter().any(|line| line.contains("dst 172.16.0.0/24")).then_some(())
    });
    assert!(passed().contains("172.16.0.0/24"), "{}", passed());
}

#[test]
#[ignore = "on a machine of its own"]
fn ipv6_finds_its_neighbours_beside_a_default_route() {
    let lab = bed();
    all_reach(&lab, 1, "the bed itself");
    let ipv6 = json!({ "vipUuid": VIP6, "peerAddress": Side::B.wan6(), "l3NetworkUuid": LAN6 });
    let _pair = everything(&lab, &ipv6);
    wait_until(PATIENCE, "the trap is there", || {
        in_the_kernel(&lab, Side::A).iter().any(|line| line.contains("dst ::/0")).then_some(())
    });
    run(lab.command_in(Side::A, "ip").args(["-6", "neigh", "flush", "dev", "lan"]));
    run(LAN.on_host(&lab).args(["ip", "-6", "neigh", "flush", "dev", "eth"]));
    all_reach(&lab, 1, "with a dead peer");
}

/// Two peers with the whole Internet behind them; the address of each is its identity.
fn two_hubs() -> String {
    let hub = |n: u32| {
        format!(
            "  hub{n} {{\n    version = 2\n    local_addrs = 192.0.2.{n}\n    remote_addrs = 192.0.2.1\n\
             proposals = aes256-sha256-x25519\n    local {{\n auth = psk\n id = 192.0.2.{n}\n }}\n\
             remote {{\n auth = psk\n id = 192.0.2.1\n }}\n    children {{\n      lan{n} {{\n        local_ts = 10.2.0.0/24\n\
             remote_ts = 10.1.0.0/24\n        esp_proposals = aes256-sha256\n      }}\n    }}\n  }}\n"
        )
    };
    format!(
        "connections {{\n{}{}}}\nsecrets {{\n  ike-hub {{\n    id = 192.0.2.1\n    secret = \"{KEY}\"\n  }}\n}}\n",
        hub(2),
        hub(3)
    )
}

/// The peer to which the kernel sends what the LAN of A sends to that of B.
fn carries(lab: &Lab) -> String {
    let said =
        run(lab.command_in(Side::A, "ip").args(["xfrm", "policy", "list", "dir", "out", "src", "10.1.0.0/24"])).stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let peer = said.split("tmpl src 192.0.2.1 dst ").nth(1).and_then(|rest| rest.split_whitespace().next());
    peer.unwrap_or_default().to_owned()
}

#[test]
#[ignore = "on a machine of its own"]
fn of_two_tunnels_with_the_same_networks_the_one_that_carries_is_told() {
    let lab = lab();
    run(lab.command_in(Side::B, "ip").args(["address", "add", "192.0.2.3/24", "dev", "wan"]));
    lab.start_charon_with(Side::A, charon());
    lab.start_charon_with(Side::B, charon());
    lab.load_conf(Side::B, "hubs", &two_hubs());
    let mut pair = Pair::join(&lab, |side| AgentOptions { wait: WAIT[side as usize].to_owned(), ..Default::default() });
    let mut uuids = Vec::new();
    for peer in ["192.0.2.2", "192.0.2.3"] {
        let made = pair.create(
            Side::A,
            &with(&algorithms(), &json!({ "peerAddress": peer, "peerCidrs": ["10.2.0.0/24"], "dpdDelay": 1 })),
        );
        assert_eq!(made["status"], "Ready", "{made}\n{}", pair.agent(Side::A).logs());
        uuids.push(pair.uuid(Side::A).to_owned());
    }
    let shadowed = |uuid: &String| {
        let view =
            pair.agent(Side::A).request("GET", &format!("/cygnet/v1/connections/{uuid}"), None).expect(200).json();
        view["children"][0]["condition"] == "shadowed"
    };
    let told = || Some([shadowed(&uuids[0]), shadowed(&uuids[1])]);
    wait_until(PATIENCE, "the first is shadowed", || told().filter(|told| *told == [true, false]));
    assert_eq!(carries(&lab), "192.0.2.3");
    // A rekeying installs the first one anew, and it takes the packets back.
    let name = format!("cygnet-{}", uuids[0]);
    let children = lab.children(Side::A);
    let child = children.iter().filter_map(|child| child["name"].as_str()).find(|child| child.starts_with(&name));
    let child = child.expect("a child").to_owned();
    assert!(lab.swanctl(Side::A, &["--rekey", "--child", &child]).status.success(), "{child}");
    wait_until(PATIENCE, "the kernel goes over", || (carries(&lab) == "192.0.2.2").then_some(()));
    wait_until(PATIENCE, "the second is shadowed", || told().filter(|told| *told == [false, true]));
    // Its peer is not there any more, and the other tunnel carries.
    let nobody = ["neigh", "replace", "192.0.2.2", "lladdr", "02:00:00:00:00:99", "dev", "wan", "nud", "permanent"];
    run(lab.command_in(Side::A, "ip").args(nobody));
    wait_until(PATIENCE, "the other one carries", || (carries(&lab) == "192.0.2.3").then_some(()));
    wait_until(PATIENCE, "neither is shadowed", || told().filter(|told| *told == [false, false]));
    let status = |uuid: &String| pair.agent(Side::A).get(uuid).expect(200).json()["inventories"][0]["status"].clone();
    assert!(status(&uuids[0]) != "Ready" && status(&uuids[1]) == "Ready", "{uuids:?}");
}
