//! Moves that are no plain ones: to other interfaces and with other prefixes, away and back within a moment, while a program
//! starts, of one address among several, after writes on the standby, and after a long standby.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::bed::{Bed, Plan};
use super::turn;
use crate::pair::PATIENCE;
use crate::stream::Events;
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;

/// Runs lines of `ip` in one process: what they do is done within a millisecond.
fn ip(bed: &Bed, side: Side, lines: &str) {
    let mut batch = bed.gateways.command_in(side, "ip");
    let mut batch = batch.args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("it runs");
    batch.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("written");
    assert!(batch.wait().expect("it ends").success(), "{lines}");
}

fn carries(bed: &Bed, side: Side, n: usize) {
    let [here, there] = bed.plan.hosts(n);
    wait_until(PATIENCE, "packets come through", || {
        (bed.gateways.ping(side, &here, &there, 3, Duration::from_millis(200)).received > 0).then_some(())
    });
}

/// How often the agent has asked charon for what.
fn requests(bed: &Bed, side: Side) -> BTreeMap<String, u64> {
    let text = bed.agent(side).request("GET", "/metrics", None).expect(200).text();
    let count = |line: &str| {
        let row = line.strip_prefix("cygnet_charon_request_duration_seconds_count{command=\"")?;
        let (command, number) = row.split_once("\"} ")?;
        Some((command.to_owned(), number.parse().ok()?))
    };
    text.lines().filter_map(count).collect()
}

/// Starts of negotiations so far.
fn attempts(bed: &Bed, side: Side) -> usize {
    bed.agent(side).logs().lines().filter(|line| line.contains("next step: negotiate ")).count()
}

/// One of three addresses moves; it has another interface and another prefix each time.
#[test]
fn one_of_three_addresses_moves_to_any_interface() {
    let plan = Plan { vips: 3, tunnels: 3, ..Plan::default() };
    let Some(bed) = Bed::start(plan) else { return };
    for n in 0..3 {
        bed.give_address(Side::A, n);
        bed.ready(Side::A, n);
    }
    let stay = || [1, 2].map(|n| bed.view(Side::A, n)["ike_sas"][0]["id"].clone());
    let (before, vip) = (stay(), plan.vip(0));
    bed.take_address(Side::A, 0);
    ip(&bed, Side::B, "link add inner type bridge\nlink set inner up\n");
    for (place, prefix) in [("lo", 32), ("wan", 24), ("inner", 24), ("inner", 32)] {
        let address = format!("{vip}/{prefix} dev {place}");
        bed.give_neighbour(Side::B, 0);
        ip(&bed, Side::B, &format!("addr add {address}\n"));
        bed.ready(Side::B, 0);
        if prefix == 32 {
            carries(&bed, Side::B, 0);
        }
        ip(&bed, Side::B, &format!("addr del {address}\n"));
        bed.stands_by(Side::B);
    }
    bed.give_address(Side::A, 0);
    bed.ready(Side::A, 0);
    assert_eq!(stay(), before, "the tunnels of the other addresses go on");
}

/// Away and back before anybody has looked: the tunnel carries, and nobody was told that it is down.
#[test]
fn an_address_that_is_back_at_once_keeps_its_tunnel() {
    let Some(bed) = Bed::start(Plan::default()) else { return };
    let events = Events::open(&bed.agent(Side::A).socket(), "/cygnet/v1/events", None);
    bed.give_address(Side::A, 0);
    bed.ready(Side::A, 0);
    let cidr = format!("{}/32 dev wan", bed.plan.vip(0));
    for times in [1, 2, 10] {
        ip(&bed, Side::A, &format!("addr del {cidr}\naddr add {cidr}\n").repeat(times));
        bed.ready(Side::A, 0);
        carries(&bed, Side::A, 0);
    }
    bed.take_address(Side::A, 0);
    bed.stands_by(Side::A);
    assert!(!events.names().contains(&"down".to_owned()), "{:?}", events.names());
}

/// The address comes or goes just when the agent, or charon, starts.
#[test]
fn an_address_moves_while_a_gateway_starts() {
    let Some(mut bed) = Bed::start(Plan::default()) else { return };
    bed.give_address(Side::A, 0);
    bed.ready(Side::A, 0);
    for round in 0..6 {
        let (from, to) = turn(round);
        let starting = if round < 4 { to } else { from };
        bed.agents[starting as usize].kill();
        if round.is_multiple_of(2) {
            bed.gateways.kill_charon(starting);
            bed.gateways.start_charon(starting);
        }
        std::thread::scope(|scope| {
            let (gateways, cidr) = (&bed.gateways, format!("{}/32", bed.plan.vip(0)));
            let agent = &mut bed.agents[starting as usize];
            scope.spawn(move || agent.restart());
            scope.spawn(move || {
                gateways.remove_address(from, &cidr);
                gateways.add_address(to, &cidr);
            });
        });
        bed.give_neighbour(to, 0);
        bed.ready(to, 0);
        carries(&bed, to, 0);
        bed.stands_by(from);
    }
}

/// A trap would take what the other gateway is to send. Where charon can have any, they are where the address is.
#[test]
fn a_standby_has_no_traps() {
    let Some(bed) = Bed::start(Plan::default()) else { return };
    let able = Lab::strongswan() >= [5, 9, 11];
    let traps_at = |holder: Option<Side>| {
        wait_until(PATIENCE, &format!("traps at {holder:?} alone"), || {
            let has = Side::BOTH.map(|side| !bed.gateways.traps(side).is_empty());
            (has == Side::BOTH.map(|side| able && holder == Some(side))).then_some(())
        });
    };
    bed.give_address(Side::A, 0);
    bed.ready(Side::A, 0);
    traps_at(Some(Side::A));
    bed.take_address(Side::A, 0);
    bed.give_address(Side::B, 0);
    bed.ready(Side::B, 0);
    traps_at(Some(Side::B));
    if !able {
        return;
    }
    // The same where traffic begins: the standby is told while it stands by, and waits for packets when it has the address.
    for side in Side::BOTH {
        let change = json!({ "peerAddress": "10.200.0.1", "ikeVersion": "ikev2", "ikeDhGroup": 31, "pfs": "none",
                             "startMode": "trap", "authKey": crate::pair::KEY });
        bed.agent(side).change(&Plan::uuid(0), &change).expect(200);
    }
    bed.take_address(Side::B, 0);
    traps_at(None);
    let tried = attempts(&bed, Side::A);
    bed.give_address(Side::A, 0);
    traps_at(Some(Side::A));
    assert_eq!((attempts(&bed, Side::A), bed.sas(Side::A)), (tried, [0, 0]), "it waits for traffic");
    carries(&bed, Side::A, 0);
}

/// What is deleted, changed and created on a standby is so when the address comes.
#[test]
fn writes_on_a_standby_hold_when_the_address_comes() {
    let plan = Plan { tunnels: 3, ..Plan::default() };
    let Some(bed) = Bed::start(plan) else { return };
    bed.give_address(Side::A, 0);
    (0..3).for_each(|n| bed.ready(Side::A, n));
    let standby = bed.agent(Side::B);
    standby.delete(&Plan::uuid(0)).expect(200);
    let disable = json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } });
    let path = format!("/zstack/v1/ipsec/{}/actions", Plan::uuid(1));
    standby.request("PUT", &path, Some(&disable)).expect(200);
    bed.take_address(Side::A, 0);
    bed.give_address(Side::B, 0);
    bed.ready(Side::B, 2);
    let conf = std::fs::read_dir(bed.agent(Side::B).conf_dir()).expect("read");
    let names: Vec<_> = conf.filter_map(|file| Some(file.ok()?.file_name().to_string_lossy().into_owned())).collect();
    let (names, sas) = (names.join(" "), bed.gateways.sas(Side::B).to_string());
    let has = |text: &str| [0, 1, 2].map(|n| text.contains(&Plan::uuid(n)));
    assert_eq!([has(&names), has(&sas)], [[false, false, true]; 2], "{names}\n{sas}");
}

/// A standby is idle however long it lasts: it asks charon for what a gateway without connections does, and when the address
/// comes, each tunnel is begun once.
#[test]
fn a_long_standby_leaves_nothing_behind() {
    let plan = Plan { tunnels: 20, ..Plan::default() };
    let Some(bed) = Bed::start(plan) else { return };
    bed.give_address(Side::A, 0);
    bed.all_up(Side::A);
    bed.take_address(Side::A, 0);
    bed.stands_by(Side::A);
    let of = |side: Side, command: &str| requests(&bed, side).get(command).copied().unwrap_or(0);
    let sweeps = |side: Side| of(side, "get-shared");
    for side in Side::BOTH {
        // What was under way has ended.
        let begun = sweeps(side);
        wait_until(PATIENCE, "a sweep", || (sweeps(side) > begun).then_some(()));
    }
    let (before, tried) = (Side::BOTH.map(|side| requests(&bed, side)), Side::BOTH.map(|side| attempts(&bed, side)));
    let told = Side::BOTH.map(|side| bed.agent(side).logs().lines().count());
    wait_until(PATIENCE, "more sweeps", || (sweeps(Side::B) > before[1]["get-shared"] + 2).then_some(()));
    for side in Side::BOTH {
        let grown: BTreeMap<_, _> = requests(&bed, side)
            .into_iter()
            .map(|(command, count)| (command.clone(), count - before[side as usize].get(&command).unwrap_or(&0)))
            .collect();
        for (command, count) in &grown {
            // The regular looks, of all connections together.
            assert!(*count < plan.tunnels as u64, "{side:?}: {command}: {grown:?}");
        }
        for command in ["initiate", "terminate", "load-conn", "load-shared", "unload-conn"] {
            assert_eq!(grown.get(command).copied().unwrap_or(0), 0, "{side:?}: {command}: {grown:?}");
        }
        assert_eq!(bed.sas(side), [0, 0], "{side:?}");
        assert_eq!(bed.agent(side).logs().lines().count(), told[side as usize], "{}", bed.agent(side).logs());
    }
    bed.give_address(Side::B, 0);
    bed.all_up(Side::B);
    (0..plan.tunnels).for_each(|n| bed.ready(Side::B, n));
    assert_eq!(attempts(&bed, Side::B) - tried[1], plan.tunnels, "{}", bed.agent(Side::B).logs());
    let begun = before[1].get("initiate").copied().unwrap_or(0);
    wait_until(PATIENCE, "each is begun once", || {
        (of(Side::B, "initiate") == begun + plan.tunnels as u64).then_some(())
    });
}
