//! What iproute2 says: interfaces with their addresses, charon's routing table, the kernel's IPsec policies.

use super::{probe::Probe, tools::Tools};
use ipnet::IpNet;
use serde_json::Value;
use std::net::IpAddr;

/// The routing table in which charon puts its routes (`charon.routing_table`).
const TABLE: &str = "220";

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// As iproute2 gives it (`ifname`).
    pub name: String,
    /// Whether it is up.
    pub up: bool,
    /// Without their prefixes.
    pub addresses: Vec<IpAddr>,
    /// Of an XFRM interface, its `if_id`.
    pub if_id: Option<u32>,
}

/// One line of `ip route`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub to: IpNet,
    /// Through which interface.
    pub interface: String,
}

/// An IPsec policy of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// From where.
    pub from: IpNet,
    /// To where.
    pub to: IpNet,
    /// `in`, `out` or `fwd`.
    pub direction: String,
}

/// What iproute2 says.
pub struct Network {
    /// Those of this network namespace.
    pub interfaces: Probe<Vec<Interface>>,
    /// Table 220.
    pub routes: Probe<Vec<Route>>,
    /// The routes through XFRM interfaces.
    pub into_tunnels: Probe<Vec<Route>>,
    /// The IPsec policies.
    pub policies: Probe<Vec<Policy>>,
}

/// Reads it.
pub async fn gather(tools: &Tools) -> Network {
    let (addresses, routes, policies) = tokio::join!(
        tools.output("ip", &["-json", "-details", "address", "show"]),
        both_families(tools, &[TABLE]),
        tools.output("ip", &["xfrm", "policy", "show"]),
    );
    let interfaces = addresses.and_then(|text| interfaces(&text));
    let mut into_tunnels = Ok(Vec::new());
    for interface in interfaces.iter().flatten().filter(|interface| interface.if_id.is_some()) {
        let more = both_families(tools, &["all", "dev", &interface.name]).await;
        // ip does not name the interface that it was asked for.
        let named = |route| Route { interface: interface.name.clone(), ..route };
        into_tunnels = into_tunnels
            .and_then(|known: Vec<_>| Ok([known, more?.into_iter().map(named).collect::<Vec<_>>()].concat()));
    }
    Network { interfaces, routes, into_tunnels, policies: policies.map(|text| self::policies(&text)) }
}

/// The routes of a table in both families.
async fn both_families(tools: &Tools, which: &[&str]) -> Probe<Vec<Route>> {
    let (v4, v6) = tokio::join!(table(tools, "-4", which), table(tools, "-6", which));
    Ok([v4?, v6?].concat())
}

/// The routes of one family. ip fails for a table without routes.
async fn table(tools: &Tools, family: &str, which: &[&str]) -> Probe<Vec<Route>> {
    let arguments = [&[family, "-json", "route", "show", "table"], which].concat();
    let said = tools.run("ip", &arguments, &[]).await?;
    if said.success {
        return routes(&said.stdout, family == "-4");
    }
    let is_absent = ["FIB table does not exist", "Dump terminated"].iter().any(|words| said.stderr.contains(words));
    if is_absent { Ok(Vec::new()) } else { Err(said.failed("ip route")) }
}

fn json(text: &str) -> Probe<Vec<Value>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(text).map_err(|e| format!("the output of ip cannot be parsed: {e}").into())
}

/// The interfaces in the output of `ip -json address`.
fn interfaces(text: &str) -> Probe<Vec<Interface>> {
    let interface = |item: &Value| {
        let addresses = item["addr_info"].as_array().into_iter().flatten();
        Some(Interface {
            name: item["ifname"].as_str()?.to_owned(),
            up: item["flags"].as_array()?.iter().any(|flag| flag == "UP"),
            addresses: addresses.filter_map(|info| info["local"].as_str()?.parse().ok()).collect(),
            if_id: Some(&item["linkinfo"]).filter(|link| link["info_kind"] == "xfrm").and_then(if_id),
        })
    };
    Ok(json(text)?.iter().filter_map(interface).collect())
}

/// The `if_id` in what is said of an XFRM interface: a text in hexadecimal digits.
fn if_id(link: &Value) -> Option<u32> {
    u32::from_str_radix(link["info_data"]["if_id"].as_str()?.trim_start_matches("0x"), 16).ok()
}

/// The routes in the output of `ip -json route`.
fn routes(text: &str, is_v4: bool) -> Probe<Vec<Route>> {
    let route = |item: &Value| {
        // The host's own addresses, broadcast and multicast have other types.
        item["type"].as_str().is_none_or(|kind| kind == "unicast").then_some(())?;
        let to = match item["dst"].as_str()? {
            "default" => if is_v4 { "0.0.0.0/0" } else { "::/0" }.parse().ok()?,
            text => network(text)?,
        };
        Some(Route { to, interface: item["dev"].as_str().unwrap_or_default().to_owned() })
    };
    Ok(json(text)?.iter().filter_map(route).collect())
}

/// A network, or a host without a prefix length.
#[must_use]
pub fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(Into::into))
}

/// The policies in the output of `ip xfrm policy`, those of single sockets left out.
fn policies(text: &str) -> Vec<Policy> {
    let mut found = Vec::new();
    let mut selector = None;
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["src", from, "dst", to, ..] if !line.starts_with(char::is_whitespace) => {
                selector = network(from).zip(network(to));
            }
            ["dir", direction, ..] => {
                let policy = selector.take().map(|(from, to)| Policy { from, to, direction: (*direction).to_owned() });
                found.extend(policy);
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read() {
        let text = r#"[{"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},
            {"ifname":"wan","flags":["BROADCAST"],"addr_info":[{"local":"192.0.2.1"},{"local":"2001:db8::1"}]},{}]"#;
        let found = interfaces(text).expect("read");
        assert_eq!(found.len(), 2);
        assert!(found[0].up && !found[1].up);
        assert_eq!(found[1].addresses.len(), 2);
        let text = r#"[{"ifname":"xfrm42","flags":["UP"],"addr_info":[],"linkinfo":{"info_kind":"xfrm","info_data":{"if_id":"0x2a"}}},
            {"ifname":"gre1","flags":[],"linkinfo":{"info_kind":"gre","info_data":{"if_id":"0x2a"}}},
            {"ifname":"xfrm0","flags":[],"linkinfo":{"info_kind":"xfrm","info_data":{"external":true}}}]"#;
        assert_eq!(interfaces(text).expect("read").iter().map(|i| i.if_id).collect::<Vec<_>>(), [Some(42), None, None]);
        assert!(interfaces("garbage").is_err());
    }

    #[test]
    fn routes_are_read() {
        let text = r#"[{"dst":"10.2.0.0/24","dev":"ipsec0"},{"dst":"default","dev":"wan"},{"dst":"10.9.0.1"},
            {"type":"local","dst":"10.99.0.1","dev":"xfrm42","table":"local"},{"type":"multicast","dst":"ff00::/8"}]"#;
        let to: Vec<_> = routes(text, true).expect("read").iter().map(|route| route.to.to_string()).collect();
        assert_eq!(to, ["10.2.0.0/24", "0.0.0.0/0", "10.9.0.1/32"]);
        assert_eq!(routes("", true), Ok(Vec::new()));
    }

    #[test]
    fn policies_are_read_without_those_of_sockets() {
        let text = "src 10.1.0.0/24 dst 10.2.0.0/24 \n\tdir out priority 375423 \n\ttmpl src 192.0.2.1 dst 192.0.2.2\n\
                    \t\tproto esp spi 0xc1 reqid 1 mode tunnel\nsrc 0.0.0.0/0 dst 0.0.0.0/0 \n\tsocket in priority 0 \n";
        let found = policies(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].direction.as_str(), found[0].to.to_string()), ("out", "10.2.0.0/24".to_owned()));
    }
}
