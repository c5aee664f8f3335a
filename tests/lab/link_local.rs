//! Gateways that know each other by link-local addresses: charon needs the interface behind the peer's.

use serde_json::{Value, json};

use crate::lab;
use crate::pair::{ORDER, Pair, WAIT};
use crate::support::agent::AgentOptions;
use crate::support::lab::{Lab, Side};

/// The uuid of the link-local VIP.
const VIP: &str = "c0000000000040008000000000000005";

/// The address that the kernel makes of the interface's hardware address.
fn address(side: Side) -> String {
    format!("fe80::ff:fe00:{}", side.number())
}

fn pair(lab: &Lab) -> Pair {
    Pair::start_with(lab, |side| AgentOptions {
        wait: WAIT[side as usize].to_owned(),
        vips: vec![(VIP.to_owned(), address(side))],
        ..Default::default()
    })
}

/// The options of a connection to the other side's link-local address on `interface`.
fn to(side: Side, interface: &str, more: &Value) -> Value {
    let mut options = json!({ "vipUuid": VIP, "peerAddress": address(side.other()) + interface });
    for (name, value) in more.as_object().expect("an object") {
        options[name.as_str()] = value.clone();
    }
    options
}

fn over_the_link(version: &str) {
    let Some(lab) = lab() else { return };
    let mut pair = pair(&lab);
    for side in ORDER {
        let inventory = pair.create(side, &to(side, "%wan", &json!({ "ikeVersion": version })));
        assert_eq!(inventory["peerAddress"], address(side.other()) + "%wan");
    }
    let before = pair.settled(1);
    assert_eq!(before[0].ike("remote-host"), address(Side::B));
    pair.carries();
    // What is loaded is what is wanted, and a Change replaces it as any other.
    for side in ORDER {
        pair.change(side, &to(side, "%wan", &json!({ "ikeVersion": version, "ikeDhGroup": 19 })));
    }
    pair.renewed(&before, 1);
    pair.carries();
    // It comes back by itself after a restart of the agent.
    pair.agent_mut(Side::A).restart();
    pair.settled(1);
    assert_eq!(pair.status(Side::A), "Ready");
}

#[test]
fn a_tunnel_over_the_link_with_ikev2() {
    over_the_link("ikev2");
}

#[test]
fn a_tunnel_over_the_link_with_ikev1() {
    over_the_link("ikev1");
}

/// Why the interface is asked for: charon cannot send without it.
#[test]
fn charon_sends_nothing_to_a_link_without_its_interface() {
    let Some(lab) = lab() else { return };
    lab.start_charon(Side::A);
    let (a, b) = (address(Side::A), address(Side::B));
    lab.load_conf(
        Side::A,
        "plain",
        &format!(
            "connections {{\n plain {{\n version = 2\n local_addrs = {a}\n remote_addrs = {b}\n local {{\n auth = psk\n }}\n \
             remote {{\n auth = psk\n }}\n children {{\n k {{\n local_ts = 10.1.0.0/24\n remote_ts = 10.2.0.0/24\n }}\n \
             }}\n }}\n}}\nsecrets {{\n ike-plain {{\n secret = test-only-key\n }}\n}}\n"
        ),
    );
    let tried = lab.swanctl(Side::A, &["--initiate", "--child", "k", "--timeout", "8"]);
    assert!(!tried.status.success());
    let log = lab.charon_log(Side::A);
    assert!(log.contains("error writing to socket: Invalid argument"), "{log}");
}
