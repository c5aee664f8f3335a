//! Check for source NAT that rewrites tunnel traffic before IPsec sees it: the new source matches no traffic selector.

use super::flows::{Device, Flow, Kind, MAX_DEPTH, Part, libipsec, pairs, part};
use crate::doctor::{
    Case, Finding, Level,
    facts::rules::{Action, Base, Chain, Hook, LEGACY, Match, Way},
    finding::{Judged, all_unchecked, finding, judged, some},
    shell::{noted, quoted, words},
};

/// What a chain does with a flow.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// The next rule decides.
    On,
    /// The chain leaves it as it is.
    Exempt,
    /// A rule rewrites its source: which one, and whether that is certain.
    Translated(String, bool),
}

/// No rule rewrites the source of tunnel traffic.
pub fn nat(case: &Case) -> Judged {
    let rules = &case.facts.rules;
    let libipsec = libipsec(case);
    let mut found: Vec<Finding> = Vec::new();
    let mut hit: Vec<(&Chain, String, bool, Vec<String>)> = Vec::new();
    for flow in flows(case, libipsec) {
        let Some((chain, rule, is_certain)) = translated(&rules.chains, &flow) else { continue };
        let pair = format!("{} -> {}", flow.source, flow.destination);
        match hit.iter_mut().find(|(_, known, certain, _)| *known == rule && *certain == is_certain) {
            Some((.., pairs)) => pairs.push(pair),
            None => hit.push((chain, rule, is_certain, vec![pair])),
        }
    }
    let reports =
        hit.into_iter().map(|(chain, rule, is_certain, pairs)| report(chain, &rule, is_certain, &pairs, libipsec));
    found.extend(reports);
    found.extend(all_unchecked("source NAT", &rules.unchecked));
    let bases = rules.chains.iter().filter(|chain| is_nat(chain)).count();
    judged(found, format!("no rule of {bases} chains rewrites tunnel traffic"))
}

fn report(chain: &Chain, rule: &str, is_certain: bool, pairs: &[String], libipsec: bool) -> Finding {
    let (table, name) = (&chain.table, quoted(&chain.name));
    let command = if chain.base.is_some_and(|base| base.by_iptables) {
        let program = if table.starts_with("ip6 ") { "ip6tables" } else { "iptables" };
        let legacy = if table.ends_with(LEGACY) { "-legacy" } else { "" };
        let condition = if libipsec { "-o ipsec+" } else { "-m policy --dir out --pol ipsec" };
        format!("{program}{legacy} -t nat -I {name} {condition} -j ACCEPT")
    } else {
        let condition = if libipsec { "oifname '\"ipsec*\"'" } else { "rt ipsec exists" };
        format!("nft insert rule {} {name} {condition} accept", words(table))
    };
    let fix = noted(command, "exempts tunnel traffic before that rule; add this to the stored rules");
    let (level, may) = if is_certain { (Level::Error, "") } else { (Level::Warning, "may ") };
    let verb = if is_certain { "rewrites" } else { "rewrite" };
    let what = format!("source NAT {may}{verb} tunnel traffic before IPsec sees it: {}", some(pairs));
    finding(level, what, fix).with(rule)
}

/// The outbound traffic of the stored connections.
fn flows(case: &Case, libipsec: bool) -> Vec<Flow> {
    let flow = |(source, destination)| Flow {
        source,
        destination,
        policy: Some(Way::Out).filter(|_| !libipsec),
        comes: Device::Unknown,
        // With kernel policies the route decides: any interface but loopback.
        leaves: if libipsec { Device::Charons } else { Device::Any },
        kind: Kind::Any,
        begins: true,
    };
    pairs(case).into_iter().map(flow).collect()
}

/// Whether the condition matches an unknown part of the packets.
fn is_vague(condition: &Match) -> bool {
    matches!(condition, Match::Other | Match::Narrow | Match::Protocol(..) | Match::Port(..) | Match::In(..))
}

/// Whether the chain does NAT after routing.
fn is_nat(chain: &Chain) -> bool {
    chain.base.is_some_and(|base: Base| base.is_nat && base.hook == Hook::Postrouting)
}

/// The rule that translates the flow, if one does.
fn translated<'a>(chains: &'a [Chain], flow: &Flow) -> Option<(&'a Chain, String, bool)> {
    let is_v4 = flow.source.addr().is_ipv4();
    let is_of_family = |chain: &&Chain| is_nat(chain) && !chain.table.starts_with(if is_v4 { "ip6 " } else { "ip " });
    chains.iter().filter(is_of_family).find_map(|chain| match walk(chains, chain, flow, 0) {
        Fate::Translated(rule, is_certain) => Some((chain, rule, is_certain)),
        Fate::On | Fate::Exempt => None,
    })
}

fn walk(chains: &[Chain], chain: &Chain, flow: &Flow, depth: usize) -> Fate {
    for rule in &chain.rules {
        let part = part(rule, flow);
        let is_all = part == Part::All;
        match &rule.action {
            _ if part == Part::None => {}
            Action::Translate(word) => {
                // A match by address is certain; an unknown condition is not.
                let is_certain = !rule.matches.iter().any(is_vague);
                let place = format!("{word} in chain {} of table {} ({})", chain.name, chain.table, rule.place);
                return Fate::Translated(place, is_certain);
            }
            Action::Accept if is_all => return Fate::Exempt,
            Action::Return if is_all => return Fate::On,
            Action::Jump(name) | Action::Goto(name) => {
                let next = chains.iter().find(|other| other.table == chain.table && other.name == *name);
                match next.filter(|_| depth < MAX_DEPTH).map(|next| walk(chains, next, flow, depth + 1)) {
                    Some(Fate::Exempt) if is_all => return Fate::Exempt,
                    Some(Fate::Translated(rule, is_certain)) => return Fate::Translated(rule, is_certain && is_all),
                    _ if is_all && matches!(rule.action, Action::Goto(_)) => return Fate::On,
                    _ => {}
                }
            }
            Action::Accept | Action::Return | Action::Drop | Action::Unknown | Action::Other => {}
        }
    }
    Fate::On
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;
    use crate::doctor::facts::rules::Rule;
    use ipnet::IpNet;

    fn nets(text: &str) -> Vec<IpNet> {
        text.split(' ').map(|net| net.parse().expect("a net")).collect()
    }

    /// What is found with these rules behind routing: the levels.
    fn found(libipsec: bool, rules: Vec<(Vec<Match>, Action)>) -> Vec<Level> {
        let mut case = healthy::case();
        if libipsec {
            case.facts.charon.as_mut().expect("seen").charon.plugins.push("kernel-libipsec".into());
        }
        let rules = rules.into_iter().map(|(matches, action)| Rule { matches, action, ..Rule::default() }).collect();
        let more = Rule { matches: vec![], action: Action::Translate("snat"), ..Rule::default() };
        let base = Base { hook: Hook::Postrouting, priority: 100, is_nat: true, drops: false, by_iptables: false };
        case.facts.rules.chains = vec![
            Chain { table: "ip nat".into(), name: "post".into(), base: Some(base), rules },
            Chain { table: "ip nat".into(), name: "more".into(), base: None, rules: vec![more] },
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
        assert_eq!(found(false, vec![(vec![Match::Ipsec(Way::Out, true)], Action::Accept), masquerade()]), []);
        assert_eq!(found(false, vec![(vec![Match::Ipsec(Way::Out, false)], masquerade().1)]), []);
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
        case.facts.rules.unchecked.push("nft is not installed".into());
        let found = nat(&case).expect_err("unchecked");
        assert_eq!((found[0].level, found.len()), (Level::Info, 1));
    }
}
