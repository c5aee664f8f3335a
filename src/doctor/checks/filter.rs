//! Checks for packet filters that drop IKE, ESP or tunnel traffic. Where a rule has conditions that this file does not
//! know, the finding names the chain and gives no diagnosis.

use super::flows::{Device, Flow, Kind, MAX_DEPTH, Part, device, forwarded, host_of, libipsec, pairs, part};
use crate::{
    doctor::{
        Case, Finding, Level,
        facts::{
            procfs::PORTS,
            rules::{Action, Base, Chain, Hook, LEGACY, Match, Rule, Way},
        },
        finding::{Judged, all_unchecked, finding, judged, some},
        shell::{noted, quoted, words},
    },
    ipsec::{ChildState, IkeSa},
};
use ipnet::IpNet;
use std::net::IpAddr;

/// The numbers of ESP and AH as protocols.
const ESP: u8 = 50;
const AH: u8 = 51;

/// What the filters do with a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Diagnosis {
    Passes,
    /// This rule may drop it: it has unknown conditions.
    Unknown(String),
    /// This rule or policy drops it.
    Drops(Place),
}

/// Where something is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The rule or the policy, in words.
    text: String,
    /// The table of the base chain.
    table: String,
    /// The base chain's name.
    name: String,
    /// Where it is.
    base: Base,
}

/// How a chain ends for a flow.
enum End {
    On,
    Accepted,
    Dropped(String),
}

/// The gateway's address and the peer's, if that is known: else it may be any.
type Ends = (IpAddr, Option<IpAddr>);

/// A fault, and the flows that it affects.
type Wrong = (Level, String, Place, Vec<(Flow, String)>);

/// The filters forward tunnel traffic.
pub fn forward(case: &Case) -> Judged {
    const HOOKS: [Hook; 3] = [Hook::Prerouting, Hook::Forward, Hook::Postrouting];
    let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
    let pairs = forwarded(case);
    for (local, remote) in &pairs {
        let flows = [true, false].map(|out| [true, false].map(|begins| between(case, *local, *remote, out, begins)));
        let diagnoses =
            flows.each_ref().map(|both| both.each_ref().map(|flow| diagnose(&case.facts.rules.chains, &HOOKS, flow)));
        let drops = |out: usize, late: usize| match &diagnoses[out][late] {
            Diagnosis::Drops(place) => Some((&flows[out][late], place)),
            _ => None,
        };
        if let Some((flow, place)) = drops(0, 1).or_else(|| drops(1, 1)) {
            add(&mut wrong, Level::Error, "a packet filter drops tunnel traffic".into(), place, flow);
        } else if let (Some(out), Some(back)) = (drops(0, 0), drops(1, 0)) {
            let what = "a packet filter lets neither side open a connection through tunnels";
            for (flow, place) in [Some(out), Some(back).filter(|back| back.1 != out.1)].into_iter().flatten() {
                add(&mut wrong, Level::Error, what.into(), place, flow);
            }
        } else if let Some((flow, place)) = drops(0, 0).or_else(|| drops(1, 0)) {
            let what = "a packet filter lets only one side open connections; ignore this if it is intended";
            add(&mut wrong, Level::Info, what.into(), place, flow);
        }
        unknown.extend(diagnoses.iter().flatten().filter_map(unknown_rule));
    }
    judge(case, wrong, unknown, format!("no rule drops the traffic of {} pairs of networks", pairs.len()))
}

/// The filters accept IKE from the peers, and ESP or AH without UDP encapsulation.
pub fn input(case: &Case) -> Judged {
    let mut wrong = Vec::new();
    let mut unknown = outer(case, Way::In, &[Hook::Prerouting, Hook::Input], |begins, place, flow| {
        // A rule for established connections accepts the answers.
        let (level, what) = if begins {
            (
                Level::Warning,
                "a packet filter accepts only answers from peers: a peer cannot initiate, nor rekey after idle time",
            )
        } else {
            (Level::Error, "a packet filter drops what peers send to this gateway")
        };
        add(&mut wrong, level, what.into(), place, flow);
    });
    unknown.extend(own(case, &mut wrong, Way::In, &[Hook::Prerouting, Hook::Input]));
    judge(case, wrong, unknown, "no rule drops IKE and ESP from the peers")
}

/// The filters let the same out.
pub fn output(case: &Case) -> Judged {
    let mut wrong = Vec::new();
    let mut unknown = outer(case, Way::Out, &[Hook::Output, Hook::Postrouting], |_, place, flow| {
        add(&mut wrong, Level::Error, "a packet filter drops what this gateway sends to peers".into(), place, flow);
    });
    unknown.extend(own(case, &mut wrong, Way::Out, &[Hook::Output, Hook::Postrouting]));
    judge(case, wrong, unknown, "no rule drops IKE and ESP to the peers")
}

/// Follows the tunnel traffic of this gateway's own addresses, which is not forwarded; returns the rules with unknown
/// conditions.
fn own(case: &Case, wrong: &mut Vec<Wrong>, way: Way, hooks: &[Hook]) -> Vec<String> {
    let passing = forwarded(case);
    let mut unknown = Vec::new();
    for (local, remote) in pairs(case).into_iter().filter(|pair| !passing.contains(pair)) {
        for begins in [false, true] {
            let flow = between(case, local, remote, way == Way::Out, begins);
            let diagnosis = diagnose(&case.facts.rules.chains, hooks, &flow);
            unknown.extend(unknown_rule(&diagnosis));
            let Diagnosis::Drops(place) = diagnosis else { continue };
            let (level, what) = if begins {
                (Level::Info, "a packet filter lets only one side open connections; ignore this if it is intended")
            } else {
                (Level::Error, "a packet filter drops tunnel traffic of this gateway itself")
            };
            add(wrong, level, what.into(), &place, &flow);
            break;
        }
    }
    unknown
}

/// Follows all flows between the endpoints of the tunnels, and returns the rules with unknown conditions. Calls `dropped`
/// once for each flow that is dropped; with `true` if only its first packet is.
fn outer(case: &Case, way: Way, hooks: &[Hook], mut dropped: impl FnMut(bool, &Place, &Flow)) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut seen = Vec::new();
    for connection in case.wanted() {
        let ends = (connection.local_addr, connection.remote_addr.ip());
        if seen.contains(&ends) {
            continue;
        }
        seen.push(ends);
        for kind in kinds(case, ends) {
            let diagnoses = [false, true].map(|begins| {
                let flow = outside(case, ends, way, kind, begins);
                (begins, diagnose(&case.facts.rules.chains, hooks, &flow), flow)
            });
            if let Some((begins, Diagnosis::Drops(place), flow)) =
                diagnoses.iter().find(|(_, diagnosis, _)| matches!(diagnosis, Diagnosis::Drops(_)))
            {
                dropped(*begins, place, flow);
            }
            unknown.extend(diagnoses.iter().filter_map(|(_, diagnosis, _)| unknown_rule(diagnosis)));
        }
    }
    unknown
}

/// What the two endpoints send: IKE, and ESP or AH of CHILD_SAs without UDP encapsulation.
fn kinds(case: &Case, (local, peer): Ends) -> Vec<Kind> {
    let mut found: Vec<_> = PORTS.into_iter().map(Kind::Udp).collect();
    let running = case.facts.charon.as_ref().map(|answers| answers.running.as_slice()).unwrap_or_default();
    let is_theirs = |ike: &&IkeSa| {
        ike.local_host.parse() == Ok(local) && peer.is_none_or(|peer| ike.remote_host.parse() == Ok(peer))
    };
    for sa in running.iter().filter(is_theirs).flat_map(|ike| &ike.children) {
        let kind = Kind::Protocol(if sa.ah { AH } else { ESP });
        // kernel-libipsec sends ESP in UDP alone.
        if sa.state == ChildState::Installed && !sa.encap && !libipsec(case) && !found.contains(&kind) {
            found.push(kind);
        }
    }
    found
}

fn outside(case: &Case, (local, peer): Ends, way: Way, kind: Kind, begins: bool) -> Flow {
    let own = IpNet::from(local);
    let all = IpNet::new(local, 0).map_or(own, |net| net.trunc());
    let other = peer.map_or(all, IpNet::from);
    let device = peer.map_or(Device::Unknown, |peer| device(case, peer));
    let (source, destination, comes, leaves) = match way {
        Way::In => (other, own, device, Device::Unknown),
        Way::Out => (own, other, Device::Unknown, device),
    };
    Flow { source, destination, policy: None, comes, leaves, kind, begins }
}

/// The traffic of a pair of networks in one direction.
fn between(case: &Case, local: IpNet, remote: IpNet, out: bool, begins: bool) -> Flow {
    let libipsec = libipsec(case);
    let inside = device(case, host_of(local));
    let outside = if libipsec { Device::Charons } else { device(case, host_of(remote)) };
    let way = if out { Way::Out } else { Way::In };
    let (source, destination, comes, leaves) =
        if out { (local, remote, inside, outside) } else { (remote, local, outside, inside) };
    Flow { source, destination, policy: Some(way).filter(|_| !libipsec), comes, leaves, kind: Kind::Any, begins }
}

fn unknown_rule(diagnosis: &Diagnosis) -> Option<String> {
    match diagnosis {
        Diagnosis::Unknown(place) => Some(place.clone()),
        _ => None,
    }
}

/// What the chains at `hooks` do with the flow.
fn diagnose(chains: &[Chain], hooks: &[Hook], flow: &Flow) -> Diagnosis {
    let mut unknown = Vec::new();
    let v4 = flow.source.addr().is_ipv4();
    let is_of_family = |chain: &Chain| !chain.table.starts_with(if v4 { "ip6 " } else { "ip " });
    for chain in chains.iter().filter(|chain| is_of_family(chain)) {
        let Some(base) = chain.base.filter(|base| hooks.contains(&base.hook) && !base.is_nat) else { continue };
        // Whether an earlier rule may accept a part of the flow.
        let mut partly = false;
        let end = walk(chains, chain, flow, &mut (&mut partly, &mut unknown), 0);
        let dropped = match end {
            End::Dropped(text) => text,
            End::On if base.drops => format!("the policy drop of chain {} of table {}", chain.name, chain.table),
            End::On | End::Accepted => continue,
        };
        if partly {
            unknown.push(dropped);
        } else {
            let (table, name) = (chain.table.clone(), chain.name.clone());
            return Diagnosis::Drops(Place { text: dropped, table, name, base });
        }
    }
    unknown.into_iter().next().map_or(Diagnosis::Passes, Diagnosis::Unknown)
}

/// Follows the rules. `seen` collects what matches a part of the flow: whether a rule accepts it, and which may drop it.
fn walk(chains: &[Chain], chain: &Chain, flow: &Flow, seen: &mut (&mut bool, &mut Vec<String>), depth: usize) -> End {
    for rule in &chain.rules {
        let part = part(rule, flow);
        let is_all = part == Part::All;
        match &rule.action {
            _ if part == Part::None => {}
            Action::Accept if is_all => return End::Accepted,
            Action::Return if is_all => return End::On,
            Action::Drop if is_all || !is_vague(rule) => return End::Dropped(place(rule, chain)),
            // A rule that drops a port is intended.
            Action::Drop if rule.matches.contains(&Match::Other) => seen.1.push(place(rule, chain)),
            Action::Jump(name) | Action::Goto(name) => {
                let is_last = matches!(rule.action, Action::Goto(_));
                let next = chains.iter().find(|other| other.table == chain.table && other.name == *name);
                match next.filter(|_| depth < MAX_DEPTH).map(|next| walk(chains, next, flow, seen, depth + 1)) {
                    Some(End::Accepted) if is_all => return End::Accepted,
                    Some(End::Dropped(place)) if is_all || !is_vague(rule) => return End::Dropped(place),
                    Some(End::Dropped(place)) => seen.1.push(place),
                    Some(End::On) if is_last && is_all => return End::On,
                    Some(End::On) if !is_last => {}
                    // A part passes by the rules behind this one. An unknown target may accept.
                    Some(End::On | End::Accepted) | None => *seen.0 = true,
                }
            }
            Action::Accept | Action::Return | Action::Unknown => *seen.0 = true,
            Action::Drop | Action::Translate(_) | Action::Other => {}
        }
    }
    End::On
}

/// Whether the rule matches by more than addresses and state.
fn is_vague(rule: &Rule) -> bool {
    let by_address = |m: &Match| {
        matches!(m, Match::Source(..) | Match::Destination(..) | Match::V4(_) | Match::State(..) | Match::Ipsec(..))
    };
    !rule.matches.iter().all(by_address)
}

fn place(rule: &Rule, chain: &Chain) -> String {
    format!("{} in chain {} of table {}", rule.place, chain.name, chain.table)
}

/// The address of a host, or what stands for any.
fn host(net: IpNet) -> String {
    if net.prefix_len() == 0 { "%any".into() } else { net.addr().to_string() }
}

/// Adds a flow to the fault with the same cause at the same place.
fn add(wrong: &mut Vec<Wrong>, level: Level, what: String, place: &Place, flow: &Flow) {
    let named = match flow.kind {
        Kind::Any => format!("{} -> {}", flow.source, flow.destination),
        Kind::Udp(port) => format!("UDP {port} {} -> {}", host(flow.source), host(flow.destination)),
        Kind::Protocol(AH) => format!("AH {} -> {}", host(flow.source), host(flow.destination)),
        Kind::Protocol(_) => format!("ESP {} -> {}", host(flow.source), host(flow.destination)),
    };
    let item = (flow.clone(), named);
    match wrong.iter_mut().find(|(l, w, p, _)| *l == level && *w == what && p == place) {
        Some((.., flows)) => flows.push(item),
        None => wrong.push((level, what, place.clone(), vec![item])),
    }
}

fn judge(case: &Case, wrong: Vec<Wrong>, mut unknown: Vec<String>, seen: impl Into<String>) -> Judged {
    let mut found: Vec<Finding> = wrong.into_iter().map(report).collect();
    unknown.sort_unstable();
    unknown.dedup();
    if !unknown.is_empty() {
        let what =
            "packet filters have rules with conditions that this check does not know; they may drop tunnel traffic";
        found.push(
            finding(Level::Info, what, noted("sudo nft list ruleset; sudo iptables-save", "read these rules"))
                .with(some(unknown)),
        );
    }
    found.extend(all_unchecked("packet filters", &case.facts.rules.unchecked));
    judged(found, seen)
}

fn report((level, what, place, flows): Wrong) -> Finding {
    let names = some(flows.iter().map(|(_, name)| name));
    // Commands for the first two flows; those for the others differ in the addresses.
    let commands: Vec<_> = flows.iter().take(2).flat_map(|(flow, _)| accepting(&place, flow)).collect();
    let fix = noted(commands.join("; "), "accepts them before that rule; add this to the stored rules");
    finding(level, format!("{what}: {names}"), fix).with(place.text)
}

/// The commands that accept the flow, and for what is forwarded its return traffic.
fn accepting(place: &Place, flow: &Flow) -> Vec<String> {
    let (chain, v4) = (quoted(&place.name), flow.source.addr().is_ipv4());
    let one = |source: IpNet, destination: IpNet| {
        if place.base.by_iptables {
            let is_legacy = place.table.ends_with(LEGACY);
            let program = if v4 { "iptables" } else { "ip6tables" };
            let program = if is_legacy { format!("{program}-legacy") } else { program.to_owned() };
            let table = place.table.split(' ').nth(1).unwrap_or("filter");
            let kind = match flow.kind {
                Kind::Any => String::new(),
                Kind::Udp(port) => format!(" -p udp --dport {port}"),
                Kind::Protocol(AH) => " -p ah".into(),
                Kind::Protocol(_) => " -p esp".into(),
            };
            format!("{program} -t {table} -I {chain} -s {source} -d {destination}{kind} -j ACCEPT")
        } else {
            let kind = match flow.kind {
                Kind::Any => String::new(),
                Kind::Udp(port) => format!(" udp dport {port}"),
                Kind::Protocol(AH) => " meta l4proto ah".into(),
                Kind::Protocol(_) => " meta l4proto esp".into(),
            };
            let (ip, table) = (if v4 { "ip" } else { "ip6" }, words(&place.table));
            format!("nft insert rule {table} {chain} {ip} saddr {source} {ip} daddr {destination}{kind} accept")
        }
    };
    let there = one(flow.source, flow.destination);
    let is_forwarded = flow.kind == Kind::Any && !matches!(place.base.hook, Hook::Input | Hook::Output);
    if is_forwarded { vec![there, one(flow.destination, flow.source)] } else { vec![there] }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
