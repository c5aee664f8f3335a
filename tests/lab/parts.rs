//! A part of a connection is changed under traffic: networks come and go, it is disabled and enabled, made anew.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pair::{PATIENCE, Pair, Tunnel};
use crate::support::{agent::AgentOptions, lab::Side, wait_until};
use crate::traffic::assert_kept;
use crate::{lab, say};

/// A second network behind B, and its name in B's settings.
const NETWORK: (&str, &str) = ("b0000000000040008000000000000003", "10.22.0.0/24");
const HOST: &str = "10.22.0.1";

/// A tunnel between the two, where B has a second network that is not attached.
fn pair() -> Option<Pair> {
    let lab = lab()?;
    lab.add_lan(Side::B, "10.22.0.1/24");
    let mut pair = Pair::start_with(&lab, |side| AgentOptions {
        wait: "100ms".into(),
        l3_networks: if side == Side::B { vec![(NETWORK.0.into(), vec![NETWORK.1.into()])] } else { vec![] },
        ..Default::default()
    });
    for side in [Side::B, Side::A] {
        pair.create(side, &json!({}));
    }
    pair.settled(1);
    Some(pair)
}

fn call(pair: &Pair, side: Side, method: &str, tail: &str, body: &Value) -> Value {
    let path = format!("/zstack/v1/ipsec/{}{tail}", pair.uuid(side));
    pair.agent(side).request(method, &path, Some(body)).expect(200).json()["inventory"].clone()
}

/// Adds or removes the second network on one end.
fn turn(pair: &Pair, side: Side, on: bool) {
    let (uuid, cidr) = NETWORK;
    match (side, on) {
        (Side::A, true) => call(pair, side, "POST", "/remote-cidrs", &json!({ "params": { "peerCidrs": [cidr] } })),
        (Side::A, false) => call(pair, side, "DELETE", "/remote-cidrs?peerCidrs=10.22.0.0%2F24", &json!({})),
        (Side::B, true) => call(pair, side, "POST", "/l3networks", &json!({ "params": { "l3NetworkUuids": [uuid] } })),
        (Side::B, false) => call(pair, side, "DELETE", &format!("/l3networks?l3NetworkUuids={uuid}"), &json!({})),
    };
}

/// Waits until both ends carry the second network, or carry it no more.
fn carried(pair: &Pair, on: bool) -> [Tunnel; 2] {
    let selectors = |tunnel: &Tunnel| tunnel.0.to_string().contains(NETWORK.1);
    wait_until(PATIENCE, "the networks are as they should be", || {
        let tunnels = Side::BOTH.map(|side| pair.tunnel(side, 1));
        tunnels.iter().all(|t| t.as_ref().is_some_and(|t| selectors(t) == on)).then_some(())
    });
    pair.settled(1)
}

#[test]
fn networks_come_and_go_under_traffic() {
    let Some(pair) = pair() else { return };
    let orders = [Side::BOTH, [Side::B, Side::A]];
    for run in 0..5 {
        let ways = [(true, orders[run % 2]), (false, orders[(run + 1) % 2])];
        let way = |(on, order): (bool, [Side; 2])| {
            let ping = pair.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(20));
            ping.wait_for_replies(10);
            for side in order {
                turn(&pair, side, on);
            }
            carried(&pair, on);
            ping.wait_for_replies(10);
            let ping = ping.stop();
            say(format!(
                "selectors, run {run}, on {on}, {} first: {} of {} lost",
                order[0].letter(),
                ping.lost(),
                ping.sent
            ));
            let there = pair.lab.ping(Side::A, Side::A.host(), HOST, 5, Duration::from_millis(20));
            assert_eq!(there.received > 0, on, "the second network: {there:?}");
            ping.lost()
        };
        assert_kept(&pair, "networks", || ways.map(way).into());
    }
}

#[test]
fn a_disabled_connection_is_down_on_both_ends_until_it_is_enabled() {
    let Some(pair) = pair() else { return };
    let event = |word: &str| json!({ "changeIPSecConnectionState": { "stateEvent": word } });
    let inventory = call(&pair, Side::A, "PUT", "/actions", &event("disable"));
    assert_eq!((&inventory["state"], &inventory["status"]), (&json!("Disabled"), &json!("Disconnected")));
    assert!(pair.ike_sas(Side::A).is_empty() && pair.lab.list_conns(Side::A).is_empty());
    wait_until(PATIENCE, "the other end has no tunnel either", || pair.tunnel(Side::B, 1).is_none().then_some(()));
    // The other end tries again and again, and is refused.
    assert_ne!(pair.status(Side::B), "Ready");
    call(&pair, Side::A, "PUT", "/actions", &event("enable"));
    pair.settled(1);
    pair.carries();
}

#[test]
fn a_reconnect_makes_the_tunnel_anew() {
    let Some(pair) = pair() else { return };
    let before = pair.settled(1);
    call(&pair, Side::A, "PUT", "/actions", &json!({ "reconnectIPsecConnection": {} }));
    let after = pair.renewed(&before, 1);
    assert_ne!(before[0].ike("initiator-spi"), after[0].ike("initiator-spi"));
    pair.carries();
}
