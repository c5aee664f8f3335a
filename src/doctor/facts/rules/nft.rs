//! `nft -j list ruleset` (libnftables-json(5)).

use super::model::{Action, Base, Chain, Hook, Match, Rule, Way, protocol};
use crate::doctor::facts::{Probe, network::network};
use ipnet::IpNet;
use serde_json::{Value, json};

/// The chains that packets of IP come to, and those without a hook, which they may jump to.
pub fn chains(text: &str) -> Probe<Vec<Chain>> {
    let ruleset: Value = serde_json::from_str(text).map_err(|e| format!("the output of nft cannot be parsed: {e}"))?;
    let objects = ruleset["nftables"].as_array().ok_or("the output of nft has no ruleset")?;
    let mut chains: Vec<_> = objects.iter().filter_map(|object| chain(&object["chain"])).collect();
    for rule in objects.iter().map(|object| &object["rule"]).filter(|rule| rule.is_object()) {
        let table = table(rule);
        if let Some(chain) = chains.iter_mut().find(|chain| chain.table == table && rule["chain"] == *chain.name) {
            chain.rules.extend(rules(rule));
        }
    }
    Ok(chains)
}

fn table(object: &Value) -> String {
    format!("{} {}", object["family"].as_str().unwrap_or_default(), object["table"].as_str().unwrap_or_default())
}

fn chain(object: &Value) -> Option<Chain> {
    let name = object["name"].as_str()?.to_owned();
    let hook = match object["hook"].as_str() {
        None => None,
        Some("prerouting") => Some(Hook::Prerouting),
        Some("input") => Some(Hook::Input),
        Some("forward") => Some(Hook::Forward),
        Some("output") => Some(Hook::Output),
        Some("postrouting") => Some(Hook::Postrouting),
        // Frames of a device, before they are packets.
        Some(_) => return None,
    };
    let base = hook.filter(|_| ["ip", "ip6", "inet"].contains(&object["family"].as_str().unwrap_or_default()));
    if hook.is_some() && base.is_none() {
        return None;
    }
    let priority = object["prio"].as_i64().unwrap_or_default();
    let (is_nat, drops) = (object["type"] == "nat", object["policy"] == "drop");
    let base = base.map(|hook| Base { hook, priority, is_nat, drops, by_iptables: false });
    Some(Chain { table: table(object), name, base, rules: Vec::new() })
}

/// A rule; one with a map of verdicts is a rule for each of them.
fn rules(object: &Value) -> Vec<Rule> {
    let matches = match object["family"].as_str() {
        Some("ip") => vec![Match::V4(true)],
        Some("ip6") => vec![Match::V4(false)],
        _ => Vec::new(),
    };
    let place = format!("handle {}", object["handle"]);
    let mut rule = Rule { matches, place, ..Rule::default() };
    for (word, value) in object["expr"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten() {
        match word.as_str() {
            "match" => rule.matches.extend(conditions(value)),
            "mangle" => rule.clamps |= value["key"]["tcp option"]["name"] == "maxseg",
            "vmap" => return verdicts(&rule, value),
            "counter" | "log" | "notrack" => {}
            word => match action(word, value) {
                Some(action) => rule.action = action,
                // Something of iptables, a limit, a queue: it decides, and we do not know what.
                None => rule.matches.push(Match::Other),
            },
        }
    }
    vec![rule]
}

fn action(word: &str, value: &Value) -> Option<Action> {
    Some(match word {
        "masquerade" => Action::Translate("masquerade"),
        "snat" => Action::Translate("snat"),
        "accept" => Action::Accept,
        "drop" | "reject" => Action::Drop,
        "return" => Action::Return,
        "queue" => Action::Unknown,
        "jump" | "goto" => Action::Jump(value["target"].as_str().unwrap_or_default().to_owned()),
        _ => return None,
    })
}

/// `ct state vmap { established : accept, .. }`: a rule for each element. A named map is not known here.
fn verdicts(rule: &Rule, value: &Value) -> Vec<Rule> {
    let unknown = || Rule { action: Action::Unknown, ..rule.clone() };
    let Some(elements) = value["data"]["set"].as_array() else { return vec![unknown()] };
    let one = |element: &Value| {
        let Some((word, argument)) = element[1].as_object().and_then(|verdict| verdict.iter().next()) else {
            return unknown();
        };
        let mut rule = Rule { action: action(word, argument).unwrap_or(Action::Unknown), ..rule.clone() };
        rule.matches.extend(conditions(&json!({ "op": "==", "left": value["key"], "right": element[0] })));
        rule
    };
    elements.iter().map(one).collect()
}

/// The conditions of a match: a port is also about the protocol that has it.
fn conditions(value: &Value) -> Vec<Match> {
    let is_equal = match value["op"].as_str() {
        Some("==" | "in") => true,
        Some("!=") => false,
        _ => return vec![Match::Other],
    };
    let (left, right) = (&value["left"], &value["right"]);
    let payload = if left["payload"].is_object() { &left["payload"] } else { &left["&"][0]["payload"] };
    if let Some(field) = payload["field"].as_str() {
        return of_payload(payload["protocol"].as_str().unwrap_or_default(), field, right, is_equal);
    }
    vec![of_packet(left, right, is_equal)]
}

fn of_payload(of: &str, field: &str, right: &Value, is_equal: bool) -> Vec<Match> {
    match (of, field) {
        ("ip" | "ip6", "saddr") => vec![networks(right).map_or(Match::Other, |nets| Match::Source(nets, is_equal))],
        ("ip" | "ip6", "daddr") => {
            vec![networks(right).map_or(Match::Other, |nets| Match::Destination(nets, is_equal))]
        }
        ("ip", "protocol") | ("ip6", "nexthdr") => vec![protocols(right, is_equal)],
        ("tcp" | "udp" | "th" | "esp" | "ah" | "icmp" | "icmpv6", field) => {
            let port = ports(right).filter(|_| field == "dport");
            let own = port.map_or(Match::Narrow, |ports| Match::Port(ports, is_equal));
            let protocol = (of != "th").then(|| Match::Protocol(vec![protocol(of)], true));
            protocol.into_iter().chain([own]).collect()
        }
        _ => vec![Match::Other],
    }
}

fn of_packet(left: &Value, right: &Value, is_equal: bool) -> Match {
    let ipsec = |way| right.as_bool().map_or(Match::Other, |right| Match::Ipsec(way, right == is_equal));
    if left["rt"]["key"] == "ipsec" {
        return ipsec(Way::Out);
    }
    if left["meta"]["key"] == "ipsec" {
        return ipsec(Way::In);
    }
    // `ipsec out ip daddr ..` holds only where a policy applies.
    if let Some(direction) = left["ipsec"]["dir"].as_str() {
        return Match::Ipsec(if direction == "in" { Way::In } else { Way::Out }, is_equal);
    }
    if left["ct"]["key"] == "state" {
        return Match::State(texts(right), is_equal);
    }
    match (left["meta"]["key"].as_str(), right.as_str()) {
        (Some("oifname" | "oif"), Some(name)) => Match::Out(name.to_owned(), is_equal),
        (Some("iifname" | "iif"), Some(name)) => Match::In(name.to_owned(), is_equal),
        (Some("nfproto"), Some("ipv4")) => Match::V4(is_equal),
        (Some("nfproto"), Some("ipv6")) => Match::V4(!is_equal),
        (Some("l4proto"), _) => protocols(right, is_equal),
        _ => Match::Other,
    }
}

/// One text, a list or a set of such.
fn texts(right: &Value) -> Vec<String> {
    let items = right.as_array().or_else(|| right["set"].as_array());
    let text = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
    items.map_or_else(|| vec![text(right)], |items| items.iter().map(text).collect())
}

fn protocols(right: &Value, is_equal: bool) -> Match {
    if right.as_str().is_some_and(|name| name.starts_with('@')) {
        return Match::Other;
    }
    Match::Protocol(texts(right).iter().map(|name| protocol(name)).collect(), is_equal)
}

/// A port, a range, or a set of such.
fn ports(right: &Value) -> Option<Vec<(u16, u16)>> {
    let port = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let range = |value: &Value| match value["range"].as_array().map(Vec::as_slice) {
        Some([from, to]) => Some((port(from)?, port(to)?)),
        _ => port(value).map(|port| (port, port)),
    };
    match right["set"].as_array() {
        Some(items) => items.iter().map(range).collect(),
        None => range(right).map(|range| vec![range]),
    }
}

/// The networks of a right side: one, a prefix, or a set of such; a named set is not known here.
fn networks(right: &Value) -> Option<Vec<IpNet>> {
    if let Some(text) = right.as_str() {
        return network(text).map(|net| vec![net]);
    }
    if let Some(items) = right["set"].as_array() {
        return items.iter().map(|item| networks(item)?.pop()).collect();
    }
    let prefix = &right["prefix"];
    let length = prefix["len"].as_u64().and_then(|length| u8::try_from(length).ok())?;
    IpNet::new(prefix["addr"].as_str()?.parse().ok()?, length).ok().map(|net| vec![net])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ruleset_is_read() {
        let text = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "ip", "name": "nat"}},
            {"chain": {"family": "ip", "table": "nat", "name": "post", "type": "nat", "hook": "postrouting", "prio": 100}},
            {"chain": {"family": "netdev", "table": "nat", "name": "in", "type": "filter", "hook": "ingress", "prio": 0}},
            {"chain": {"family": "ip", "table": "nat", "name": "more"}},
            {"rule": {"family": "ip", "table": "nat", "chain": "post", "handle": 7, "expr": [
                {"match": {"op": "==", "left": {"rt": {"key": "ipsec"}}, "right": true}}, {"counter": {}}, {"accept": null}]}},
            {"rule": {"family": "ip", "table": "nat", "chain": "post", "expr": [
                {"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "daddr"}},
                           "right": {"set": [{"prefix": {"addr": "10.2.0.0", "len": 24}}, "10.3.0.1"]}}},
                {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "wan"}}, {"snat": {"addr": "1.2.3.4"}}]}},
            {"rule": {"family": "ip", "table": "nat", "chain": "post", "expr": [{"xt": null}, {"masquerade": null}]}}]}"#;
        let found = chains(text).expect("read");
        assert_eq!(found.iter().map(|chain| chain.name.as_str()).collect::<Vec<_>>(), ["post", "more"]);
        let [first, second, third] = &found[0].rules[..] else { panic!("{found:?}") };
        assert_eq!((&first.matches[1..], &first.action), (&[Match::Ipsec(Way::Out, true)][..], &Action::Accept));
        assert_eq!(first.place, "handle 7");
        let nets = ["10.2.0.0/24", "10.3.0.1/32"].map(|net| net.parse().expect("a net")).to_vec();
        assert_eq!(second.matches[1..], [Match::Destination(nets, false), Match::Out("wan".into(), true)]);
        assert_eq!(second.action, Action::Translate("snat"));
        assert_eq!(third.matches[1..], [Match::Other]);
        assert!(chains("x").is_err() && chains("{}").is_err());
    }

    /// As nft 1.0.6 prints it.
    #[test]
    fn filters_and_clamps_are_read() {
        let text = r#"{"nftables": [
            {"chain": {"family": "inet", "table": "t", "name": "f", "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}},
            {"rule": {"family": "inet", "table": "t", "chain": "f", "handle": 2, "expr": [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}]}},
            {"rule": {"family": "inet", "table": "t", "chain": "f", "handle": 3, "expr": [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lan"}}, {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [443, {"range": [8000, 8080]}]}}}, {"accept": null}]}},
            {"rule": {"family": "inet", "table": "t", "chain": "f", "handle": 4, "expr": [{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "rst"]]}, "right": "syn"}}, {"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": 1360}}]}},
            {"rule": {"family": "inet", "table": "t", "chain": "f", "handle": 5, "expr": [{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["invalid", {"drop": null}], ["new", {"jump": {"target": "more"}}]]}}}]}},
            {"rule": {"family": "inet", "table": "t", "chain": "f", "handle": 6, "expr": [{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": "@zones"}}]}},
            {"rule": {"family": "inet", "table": "t", "chain": "f", "handle": 7, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "protocol"}}, "right": "esp"}}, {"reject": {"type": "icmpx", "expr": "port-unreachable"}}]}}]}"#;
        let found = chains(text).expect("read");
        assert!(found[0].base.is_some_and(|base| base.drops && base.hook == Hook::Forward), "{found:?}");
        let [state, port, clamp, invalid, new, zones, esp] = &found[0].rules[..] else { panic!("{found:?}") };
        assert_eq!(state.matches, [Match::State(vec!["established".into(), "related".into()], true)]);
        let expected = [
            Match::In("lan".into(), true),
            Match::Protocol(vec![6], true),
            Match::Port(vec![(443, 443), (8000, 8080)], true),
        ];
        assert_eq!((&port.matches[..], &port.action), (&expected[..], &Action::Accept));
        assert!(clamp.clamps && clamp.matches.contains(&Match::Narrow) && clamp.action == Action::Other, "{clamp:?}");
        assert_eq!(
            (&invalid.matches[0], &invalid.action),
            (&Match::State(vec!["invalid".into()], true), &Action::Drop)
        );
        assert_eq!(new.action, Action::Jump("more".into()));
        assert_eq!(zones.action, Action::Unknown);
        assert_eq!((&esp.matches[0], &esp.action), (&Match::Protocol(vec![50], true), &Action::Drop));
        assert_eq!(esp.place, "handle 7");
    }
}
