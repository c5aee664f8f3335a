//! Source NAT that would take a tunnel's packets before IPsec sees them: the new source fits no selector any more.

use crate::{
    doctor::{
        Case, Finding, Judged, Level,
        facts::nat::{Action, Chain, Match, Rule},
        finding, judged, some,
    },
    ipsec::Mode,
};
use ipnet::IpNet;

/// How deep chains may jump.
const MAX_DEPTH: usize = 16;

/// How many of the packets of a pair of networks a condition takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    None,
    /// Some, or what the condition says is not known.
    Some,
    All,
}

/// The packets of a tunnel.
#[derive(Debug, Clone, Copy)]
struct Flow {
    local: IpNet,
    remote: IpNet,
    /// Whether they leave by a device of charon's own, instead of a policy of the kernel.
    libipsec: bool,
}

/// What a chain does with a flow.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// The next rule is asked.
    On,
    /// Nothing more in this chain.
    Spared,
    /// Its source is changed: by what, and whether that is certain.
    Translated(String, bool),
}

/// No rule translates what a tunnel is to carry.
pub fn nat(case: &Case) -> Judged {
    let nat = &case.facts.nat;
    let libipsec =
        case.facts.charon.as_ref().is_ok_and(|answers| answers.charon.plugins.iter().any(|p| p == "kernel-libipsec"));
    let mut found: Vec<Finding> = Vec::new();
    let mut hit: Vec<(String, bool, Vec<String>)> = Vec::new();
    for flow in flows(case, libipsec) {
        let Some((rule, is_certain)) = translated(&nat.chains, flow) else { continue };
        let pair = format!("{} -> {}", flow.local, flow.remote);
        match hit.iter_mut().find(|(known, certain, _)| *known == rule && *certain == is_certain) {
            Some((.., pairs)) => pairs.push(pair),
            None => hit.push((rule, is_certain, vec![pair])),
        }
    }
    found.extend(hit.into_iter().map(|(rule, is_certain, pairs)| report(&rule, is_certain, &pairs, libipsec)));
    found.extend(nat.unseen.iter().flat_map(|why| crate::doctor::unseen("source NAT", why)));
    let bases = nat.chains.iter().filter(|chain| chain.priority.is_some()).count();
    judged(found, format!("no rule of {bases} chains takes a tunnel's packets"))
}

fn report(rule: &str, is_certain: bool, pairs: &[String], libipsec: bool) -> Finding {
    let exemption = if libipsec { "oifname \"ipsec*\" accept" } else { "rt ipsec exists accept" };
    let fix = format!(
        "put an exemption before that rule: in nft `{exemption}`, in iptables `-I POSTROUTING {} -j ACCEPT`; or except the \
         networks by their addresses",
        if libipsec { "-o ipsec+" } else { "-m policy --dir out --pol ipsec" }
    );
    let (level, may) = if is_certain { (Level::Error, "") } else { (Level::Warning, "may ") };
    let verb = if is_certain { "changes" } else { "change" };
    let what = format!("source NAT {may}{verb} packets before IPsec takes them: {}", some(pairs));
    finding(level, what, fix).with(rule)
}

/// What the tunnels of the stored connections carry.
fn flows(case: &Case, libipsec: bool) -> Vec<Flow> {
    let mut found = Vec::new();
    for connection in case.wanted().filter(|connection| connection.mode == Mode::Tunnel) {
        for child in &connection.children {
            for local in &child.local {
                let same = child.remote.iter().filter(|remote| remote.is_v4() == local.is_v4());
                found.extend(same.map(|remote| Flow { local: local.net(), remote: remote.net(), libipsec }));
            }
        }
    }
    found
}

/// The rule that translates the flow, if one does.
fn translated(chains: &[Chain], flow: Flow) -> Option<(String, bool)> {
    chains.iter().filter(|chain| chain.priority.is_some()).find_map(|chain| match walk(chains, chain, flow, 0) {
        Fate::Translated(rule, is_certain) => Some((rule, is_certain)),
        Fate::On | Fate::Spared => None,
    })
}

fn walk(chains: &[Chain], chain: &Chain, flow: Flow, depth: usize) -> Fate {
    for rule in &chain.rules {
        let part = part(rule, flow);
        let is_all = part == Part::All;
        match &rule.action {
            _ if part == Part::None => {}
            Action::Translate(word) => {
                // Part of the packets by address is certain; what an unknown condition takes is not.
                let is_certain = !rule.matches.contains(&Match::Other);
                return Fate::Translated(
                    format!("{word} in chain {} of table {}", chain.name, chain.table),
                    is_certain,
                );
            }
            Action::Accept if is_all => return Fate::Spared,
            Action::Return if is_all => return Fate::On,
            Action::Jump(name) => {
                let next = chains.iter().find(|other| other.table == chain.table && other.name == *name);
                match next.filter(|_| depth < MAX_DEPTH).map(|next| walk(chains, next, flow, depth + 1)) {
                    Some(Fate::Spared) if is_all => return Fate::Spared,
                    Some(Fate::Translated(rule, is_certain)) => return Fate::Translated(rule, is_certain && is_all),
                    _ => {}
                }
            }
            Action::Accept | Action::Return | Action::Other => {}
        }
    }
    Fate::On
}

/// How much of the flow the rule takes.
fn part(rule: &Rule, flow: Flow) -> Part {
    rule.matches.iter().map(|condition| taken(condition, flow)).min().unwrap_or(Part::All)
}

fn taken(condition: &Match, flow: Flow) -> Part {
    let (part, is_equal) = match condition {
        Match::Source(nets, is_equal) => (within(flow.local, nets), *is_equal),
        Match::Destination(nets, is_equal) => (within(flow.remote, nets), *is_equal),
        Match::V4(v4) => (whole((flow.local.addr().is_ipv4()) == *v4), true),
        // The kernel's policies know nothing of what charon encrypts itself.
        Match::Ipsec(is_equal) => (whole(!flow.libipsec), *is_equal),
        Match::Out(name, is_equal) => (leaves(name, flow), *is_equal),
        Match::Other => (Part::Some, true),
    };
    match (part, is_equal) {
        (part, true) => part,
        (Part::None, false) => Part::All,
        (Part::Some, false) => Part::Some,
        (Part::All, false) => Part::None,
    }
}

fn whole(yes: bool) -> Part {
    if yes { Part::All } else { Part::None }
}

/// How much of `net` is in `nets`.
fn within(net: IpNet, nets: &[IpNet]) -> Part {
    if nets.iter().any(|other| other.contains(&net)) {
        Part::All
    } else if nets.iter().any(|other| net.contains(other)) {
        Part::Some
    } else {
        Part::None
    }
}

/// Whether the flow leaves by an interface of this name. With policies of the kernel it is the one of the route, which
/// may be any but loopback; charon's own devices are called `ipsec0` and so on.
fn leaves(name: &str, flow: Flow) -> Part {
    let stem = name.trim_end_matches(['+', '*']);
    let is_pattern = stem.len() < name.len();
    if flow.libipsec {
        return whole(name.starts_with("ipsec") || (is_pattern && "ipsec".starts_with(stem)));
    }
    whole(name != "lo" && !name.starts_with("ipsec"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;

    fn nets(text: &str) -> Vec<IpNet> {
        text.split(' ').map(|net| net.parse().expect("a net")).collect()
    }

    /// What is found with these rules behind routing: the levels.
    fn found(libipsec: bool, rules: Vec<(Vec<Match>, Action)>) -> Vec<Level> {
        let mut case = healthy::case();
        if libipsec {
            case.facts.charon.as_mut().expect("seen").charon.plugins.push("kernel-libipsec".into());
        }
        let rules = rules.into_iter().map(|(matches, action)| Rule { matches, action }).collect();
        let more = Rule { matches: vec![], action: Action::Translate("snat") };
        case.facts.nat.chains = vec![
            Chain { table: "ip nat".into(), name: "post".into(), priority: Some(100), rules },
            Chain { table: "ip nat".into(), name: "more".into(), priority: None, rules: vec![more] },
        ];
        nat(&case).err().unwrap_or_default().iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn masquerade_without_an_exemption_is_wrong() {
        let masquerade = || Action::Translate("masquerade");
        let out = || Match::Out("wan".into(), true);
        assert_eq!(found(false, vec![(vec![out()], masquerade())]), [Level::Error]);
        assert_eq!(
            found(false, vec![(vec![Match::Source(nets("10.0.0.0/8"), true), out()], masquerade())]),
            [Level::Error]
        );
        assert_eq!(
            found(false, vec![(vec![Match::Source(nets("10.1.0.128/25"), true)], masquerade())]),
            [Level::Error]
        );
        assert_eq!(found(false, vec![(vec![Match::Other], masquerade())]), [Level::Warning]);
        assert_eq!(found(false, vec![(vec![], Action::Jump("more".into()))]), [Level::Error]);
        assert_eq!(found(true, vec![(vec![], masquerade())]), [Level::Error]);
        assert_eq!(
            found(
                false,
                vec![(vec![Match::Destination(nets("10.2.0.0/25"), true)], Action::Accept), (vec![], masquerade())]
            ),
            [Level::Error]
        );
    }

    #[test]
    fn exemptions_and_rules_for_others_are_right() {
        let masquerade = || (vec![], Action::Translate("masquerade"));
        assert_eq!(found(false, vec![]), []);
        assert_eq!(found(false, vec![(vec![Match::Ipsec(true)], Action::Accept), masquerade()]), []);
        assert_eq!(found(false, vec![(vec![Match::Ipsec(false)], masquerade().1)]), []);
        assert_eq!(found(false, vec![(vec![Match::Destination(nets("10.2.0.0/24"), false)], masquerade().1)]), []);
        assert_eq!(
            found(false, vec![(vec![Match::Destination(nets("10.0.0.0/8"), true)], Action::Return), masquerade()]),
            []
        );
        assert_eq!(found(false, vec![(vec![Match::Source(nets("172.16.0.0/12"), true)], masquerade().1)]), []);
        assert_eq!(found(false, vec![(vec![Match::V4(false)], masquerade().1)]), []);
        assert_eq!(found(true, vec![(vec![Match::Out("wan".into(), true)], masquerade().1)]), []);
        assert_eq!(found(true, vec![(vec![Match::Out("ipsec+".into(), true)], Action::Accept), masquerade()]), []);
    }

    #[test]
    fn what_was_not_seen_is_said() {
        let mut case = healthy::case();
        case.facts.nat.unseen.push("nft is not installed".into());
        let found = nat(&case).expect_err("unseen");
        assert_eq!((found[0].level, found.len()), (Level::Info, 1));
    }
}
