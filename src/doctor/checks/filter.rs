//! Filters that drop what a tunnel needs: IKE and ESP at this host's own door, and the packets of its networks on their
//! way through. Where a rule set is more than is understood here, its chain is named instead of a verdict.

use super::flows::{Device, Flow, Kind, MAX_DEPTH, Part, device, forwarded, host_of, libipsec, part};
use crate::{
    doctor::{
        Case, Finding, Level,
        facts::{
            procfs::PORTS,
            rules::{Action, Base, Chain, Hook, Match, Rule, Way},
        },
        finding::{Judged, finding, judged, some, unseen},
    },
    ipsec::{ChildState, IkeSa},
};
use ipnet::IpNet;
use std::net::IpAddr;

/// The numbers of ESP and AH as protocols.
const ESP: u8 = 50;
const AH: u8 = 51;

/// What becomes of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Diagnosis {
    Passes,
    /// Nobody can tell, because of this.
    Doubt(String),
    /// This drops it.
    Drops(Place),
}

/// Where something is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The rule or the policy, in words.
    text: String,
    /// The base chain: table and name, and whether it is of iptables.
    chain: (String, String, bool),
}

/// How a chain ends for a flow.
enum End {
    On,
    Accepted,
    Dropped(String),
}

/// What is wrong, for which flows.
type Wrong = (Level, String, Place, Vec<(Flow, String)>);

/// The packets of the tunnels' networks pass through this gateway.
pub fn forward(case: &Case) -> Judged {
    const HOOKS: [Hook; 3] = [Hook::Prerouting, Hook::Forward, Hook::Postrouting];
    let (mut wrong, mut doubts) = (Vec::new(), Vec::new());
    let pairs = forwarded(case);
    for (local, remote) in &pairs {
        let flows = [true, false].map(|out| [true, false].map(|begins| between(case, *local, *remote, out, begins)));
        let verdicts =
            flows.each_ref().map(|both| both.each_ref().map(|flow| verdict(&case.facts.rules.chains, &HOOKS, flow)));
        let drops = |out: usize, late: usize| match &verdicts[out][late] {
            Diagnosis::Drops(place) => Some((&flows[out][late], place)),
            _ => None,
        };
        if let Some((flow, place)) = drops(0, 1).or_else(|| drops(1, 1)) {
            add(&mut wrong, Level::Error, "a filter drops packets of tunnels".into(), place, flow);
        } else if let (Some(out), Some(back)) = (drops(0, 0), drops(1, 0)) {
            let what = "a filter lets nobody begin anything through tunnels";
            for (flow, place) in [Some(out), Some(back).filter(|back| back.1 != out.1)].into_iter().flatten() {
                add(&mut wrong, Level::Error, what.into(), place, flow);
            }
        } else if let Some((flow, place)) = drops(0, 0).or_else(|| drops(1, 0)) {
            let what = "a filter lets only the other side begin; if that is meant, nothing is wrong";
            add(&mut wrong, Level::Info, what.into(), place, flow);
        }
        doubts.extend(verdicts.iter().flatten().filter_map(doubt));
    }
    judge(case, wrong, doubts, format!("nothing drops what {} pairs of networks send each other", pairs.len()))
}

/// IKE, and ESP or AH where they run without UDP, come in.
pub fn input(case: &Case) -> Judged {
    let mut wrong = Vec::new();
    let doubts = outer(case, Way::In, &[Hook::Prerouting, Hook::Input], |begins, place, flow| {
        // What answers us comes in, if a rule of states lets it.
        let (level, what) = if begins {
            (
                Level::Warning,
                "a filter lets in only what answers this gateway: the peer cannot begin, nor after a silence",
            )
        } else {
            (Level::Error, "a filter drops what peers send to this gateway")
        };
        add(&mut wrong, level, what.into(), place, flow);
    });
    judge(case, wrong, doubts, "nothing drops IKE and ESP from the peers")
}

/// The same go out.
pub fn output(case: &Case) -> Judged {
    let mut wrong = Vec::new();
    let doubts = outer(case, Way::Out, &[Hook::Output, Hook::Postrouting], |_, place, flow| {
        add(&mut wrong, Level::Error, "a filter drops what this gateway sends to peers".into(), place, flow);
    });
    judge(case, wrong, doubts, "nothing drops IKE and ESP to the peers")
}

/// Asks of all flows between the ends of the tunnels; the doubts. What is dropped is told once a flow: as something that
/// begins only if what has begun passes.
fn outer(case: &Case, way: Way, hooks: &[Hook], mut dropped: impl FnMut(bool, &Place, &Flow)) -> Vec<String> {
    let mut doubts = Vec::new();
    let mut seen = Vec::new();
    for connection in case.wanted() {
        let ends = (connection.local_addr, *connection.remote_addr);
        if seen.contains(&ends) {
            continue;
        }
        seen.push(ends);
        for kind in kinds(case, ends) {
            let verdicts = [false, true].map(|begins| {
                let flow = outside(case, ends, way, kind, begins);
                (begins, verdict(&case.facts.rules.chains, hooks, &flow), flow)
            });
            if let Some((begins, Diagnosis::Drops(place), flow)) =
                verdicts.iter().find(|(_, verdict, _)| matches!(verdict, Diagnosis::Drops(_)))
            {
                dropped(*begins, place, flow);
            }
            doubts.extend(verdicts.iter().filter_map(|(_, verdict, _)| doubt(verdict)));
        }
    }
    doubts
}

/// What the two ends send each other: IKE, and the protocols of the SAs that run without UDP.
fn kinds(case: &Case, (local, peer): (IpAddr, IpAddr)) -> Vec<Kind> {
    let mut found: Vec<_> = PORTS.into_iter().map(Kind::Udp).collect();
    let running = case.facts.charon.as_ref().map(|answers| answers.running.as_slice()).unwrap_or_default();
    let is_theirs = |ike: &&IkeSa| ike.local_host.parse() == Ok(local) && ike.remote_host.parse() == Ok(peer);
    for sa in running.iter().filter(is_theirs).flat_map(|ike| &ike.children) {
        let kind = Kind::Protocol(if sa.ah { AH } else { ESP });
        // charon's own data plane knows ESP in UDP alone.
        if sa.state == ChildState::Installed && !sa.encap && !libipsec(case) && !found.contains(&kind) {
            found.push(kind);
        }
    }
    found
}

fn outside(case: &Case, (local, peer): (IpAddr, IpAddr), way: Way, kind: Kind, begins: bool) -> Flow {
    let (own, other) = (IpNet::from(local), IpNet::from(peer));
    let device = device(case, peer);
    let (source, destination, comes, leaves) = match way {
        Way::In => (other, own, device, Device::Unknown),
        Way::Out => (own, other, Device::Unknown, device),
    };
    Flow { source, destination, policy: None, comes, leaves, kind, begins }
}

/// The packets of a pair of networks, in one direction.
fn between(case: &Case, local: IpNet, remote: IpNet, out: bool, begins: bool) -> Flow {
    let libipsec = libipsec(case);
    let inside = device(case, host_of(local));
    let outside = if libipsec { Device::Charons } else { device(case, host_of(remote)) };
    let way = if out { Way::Out } else { Way::In };
    let (source, destination, comes, leaves) =
        if out { (local, remote, inside, outside) } else { (remote, local, outside, inside) };
    Flow { source, destination, policy: Some(way).filter(|_| !libipsec), comes, leaves, kind: Kind::Any, begins }
}

fn doubt(verdict: &Diagnosis) -> Option<String> {
    match verdict {
        Diagnosis::Doubt(place) => Some(place.clone()),
        _ => None,
    }
}

/// What the chains at `hooks` do with the flow.
fn verdict(chains: &[Chain], hooks: &[Hook], flow: &Flow) -> Diagnosis {
    let mut doubts = Vec::new();
    let v4 = flow.source.addr().is_ipv4();
    let is_of_family = |chain: &Chain| !chain.table.starts_with(if v4 { "ip6 " } else { "ip " });
    for chain in chains.iter().filter(|chain| is_of_family(chain)) {
        let Some(base) = chain.base.filter(|base| hooks.contains(&base.hook) && !base.is_nat) else { continue };
        // What may have been accepted before a drop.
        let mut partly = false;
        let end = walk(chains, chain, flow, &mut (&mut partly, &mut doubts), 0);
        let dropped = match end {
            End::Dropped(text) => text,
            End::On if base.drops => format!("the policy drop of chain {} of table {}", chain.name, chain.table),
            End::On | End::Accepted => continue,
        };
        if partly {
            doubts.push(dropped);
        } else {
            return Diagnosis::Drops(Place { text: dropped, chain: named(chain, base) });
        }
    }
    doubts.into_iter().next().map_or(Diagnosis::Passes, Diagnosis::Doubt)
}

fn named(chain: &Chain, base: Base) -> (String, String, bool) {
    (chain.table.clone(), chain.name.clone(), base.by_iptables)
}

/// Follows the rules; what takes a part of the flow goes into `seen`: whether some of it is accepted, and what may drop it.
fn walk(chains: &[Chain], chain: &Chain, flow: &Flow, seen: &mut (&mut bool, &mut Vec<String>), depth: usize) -> End {
    for rule in &chain.rules {
        let part = part(rule, flow);
        let is_all = part == Part::All;
        match &rule.action {
            _ if part == Part::None => {}
            Action::Accept if is_all => return End::Accepted,
            Action::Return if is_all => return End::On,
            Action::Drop if is_all || !is_vague(rule) => return End::Dropped(place(rule, chain)),
            // To drop what goes to a port is meant so.
            Action::Drop if rule.matches.contains(&Match::Other) => seen.1.push(place(rule, chain)),
            Action::Jump(name) => {
                let next = chains.iter().find(|other| other.table == chain.table && other.name == *name);
                match next.filter(|_| depth < MAX_DEPTH).map(|next| walk(chains, next, flow, seen, depth + 1)) {
                    Some(End::Accepted) if is_all => return End::Accepted,
                    Some(End::Dropped(place)) if is_all || !is_vague(rule) => return End::Dropped(place),
                    Some(End::Dropped(place)) => seen.1.push(place),
                    Some(End::On) => {}
                    // A target that is not known here decides as it likes.
                    Some(End::Accepted) | None => *seen.0 = true,
                }
            }
            Action::Accept | Action::Return | Action::Unknown => *seen.0 = true,
            Action::Drop | Action::Translate(_) | Action::Other => {}
        }
    }
    End::On
}

/// Whether the rule takes a part by something else than addresses.
fn is_vague(rule: &Rule) -> bool {
    let by_address = |m: &Match| {
        matches!(m, Match::Source(..) | Match::Destination(..) | Match::V4(_) | Match::State(..) | Match::Ipsec(..))
    };
    !rule.matches.iter().all(by_address)
}

fn place(rule: &Rule, chain: &Chain) -> String {
    format!("{} in chain {} of table {}", rule.place, chain.name, chain.table)
}

/// Adds a flow to what is wrong for the same reason at the same place.
fn add(wrong: &mut Vec<Wrong>, level: Level, what: String, place: &Place, flow: &Flow) {
    let named = match flow.kind {
        Kind::Any => format!("{} -> {}", flow.source, flow.destination),
        Kind::Udp(port) => format!("UDP {port} {} -> {}", flow.source.addr(), flow.destination.addr()),
        Kind::Protocol(AH) => format!("AH {} -> {}", flow.source.addr(), flow.destination.addr()),
        Kind::Protocol(_) => format!("ESP {} -> {}", flow.source.addr(), flow.destination.addr()),
    };
    let item = (flow.clone(), named);
    match wrong.iter_mut().find(|(l, w, p, _)| *l == level && *w == what && p == place) {
        Some((.., flows)) => flows.push(item),
        None => wrong.push((level, what, place.clone(), vec![item])),
    }
}

fn judge(case: &Case, wrong: Vec<Wrong>, mut doubts: Vec<String>, seen: impl Into<String>) -> Judged {
    let mut found: Vec<Finding> = wrong.into_iter().map(report).collect();
    doubts.sort_unstable();
    doubts.dedup();
    if !doubts.is_empty() {
        let what = "whether a filter lets the packets of tunnels through cannot be told: its rules are about more than addresses";
        found.push(finding(Level::Info, what, "look at these rules yourself").with(some(doubts)));
    }
    found.extend(case.facts.rules.unseen.iter().flat_map(|why| unseen("packet filters", why)));
    judged(found, seen)
}

fn report((level, what, place, flows): Wrong) -> Finding {
    let names = some(flows.iter().map(|(_, name)| name));
    // Commands that can be pasted, for the first few; the rest goes the same way.
    let commands: Vec<_> = flows.iter().take(2).flat_map(|(flow, _)| accepting(&place, flow)).collect();
    let fix = format!("accept them before: {}; and keep the rules where the others are kept", commands.join("; "));
    finding(level, format!("{what}: {names}"), fix).with(place.text)
}

/// The commands that accept the flow, and for networks the way back too.
fn accepting(place: &Place, flow: &Flow) -> Vec<String> {
    let (table, chain, by_iptables) = &place.chain;
    let v4 = flow.source.addr().is_ipv4();
    let one = |source: IpNet, destination: IpNet| {
        if *by_iptables {
            let (program, name) =
                (if v4 { "iptables" } else { "ip6tables" }, table.split(' ').nth(1).unwrap_or("filter"));
            let kind = match flow.kind {
                Kind::Any => String::new(),
                Kind::Udp(port) => format!(" -p udp --dport {port}"),
                Kind::Protocol(AH) => " -p ah".into(),
                Kind::Protocol(_) => " -p esp".into(),
            };
            format!("{program} -t {name} -I {chain} -s {source} -d {destination}{kind} -j ACCEPT")
        } else {
            let kind = match flow.kind {
                Kind::Any => String::new(),
                Kind::Udp(port) => format!(" udp dport {port}"),
                Kind::Protocol(AH) => " meta l4proto ah".into(),
                Kind::Protocol(_) => " meta l4proto esp".into(),
            };
            let ip = if v4 { "ip" } else { "ip6" };
            format!("nft insert rule {table} {chain} {ip} saddr {source} {ip} daddr {destination}{kind} accept")
        }
    };
    let there = one(flow.source, flow.destination);
    if flow.kind == Kind::Any { vec![there, one(flow.destination, flow.source)] } else { vec![there] }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
