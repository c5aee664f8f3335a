//! `nft -j list ruleset` (libnftables-json(5)).

use super::model::{Action, Base, Chain, Hook, Match, Rule, Way, protocol};
use crate::doctor::facts::{Probe, network::network};
use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::IpAddr};

/// The chains that packets of IP come to, and those without a hook, which they may jump to.
pub fn chains(text: &str) -> Probe<Vec<Chain>> {
    let ruleset: Value = serde_json::from_str(text).map_err(|e| format!("the output of nft cannot be parsed: {e}"))?;
    let objects = ruleset["nftables"].as_array().ok_or("the output of nft has no ruleset")?;
    let mut chains: Vec<_> = objects.iter().filter_map(|object| chain(&object["chain"])).collect();
    let named = |object: &Value| ["set", "map"].into_iter().find_map(|kind| set(&object[kind]));
    let sets: Sets = objects.iter().filter_map(named).collect();
    for rule in objects.iter().map(|object| &object["rule"]).filter(|rule| rule.is_object()) {
        let table = table(rule);
        if let Some(chain) = chains.iter_mut().find(|chain| chain.table == table && rule["chain"] == *chain.name) {
            chain.rules.extend(rules(rule, &table, &sets));
        }
    }
    Ok(chains)
}

/// The elements of named sets and maps, by table and name.
type Sets = BTreeMap<(String, String), Value>;

/// A named set or map, in the form of one without a name; an empty one has no elements.
fn set(object: &Value) -> Option<((String, String), Value)> {
    let elements = object["elem"].as_array().into_iter().flatten().map(bare).collect::<Vec<_>>();
    Some(((table(object), object["name"].as_str()?.to_owned()), json!({ "set": elements })))
}

/// An element without its counter, timeout or comment.
fn bare(element: &Value) -> Value {
    match (&element["elem"]["val"], element.as_array().map(Vec::as_slice)) {
        (Value::Null, Some([key, verdict])) => json!([bare(key), verdict]),
        (Value::Null, _) => element.clone(),
        (value, _) => value.clone(),
    }
}

/// The value, or the elements of the set that it names.
fn resolved<'a>(value: &'a Value, table: &str, sets: &'a Sets) -> &'a Value {
    let name = value.as_str().and_then(|text| text.strip_prefix('@'));
    name.and_then(|name| sets.get(&(table.to_owned(), name.to_owned()))).unwrap_or(value)
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

/// The most rules that one with sets may become.
const MOST: usize = 4096;

/// A rule; one with a map of verdicts, or with a set of names or of several values, is a rule for each element.
fn rules(object: &Value, table: &str, sets: &Sets) -> Vec<Rule> {
    let matches = match object["family"].as_str() {
        Some("ip") => vec![Match::V4(true)],
        Some("ip6") => vec![Match::V4(false)],
        _ => Vec::new(),
    };
    let place = format!("handle {}", object["handle"]);
    let mut rules = vec![Rule { matches, place, ..Rule::default() }];
    for (word, value) in object["expr"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten() {
        match word.as_str() {
            "match" => rules = with(&rules, &alternatives(value, resolved(&value["right"], table, sets))),
            "mangle" if value["key"]["tcp option"]["name"] == "maxseg" => {
                for rule in &mut rules {
                    rule.clamps = true;
                }
            }
            "vmap" => {
                let data = resolved(&value["data"], table, sets);
                return rules.iter().flat_map(|rule| verdicts(rule, &value["key"], data)).collect();
            }
            "counter" | "log" | "notrack" | "mangle" => {}
            word => match action(word, value) {
                Some(action) => {
                    for rule in &mut rules {
                        rule.action = action.clone();
                    }
                }
                // Something of iptables, a limit, a queue: it decides, and we do not know what.
                None => rules = with(&rules, &[vec![Match::Other]]),
            },
        }
    }
    rules
}

/// Each rule with each alternative.
fn with(rules: &[Rule], alternatives: &[Vec<Match>]) -> Vec<Rule> {
    let unknown = [vec![Match::Other]];
    let alternatives = if rules.len() * alternatives.len() > MOST { &unknown[..] } else { alternatives };
    let joined = |rule: &Rule, more: &[Match]| {
        let mut rule = rule.clone();
        let new = more.iter().filter(|new| !rule.matches.contains(new)).cloned().collect::<Vec<_>>();
        rule.matches.extend(new);
        rule
    };
    rules.iter().flat_map(|rule| alternatives.iter().map(move |more| joined(rule, more))).collect()
}

fn action(word: &str, value: &Value) -> Option<Action> {
    Some(match word {
        "masquerade" => Action::Translate("masquerade"),
        "snat" => Action::Translate("snat"),
        "accept" => Action::Accept,
        "drop" | "reject" => Action::Drop,
        "return" => Action::Return,
        "queue" => Action::Unknown,
        "jump" => Action::Jump(value["target"].as_str().unwrap_or_default().to_owned()),
        "goto" => Action::Goto(value["target"].as_str().unwrap_or_default().to_owned()),
        _ => return None,
    })
}

/// `ct state vmap { established : accept, .. }`: a rule for each element.
fn verdicts(rule: &Rule, key: &Value, data: &Value) -> Vec<Rule> {
    let unknown = || Rule { action: Action::Unknown, ..rule.clone() };
    let Some(elements) = data["set"].as_array().filter(|elements| elements.len() <= MOST) else {
        return vec![unknown()];
    };
    let one = |element: &Value| {
        let Some((word, argument)) = element[1].as_object().and_then(|verdict| verdict.iter().next()) else {
            return unknown();
        };
        let rule = Rule { action: action(word, argument).unwrap_or(Action::Unknown), ..rule.clone() };
        let more = if is_catch_all(element) { Vec::new() } else { conditions(key, &element[0], true) };
        with(&[rule], &[more]).pop().unwrap_or_default()
    };
    // What stands for all others is looked at last.
    let (last, first): (Vec<_>, Vec<_>) = elements.iter().partition(|element| is_catch_all(element));
    first.into_iter().chain(last).map(one).collect()
}

fn is_catch_all(element: &Value) -> bool {
    element[0] == "*"
}

/// The conditions of a match, once for each element where a packet may have only one of them.
fn alternatives(value: &Value, right: &Value) -> Vec<Vec<Match>> {
    let is_equal = match value["op"].as_str() {
        Some("==" | "in") => true,
        Some("!=") => false,
        _ => return vec![vec![Match::Other]],
    };
    let left = &value["left"];
    let is_split = left["concat"].is_array() || is_device(left);
    match right["set"].as_array().filter(|_| is_split && is_equal) {
        Some(elements) if elements.len() <= MOST => {
            elements.iter().map(|element| conditions(left, &bare(element), true)).collect()
        }
        _ => vec![conditions(left, right, is_equal)],
    }
}

/// Whether this is an interface's name.
fn is_device(left: &Value) -> bool {
    ["iifname", "iif", "oifname", "oif"].iter().any(|key| left["meta"]["key"] == *key)
}

/// The conditions of a match: a port is also about the protocol that has it, an address about its family.
fn conditions(left: &Value, right: &Value, is_equal: bool) -> Vec<Match> {
    if let Some(parts) = left["concat"].as_array() {
        let values = right["concat"].as_array().filter(|values| is_equal && values.len() == parts.len());
        let both =
            values.map(|values| parts.iter().zip(values).flat_map(|(part, value)| conditions(part, value, true)));
        return both.map_or_else(|| vec![Match::Other], Iterator::collect);
    }
    if let Some(names) = right["set"].as_array().filter(|_| is_device(left) && !is_equal) {
        return names.iter().map(|name| of_packet(left, name, false)).collect();
    }
    let is_masked = left["&"].is_array();
    let payload = if is_masked { &left["&"][0]["payload"] } else { &left["payload"] };
    match payload["field"].as_str() {
        // Bits of an address are no network.
        Some("saddr" | "daddr") if is_masked => vec![Match::Other],
        Some(field) => of_payload(payload["protocol"].as_str().unwrap_or_default(), field, right, is_equal),
        None => vec![of_packet(left, right, is_equal)],
    }
}

fn of_payload(of: &str, field: &str, right: &Value, is_equal: bool) -> Vec<Match> {
    let family = Match::V4(of == "ip");
    match (of, field) {
        ("ip" | "ip6", "saddr") => {
            vec![networks(right).map_or(Match::Other, |nets| Match::Source(nets, is_equal)), family]
        }
        ("ip" | "ip6", "daddr") => {
            vec![networks(right).map_or(Match::Other, |nets| Match::Destination(nets, is_equal)), family]
        }
        ("ip", "protocol") | ("ip6", "nexthdr") => vec![protocols(right, is_equal), family],
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
        (Some("nfproto" | "protocol"), Some("ipv4" | "ip")) => Match::V4(is_equal),
        (Some("nfproto" | "protocol"), Some("ipv6" | "ip6")) => Match::V4(!is_equal),
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

/// The networks of a right side: one, a prefix, a range, or a set of such.
fn networks(right: &Value) -> Option<Vec<IpNet>> {
    if let Some(text) = right.as_str() {
        return network(text).map(|net| vec![net]);
    }
    if let Some(items) = right["set"].as_array() {
        let all: Option<Vec<_>> = items.iter().map(|item| networks(&bare(item))).collect();
        return all.map(|all| all.concat());
    }
    if let Some([from, to]) = right["range"].as_array().map(Vec::as_slice) {
        return match (from.as_str()?.parse().ok()?, to.as_str()?.parse().ok()?) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Some(Ipv4Subnets::new(from, to, 0).map(IpNet::V4).collect()),
            (IpAddr::V6(from), IpAddr::V6(to)) => Some(Ipv6Subnets::new(from, to, 0).map(IpNet::V6).collect()),
            _ => None,
        };
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
        assert_eq!(second.matches, [Match::V4(true), Match::Destination(nets, false), Match::Out("wan".into(), true)]);
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
