//! `iptables-save -t nat` and `ip6tables-save -t nat`.

use super::{Action, Chain, Match, Rule};
use crate::doctor::facts::network::network;

/// The priority of the nat table behind routing (`NF_IP_PRI_NAT_SRC`).
const PRIORITY: i64 = 100;

/// The chain behind routing and those that it may jump to.
pub fn chains(text: &str, family: &str) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix(':').and_then(|line| line.split(' ').next()) {
            if !["PREROUTING", "INPUT", "OUTPUT"].contains(&name) {
                let priority = (name == "POSTROUTING").then_some(PRIORITY);
                chains.push(Chain { table: format!("{family} nat"), name: name.into(), priority, rules: Vec::new() });
            }
            continue;
        }
        let Some((name, rest)) = line.strip_prefix("-A ").and_then(|line| line.split_once(' ')) else { continue };
        if let Some(chain) = chains.iter_mut().find(|chain| chain.name == name) {
            chain.rules.push(rule(rest, family == "ip"));
        }
    }
    chains
}

fn rule(text: &str, is_v4: bool) -> Rule {
    let (mut matches, mut action) = (vec![Match::V4(is_v4)], Action::Other);
    let (mut words, mut is_equal) = (text.split(' '), true);
    while let Some(word) = words.next() {
        let mut argument = || words.next().unwrap_or_default();
        match word {
            "!" => {
                is_equal = false;
                continue;
            }
            "-s" => matches.push(nets(argument()).map_or(Match::Other, |nets| Match::Source(nets, is_equal))),
            "-d" => matches.push(nets(argument()).map_or(Match::Other, |nets| Match::Destination(nets, is_equal))),
            "-o" => matches.push(Match::Out(argument().to_owned(), is_equal)),
            "--pol" => matches.push(Match::Ipsec((argument() == "ipsec") == is_equal)),
            "-j" | "-g" => action = target(argument()),
            // Its name says nothing yet; `--pol` does. A comment matches everything.
            "-m" if ["policy", "comment"].contains(&argument()) => {}
            "--dir" => drop(argument()),
            "--comment" => skip_quoted(&mut words),
            // The target's own options come last.
            _ if action != Action::Other => break,
            _ => matches.push(Match::Other),
        }
        is_equal = true;
    }
    Rule { matches, action }
}

fn nets(text: &str) -> Option<Vec<ipnet::IpNet>> {
    text.split(',').map(network).collect()
}

fn target(name: &str) -> Action {
    match name {
        "MASQUERADE" => Action::Translate("MASQUERADE"),
        "SNAT" => Action::Translate("SNAT"),
        "NETMAP" => Action::Translate("NETMAP"),
        "ACCEPT" => Action::Accept,
        "RETURN" => Action::Return,
        "LOG" | "MARK" | "CONNMARK" | "NFLOG" => Action::Other,
        chain => Action::Jump(chain.to_owned()),
    }
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
    fn a_table_is_read() {
        let text = "# Generated\n*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [1:60]\n:DOCKER - [0:0]\n\
            -A POSTROUTING -s 10.1.0.0/24 ! -d 10.2.0.0/24 -o wan -j MASQUERADE --random\n\
            -A POSTROUTING -m comment --comment \"not for -s IPsec\" -m policy --dir out --pol ipsec -j ACCEPT\n\
            -A POSTROUTING ! -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -j SNAT --to-source 1.2.3.4\n\
            -A DOCKER -j RETURN\nCOMMIT\n";
        let found = chains(text, "ip");
        assert_eq!(found.iter().map(|chain| chain.name.as_str()).collect::<Vec<_>>(), ["POSTROUTING", "DOCKER"]);
        let net = |text: &str| vec![text.parse().expect("a net")];
        let [first, second, third] = &found[0].rules[..] else { panic!("{found:?}") };
        let expected = [
            Match::Source(net("10.1.0.0/24"), true),
            Match::Destination(net("10.2.0.0/24"), false),
            Match::Out("wan".into(), true),
        ];
        assert_eq!((&first.matches[1..], &first.action), (&expected[..], &Action::Translate("MASQUERADE")));
        assert_eq!((&second.matches[1..], &second.action), (&[Match::Ipsec(true)][..], &Action::Accept));
        assert_eq!(third.matches[1], Match::Source(net("10.0.0.0/8"), false));
        assert!(third.matches.contains(&Match::Other) && third.action == Action::Translate("SNAT"), "{third:?}");
        assert_eq!(found[1].rules[0].action, Action::Return);
    }
}
