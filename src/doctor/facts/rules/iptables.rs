//! `iptables-save` and `ip6tables-save`.

use super::model::{Action, Base, Chain, Hook, Match, Rule, Way, protocol};
use crate::doctor::facts::network::network;

/// The hooks by the names of their chains.
const HOOKS: [(&str, Hook); 5] = [
    ("PREROUTING", Hook::Prerouting),
    ("INPUT", Hook::Input),
    ("FORWARD", Hook::Forward),
    ("OUTPUT", Hook::Output),
    ("POSTROUTING", Hook::Postrouting),
];
/// The priorities of the tables (`linux/netfilter_ipv4.h`); of nat, that behind routing.
const PRIORITIES: [(&str, i64); 4] = [("raw", -300), ("mangle", -150), ("security", 50), ("nat", 100)];
/// Modules whose names say nothing: their options do.
const NAMED_BY_OPTIONS: [&str; 9] = ["policy", "comment", "tcp", "udp", "multiport", "conntrack", "state", "esp", "ah"];

/// What a table of iptables-legacy has behind its name: one of iptables-nft may have the same.
pub const LEGACY: &str = " legacy";

/// All chains of the tables in `text`; `more` is behind the names of the tables.
pub fn chains(text: &str, family: &str, more: &str) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut table = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some((name, rest)) = line.strip_prefix(':').and_then(|line| line.split_once(' ')) {
            let priority = PRIORITIES.iter().find(|(of, _)| *of == table).map_or(0, |(_, priority)| *priority);
            let (is_nat, drops) = (table == "nat", rest.starts_with("DROP"));
            let base = HOOKS.iter().find(|(chain, _)| *chain == name);
            let base = base.map(|(_, hook)| Base { hook: *hook, priority, is_nat, drops, by_iptables: true });
            chains.push(Chain { table: format!("{family} {table}{more}"), name: name.into(), base, rules: Vec::new() });
        } else if let Some((name, rest)) = line.strip_prefix("-A ").and_then(|line| line.split_once(' ')) {
            let is_here = |chain: &&mut Chain| chain.name == name && chain.table == format!("{family} {table}{more}");
            if let Some(chain) = chains.iter_mut().find(is_here) {
                chain.rules.push(Rule { place: line.into(), ..rule(rest, family == "ip") });
            }
        }
    }
    chains
}

fn rule(text: &str, is_v4: bool) -> Rule {
    let mut rule = Rule { matches: vec![Match::V4(is_v4)], ..Rule::default() };
    let (mut words, mut is_equal) = (text.split(' '), true);
    while let Some(word) = words.next() {
        if word == "!" {
            is_equal = false;
            continue;
        }
        let mut argument = || words.next().unwrap_or_default();
        match word {
            "-j" => (rule.action, rule.clamps) = target(argument()),
            "-g" => rule.action = Action::Goto(argument().to_owned()),
            // Its name says nothing yet; its options do. A comment matches everything.
            "-m" if NAMED_BY_OPTIONS.contains(&argument()) => {}
            "--comment" => skip_quoted(&mut words),
            "--dir" => rule.matches.push(policy(argument(), &mut words)),
            "--tcp-flags" => {
                let (_, _) = (argument(), argument());
                rule.matches.push(Match::Narrow);
            }
            // The target's own options come last.
            _ if rule.action != Action::Other || rule.clamps => break,
            _ => rule.matches.push(condition(word, &mut argument, is_equal)),
        }
        is_equal = true;
    }
    rule
}

fn condition<'a>(word: &str, argument: &mut impl FnMut() -> &'a str, is_equal: bool) -> Match {
    let list = |text: &str| text.split(',').map(str::to_lowercase).collect::<Vec<_>>();
    match word {
        "-s" => nets(argument()).map_or(Match::Other, |nets| Match::Source(nets, is_equal)),
        "-d" => nets(argument()).map_or(Match::Other, |nets| Match::Destination(nets, is_equal)),
        "-i" => Match::In(argument().to_owned(), is_equal),
        "-o" => Match::Out(argument().to_owned(), is_equal),
        "-p" => Match::Protocol(vec![protocol(argument())], is_equal),
        "--dport" | "--dports" => ports(argument()).map_or(Match::Other, |ports| Match::Port(ports, is_equal)),
        "--ctstate" | "--state" => Match::State(list(argument()), is_equal),
        "--sport" | "--sports" | "--ports" | "--icmp-type" | "--icmpv6-type" | "--espspi" | "--ahspi" => {
            let _ = argument();
            Match::Narrow
        }
        "--syn" => Match::Narrow,
        _ => Match::Other,
    }
}

/// `--dir in --pol ipsec`: which policy applies to the packet.
fn policy<'a>(direction: &str, words: &mut impl Iterator<Item = &'a str>) -> Match {
    let way = if direction == "in" { Way::In } else { Way::Out };
    match (words.next(), words.next()) {
        (Some("--pol"), Some(kind)) => Match::Ipsec(way, kind == "ipsec"),
        _ => Match::Other,
    }
}

fn nets(text: &str) -> Option<Vec<ipnet::IpNet>> {
    text.split(',').map(network).collect()
}

/// `500,4500:4600`.
fn ports(text: &str) -> Option<Vec<(u16, u16)>> {
    let range = |text: &str| {
        let (from, to) = text.split_once(':').unwrap_or((text, text));
        Some((from.parse().ok()?, to.parse().ok()?))
    };
    text.split(',').map(range).collect()
}

/// What a target does, and whether it clamps.
fn target(name: &str) -> (Action, bool) {
    let action = match name {
        "MASQUERADE" => Action::Translate("MASQUERADE"),
        "SNAT" => Action::Translate("SNAT"),
        "NETMAP" => Action::Translate("NETMAP"),
        "ACCEPT" => Action::Accept,
        "DROP" | "REJECT" => Action::Drop,
        "RETURN" => Action::Return,
        "NFQUEUE" => Action::Unknown,
        "LOG" | "MARK" | "CONNMARK" | "NFLOG" | "TCPMSS" | "CT" | "TRACE" | "NOTRACK" | "CHECKSUM" | "DSCP" => {
            Action::Other
        }
        chain => Action::Jump(chain.to_owned()),
    };
    (action, name == "TCPMSS")
}

/// Passes over a comment, in quotes if it has blanks.
fn skip_quoted<'a>(words: &mut impl Iterator<Item = &'a str>) {
    let ends = |word: &str| word.ends_with('"') && !word.ends_with("\\\"");
    let first = words.next().unwrap_or_default();
    if first.starts_with('"') && (first.len() == 1 || !ends(first)) {
        words.by_ref().find(|word| ends(word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read() {
        let text = "# Generated\n*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [1:60]\n:DOCKER - [0:0]\n\
            -A POSTROUTING -s 10.1.0.0/24 ! -d 10.2.0.0/24 -o wan -j MASQUERADE --random\n\
            -A POSTROUTING -m comment --comment \"not for -s IPsec\" -m policy --dir out --pol ipsec -j ACCEPT\n\
            -A POSTROUTING ! -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -j SNAT --to-source 1.2.3.4\n\
            -A DOCKER -j RETURN\nCOMMIT\n\
            *filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:DOCKER - [0:0]\n\
            -A INPUT -i wan -p udp -m multiport --dports 500,4500:4600 -j ACCEPT\n\
            -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
            -A DOCKER -j REJECT --reject-with icmp-port-unreachable\n\
            -A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu\nCOMMIT\n";
        let found = chains(text, "ip", "");
        let names: Vec<_> = found.iter().map(|chain| format!("{} {}", chain.table, chain.name)).collect();
        let expected =
            ["nat PREROUTING", "nat POSTROUTING", "nat DOCKER", "filter INPUT", "filter FORWARD", "filter DOCKER"];
        assert_eq!(names, expected.map(|name| format!("ip {name}")));
        let net = |text: &str| vec![text.parse().expect("a net")];
        let [first, second, third] = &found[1].rules[..] else { panic!("{found:?}") };
        let expected = [
            Match::Source(net("10.1.0.0/24"), true),
            Match::Destination(net("10.2.0.0/24"), false),
            Match::Out("wan".into(), true),
        ];
        assert_eq!((&first.matches[1..], &first.action), (&expected[..], &Action::Translate("MASQUERADE")));
        assert!(first.place.starts_with("-A POSTROUTING -s 10.1.0.0/24"), "{first:?}");
        assert_eq!((&second.matches[1..], &second.action), (&[Match::Ipsec(Way::Out, true)][..], &Action::Accept));
        assert_eq!(third.matches[1], Match::Source(net("10.0.0.0/8"), false));
        assert!(third.matches.contains(&Match::Port(vec![(80, 80)], true)), "{third:?}");
        assert_eq!(third.action, Action::Translate("SNAT"));
        assert_eq!(found[2].rules[0].action, Action::Return);
        let base = found[3].base.expect("a hook");
        assert!(base.drops && base.hook == Hook::Input && !base.is_nat, "{base:?}");
        let [ports, state] = &found[3].rules[..] else { panic!("{found:?}") };
        let expected = [
            Match::In("wan".into(), true),
            Match::Protocol(vec![17], true),
            Match::Port(vec![(500, 500), (4500, 4600)], true),
        ];
        assert_eq!((&ports.matches[1..], &ports.action), (&expected[..], &Action::Accept));
        assert_eq!(state.matches[1..], [Match::State(vec!["related".into(), "established".into()], true)]);
        assert!(found[4].rules[0].clamps && !found[4].rules[0].matches.contains(&Match::Other), "{found:?}");
        assert_eq!(found[5].rules[0].action, Action::Drop);
    }
}
