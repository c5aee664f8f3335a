//! Filters that are right, wrong, and more than is understood.

use super::*;
use crate::doctor::{checks::healthy, facts::rules::Action};

fn nets(text: &str) -> Vec<IpNet> {
    text.split(' ').map(|net| net.parse().expect("a net")).collect()
}

fn chain(name: &str, base: Option<(Hook, bool)>, rules: Vec<(Vec<Match>, Action)>) -> Chain {
    let base = base.map(|(hook, drops)| Base { hook, priority: 0, is_nat: false, drops, by_iptables: false });
    let rule = |(number, (matches, action))| Rule { matches, action, place: format!("handle {number}"), clamps: false };
    Chain {
        table: "inet filter".into(),
        name: name.into(),
        base,
        rules: rules.into_iter().enumerate().map(rule).collect(),
    }
}

/// What a check says with these rules at a hook, whose policy drops or not: levels and all texts.
fn found(
    check: fn(&Case) -> Judged,
    hook: Hook,
    drops: bool,
    rules: Vec<(Vec<Match>, Action)>,
) -> (Vec<Level>, String) {
    let mut case = healthy::case();
    let more = vec![(vec![Match::Source(nets("10.2.0.0/16"), true)], Action::Drop)];
    case.facts.rules.chains = vec![chain("base", Some((hook, drops)), rules), chain("more", None, more)];
    let found = check(&case).err().unwrap_or_default();
    (found.iter().map(|finding| finding.level).collect(), format!("{found:?}"))
}

fn state(words: &[&str]) -> Match {
    Match::State(words.iter().map(ToString::to_string).collect(), true)
}

/// Between the two networks, both ways.
fn both(action: Action) -> Vec<(Vec<Match>, Action)> {
    let one = |from, to| vec![Match::Source(nets(from), true), Match::Destination(nets(to), true)];
    vec![(one("10.1.0.0/16", "10.2.0.0/16"), action.clone()), (one("10.2.0.0/16", "10.1.0.0/16"), action)]
}

#[test]
fn what_drops_the_networks_is_found() {
    let forwarded = |drops, rules| found(forward, Hook::Forward, drops, rules);
    let (levels, text) = forwarded(true, vec![]);
    assert_eq!(levels, [Level::Error], "{text}");
    assert!(text.contains("the policy drop of chain base of table inet filter"), "{text}");
    let command = "nft insert rule inet filter base ip saddr 10.1.0.0/24 ip daddr 10.2.0.0/24 accept; \
                   nft insert rule inet filter base ip saddr 10.2.0.0/24 ip daddr 10.1.0.0/24 accept";
    assert!(text.contains(command), "{text}");
    for rules in [
        vec![(vec![], Action::Drop)],
        vec![(vec![], Action::Jump("more".into()))],
        vec![(vec![Match::Destination(nets("10.2.0.0/25"), true)], Action::Drop)],
        vec![(vec![state(&["new"])], Action::Drop)],
        vec![(vec![Match::In("other".into(), true)], Action::Accept), (vec![], Action::Drop)],
    ] {
        let (levels, text) = forwarded(false, rules.clone());
        assert_eq!(levels, [Level::Error], "{rules:?}: {text}");
        assert!(text.contains("handle "), "{text}");
    }
    // Only what has begun passes, and nothing may begin.
    let (levels, text) = forwarded(true, vec![(vec![state(&["established", "related"])], Action::Accept)]);
    assert_eq!(levels, [Level::Error], "{text}");
    assert!(text.contains("neither side open"), "{text}");
    // Before routing and behind it packets can be dropped too.
    assert_eq!(found(forward, Hook::Prerouting, false, vec![(vec![], Action::Drop)]).0, [Level::Error]);
}

#[test]
fn what_lets_the_networks_pass_is_right() {
    let forwarded = |drops, rules| found(forward, Hook::Forward, drops, rules);
    for (drops, rules) in [
        (false, vec![]),
        (true, both(Action::Accept)),
        (
            true,
            vec![
                (vec![Match::Ipsec(Way::In, true)], Action::Accept),
                (vec![Match::Ipsec(Way::Out, true)], Action::Accept),
            ],
        ),
        (
            true,
            vec![
                (vec![Match::In("lan".into(), true)], Action::Accept),
                (vec![Match::In("wan".into(), true)], Action::Accept),
            ],
        ),
        (false, vec![(vec![state(&["invalid"])], Action::Drop)]),
        // On purpose.
        (false, vec![(vec![Match::Protocol(vec![6], true), Match::Port(vec![(25, 25)], true)], Action::Drop)]),
        (false, vec![(vec![Match::Source(nets("172.16.0.0/12"), true)], Action::Drop)]),
        (false, vec![(vec![Match::V4(false)], Action::Drop)]),
    ] {
        let (levels, text) = forwarded(drops, rules.clone());
        assert_eq!(levels, [], "{rules:?}: {text}");
    }
    // At another door.
    assert_eq!(found(forward, Hook::Input, true, vec![]).0, []);
}

#[test]
fn what_cannot_be_told_is_named_and_no_fault() {
    let forwarded = |drops, rules| found(forward, Hook::Forward, drops, rules);
    for (drops, rules) in [
        (true, vec![(vec![Match::Other], Action::Accept)]),
        (true, vec![(vec![], Action::Unknown)]),
        (true, vec![(vec![Match::Protocol(vec![6], true), Match::Port(vec![(443, 443)], true)], Action::Accept)]),
        (false, vec![(vec![Match::Other], Action::Drop)]),
        (true, vec![(vec![], Action::Jump("of another program".into()))]),
    ] {
        let (levels, text) = forwarded(drops, rules.clone());
        assert_eq!(levels, [Level::Info], "{rules:?}: {text}");
        assert!(text.contains("table inet filter"), "{text}");
    }
    // One side begins, the other answers: it may be meant so.
    let rules = vec![(vec![state(&["established"])], Action::Accept), both(Action::Accept).remove(0)];
    let (levels, text) = forwarded(true, rules);
    assert_eq!(levels, [Level::Info], "{text}");
    let mut case = healthy::case();
    case.facts.rules.unchecked.push("nft: Operation not permitted".into());
    for check in [forward, input, output] {
        assert_eq!(check(&case).expect_err("unchecked").iter().map(|f| f.level).collect::<Vec<_>>(), [Level::Info]);
    }
}

#[test]
fn ike_and_esp_must_come_in_and_go_out() {
    let port = |from, to| (vec![Match::Protocol(vec![17], true), Match::Port(vec![(from, to)], true)], Action::Accept);
    let esp = || (vec![Match::Protocol(vec![50], true)], Action::Accept);
    let incoming = |rules| found(input, Hook::Input, true, rules);
    assert_eq!(incoming(vec![port(500, 500), port(4500, 4500), esp()]).0, []);
    assert_eq!(incoming(vec![(vec![Match::Source(nets("192.0.2.2/32"), true)], Action::Accept)]).0, []);
    let (levels, text) = incoming(vec![port(500, 500), esp()]);
    assert_eq!(levels, [Level::Error], "{text}");
    assert!(text.contains("UDP 4500 192.0.2.2 -> 192.0.2.1") && !text.contains("UDP 500 "), "{text}");
    assert!(text.contains("ip saddr 192.0.2.2/32 ip daddr 192.0.2.1/32 udp dport 4500 accept"), "{text}");
    let (levels, text) = incoming(vec![port(500, 500), port(4500, 4500)]);
    assert_eq!(levels, [Level::Error], "{text}");
    assert!(text.contains("ESP 192.0.2.2 -> 192.0.2.1") && text.contains("meta l4proto esp"), "{text}");
    let (levels, text) = incoming(vec![(vec![state(&["established", "related"])], Action::Accept)]);
    assert_eq!(levels, [Level::Warning], "{text}");
    let (levels, text) = found(output, Hook::Output, true, vec![port(500, 500), port(4500, 4500)]);
    assert_eq!(levels, [Level::Error], "{text}");
    assert!(text.contains("ESP 192.0.2.1 -> 192.0.2.2"), "{text}");
    // In UDP, ESP is no protocol of its own.
    let mut case = healthy::case();
    case.facts.charon.as_mut().expect("seen").running[0].children[0].encap = true;
    case.facts.rules.chains = vec![chain("base", Some((Hook::Output, true)), vec![port(500, 500), port(4500, 4500)])];
    assert!(output(&case).is_ok());
}

#[test]
fn iptables_has_commands_of_its_own() {
    let mut case = healthy::case();
    let mut filter = chain("FORWARD", Some((Hook::Forward, true)), vec![]);
    filter.table = "ip filter".into();
    filter.base.as_mut().expect("a hook").by_iptables = true;
    case.facts.rules.chains = vec![filter];
    let text = format!("{:?}", forward(&case));
    assert!(text.contains("iptables -t filter -I FORWARD -s 10.1.0.0/24 -d 10.2.0.0/24 -j ACCEPT"), "{text}");
    // IPv6 is another program's.
    case.facts.rules.chains[0].table = "ip6 filter".into();
    assert!(forward(&case).is_ok());
}
