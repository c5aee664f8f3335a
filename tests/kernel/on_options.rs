//! The options of our own that only a kernel with IPsec shows: which packets a tunnel takes, and what they look like.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::{Protection, Tunnel, charon, gateways, goes, in_the_kernel, lab, seen};
use crate::on_packets::{GATEWAYS, HOSTS, transport};
use crate::pair::{ORDER, PATIENCE, Pair, WAIT, reaches, with};
use crate::support::agent::AgentOptions;
use crate::support::lab::Side;
use crate::support::{output, run, wait_until};

/// The addresses of the GRE tunnel between the gateways.
const GRE: [&str; 2] = ["10.99.0.1", "10.99.0.2"];

/// The tunnel of a pair, with these options at both ends.
fn tunnel(options: fn(Side) -> Value, ends: [&'static str; 2], protection: Protection) -> Tunnel {
    Tunnel { options, changes: Vec::new(), ends, protection }
}

/// A GRE tunnel between the gateways, as the operator makes it.
fn gre(pair: &Pair, side: Side) {
    let [ours, theirs] = [side, side.other()].map(|side| GATEWAYS[side as usize]);
    let ip = |arguments: &[&str]| drop(run(pair.lab.command_in(side, "ip").args(arguments)));
    ip(&["link", "add", "gre-b", "type", "gre", "local", ours, "remote", theirs]);
    // With IPv6, the kernel looks for routers and neighbours there when it likes, and the tunnel carries that too.
    let off = "echo 1 > /proc/sys/net/ipv6/conf/gre-b/disable_ipv6";
    assert!(run(pair.lab.command_in(side, "sh").args(["-c", off])).status.success());
    ip(&["address", "add", &format!("{}/30", GRE[side as usize]), "dev", "gre-b"]);
    ip(&["link", "set", "gre-b", "up"]);
}

/// GRE over transport: what goes through GRE is protected, and what the gateways send each other besides is as it was.
#[test]
#[ignore = "on a machine of its own"]
fn gre_over_transport_and_nothing_else() {
    let mut pair = gateways();
    for side in Side::BOTH {
        gre(&pair, side);
    }
    let gre = tunnel(|_| with(&transport(), &json!({ "selectorProtocol": "gre" })), GRE, Protection::Esp);
    gre.is_created(&mut pair);
    pair.settled(1);
    gre.is_seen(&pair);
    let clear = seen(&pair.lab, || reaches(&pair.lab, Side::A, GATEWAYS[0], GATEWAYS[1]));
    assert!(clear.bare_icmp >= 15 && clear.esp == 0, "{clear:?}");
    // All packets of the gateways: another child takes the place of this one, and no packet of GRE is seen meanwhile.
    let before = pair.settled(1);
    let during = seen(&pair.lab, || {
        let ping = pair.lab.ping_background(Side::A, GRE[0], GRE[1], Duration::from_millis(20));
        ping.wait_for_replies(5);
        for side in ORDER {
            pair.change(side, &with(&json!({ "policyMode": "transport" }), &json!({ "selectorProtocol": "any" })));
        }
        pair.renewed(&before, 1);
        ping.wait_for_replies(5);
        ping.stop();
    });
    assert!(during.esp > 0 && during.bare_icmp == 0, "{during:?}");
    reaches(&pair.lab, Side::B, GATEWAYS[1], GATEWAYS[0]);
    goes(&pair);
}

/// ESP in UDP although there is no NAT, from both ends, while one of them alone asks for it.
#[test]
#[ignore = "on a machine of its own"]
fn a_forced_encapsulation_goes_in_udp() {
    let mut pair = gateways();
    let options = |side| if side == Side::A { json!({ "forceEncapsulation": true }) } else { json!({}) };
    let forced = tunnel(options, HOSTS, Protection::EspInUdp);
    forced.is_created(&mut pair);
    let before = pair.settled(1);
    forced.is_seen(&pair);
    pair.change(Side::A, &json!({ "forceEncapsulation": false }));
    pair.renewed(&before, 1);
    tunnel(options, HOSTS, Protection::Esp).is_seen(&pair);
    goes(&pair);
}

/// Nobody begins but traffic, of either end.
#[test]
#[ignore = "on a machine of its own"]
fn a_trap_waits_for_traffic() {
    let mut pair = gateways();
    for from in Side::BOTH {
        for side in ORDER {
            pair.create(side, &json!({ "startMode": "trap" }));
        }
        let path = |side| format!("/cygnet/v1/connections/{}", pair.uuid(side));
        let view = |side| pair.agent(side).request("GET", &path(side), None).expect(200).json();
        for side in Side::BOTH {
            let waiting = wait_until(PATIENCE, "it waits for traffic", || {
                let view = view(side);
                (view["role"] == "waits_for_traffic" && view["reason"]["code"] == "NOT_ATTEMPTED").then_some(view)
            });
            assert_eq!(waiting["ike_sas"], json!([]), "{waiting:#}");
            assert_eq!(pair.lab.traps(side).len(), 1);
        }
        let on_the_wire = seen(&pair.lab, || reaches(&pair.lab, from, from.host(), from.other().host()));
        assert!(on_the_wire.esp >= 15 && on_the_wire.bare_icmp == 0, "{on_the_wire:?}");
        pair.settled(1);
        goes(&pair);
    }
}

/// All addresses on both sides, for an interface: the kernel has policies that are the interface's, and takes nothing of
/// what the gateways send each other. This kernel has no XFRM interfaces to lead packets into.
#[test]
#[ignore = "on a machine of its own"]
fn all_networks_of_an_interface_take_nothing_by_themselves() {
    const ALL: &str = "c0000000000040008000000000000009";
    let lab = lab();
    for side in Side::BOTH {
        lab.start_charon_with(side, charon());
    }
    let l3_networks = vec![(ALL.to_owned(), vec!["0.0.0.0/0".to_owned()])];
    let mut pair = Pair::join(&lab, |side| AgentOptions {
        wait: WAIT[side as usize].to_owned(),
        l3_networks: l3_networks.clone(),
        ..Default::default()
    });
    let options = json!({ "ifId": 42, "l3NetworkUuid": ALL, "peerCidrs": ["0.0.0.0/0"] });
    for side in ORDER {
        pair.create(side, &options);
    }
    let before = pair.settled(1);
    for side in Side::BOTH {
        assert_eq!(pair.lab.children(side)[0]["if-id-in"], "0000002a");
        let list = run(lab.command_in(side, "ip").args(["xfrm", "policy", "list", "nosock"])).stdout;
        let list = String::from_utf8_lossy(&list).into_owned();
        let (policies, of_interface) =
            (list.matches("src 0.0.0.0/0 dst 0.0.0.0/0").count(), list.matches("if_id 0x2a").count());
        assert!(policies >= 3 && of_interface >= policies, "{list}");
        let routes = output(lab.command_in(side, "ip").args(["route", "show", "table", "220"])).stdout;
        assert_eq!(String::from_utf8_lossy(&routes), "", "charon leaves the routes to the operator");
    }
    let clear = seen(&lab, || {
        reaches(&lab, Side::A, GATEWAYS[0], GATEWAYS[1]);
        reaches(&lab, Side::B, GATEWAYS[1], GATEWAYS[0]);
    });
    assert!(clear.bare_icmp >= 30 && clear.esp == 0, "{clear:?}");
    // The interface is this end's affair alone.
    pair.change(Side::A, &json!({ "ifId": 43 }));
    pair.renewed(&before, 1);
    assert_eq!(pair.lab.children(Side::A)[0]["if-id-in"], "0000002b");
    assert_eq!(pair.lab.children(Side::B)[0]["if-id-in"], "0000002a");
    let refused =
        pair.agent(Side::A).change(pair.uuid(Side::A), &crate::pair::for_side(Side::A, &json!({ "ifId": 0 })));
    assert!(refused.expect(503).text().contains("set ifId"));
    assert!(!in_the_kernel(&lab, Side::A).is_empty());
    goes(&pair);
}
