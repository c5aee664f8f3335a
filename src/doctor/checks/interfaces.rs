//! Check of the XFRM interfaces of route-based tunnels, and of the routes into them. The operator makes both.

use super::flows::{libipsec, way};
use crate::{
    doctor::{
        Case, Finding, Level,
        facts::network::{Interface, Route},
        finding::{Judged, finding, judged, some, unchecked},
        shell::{noted, quoted},
    },
    ipsec::{Connection, TrafficSelector},
};
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong with a tunnel without its interface.
const LOST: &str = "no packet enters or leaves their tunnels";

/// Each `ifId` has its XFRM interface, which is up, and a route into it for each network behind the peer.
pub fn interfaces(case: &Case) -> Judged {
    let mut wanted: BTreeMap<u32, Vec<&Connection>> = BTreeMap::new();
    for connection in case.wanted().filter(|connection| connection.is_route_based()) {
        wanted.entry(connection.native.if_id).or_default().push(connection);
    }
    if wanted.is_empty() {
        return Ok("no connection has an ifId".into());
    }
    let (interfaces, routes) = match (&case.facts.interfaces, &case.facts.into_tunnels) {
        (Ok(interfaces), Ok(routes)) => (interfaces, routes),
        (Err(why), _) | (_, Err(why)) => return Err(unchecked("the XFRM interfaces", why)),
    };
    let (mut found, mut seen) = (Vec::new(), Vec::new());
    if libipsec(case) {
        let what = "kernel-libipsec knows no XFRM interfaces: tunnels with an ifId take the packets of all interfaces";
        let fix = "# disable these connections, or remove the plugin kernel-libipsec, then systemctl restart strongswan, which \
                   interrupts all tunnels";
        found.push(finding(Level::Error, what, fix));
    }
    for (if_id, connections) in wanted {
        let Some(interface) = interfaces.iter().find(|interface| interface.if_id == Some(if_id)) else {
            found.push(missing(case, if_id, &connections));
            continue;
        };
        let name = &interface.name;
        if !interface.up {
            let what = format!("the XFRM interface {name} of ifId {if_id} is down: {LOST}");
            found.push(finding(Level::Error, what, format!("ip link set {} up", quoted(name))));
        }
        let own: Vec<_> = routes.iter().filter(|route| route.interface == *name && is_unicast(route)).collect();
        found.extend(without_route(&connections, interface, &own));
        seen.push(format!("{name} (if_id {if_id}): {}", some(own.iter().map(|route| route.to))));
    }
    judged(found, seen.join("; "))
}

/// The finding for an `ifId` that no interface has.
fn missing(case: &Case, if_id: u32, connections: &[&Connection]) -> Finding {
    let device = connections.iter().find_map(|connection| way(case, connection.remote_addr.ip()?));
    let device = device.map_or_else(|| "INTERFACE".into(), |way| quoted(&way.device));
    let what = format!("{} has ifId {if_id}, and no XFRM interface has it: {LOST}", names(connections));
    let commands = format!("ip link add xfrm{if_id} type xfrm dev {device} if_id {if_id}; ip link set xfrm{if_id} up");
    let fix = noted(commands, "then routes into it, and both into the network's configuration");
    finding(Level::Error, what, fix)
}

/// The finding for networks behind the peers that no route into the interface meets.
fn without_route(connections: &[&Connection], interface: &Interface, routes: &[&Route]) -> Option<Finding> {
    let remote = connections.iter().flat_map(|connection| &connection.children).flat_map(|child| &child.remote);
    let meets = |net: &TrafficSelector| routes.iter().any(|r| r.to.contains(&net.net()) || net.net().contains(&r.to));
    let lost: BTreeSet<_> = remote.filter(|net| !meets(net)).copied().collect();
    let first = lost.first()?;
    let name = &interface.name;
    let what = format!("no route leads into {name} for {}: no packet enters the tunnel for it", some(&lost));
    // All addresses are for the operator to choose from.
    let net = if first.net().prefix_len() == 0 { "NETWORK".to_owned() } else { first.to_string() };
    let fix = noted(format!("ip route add {net} dev {}", quoted(name)), "add it to the network's configuration too");
    let evidence = format!("routes into {name}: {}", some(routes.iter().map(|route| route.to)));
    Some(finding(Level::Error, what, fix).with(evidence))
}

/// Whether it is more than what the kernel gives to each IPv6 interface.
fn is_unicast(route: &Route) -> bool {
    !matches!(route.to.addr(), std::net::IpAddr::V6(to) if to.is_unicast_link_local() || to.is_multicast())
}

fn names(connections: &[&Connection]) -> String {
    let ids = some(connections.iter().map(|connection| connection.id()));
    if connections.len() == 1 { format!("the connection {ids}") } else { format!("each of the connections {ids}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doctor::checks::healthy, store::Record};
    use std::sync::Arc;

    /// A gateway whose connection takes the packets of the interface 42.
    fn case(remote: &str) -> Case {
        let mut case = healthy::case();
        let mut spec = case.records[0].spec.clone();
        spec.options.native.if_id = 42;
        spec.remote[0].cidr = remote.parse().expect("a network");
        let record = Record::new(case.records[0].id, spec, 0, case.now).expect("a record");
        case.records = vec![Arc::new(record)];
        let interface = Interface { name: "xfrm42".into(), up: true, addresses: Vec::new(), if_id: Some(42) };
        case.facts.interfaces.as_mut().expect("seen").push(interface);
        let route = |to: &str| Route { to: to.parse().expect("a net"), interface: "xfrm42".into() };
        case.facts.into_tunnels = Ok(vec![route("10.2.0.0/24"), route("fe80::/64")]);
        case
    }

    fn one(case: &Case) -> Finding {
        let found = interfaces(case).expect_err("wrong");
        assert_eq!((found.len(), found[0].level), (1, Level::Error), "{found:?}");
        found.into_iter().next().expect("one")
    }

    #[test]
    fn the_interface_is_shown_with_its_routes() {
        for remote in ["10.2.0.0/24", "10.2.0.0/16", "10.2.0.128/25", "0.0.0.0/0"] {
            assert_eq!(interfaces(&case(remote)), Ok("xfrm42 (if_id 42): 10.2.0.0/24".into()), "{remote}");
        }
        assert_eq!(interfaces(&healthy::case()), Ok("no connection has an ifId".into()));
    }

    #[test]
    fn what_is_missing_is_named_with_its_command() {
        let mut bare = case("10.2.0.0/24");
        bare.facts.interfaces.as_mut().expect("seen").pop();
        let found = one(&bare);
        assert!(found.what.contains("has ifId 42, and no XFRM interface has it"), "{found:?}");
        assert!(found.fix.starts_with("ip link add xfrm42 type xfrm dev wan if_id 42;"), "{found:?}");

        let mut down = case("10.2.0.0/24");
        down.facts.interfaces.as_mut().expect("seen")[2].up = false;
        assert_eq!(one(&down).fix, "ip link set xfrm42 up");

        let found = one(&case("10.7.0.0/16"));
        assert!(found.what.starts_with("no route leads into xfrm42 for 10.7.0.0/16"), "{found:?}");
        assert!(found.fix.starts_with("ip route add 10.7.0.0/16 dev xfrm42"), "{found:?}");
        assert_eq!(found.evidence.as_deref(), Some("routes into xfrm42: 10.2.0.0/24"));

        let mut none = case("0.0.0.0/0");
        none.facts.into_tunnels = Ok(Vec::new());
        assert!(one(&none).fix.starts_with("ip route add NETWORK dev xfrm42"));

        let mut userland = case("10.2.0.0/24");
        healthy::libipsec(&mut userland);
        assert!(one(&userland).what.contains("kernel-libipsec knows no XFRM interfaces"));
        userland.facts.into_tunnels = Err("no ip".into());
        assert_eq!(interfaces(&userland).expect_err("unchecked")[0].level, Level::Info);
    }

    /// The rules for tunnels by policies do not hold: what goes through the tunnel is what routes lead there.
    #[test]
    fn no_other_check_stumbles_over_all_networks() {
        let report = crate::doctor::judge(&case("0.0.0.0/0"));
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    }
}
