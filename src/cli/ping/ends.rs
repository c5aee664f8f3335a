//! From where to where a tunnel is pinged: addresses that its networks hold, one of this host and one behind the peer.

use crate::cli::{
    args::PingArgs,
    stop::{Result, Stop},
};
use ipnet::IpNet;
use serde_json::Value;
use std::net::IpAddr;

/// A network of a longer prefix has a first host that is likely to be one.
const LIKELY: u8 = 8;

/// The two addresses, and the networks that they are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// An address of this host.
    pub from: IpAddr,
    /// The address that is to answer.
    pub to: IpAddr,
    /// The network here.
    pub local: IpNet,
    /// The network behind the peer.
    pub remote: IpNet,
}

/// The pairs of networks of a connection, those that run first.
fn pairs(view: &Value) -> Vec<(IpNet, IpNet)> {
    let mut children: Vec<_> = view["children"].as_array().into_iter().flatten().collect();
    children.sort_by_key(|child| child["sas"].as_array().is_none_or(Vec::is_empty));
    let nets = |child: &Value, name: &str| {
        let texts = child[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.filter_map(|text| text.parse().ok()).collect::<Vec<IpNet>>()
    };
    let of = |child: &Value| {
        let remote = nets(child, "remote");
        nets(child, "local").into_iter().flat_map(move |local| remote.clone().into_iter().map(move |net| (local, net)))
    };
    children.into_iter().flat_map(of).filter(|(local, remote)| is_v4(local) == is_v4(remote)).collect()
}

fn is_v4(net: &IpNet) -> bool {
    net.addr().is_ipv4()
}

fn texts(nets: impl Iterator<Item = IpNet>) -> String {
    let mut texts: Vec<_> = nets.map(|net| net.to_string()).collect();
    texts.sort_unstable();
    texts.dedup();
    texts.join(", ")
}

/// The ends that the options name, or else the first that fit. `own` are the addresses of this host.
pub fn choose(view: &Value, args: &PingArgs, own: &[IpAddr]) -> Result<Ends> {
    let mut pairs = pairs(view);
    if pairs.is_empty() {
        return Err(Stop::failed("the connection has no networks, so no tunnel carries a ping")
            .hint("give it networks: `cygnet attach` and `cygnet add-cidr`"));
    }
    if let Some(to) = args.to {
        let nets = texts(pairs.iter().map(|(_, remote)| *remote));
        pairs.retain(|(_, remote)| remote.contains(&to));
        if pairs.is_empty() {
            return Err(Stop::failed(format!("{to} is not behind the peer: the tunnel carries {nets} there")));
        }
    }
    if let Some(from) = args.from {
        let nets = texts(pairs.iter().map(|(local, _)| *local));
        pairs.retain(|(local, _)| local.contains(&from));
        if pairs.is_empty() {
            return Err(Stop::failed(format!(
                "{from} is in none of the local networks: the tunnel carries {nets} here"
            )));
        }
    }
    let source = |local: &IpNet| args.from.or_else(|| own.iter().copied().find(|address| local.contains(address)));
    let nets = texts(pairs.iter().map(|(local, _)| *local));
    let Some((local, remote, from)) = pairs.iter().find_map(|(local, remote)| Some((*local, *remote, source(local)?)))
    else {
        return Err(Stop::failed(format!("this host has no address in {nets}, and the tunnel takes no other packets")).hint(
            "ping from a host in the network, or give this one an address there for the test (`ip address add ADDRESS/32 dev lo`)",
        ));
    };
    let to = args.to.or_else(|| first_host(&remote)).ok_or_else(|| {
        Stop::failed(format!("{remote} is too large to guess a host in it")).hint("name one: --to ADDRESS")
    })?;
    Ok(Ends { from, to, local, remote })
}

/// The first address of a network that a host may have.
fn first_host(net: &IpNet) -> Option<IpAddr> {
    let is_single = net.prefix_len() == net.max_prefix_len();
    (net.prefix_len() >= LIKELY).then(|| if is_single { Some(net.addr()) } else { net.hosts().next() })?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ends_are_in_the_networks() {
        let child =
            |local: &[&str], remote: &[&str], sas: Value| json!({ "local": local, "remote": remote, "sas": sas });
        let view = json!({ "children": [
            child(&["fd00:1::/64"], &["fd00:2::/64"], json!([])),
            child(&["10.1.0.0/24", "10.3.0.0/24"], &["10.2.0.0/24", "10.2.9.9/32", "0.0.0.0/0"], json!([{}])),
        ] });
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let own = ["192.0.2.1", "10.3.0.7", "fd00:1::1"].map(address);
        let chosen = |from: Option<&str>, to: Option<&str>| {
            let args = PingArgs { from: from.map(address), to: to.map(address), ..PingArgs::default() };
            choose(&view, &args, &own).map(|ends| format!("{} {} {} {}", ends.from, ends.to, ends.local, ends.remote))
        };
        assert_eq!(
            chosen(None, None).expect("ends"),
            "10.3.0.7 10.2.0.1 10.3.0.0/24 10.2.0.0/24",
            "what runs is first"
        );
        assert_eq!(chosen(None, Some("10.2.9.9")).expect("ends"), "10.3.0.7 10.2.9.9 10.3.0.0/24 10.2.9.9/32");
        assert_eq!(chosen(None, Some("fd00:2::5")).expect("ends"), "fd00:1::1 fd00:2::5 fd00:1::/64 fd00:2::/64");
        assert_eq!(chosen(Some("10.1.0.9"), None).expect("ends"), "10.1.0.9 10.2.0.1 10.1.0.0/24 10.2.0.0/24");
        let said = |from, to| chosen(from, to).expect_err("refused").text().to_owned();
        assert!(
            said(None, Some("fd00:9::1")).contains("fd00:9::1 is not behind the peer: the tunnel carries 0.0.0.0/0, ")
        );
        assert!(said(Some("10.9.0.1"), None).contains("10.9.0.1 is in none of the local networks"));
        assert!(
            choose(&view, &PingArgs::default(), &[])
                .expect_err("none")
                .text()
                .contains("no address in 10.1.0.0/24, 10.3.0.0/24")
        );
        assert!(choose(&json!({ "children": [] }), &PingArgs::default(), &own).is_err());
        let all = json!({ "children": [child(&["10.1.0.0/24"], &["0.0.0.0/0"], json!([]))] });
        assert!(
            choose(&all, &PingArgs::default(), &[address("10.1.0.1")]).expect_err("which").text().contains("too large")
        );
    }
}
