//! What the kernel interface holds beside the SAs: traps, which wait for a packet, and routes. They follow the
//! configuration in every change, and nothing of them outlives it. kernel-libipsec has traps from 5.9.11 on.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab;
use crate::pair::{PATIENCE, Pair};
use crate::support::lab::{Lab, Side};
use crate::support::{output, wait_until};

/// A network that comes behind B and goes.
const MORE: &str = "10.22.0.0/24";

/// The routes into the tunnel: kernel-libipsec makes one for each policy, in charon's own table.
pub fn routes(lab: &Lab, side: Side) -> Vec<String> {
    let listed = output(Command::new("ip").args(["-n", &lab.namespace(side), "route", "show", "table", "220"]));
    // Before the first route there is no such table, which ip calls an error.
    String::from_utf8_lossy(&listed.stdout).lines().map(|line| format!("route {line}")).collect()
}

/// Asserts that the traps are those of the loaded children, where this charon can have any, and that each trap and
/// each tunnel has its route.
fn follow(pair: &Pair, side: Side, remote: &[&str]) {
    let lab = &pair.lab;
    let able = Lab::strongswan() >= [5, 9, 11];
    let mut networks: Vec<_> = remote.iter().map(|cidr| Value::from(*cidr)).collect();
    networks.sort_by_key(Value::to_string);
    let wanted = if able && !remote.is_empty() { vec![Value::Array(networks)] } else { vec![] };
    wait_until(PATIENCE, &format!("the traps of {} are {wanted:?}: {:?}", side.letter(), lab.traps(side)), || {
        let traps = lab.traps(side);
        let remotes = |trap: &Value| {
            let mut list = trap["remote-ts"].as_array().cloned().unwrap_or_default();
            list.sort_by_key(Value::to_string);
            Value::Array(list)
        };
        let ours = traps.keys().all(|name| name.contains(&pair.name(side)));
        (ours && traps.values().map(remotes).collect::<Vec<_>>() == wanted).then_some(())
    });
    wait_until(
        PATIENCE,
        &format!("the routes of {} lead to {remote:?}: {:?}", side.letter(), routes(lab, side)),
        || {
            let routes = routes(lab, side);
            let each = remote.iter().all(|cidr| routes.iter().any(|route| route.contains(cidr)));
            (each && routes.len() == remote.len()).then_some(())
        },
    );
}

fn call(pair: &Pair, method: &str, tail: &str, body: &Value) {
    let path = format!("/zstack/v1/ipsec/{}{tail}", pair.uuid(Side::A));
    pair.agent(Side::A).request(method, &path, Some(body)).expect(200);
}

#[test]
fn traps_and_routes_follow_the_configuration() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({}));
    let (lan, other) = (Side::B.lan(), Side::A.lan());
    let mut now = pair.settled(1);
    follow(&pair, Side::A, &[lan]);
    // The new SA beside the old one: of the child, of the IKE SA, of the key.
    for change in [
        json!({ "policyEncryptionAlgorithm": "aes-128" }),
        json!({ "ikeDhGroup": 19 }),
        json!({ "authKey": "test-only-another-key" }),
    ] {
        pair.change_both(&change);
        now = pair.renewed(&now, 1);
        follow(&pair, Side::A, &[lan]);
        follow(&pair, Side::B, &[other]);
        pair.carries();
    }
    // Selectors, which name another child. Only A asks for more, so that B narrows it to what it was.
    call(&pair, "POST", "/remote-cidrs", &json!({ "params": { "peerCidrs": [MORE] } }));
    let traps = || pair.lab.traps(Side::A);
    if Lab::strongswan() >= [5, 9, 11] {
        wait_until(PATIENCE, "the trap takes the new network in", || {
            // In one child, or in one of its own: B narrows, and after five seconds A has a child for each pair.
            Value::from(traps()).to_string().contains(MORE).then_some(())
        });
    }
    call(&pair, "DELETE", "/remote-cidrs?peerCidrs=10.22.0.0%2F24", &json!({}));
    wait_until(PATIENCE, "the tunnel is as it was", || (pair.status(Side::A) == "Ready").then_some(()));
    pair.settled(1);
    follow(&pair, Side::A, &[lan]);
    let event = |word: &str| json!({ "changeIPSecConnectionState": { "stateEvent": word } });
    call(&pair, "PUT", "/actions", &event("disable"));
    follow(&pair, Side::A, &[]);
    call(&pair, "PUT", "/actions", &event("enable"));
    pair.settled(1);
    follow(&pair, Side::A, &[lan]);
    pair.carries();
    pair.agent(Side::A).delete(pair.uuid(Side::A)).expect(200);
    follow(&pair, Side::A, &[]);
}

/// A trap without a tunnel asks for one at the first packet: the agents are stopped, the tunnel is closed by hand.
#[test]
fn a_packet_brings_the_tunnel_up_again() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::up(&lab, &json!({}));
    pair.settled(1);
    for side in Side::BOTH {
        pair.agent_mut(side).stop();
    }
    lab.swanctl(Side::A, &["--terminate", "--ike", &pair.name(Side::A)]);
    wait_until(PATIENCE, "the tunnel is closed", || {
        Side::BOTH.iter().all(|side| pair.ike_sas(*side).is_empty()).then_some(())
    });
    let up = || lab.ping(Side::A, Side::A.host(), Side::B.host(), 3, Duration::from_millis(50)).received > 0;
    if Lab::strongswan() >= [5, 9, 11] {
        wait_until(PATIENCE, "a packet brings it up", || up().then_some(()));
        assert_eq!(pair.ike_sas(Side::A).len(), 1);
    } else {
        assert!(!up(), "there are no traps");
        assert!(pair.ike_sas(Side::A).is_empty());
    }
}
