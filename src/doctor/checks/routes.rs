//! Check of the routes that a tunnel needs beside its policies: to the peer, and to the networks of both sides.

use super::flows::{forwarded, host_of, libipsec, pairs, way};
use crate::doctor::{
    Case, Finding, Level,
    facts::Unchecked,
    finding::{Judged, finding, judged, some, unchecked},
    shell::noted,
};
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};

/// What keeps a route.
const CONFIGURE: &str = "add it to the network's configuration too";

/// The kernel has routes to the peers, to their networks and to the local networks.
pub fn routes(case: &Case) -> Judged {
    let ways = match &case.facts.ways {
        Ok(ways) => ways,
        Err(why) => return Err(unchecked("the routes", why)),
    };
    let none = |address: IpAddr| ways.get(&address).and_then(|way| way.as_ref().err());
    // The way to the peers often comes and goes with the address, and a standby needs none.
    let active = case.wanted().filter(|connection| !case.standby.contains(&connection.local_addr));
    let peers: BTreeSet<_> = active.filter_map(|connection| connection.remote_addr.ip()).collect();
    let mut found = Vec::new();
    for (peer, why) in peers.iter().filter_map(|peer| Some((peer, none(*peer)?))) {
        found.push(no_route(&format!("the peer {peer}"), IpNet::from(*peer), why));
    }
    let (locals, remotes): (BTreeSet<_>, BTreeSet<_>) = pairs(case).into_iter().unzip();
    for (net, why) in remotes.iter().filter(|net| is_due(case, net)).filter_map(|net| Some((net, none(host_of(*net))?)))
    {
        // Without a route the kernel drops the packets before a policy sees them.
        found.push(no_route(&format!("the peer's network {net}"), *net, why));
    }
    for (net, why) in locals.iter().filter_map(|net| Some((net, none(host_of(*net))?))) {
        found.push(no_route(&format!("the local network {net}"), *net, why));
    }
    let passing: BTreeSet<_> = forwarded(case).into_iter().map(|(local, _)| local).collect();
    let astray: Vec<_> = passing.iter().filter(|net| is_astray(case, **net)).collect();
    if let Some(first) = astray.first() {
        let what = format!(
            "only the default route leads to local networks, so packets from the tunnel for them leave towards the peer \
             again: {}",
            some(&astray)
        );
        let fix = noted(format!("ip route add {first} via ROUTER dev INTERFACE"), CONFIGURE);
        found.push(finding(Level::Warning, what, fix));
    }
    judged(found, format!("{} peers and {} networks have routes", peers.len(), locals.len() + remotes.len()))
}

/// Whether the peer's network should have a route: kernel-libipsec adds and removes its own with the CHILD_SA.
fn is_due(case: &Case, net: &IpNet) -> bool {
    let Ok(answers) = &case.facts.charon else { return false };
    let remotes = answers.running.iter().flat_map(|ike| &ike.children).flat_map(|sa| &sa.remote);
    !libipsec(case) || remotes.filter_map(|text| text.parse().ok()).any(|remote: IpNet| remote.contains(net))
}

/// Whether packets for the local network would take the default route, towards the peers.
fn is_astray(case: &Case, net: IpNet) -> bool {
    let Some(local) = way(case, host_of(net)).filter(|way| way.by_default && net.prefix_len() > 0) else {
        return false;
    };
    let peers = case.wanted().filter_map(|connection| way(case, connection.remote_addr.ip()?));
    peers.into_iter().any(|peer| peer.device == local.device)
}

fn no_route(what: &str, net: IpNet, why: &Unchecked) -> Finding {
    let note = format!("or a default route; {CONFIGURE}");
    let fix = noted(format!("ip route add {net} via ROUTER dev INTERFACE"), &note);
    finding(Level::Error, format!("no route leads to {what}"), fix)
        .with(format!("ip route get {}: {why}", host_of(net)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;

    #[test]
    fn each_missing_route_is_named() {
        for (address, word) in [
            ("192.0.2.2", "the peer 192.0.2.2"),
            ("10.2.0.1", "the peer's network 10.2.0.0/24"),
            ("10.1.0.1", "the local network 10.1.0.0/24"),
        ] {
            let mut case = healthy::case();
            assert!(routes(&case).is_ok());
            let address = address.parse().expect("an address");
            case.facts.ways.as_mut().expect("seen").insert(address, Err("Network is unreachable".into()));
            let found = routes(&case).expect_err("wrong");
            assert_eq!((found.len(), found[0].level), (1, Level::Error), "{found:?}");
            assert!(found[0].what.ends_with(word) && found[0].fix.contains("ip route add"), "{found:?}");
        }
    }

    #[test]
    fn a_standby_needs_no_way_to_the_peer() {
        let mut case = healthy::case();
        let address = "192.0.2.2".parse().expect("an address");
        case.facts.ways.as_mut().expect("seen").insert(address, Err("Network is unreachable".into()));
        assert!(routes(&case).is_err());
        case.standby = case.wanted().map(|connection| connection.local_addr).collect();
        assert!(routes(&case).is_ok());
    }

    #[test]
    fn a_local_network_behind_the_default_route_is_astray() {
        let mut case = healthy::case();
        let ways = case.facts.ways.as_mut().expect("seen");
        ways.insert("10.1.0.1".parse().expect("an address"), Ok(healthy::way("wan", true)));
        let found = routes(&case).expect_err("wrong");
        assert_eq!((found.len(), found[0].level), (1, Level::Warning), "{found:?}");
        assert!(found[0].fix.contains("10.1.0.0/24"), "{found:?}");
        // Behind another interface it is where it may well be.
        let ways = case.facts.ways.as_mut().expect("seen");
        ways.insert("10.1.0.1".parse().expect("an address"), Ok(healthy::way("lan", true)));
        assert!(routes(&case).is_ok());
        case.facts.ways = Err("no kernel".into());
        assert_eq!(routes(&case).expect_err("unchecked")[0].level, Level::Info);
    }
}
