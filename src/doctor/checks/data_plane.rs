//! Check of the data plane: the policies or routes that take packets to IPsec.

use crate::{
    doctor::{
        Case, Finding, Level,
        facts::charon_answers::Answers,
        finding::{Judged, finding, judged, silent, some, unchecked},
    },
    ipsec::ChildState,
};
use ipnet::IpNet;

/// Each CHILD_SA has its policies in the kernel, or its routes to the device of kernel-libipsec.
pub fn plane(case: &Case) -> Judged {
    let answers = case.facts.charon.as_ref().map_err(|why| silent("the data plane", why))?;
    let pairs = pairs(answers);
    if answers.charon.plugins.iter().any(|plugin| plugin == "kernel-libipsec") {
        libipsec(case, &pairs)
    } else {
        policies(case, &pairs)
    }
}

/// The networks of the installed CHILD_SAs, without selectors that have ports or protocols.
fn pairs(answers: &Answers) -> Vec<(IpNet, IpNet)> {
    let children = answers.running.iter().flat_map(|ike| &ike.children);
    let mut found = Vec::new();
    for child in children.filter(|child| child.state == ChildState::Installed) {
        let nets = |texts: &std::collections::BTreeSet<String>| -> Vec<IpNet> {
            texts.iter().filter_map(|text| text.parse().ok()).collect()
        };
        let remote = nets(&child.remote);
        for local in nets(&child.local) {
            let same = remote.iter().filter(|remote| remote.addr().is_ipv4() == local.addr().is_ipv4());
            found.extend(same.map(|remote| (local, *remote)));
        }
    }
    found
}

fn show(pairs: &[&(IpNet, IpNet)]) -> String {
    some(pairs.iter().map(|(local, remote)| format!("{local} -> {remote}")))
}

fn libipsec(case: &Case, pairs: &[(IpNet, IpNet)]) -> Judged {
    let (interfaces, routes) = match (&case.facts.interfaces, &case.facts.routes) {
        (Ok(interfaces), Ok(routes)) => (interfaces, routes),
        (Err(why), _) | (_, Err(why)) => return Err(unchecked("the data plane", why)),
    };
    let mut found: Vec<Finding> = Vec::new();
    let device = interfaces.iter().find(|interface| interface.name.starts_with("ipsec"));
    if device.is_none_or(|device| !device.up) {
        let fix = "modprobe tun  # charon must be able to open /dev/net/tun; then systemctl restart strongswan, which \
                   interrupts all tunnels";
        let what = format!("kernel-libipsec has no device that is up, and {} CHILD_SAs need it", pairs.len());
        found.push(finding(Level::Error, what, fix));
    }
    let has_route =
        |remote: &IpNet| routes.iter().any(|route| route.interface.starts_with("ipsec") && route.to.contains(remote));
    let lost: Vec<_> = pairs.iter().filter(|(_, remote)| !has_route(remote)).collect();
    if !lost.is_empty() {
        let fix = "# give this gateway an address in the local network (ip address add), keep charon.install_routes = yes, \
                   and cygnet reconnect the connection: the new SA comes up beside the old one";
        let what = format!("CHILD_SAs are up, but routing table 220 has no route for {}", show(&lost));
        found.push(finding(Level::Error, what, fix).with(format!("table 220: {}", some(routes.iter().map(|r| r.to)))));
    }
    judged(found, format!("kernel-libipsec, {} CHILD_SAs, {} routes in table 220", pairs.len(), routes.len()))
}

fn policies(case: &Case, pairs: &[(IpNet, IpNet)]) -> Judged {
    let policies = match &case.facts.policies {
        Ok(policies) => policies,
        Err(why) => return Err(unchecked("the kernel's IPsec policies", why)),
    };
    let has = |direction: &str, from: &IpNet, to: &IpNet| {
        policies
            .iter()
            .any(|policy| policy.direction == direction && policy.from.contains(from) && policy.to.contains(to))
    };
    let lost: Vec<_> =
        pairs.iter().filter(|(local, remote)| !has("out", local, remote) || !has("in", remote, local)).collect();
    let fix = "# cygnet reconnect the connection: the new SA comes up beside the old one. Another program removed the \
               policies: another IPsec program, or somebody by hand";
    let what = || format!("CHILD_SAs are up, but the kernel has no IPsec policies for {}", show(&lost));
    let found = if lost.is_empty() { Vec::new() } else { vec![finding(Level::Error, what(), fix)] };
    judged(found, format!("the kernel, {} CHILD_SAs, {} policies", pairs.len(), policies.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;

    #[test]
    fn policies_are_needed_both_ways() {
        let mut case = healthy::case();
        assert_eq!(plane(&case).expect("fine"), "the kernel, 1 CHILD_SAs, 3 policies");
        case.facts.policies.as_mut().expect("seen").retain(|policy| policy.direction != "in");
        let found = plane(&case).expect_err("wrong");
        assert!(found[0].what.contains("10.1.0.0/24 -> 10.2.0.0/24"), "{found:?}");
        case.facts.charon.as_mut().expect("seen").running.clear();
        assert!(plane(&case).is_ok());
    }

    #[test]
    fn libipsec_needs_its_device_and_its_routes() {
        let mut case = healthy::case();
        healthy::libipsec(&mut case);
        assert_eq!(plane(&case).expect("fine"), "kernel-libipsec, 1 CHILD_SAs, 1 routes in table 220");
        case.facts.routes = Ok(Vec::new());
        case.facts.interfaces.as_mut().expect("seen").retain(|interface| interface.name != "ipsec0");
        let found = plane(&case).expect_err("wrong");
        assert!(found[0].what.contains("no device") && found[1].what.contains("table 220"), "{found:?}");
    }
}
