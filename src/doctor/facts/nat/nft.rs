//! `nft -j list ruleset` (libnftables-json(5)).

use super::{Action, Chain, Match, Rule};
use crate::doctor::facts::{Seen, network::network};
use ipnet::IpNet;
use serde_json::Value;

/// The chains of NAT behind routing, and those without a hook, which they may jump to.
pub fn chains(text: &str) -> Seen<Vec<Chain>> {
    let ruleset: Value = serde_json::from_str(text).map_err(|e| format!("what nft prints cannot be read: {e}"))?;
    let objects = ruleset["nftables"].as_array().ok_or("what nft prints has no ruleset")?;
    let mut chains: Vec<_> = objects.iter().filter_map(|object| chain(&object["chain"])).collect();
    for rule in objects.iter().map(|object| &object["rule"]).filter(|rule| rule.is_object()) {
        let table = table(rule);
        if let Some(chain) = chains.iter_mut().find(|chain| chain.table == table && rule["chain"] == *chain.name) {
            chain.rules.push(self::rule(rule));
        }
    }
    Ok(chains)
}

fn table(object: &Value) -> String {
    format!("{} {}", object["family"].as_str().unwrap_or_default(), object["table"].as_str().unwrap_or_default())
}

fn chain(object: &Value) -> Option<Chain> {
    let name = object["name"].as_str()?.to_owned();
    let is_nat = object["type"] == "nat" && object["hook"] == "postrouting";
    if object.get("hook").is_some() && !is_nat {
        return None;
    }
    let priority = is_nat.then(|| object["prio"].as_i64().unwrap_or_default());
    Some(Chain { table: table(object), name, priority, rules: Vec::new() })
}

fn rule(object: &Value) -> Rule {
    let mut matches = match object["family"].as_str() {
        Some("ip") => vec![Match::V4(true)],
        Some("ip6") => vec![Match::V4(false)],
        _ => Vec::new(),
    };
    let mut action = Action::Other;
    for (word, value) in object["expr"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten() {
        match word.as_str() {
            "match" => matches.push(condition(value)),
            "masquerade" => action = Action::Translate("masquerade"),
            "snat" => action = Action::Translate("snat"),
            "accept" => action = Action::Accept,
            "return" => action = Action::Return,
            "jump" | "goto" => action = Action::Jump(value["target"].as_str().unwrap_or_default().to_owned()),
            "counter" | "log" => {}
            // Something of iptables, a map of verdicts, a limit: it decides, and we do not know what.
            _ => matches.push(Match::Other),
        }
    }
    Rule { matches, action }
}

fn condition(value: &Value) -> Match {
    let is_equal = match value["op"].as_str() {
        Some("==" | "in") => true,
        Some("!=") => false,
        _ => return Match::Other,
    };
    let (left, right) = (&value["left"], &value["right"]);
    if let Some(field) = left["payload"]["field"].as_str() {
        return match (field, networks(right)) {
            ("saddr", Some(networks)) => Match::Source(networks, is_equal),
            ("daddr", Some(networks)) => Match::Destination(networks, is_equal),
            _ => Match::Other,
        };
    }
    if left["rt"]["key"] == "ipsec" || left["meta"]["key"] == "ipsec" {
        return right.as_bool().map_or(Match::Other, |right| Match::Ipsec(right == is_equal));
    }
    // `ipsec out ip daddr ..` holds only where a policy applies.
    if left.get("ipsec").is_some() {
        return Match::Ipsec(is_equal);
    }
    match (left["meta"]["key"].as_str(), right.as_str()) {
        (Some("oifname" | "oif"), Some(name)) => Match::Out(name.to_owned(), is_equal),
        (Some("nfproto"), Some("ipv4")) => Match::V4(is_equal),
        (Some("nfproto"), Some("ipv6")) => Match::V4(!is_equal),
        _ => Match::Other,
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
            {"chain": {"family": "ip", "table": "nat", "name": "in", "type": "filter", "hook": "input", "prio": 0}},
            {"chain": {"family": "ip", "table": "nat", "name": "more"}},
            {"rule": {"family": "ip", "table": "nat", "chain": "post", "expr": [
                {"match": {"op": "==", "left": {"rt": {"key": "ipsec"}}, "right": true}}, {"counter": {}}, {"accept": null}]}},
            {"rule": {"family": "ip", "table": "nat", "chain": "post", "expr": [
                {"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "daddr"}},
                           "right": {"set": [{"prefix": {"addr": "10.2.0.0", "len": 24}}, "10.3.0.1"]}}},
                {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "wan"}}, {"snat": {"addr": "1.2.3.4"}}]}},
            {"rule": {"family": "ip", "table": "nat", "chain": "post", "expr": [{"xt": null}, {"masquerade": null}]}}]}"#;
        let found = chains(text).expect("read");
        assert_eq!(found.iter().map(|chain| chain.name.as_str()).collect::<Vec<_>>(), ["post", "more"]);
        let [first, second, third] = &found[0].rules[..] else { panic!("{found:?}") };
        assert_eq!((&first.matches[1..], &first.action), (&[Match::Ipsec(true)][..], &Action::Accept));
        let nets = ["10.2.0.0/24", "10.3.0.1/32"].map(|net| net.parse().expect("a net")).to_vec();
        assert_eq!(second.matches[1..], [Match::Destination(nets, false), Match::Out("wan".into(), true)]);
        assert_eq!(second.action, Action::Translate("snat"));
        assert_eq!(third.matches[1..], [Match::Other]);
        assert!(chains("x").is_err() && chains("{}").is_err());
    }
}
