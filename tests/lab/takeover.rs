//! Two gateways and one peer on a bridge: the address moves from one gateway to the other, and the tunnel with it. How long
//! it takes is printed; what is asserted are packets, events and attempts.

#[path = "takeover/addresses.rs"]
mod addresses;
#[path = "takeover/bed.rs"]
mod bed;
#[path = "takeover/keepalived.rs"]
mod keepalived;
#[path = "takeover/measured.rs"]
mod measured;
#[path = "takeover/odd_moves.rs"]
mod odd_moves;

use std::time::{Duration, Instant};

use serde_json::json;

use crate::pair::PATIENCE;
use crate::say;
use crate::stream::Events;
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;
use bed::{Bed, Plan};

/// How often the address moves.
const MOVES: usize = 4;
/// How often it moves while connections are written.
const WRITES: usize = 20;

/// Who gives the address up in a round, and who gets it: A has it first.
fn turn(round: usize) -> (Side, Side) {
    if round.is_multiple_of(2) { (Side::A, Side::B) } else { (Side::B, Side::A) }
}

fn takes_over(plan: Plan) {
    let Some(bed) = Bed::start(plan) else { return };
    let events = Side::BOTH.map(|side| Events::open(&bed.agent(side).socket(), "/cygnet/v1/events", None));
    for side in Side::BOTH {
        assert_eq!(bed.view(side, 0)["vip"]["role"], "standby", "nobody has the address");
    }
    bed.give_address(Side::A, 0);
    bed.ready(Side::A, 0);
    let (mut took, [here, there]) = (Vec::new(), plan.hosts(0));
    for round in 0..MOVES {
        let (from, to) = turn(round);
        bed.take_address(from, 0);
        let capture = bed.gateways.capture();
        let ping = bed.gateways.ping_background(to, &here, &there, Duration::from_millis(20));
        let begun = Instant::now();
        bed.give_address(to, 0);
        wait_until(PATIENCE, "the first reply", || (ping.received() > 0).then_some(()));
        took.push(begun.elapsed());
        bed.ready(to, 0);
        bed.stands_by(from);
        ping.stop();
        let sent = capture.finish_each();
        assert_eq!(sent[from as usize].ike, 0, "a standby sends nothing");
        assert_eq!(bed.view(from, 0)["reason"]["code"], "STANDBY");
        let metrics = bed.agent(from).request("GET", "/metrics", None).expect(200).text();
        assert!(!metrics.contains("cygnet_connection_carrying{"), "the alert is on this gauge: {metrics}");
    }
    took.sort();
    say(format!("from the address to the first reply, {MOVES} moves: {took:?}"));
    for (events, side) in events.iter().zip(Side::BOTH) {
        let names = events.names();
        assert!(!names.contains(&"down".to_owned()), "{side:?}: {names:?}");
        assert!(names.iter().filter(|name| *name == "took_over").count() >= MOVES / 2, "{side:?}: {names:?}");
    }
}

#[test]
fn the_other_gateway_takes_over_with_the_address() {
    takes_over(Plan::default());
}

#[test]
fn the_other_gateway_takes_over_ikev1() {
    if Lab::ike_versions().contains(&"ikev1") {
        takes_over(Plan { version: "ikev1", ..Plan::default() });
    }
}

#[test]
fn the_other_gateway_takes_over_ipv6() {
    takes_over(Plan { six: true, ..Plan::default() });
}

/// The gateway that takes over goes on with what it has: its other address, of which no packet is lost.
#[test]
fn other_addresses_lose_nothing() {
    let plan = Plan { vips: 2, tunnels: 2, ..Plan::default() };
    let Some(bed) = Bed::start(plan) else { return };
    bed.give_address(Side::A, 0);
    bed.give_address(Side::B, 1);
    bed.ready(Side::A, 0);
    bed.ready(Side::B, 1);
    let [here, there] = plan.hosts(1);
    let before = bed.view(Side::B, 1)["ike_sas"][0]["id"].clone();
    let ping = bed.gateways.ping_background(Side::B, &here, &there, Duration::from_millis(200));
    ping.wait_for_replies(1);
    // It takes over, and fails back.
    for round in 0..MOVES {
        let (from, to) = turn(round);
        bed.take_address(from, 0);
        bed.give_address(to, 0);
        bed.ready(to, 0);
        wait_until(PATIENCE, "the other one has no SA", || (bed.view(from, 0)["ike_sas"] == json!([])).then_some(()));
    }
    ping.wait_for_replies(1);
    let result = ping.stop();
    assert_eq!(result.lost(), 0, "{result:?}");
    assert_eq!(bed.view(Side::B, 1)["ike_sas"][0]["id"], before, "it is the same SA");
}

/// A plane writes to both, one after the other, while the address moves. In each round both have what was written last, and
/// the tunnel runs with it.
#[test]
fn writes_reach_both_while_the_address_moves() {
    let Some(bed) = Bed::start(Plan::default()) else { return };
    bed.give_address(Side::A, 0);
    bed.ready(Side::A, 0);
    for round in 0..WRITES {
        let (from, to) = turn(round);
        // Each write differs from the one before; the standby is the first one in turns.
        let (cipher, bits) = if round.is_multiple_of(2) { ("aes-128", "128") } else { ("aes-256", "256") };
        let change = json!({ "peerAddress": "10.200.0.1", "policyEncryptionAlgorithm": cipher, "policyAuthAlgorithm": "sha256",
                             "ikeVersion": "ikev2", "ikeDhGroup": 31, "pfs": "none", "lifeTime": 3600 + round });
        let change = crate::pair::with(&change, &json!({ "authKey": crate::pair::KEY }));
        let order = if round % 4 < 2 { [from, to] } else { [to, from] };
        let write = |side: Side| drop(bed.agent(side).change(&Plan::uuid(0), &change).expect(200));
        match round % 3 {
            0 => {
                write(order[0]);
                bed.take_address(from, 0);
                bed.give_address(to, 0);
                write(order[1]);
            }
            1 => {
                bed.take_address(from, 0);
                write(order[0]);
                write(order[1]);
                bed.give_address(to, 0);
            }
            _ => {
                bed.take_address(from, 0);
                bed.give_address(to, 0);
                write(order[0]);
                write(order[1]);
            }
        }
        for side in Side::BOTH {
            let inventory = &bed.view(side, 0)["inventory"];
            assert_eq!(inventory["policyEncryptionAlgorithm"], cipher, "round {round}, {side:?}");
            assert_eq!(inventory["lifeTime"], 3600 + round, "round {round}, {side:?}");
        }
        wait_until(PATIENCE, "the tunnel is as the last write says", || {
            let sas = bed.gateways.sas(to);
            let [sa] = sas.as_array()?.as_slice() else { return None };
            let [child] = sa["children"].as_array()?.as_slice() else { return None };
            (child["encr-keysize"] == bits && bed.is_ready(to, 0).is_some()).then_some(())
        });
        wait_until(PATIENCE, "the other one has no SA", || (bed.sas(from)[0] == 0).then_some(()));
    }
}

/// What runs on a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Charon(Side),
    Agent(Side),
}

/// All orders of some things.
fn orders(of: &[Part]) -> Vec<Vec<Part>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let first = |at: usize| {
        let rest: Vec<_> = of.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, part)| *part).collect();
        orders(&rest).into_iter().map(move |order| [vec![of[at]], order].concat())
    };
    (0..of.len()).flat_map(first).collect()
}

/// Both gateways lose their power, and their programs come back in any order: the one with the address has the tunnel, and
/// the other one sends nothing.
#[test]
fn both_gateways_come_back_in_any_order() {
    let Some(mut bed) = Bed::start(Plan::default()) else { return };
    bed.give_address(Side::A, 0);
    let mut holder = Side::A;
    let parts = [Part::Charon(Side::A), Part::Agent(Side::A), Part::Charon(Side::B), Part::Agent(Side::B)];
    for (round, order) in orders(&parts).into_iter().enumerate() {
        bed.ready(holder, 0);
        for side in Side::BOTH {
            bed.agents[side as usize].kill();
            bed.gateways.kill_charon(side);
        }
        // In half of the rounds, keepalived has moved the address meanwhile.
        if round.is_multiple_of(2) {
            bed.take_address(holder, 0);
            holder = holder.other();
            bed.give_address(holder, 0);
        }
        let capture = bed.gateways.capture();
        for part in &order {
            match part {
                Part::Charon(side) => bed.gateways.start_charon(*side),
                Part::Agent(side) => bed.agents[*side as usize].restart(),
            }
        }
        bed.ready(holder, 0);
        let other = holder.other();
        wait_until(PATIENCE, "the other one stands by", || {
            (bed.view(other, 0)["reason"]["code"] == "STANDBY").then_some(())
        });
        assert_eq!(bed.sas(other), [0, 0], "{order:?}");
        assert_eq!(capture.finish_each()[other as usize].ike, 0, "{order:?}: a standby sends nothing");
    }
}
