//! What addresses do besides moving from one gateway to the other: some move and others do not, one is on both gateways, one
//! changes its interface, news of them are lost, and one of IPv6 is not usable.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::bed::{Bed, Plan};
use crate::pair::PATIENCE;
use crate::stream::Events;
use crate::support::agent::binary;
use crate::support::lab::Side;
use crate::support::{run, wait_until};

/// So many addresses come and go that the kernel cannot keep the news of them for a process that reads none.
const FLOOD: usize = 1000;

/// What a gateway is for each of the two addresses. It has one more, which stays.
fn roles(bed: &Bed, side: Side) -> [Value; 2] {
    let all = bed.agent(side).request("GET", "/cygnet/v1/ha", None).expect(200).json();
    let vips = all["vips"].as_array().expect("a list");
    let of = |n: usize| {
        let vip = vips.iter().find(|vip| vip["address"] == bed.plan.vip(n));
        vip.unwrap_or_else(|| panic!("{all}"))["role"].clone()
    };
    [of(0), of(1)]
}

/// Waits for the role of each; all together are as they say.
#[track_caller]
fn wait_for_roles(bed: &Bed, side: Side, each: [&str; 2]) {
    wait_until(PATIENCE, &format!("{each:?} of {side:?}"), || (roles(bed, side) == each).then_some(()));
}

/// The role for all addresses together.
fn role(bed: &Bed, side: Side) -> Value {
    bed.agent(side).request("GET", "/readyz", None).expect(200).json()["role"].clone()
}

fn events(bed: &Bed) -> [Events; 2] {
    Side::BOTH.map(|side| Events::open(&bed.agent(side).socket(), "/cygnet/v1/events", None))
}

/// How often these events came of the address number `n`.
fn count(events: &Events, name: &str, vip: &str) -> usize {
    events.all().iter().filter(|event| event.name == name && event.data["vip"] == vip).count()
}

fn sa(bed: &Bed, side: Side, n: usize) -> Value {
    bed.view(side, n)["ike_sas"][0]["id"].clone()
}

fn carries(bed: &Bed, side: Side, n: usize) {
    let [here, there] = bed.plan.hosts(n);
    wait_until(PATIENCE, "packets come through", || {
        (bed.gateways.ping(side, &here, &there, 3, Duration::from_millis(200)).received > 0).then_some(())
    });
}

/// What `cygnet compare` on A says of both gateways.
fn on_both(bed: &Bed) -> Value {
    let with = format!("unix:{}", bed.agent(Side::B).socket().display());
    let mut compare = bed.gateways.command_in(Side::A, binary());
    compare.arg("--config").arg(bed.agent(Side::A).config()).args(["compare", "--json", "--with", &with]);
    let said = compare.output().expect("it runs");
    let found: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    assert_eq!(found["same"], true, "{found}");
    found["active_on_both"].clone()
}

/// The losses of the sockets of a process that is subscribed to news of addresses, as /proc/net/netlink has them.
fn lost(bed: &Bed, side: Side) -> u64 {
    let pid = bed.agent(side).pid().expect("it runs");
    let table = fs::read_to_string(format!("/proc/{pid}/net/netlink")).expect("read");
    // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let subscribed = rows.filter(|row| row.get(3).is_some_and(|groups| *groups == "00000110"));
    subscribed.filter_map(|row| row.get(8)?.parse::<u64>().ok()).sum()
}

/// Adds addresses and takes them away.
fn flood(bed: &Bed, side: Side) {
    let mut text = String::new();
    for n in 0..FLOOD {
        let address = format!("10.250.{}.{}/32", n / 250, n % 250 + 1);
        let _ = writeln!(text, "addr add {address} dev lo\naddr del {address} dev lo");
    }
    let mut batch = bed.gateways.command_in(side, "ip");
    let mut batch = batch.args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("it runs");
    batch.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    assert!(batch.wait().expect("it ends").success());
}

#[test]
fn addresses_follow_each_for_itself() {
    let plan = Plan { vips: 2, tunnels: 2, ..Plan::default() };
    let Some(bed) = Bed::start(plan) else { return };
    let events = events(&bed);
    let [first, second] = [0, 1].map(|n| plan.vip(n));
    // Both are on A, and then one of them moves.
    for n in 0..2 {
        bed.give_address(Side::A, n);
        bed.ready(Side::A, n);
    }
    wait_for_roles(&bed, Side::A, ["active"; 2]);
    wait_for_roles(&bed, Side::B, ["standby"; 2]);
    assert_eq!(role(&bed, Side::A), "active");
    let stays = sa(&bed, Side::A, 1);
    bed.take_address(Side::A, 0);
    bed.give_address(Side::B, 0);
    bed.ready(Side::B, 0);
    wait_for_roles(&bed, Side::A, ["standby", "active"]);
    wait_for_roles(&bed, Side::B, ["active", "standby"]);
    assert_eq!(Side::BOTH.map(|side| role(&bed, side)), ["mixed"; 2]);
    assert_eq!(sa(&bed, Side::A, 1), stays, "the tunnel of the other address goes on");
    assert_eq!(bed.view(Side::B, 1)["reason"]["code"], "STANDBY");

    // The news of a move are among those that are lost.
    let agent = bed.agent(Side::A);
    agent.signal(Signal::SIGSTOP);
    flood(&bed, Side::A);
    bed.take_address(Side::A, 1);
    bed.give_address(Side::A, 0);
    let lost = lost(&bed, Side::A);
    bed.take_address(Side::B, 0);
    bed.give_address(Side::B, 1);
    agent.signal(Signal::SIGCONT);
    assert!(lost > 0, "the kernel kept all news");
    wait_for_roles(&bed, Side::A, ["active", "standby"]);
    bed.ready(Side::A, 0);
    bed.ready(Side::B, 1);

    // On the same gateway, an address changes its interface: that is no news for anybody.
    let before = (sa(&bed, Side::B, 1), count(&events[1], "took_over", &second), count(&events[1], "gave_up", &second));
    let cidr = format!("{second}/32");
    for step in
        ["link add second type veth peer name end", "link set second up", &format!("addr add {cidr} dev second")]
    {
        run(bed.gateways.command_in(Side::B, "ip").args(step.split(' ')));
    }
    bed.take_address(Side::B, 1);
    carries(&bed, Side::B, 1);
    // What has moved since is told, so what was before it was told as well.
    bed.take_address(Side::A, 0);
    bed.give_address(Side::B, 0);
    bed.ready(Side::B, 0);
    let after = (sa(&bed, Side::B, 1), count(&events[1], "took_over", &second), count(&events[1], "gave_up", &second));
    assert_eq!(before, after);
    assert!(count(&events[1], "took_over", &first) >= 2);

    // Both have one: each says that it is active, and the comparison says that both are.
    assert_eq!(on_both(&bed), json!([]));
    bed.give_address(Side::A, 1);
    bed.ready(Side::A, 1);
    wait_for_roles(&bed, Side::A, ["standby", "active"]);
    wait_for_roles(&bed, Side::B, ["active"; 2]);
    assert_eq!(on_both(&bed), json!([second]));
    for (events, side) in events.iter().zip(Side::BOTH) {
        assert!(!events.names().contains(&"down".to_owned()), "{side:?}: {:?}", events.names());
    }
}

/// An address of IPv6 counts when the detection of duplicates has passed, and not if it failed. A deprecated one, as
/// keepalived makes them, counts.
#[test]
fn an_address_of_ipv6_counts_when_it_can_be_used() {
    let plan = Plan { six: true, vips: 2, ..Plan::default() };
    let Some(bed) = Bed::start(plan) else { return };
    let ip = |side: Side, arguments: &str| run(bed.gateways.command_in(side, "ip").args(arguments.split(' ')));
    let shown = |flag: &str| {
        let shown = bed.gateways.command_in(Side::A, "ip").args(["-6", "addr", "show", "dev", "wan", flag]).output();
        String::from_utf8_lossy(&shown.expect("it runs").stdout).contains(&plan.vip(0))
    };
    let detect = "echo 1 >/proc/sys/net/ipv6/conf/wan/accept_dad; echo 60 >/proc/sys/net/ipv6/conf/wan/dad_transmits; \
                  echo 0 >/proc/sys/net/ipv6/conf/wan/router_solicitation_delay";
    run(bed.gateways.command_in(Side::A, "sh").args(["-c", detect]));
    let cidr = format!("{}/128", plan.vip(0));
    // What is told of another address says that the first one was looked at.
    let is_none = || {
        bed.give_address(Side::A, 1);
        wait_for_roles(&bed, Side::A, ["standby", "active"]);
        bed.take_address(Side::A, 1);
        wait_for_roles(&bed, Side::A, ["standby"; 2]);
    };
    ip(Side::A, &format!("addr add {cidr} dev wan"));
    assert!(shown("tentative"));
    is_none();
    ip(Side::A, &format!("addr del {cidr} dev wan"));
    // The other gateway has it.
    bed.give_address(Side::B, 0);
    bed.ready(Side::B, 0);
    ip(Side::A, &format!("addr add {cidr} dev wan"));
    wait_until(PATIENCE, "the kernel has found the duplicate", || shown("dadfailed").then_some(()));
    is_none();
    wait_for_roles(&bed, Side::B, ["active", "standby"]);
    ip(Side::A, &format!("addr del {cidr} dev wan"));
    bed.take_address(Side::B, 0);
    ip(Side::A, &format!("addr add {cidr} dev wan preferred_lft 0 nodad"));
    assert!(shown("deprecated"));
    bed.give_neighbour(Side::A, 0);
    bed.ready(Side::A, 0);
}
