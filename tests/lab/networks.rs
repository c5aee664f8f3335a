//! What the tunnel joins: several networks on both sides, and both families inside and outside.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::pair::{ORDER, PATIENCE, Pair, WAIT, creation, for_side, reaches};
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;
use crate::{lab, lab_for};

/// The uuid of the L3 network with several CIDRs, and of the IPv6 VIP.
const NETWORKS: &str = "c0000000000040008000000000000003";
const VIP6: &str = "c0000000000040008000000000000004";

/// Two networks behind each gateway, IPv4.
fn two(side: Side) -> [String; 2] {
    [format!("10.{}.0.0/24", side.number()), format!("172.2{}.0.0/16", side.number())]
}

fn host(side: Side, network: usize) -> String {
    [side.host().to_owned(), format!("172.2{}.0.1", side.number())][network].clone()
}

/// Gateways with the VIPs of both families and the given networks behind them.
fn pair(lab: &Lab, networks: impl Fn(Side) -> Vec<String>) -> Pair {
    Pair::start_with(lab, |side| AgentOptions {
        wait: WAIT[side as usize].to_owned(),
        vips: vec![(VIP6.to_owned(), side.wan6().to_owned())],
        l3_networks: vec![(NETWORKS.to_owned(), networks(side))],
        ..Default::default()
    })
}

fn several_networks(version: &str, children: usize) {
    let Some(lab) = lab_for(version) else { return };
    for side in Side::BOTH {
        lab.add_lan(side, &format!("172.2{}.0.1/16", side.number()));
    }
    let mut pair = pair(&lab, |side| two(side).to_vec());
    for side in ORDER {
        let cidrs = two(side.other());
        pair.create(side, &json!({ "ikeVersion": version, "l3NetworkUuid": NETWORKS, "peerCidrs": cidrs }));
    }
    let before = pair.settled(children);
    let sets: BTreeSet<_> = before[0].children().iter().map(|child| child["name"].to_string()).collect();
    assert_eq!(sets.len(), children, "each child once: {before:#?}");
    let everything = || {
        for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            reaches(&lab, Side::A, &host(Side::A, from), &host(Side::B, to));
        }
    };
    everything();
    // The child alone, then everything.
    pair.change_both(&json!({ "ikeVersion": version, "policyEncryptionAlgorithm": "aes-128" }));
    let after = pair.renewed(&before, children);
    assert_eq!(before[0].ike("initiator-spi"), after[0].ike("initiator-spi"));
    pair.change_both(&json!({ "ikeVersion": version, "ikeDhGroup": 19 }));
    pair.renewed(&after, children);
    everything();
}

#[test]
fn several_networks_ikev2_in_one_child() {
    several_networks("ikev2", 1);
}

#[test]
fn several_networks_ikev1_in_a_child_per_pair() {
    several_networks("ikev1", 4);
}

#[test]
fn several_networks_any_version_in_one_child() {
    several_networks("ike", 1);
}

/// Both families inside, over IPv4 and then over IPv6 outside.
#[test]
fn ipv6_inside_and_outside() {
    let Some(lab) = lab() else { return };
    let mut pair = pair(&lab, |side| vec![side.lan().to_owned(), side.lan6().to_owned()]);
    let inside = |side: Side| json!({ "l3NetworkUuid": NETWORKS, "peerCidrs": [side.lan(), side.lan6()] });
    let outside = |side: Side, mut options: Value| {
        options["vipUuid"] = VIP6.into();
        options["peerAddress"] = side.wan6().into();
        options
    };
    for v6 in [false, true] {
        for side in ORDER {
            let options = inside(side.other());
            let options = if v6 { outside(side.other(), options) } else { options };
            pair.create(side, &options);
        }
        let [tunnel, _] = pair.settled(2);
        assert_eq!(tunnel.ike("local-host"), if v6 { Side::A.wan6() } else { Side::A.wan() });
        reaches(&lab, Side::A, Side::A.host(), Side::B.host());
        reaches(&lab, Side::A, Side::A.host6(), Side::B.host6());
        for side in Side::BOTH {
            pair.agent(side).delete(pair.uuid(side)).expect(200);
        }
    }
}

/// Why networks that hold both gateways are warned of: under kernel-libipsec, the tunnel takes its own packets as soon as
/// one end has it.
#[test]
fn networks_with_both_gateways_take_the_tunnels_own_packets() {
    let Some(lab) = lab() else { return };
    let around = |side: Side| ["192.0.2.0/31", "192.0.2.2/31"][side as usize];
    let mut pair = pair(&lab, |side| vec![around(side).to_owned()]);
    let options = |side: Side| json!({ "l3NetworkUuid": NETWORKS, "peerCidrs": [around(side.other())] });
    pair.create(Side::B, &options(Side::B));
    let answer = pair.agent(Side::A).create(&creation(Side::A, &options(Side::A))).expect(200).json();
    let warning = answer["warnings"].as_array().and_then(|all| all.iter().find(|w| w["code"] == "SPECIAL_NETWORK"));
    let message = warning.and_then(|warning| warning["message"].as_str()).unwrap_or_else(|| panic!("{answer}"));
    assert!(message.contains("192.0.2.2/31") && message.contains("192.0.2.1"), "{message}");
    wait_until(PATIENCE, "A hears no answer", || lab.charon_log(Side::A).contains("giving up after").then_some(()));
    assert_ne!(answer["inventory"]["status"], "Ready");
}

/// kernel-libipsec has no policies that leave a network alone: who asks for one around the gateway is told what that does.
#[test]
fn a_network_around_that_cannot_be_left_alone_is_warned_of() {
    let Some(lab) = lab() else { return };
    lab.start_charon(Side::A);
    let agent = Agent::start(&lab, Side::A, AgentOptions { wait: "0s".into(), ..Default::default() });
    let of = |answer: &Value| {
        let all = answer["warnings"].as_array().cloned().unwrap_or_default();
        assert!(all.iter().all(|warning| warning["code"] != "CONNECTED_NETWORK"), "{answer}");
        all.into_iter().find(|warning| warning["code"] == "NEIGHBOURS_TAKEN")
    };
    let created = agent.create(&creation(Side::A, &json!({ "peerCidrs": ["192.0.0.0/16"] }))).expect(200).json();
    let warning = of(&created).expect("the answer warns");
    assert!(warning["field"] == "peerCidrs" && warning["message"].to_string().contains("192.0.2.0/24"), "{warning}");
    let uuid = created["inventory"]["uuid"].as_str().expect("a uuid");
    let path = format!("/cygnet/v1/connections/{uuid}");
    let view = agent.request("GET", &path, None).expect(200).json();
    assert_eq!((of(&view), &view["passes"]), (Some(warning.clone()), &json!([])));
    let change = json!({ "changeIPsecConnection": for_side(Side::A, &json!({ "lifeTime": 7200 })) });
    let plan = agent.request("POST", &format!("{path}/plan"), Some(&change)).expect(200).json();
    assert_eq!(of(&plan), Some(warning));
    // What covers no such network is as good as ever.
    agent.request("DELETE", &format!("/zstack/v1/ipsec/{uuid}"), None).expect(200);
    assert_eq!(of(&agent.create(&creation(Side::A, &json!({}))).expect(200).json()), None);
}
