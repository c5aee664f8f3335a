//! The counters of traffic in `/metrics`: what the tunnels carried is counted once, over rekeyings of both ends, an agent
//! that is killed, and one that is stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::pair::{PATIENCE, Pair, WAIT};
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;
use crate::{lab, say};

/// The uuid of the L3 network with several CIDRs.
const NETWORKS: &str = "c0000000000040008000000000000003";
/// The bytes of a ping as the tunnel carries it: the headers of IP and ICMP, and a payload of 56.
const PING: u64 = 84;
/// How often each child is rekeyed.
const REKEYINGS: usize = 20;
/// How many outgoing packets of a rekeying charon may not count.
const FORGOTTEN: u64 = 3;

/// The networks behind B, as CIDRs and as hosts; A has one.
fn networks() -> [(String, String); 3] {
    let more = |net: u8| (format!("172.22.{net}.0/24"), format!("172.22.{net}.1"));
    [(Side::B.lan().to_owned(), Side::B.host().to_owned()), more(1), more(2)]
}

/// The value of each series of a counter, by its labels.
fn series(agent: &Agent, name: &str) -> BTreeMap<String, u64> {
    let text = agent.request("GET", "/metrics", None).expect(200).text();
    let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "));
    lines.map(|(labels, value)| (labels.to_owned(), value.parse().expect("a whole number"))).collect()
}

fn sum(agent: &Agent, name: &str, direction: &str) -> u64 {
    let label = format!("direction=\"{direction}\"");
    series(agent, name).iter().filter(|(labels, _)| labels.contains(&label)).map(|(_, value)| value).sum()
}

/// Counters as they were at the last look; none may have gone back since.
#[derive(Default)]
struct Seen(BTreeMap<String, u64>);

impl Seen {
    fn look(&mut self, agent: &Agent) {
        for (labels, value) in series(agent, "cygnet_child_bytes_total") {
            let before = self.0.insert(labels.clone(), value).unwrap_or(0);
            assert!(value >= before, "{labels}: {before} became {value}");
        }
    }
}

/// Two gateways with three children between them.
fn gateways(lab: &Lab) -> Pair {
    for (_, host) in &networks()[1..] {
        lab.add_lan(Side::B, &format!("{host}/24"));
    }
    let cidrs = networks().map(|(cidr, _)| cidr).to_vec();
    let mut pair = Pair::start_with(lab, |side| AgentOptions {
        wait: WAIT[side as usize].to_owned(),
        l3_networks: if side == Side::B { vec![(NETWORKS.to_owned(), cidrs.clone())] } else { Vec::new() },
        ..Default::default()
    });
    pair.create(Side::B, &json!({ "l3NetworkUuid": NETWORKS, "split": "pairs" }));
    pair.create(Side::A, &json!({ "peerCidrs": cidrs, "split": "pairs" }));
    pair
}

/// Rekeys the children of A in turn, by either end.
fn rekey(pair: &Pair, round: usize) {
    let side = Side::BOTH[round % 2];
    let children = pair.lab.children(side);
    let mut names: Vec<_> = children.iter().filter_map(|sa| sa["name"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    pair.lab.swanctl(side, &["--rekey", "--child", names[round % names.len()]]);
}

/// Whether A has saved what its SAs have carried. After a crash that comes earlier the counters begin at 0.
fn is_saved(pair: &Pair) -> bool {
    let file = pair.agent(Side::A).state_dir().join("traffic.json");
    let saved = std::fs::read_to_string(file).unwrap_or_default();
    let children = pair.lab.children(Side::A);
    children.iter().filter_map(|sa| sa["spi-in"].as_str()).all(|spi| saved.contains(spi))
}

#[test]
fn what_children_carry_is_counted_once_over_rekeyings_and_restarts() {
    let Some(lab) = lab() else { return };
    let mut pair = gateways(&lab);
    pair.settled(3);
    let ping =
        |(_, host): (String, String)| lab.ping_background(Side::A, Side::A.host(), &host, Duration::from_millis(10));
    let pings = networks().map(ping);
    let mut seen = Seen::default();
    for round in 0..3 * REKEYINGS {
        rekey(&pair, round);
        for ping in &pings {
            ping.wait_for_replies(10);
        }
        match round {
            20 => {
                wait_until(PATIENCE, "the SAs are saved", || is_saved(&pair).then_some(()));
                pair.agent_mut(Side::A).kill();
                pair.agent_mut(Side::A).restart();
            }
            40 => {
                pair.agent_mut(Side::A).stop();
                pair.agent_mut(Side::A).restart();
            }
            _ => {}
        }
        seen.look(pair.agent(Side::A));
    }
    let (mut sent, mut received) = (0, 0);
    for result in pings.map(crate::support::lab::Ping::stop) {
        (sent, received) = (sent + result.sent, received + result.received);
    }
    let agent = pair.agent(Side::A);
    let near = |is: u64, wanted: u64| is.abs_diff(wanted) * 100 <= wanted;
    let counted = || {
        ["in", "out"].map(|direction| {
            [sum(agent, "cygnet_child_packets_total", direction), sum(agent, "cygnet_child_bytes_total", direction)]
        })
    };
    wait_until(PATIENCE, "all is counted", || near(counted()[0][0], received).then_some(()));
    say(format!("{sent} pings, {received} answers; counted (packets, bytes): {:?}", counted()));
    let [inbound, outbound] = counted();
    assert!(near(inbound[0], received) && near(inbound[1], received * PING), "{inbound:?} of {received}");
    // charon itself forgets what goes out while an SA is replaced: a packet in each rekeying or less, a few on a busy
    // machine. That no SA is left out shows above, where nothing is forgotten.
    let forgotten = sent.min(outbound[0] + FORGOTTEN * 3 * REKEYINGS as u64) - outbound[0].min(sent);
    let [packets, bytes] = [outbound[0] + forgotten, outbound[1] + forgotten * PING];
    assert!(near(packets, sent) && near(bytes, sent * PING), "{outbound:?} of {sent}");
    assert_eq!(series(agent, "cygnet_child_up").values().sum::<u64>(), 3);
}
