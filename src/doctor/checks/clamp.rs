//! Check of the clamp of TCP's segment size (MSS). A tunnel carries smaller packets than its networks send. Where
//! "packet too big" messages get lost ("ping works, web hangs"), a smaller MSS in the SYN helps.

use super::flows::{Device, Flow, Kind, MAX_DEPTH, Part, forwarded, libipsec, part};
use crate::doctor::{
    Case, Level,
    facts::rules::{Action, Chain, Hook, Way},
    finding::{Judged, all_unchecked, finding, judged, some},
    shell::noted,
};
use ipnet::IpNet;
use std::collections::BTreeSet;

/// The MTU of Ethernet, in bytes.
const ETHERNET: u32 = 1500;
/// A segment size that fits with every algorithm, over IPv6 and through NAT, if the path carries 1500 bytes.
const SAFE: u32 = 1330;
/// The most networks that the fix lists.
const NAMED: usize = 8;

/// A rule clamps the MSS of TCP through the tunnels, where that is needed.
pub fn clamp(case: &Case) -> Judged {
    let (rules, sizes) = (&case.facts.rules, &case.facts.sizes);
    let pairs = forwarded(case);
    if pairs.is_empty() {
        return Ok("no forwarded traffic uses a tunnel".into());
    }
    if !sizes.is_empty() && sizes.iter().all(|size| size.mtu >= ETHERNET) {
        return Ok(format!("not needed: all tunnels carry packets of {ETHERNET} bytes"));
    }
    let bare: Vec<_> = pairs.iter().filter(|pair| !is_clamped(case, **pair)).collect();
    if bare.is_empty() {
        return Ok(format!("for {} pairs of networks", pairs.len()));
    }
    let unknown = all_unchecked("whether a rule clamps the MSS", &rules.unchecked);
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let mss = sizes.iter().map(|size| size.mss).min().unwrap_or(SAFE);
    let remotes: BTreeSet<_> = bare.iter().map(|(_, remote)| *remote).collect();
    let shown = some(bare.iter().map(|(local, remote)| format!("{local} -> {remote}")));
    let what = format!(
        "no rule clamps the segment size (MSS) of TCP through tunnels. Where \"packet too big\" messages get lost, ping \
         works and large transfers hang: {shown}"
    );
    let commands = if rules.has_nft { nft(&remotes, mss) } else { iptables(&remotes, mss) };
    let seen = sizes.iter().min().map_or_else(
        || "no tunnel is up".to_owned(),
        |size| format!("the narrowest tunnel carries packets of {} bytes, so segments of {}", size.mtu, size.mss),
    );
    judged(vec![finding(Level::Warning, what, noted(commands, "add this to the stored rules")).with(seen)], "")
}

/// Whether a rule clamps the SYNs of the pair, in either direction.
fn is_clamped(case: &Case, (local, remote): (IpNet, IpNet)) -> bool {
    let chains = &case.facts.rules.chains;
    let libipsec = libipsec(case);
    let flow = |source, destination, way| Flow {
        source,
        destination,
        policy: Some(way).filter(|_| !libipsec),
        comes: Device::Unknown,
        leaves: Device::Unknown,
        kind: Kind::Any,
        begins: true,
    };
    [flow(local, remote, Way::Out), flow(remote, local, Way::In)].iter().any(|flow| {
        let through = |chain: &&Chain| {
            chain.base.is_some_and(|base| matches!(base.hook, Hook::Prerouting | Hook::Forward | Hook::Postrouting))
        };
        chains.iter().filter(through).any(|chain| clamps(chains, chain, flow, 0))
    })
}

fn clamps(chains: &[Chain], chain: &Chain, flow: &Flow, depth: usize) -> bool {
    for rule in &chain.rules {
        match (part(rule, flow), &rule.action) {
            (Part::None, _) => {}
            _ if rule.clamps => return true,
            (Part::All, Action::Accept | Action::Drop | Action::Return) => return false,
            (part, action @ (Action::Jump(name) | Action::Goto(name))) if depth < MAX_DEPTH => {
                let next = chains.iter().find(|other| other.table == chain.table && other.name == *name);
                if next.is_some_and(|next| clamps(chains, next, flow, depth + 1)) {
                    return true;
                }
                if part == Part::All && matches!(action, Action::Goto(_)) {
                    return false;
                }
            }
            _ => {}
        }
    }
    false
}

/// Commands for a table of its own, for both directions; without addresses for more than [`NAMED`] networks.
fn nft(remotes: &BTreeSet<IpNet>, mss: u32) -> String {
    let set = format!("tcp flags syn / syn,rst tcp option maxseg size set {mss}");
    let table =
        "nft add table inet clamp; nft 'add chain inet clamp forward { type filter hook forward priority mangle; }'";
    let rule = |matches: &str| format!("; nft 'add rule inet clamp forward {matches}{set}'");
    if remotes.len() > NAMED {
        return format!("{table}{}", rule(""));
    }
    let both = |v4: bool| {
        let nets: Vec<_> = remotes.iter().filter(|net| net.addr().is_ipv4() == v4).map(ToString::to_string).collect();
        let (ip, nets) = (if v4 { "ip" } else { "ip6" }, nets.join(", "));
        let one = |side: &str| rule(&format!("{ip} {side} {{ {nets} }} "));
        if nets.is_empty() { String::new() } else { one("daddr") + &one("saddr") }
    };
    format!("{table}{}{}", both(true), both(false))
}

fn iptables(remotes: &BTreeSet<IpNet>, mss: u32) -> String {
    let one = |program: &str, matches: &str| {
        format!("{program} -t mangle -A FORWARD {matches}-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss {mss}")
    };
    let program = |v4: bool| if v4 { "iptables" } else { "ip6tables" };
    let families: BTreeSet<_> = remotes.iter().map(|net| net.addr().is_ipv4()).collect();
    let commands: Vec<_> = if remotes.len() > NAMED {
        families.into_iter().map(|v4| one(program(v4), "")).collect()
    } else {
        let both = |net: &IpNet| ["-d", "-s"].map(|side| one(program(net.addr().is_ipv4()), &format!("{side} {net} ")));
        remotes.iter().flat_map(both).collect()
    };
    commands.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;
    use crate::{doctor::facts::rules::Match, ipsec::PacketSize};

    #[test]
    fn a_missing_clamp_is_named_with_the_commands() {
        let mut case = healthy::case();
        assert_eq!(clamp(&case).expect("fine"), "for 1 pairs of networks");
        case.facts.sizes = vec![PacketSize { mtu: 1438, mss: 1398 }, PacketSize { mtu: 1422, mss: 1382 }];
        case.facts.rules.chains.clear();
        let found = clamp(&case).expect_err("missing");
        assert_eq!((found.len(), found[0].level), (1, Level::Warning), "{found:?}");
        assert!(found[0].what.contains("10.1.0.0/24 -> 10.2.0.0/24"), "{found:?}");
        let rule =
            "iptables -t mangle -A FORWARD -d 10.2.0.0/24 -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1382";
        assert!(found[0].fix.contains(rule), "{found:?}");
        case.facts.rules.has_nft = true;
        let found = clamp(&case).expect_err("missing");
        let rule = "ip saddr { 10.2.0.0/24 } tcp flags syn / syn,rst tcp option maxseg size set 1382'";
        assert!(found[0].fix.contains(rule), "{found:?}");
        case.facts.sizes.clear();
        assert!(clamp(&case).expect_err("missing")[0].fix.contains("size set 1330"));
        // Jumbo frames leave enough room, and a host has nothing to forward.
        case.facts.sizes = vec![PacketSize { mtu: 8938, mss: 8898 }];
        assert!(clamp(&case).is_ok());
        case.facts.sizes.clear();
        case.records = vec![healthy::record("192.0.2.1", "192.0.2.2", "192.0.2.1/32", "10.2.0.0/24")];
        assert!(clamp(&case).is_ok());
    }

    #[test]
    fn a_clamp_for_others_does_not_count_and_unseen_is_no_fault() {
        let mut case = healthy::case();
        let net = "172.16.0.0/12".parse().expect("a net");
        case.facts.rules.chains[0].rules[0].matches.push(Match::Source(vec![net], true));
        assert_eq!(clamp(&case).expect_err("missing")[0].level, Level::Warning);
        case.facts.rules.unchecked.push("nft: Operation not permitted".into());
        let found = clamp(&case).expect_err("unchecked");
        assert_eq!((found.len(), found[0].level), (1, Level::Info), "{found:?}");
    }
}
