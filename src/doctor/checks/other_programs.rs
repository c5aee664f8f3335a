//! Checks for other IPsec programs, and for connections in charon that are not from cygnet.

use crate::{
    agent::change::overlaps::{Overlaps, Owner, pairs},
    doctor::{
        Case, Finding, Level,
        facts::{network::network, procfs::is_charon},
        finding::{Judged, finding, judged, silent, some, unchecked},
        shell::{noted, quoted},
    },
    ipsec::{Connection, ConnectionId, TrafficSelector},
    settings::policy::Stance,
    strongswan::{foreign::Foreign, names},
};
use ipnet::IpNet;
use std::{collections::BTreeMap, net::IpAddr};

/// No other program uses the same ports, policies or connections.
pub fn tools(case: &Case) -> Judged {
    let mut found = Vec::new();
    let processes = match &case.facts.processes {
        Ok(processes) => processes.as_slice(),
        Err(why) => {
            found.extend(unchecked("the processes", why));
            &[]
        }
    };
    for process in processes.iter().filter(|process| !is_charon(&process.name)) {
        let (level, who) = match process.name.as_str() {
            "charon-nm" => (Level::Warning, "NetworkManager-strongswan"),
            "pluto" => (Level::Error, "libreswan"),
            name => (Level::Error, name),
        };
        let what = format!("{who} runs beside charon: both install IPsec policies and answer IKE");
        found.push(
            finding(level, what, noted(format!("systemctl status {}", process.pid), SERVICE_OF))
                .with(format!("{} (pid {})", process.name, process.pid)),
        );
    }
    let charons: Vec<_> = processes.iter().filter(|process| is_charon(&process.name)).collect();
    if charons.len() > 1 {
        let fix = "systemctl disable --now strongswan-starter  # it runs the charon of ipsec.conf, and this closes that one's \
                   tunnels; then systemctl restart strongswan, which interrupts all tunnels";
        let evidence = some(charons.iter().map(|process| format!("{} (pid {})", process.name, process.pid)));
        found.push(finding(Level::Error, format!("{} charon daemons run", charons.len()), fix).with(evidence));
    }
    found.extend(stroke(case));
    judged(found, "no other IPsec program")
}

/// How another program is stopped.
const SERVICE_OF: &str = "names its service; systemctl disable --now stops that and closes its tunnels";

/// The connections of ipsec.conf, if charon loads them.
fn stroke(case: &Case) -> Vec<Finding> {
    let loads = case.facts.charon.as_ref().is_ok_and(|answers| answers.charon.plugins.iter().any(|p| p == "stroke"));
    match &case.facts.ipsec_conf {
        Ok(names) if loads && !names.is_empty() => {
            let what = format!(
                "charon's stroke plugin loads {} connections of ipsec.conf beside those of cygnet",
                names.len()
            );
            let fix = "# move them to swanctl.conf, or disable the stroke plugin (charon.plugins.stroke.load = no)";
            vec![finding(Level::Warning, what, fix).with(some(names))]
        }
        Ok(_) => Vec::new(),
        Err(why) => unchecked("ipsec.conf", why),
    }
}

/// No two connections join the same or overlapping networks.
pub fn networks(case: &Case) -> Judged {
    if case.same_networks == Stance::Off {
        return Ok("not checked (policy.same-networks = off)".into());
    }
    let mut all = Overlaps::default();
    case.wanted().for_each(|connection| all.add(Owner::of(connection), pairs(connection)));
    let names: BTreeMap<_, _> = case.records.iter().map(|record| (record.id, &record.spec.names.name)).collect();
    let name = |id: ConnectionId| names.get(&id).map_or_else(|| id.to_string(), |name| format!("{name} ({id})"));
    let mut found = Vec::new();
    for connection in case.wanted() {
        // Each pair is listed once.
        let of = all.of(Owner::of(connection), pairs(connection));
        found.extend(of.into_iter().filter(|(id, _)| *id > connection.id()).map(|(id, shared)| {
            let shared = some(shared.iter().map(|(local, remote)| format!("{local} to {remote}")));
            format!("{} and {}: {shared}", name(connection.id()), name(id))
        }));
    }
    if found.is_empty() {
        return Ok("no two connections share networks".into());
    }
    let what = "connections join the same or overlapping networks: the CHILD_SA that was installed last takes all their packets";
    let fix = "# cygnet disable one of each pair, which closes its tunnel, or change its networks; a standby may stay as it \
               is";
    Err(vec![finding(Level::Warning, what, fix).with(some(found))])
}

/// Every foreign connection is in a file of swanctl, and none competes with one of cygnet.
pub fn foreign(case: &Case) -> Judged {
    let answers = case.facts.charon.as_ref().map_err(|why| silent("foreign connections", why))?;
    let mut found: Vec<_> = answers.foreign.iter().filter_map(|other| rival(case, other)).collect();
    let dry_run = match &case.facts.conf.dry_run {
        Ok(dry_run) => dry_run,
        Err(why) => {
            found.extend(unchecked("foreign connections", why));
            return Err(found);
        }
    };
    let foreign = answers.connections.iter().filter(|name| names::owner(name).is_none());
    let (kept, lost): (Vec<_>, Vec<_>) = foreign.partition(|name| dry_run.connections.contains(name));
    // From broken files swanctl reads no names.
    if !lost.is_empty() && dry_run.broken.is_empty() {
        let what = format!(
            "{} connections in charon are neither from cygnet nor from swanctl's files: another program loads them",
            lost.len()
        );
        let fix = "# write them to conf.d of swanctl's directory, or stop the program that loads them; the next swanctl \
                   --load-all removes them from charon";
        found.push(finding(Level::Warning, what, fix).with(some(lost)));
    }
    judged(found, format!("{} foreign connections, all in swanctl's files", kept.len()))
}

/// A foreign connection that joins networks of a stored one with the same peer.
fn rival(case: &Case, other: &Foreign) -> Option<Finding> {
    let has_peer = |ours: &Connection| {
        other.remotes.iter().any(|text| {
            let net = network(text);
            // Where ours may be anywhere, each address is one that it may have.
            let is_in = |peer: IpAddr| net.is_some_and(|net| net.contains(&peer));
            text == "%any" || ours.remote_addr.ip().is_none_or(is_in)
        })
    };
    let mut shared = Vec::new();
    let ours: Vec<_> = case
        .wanted()
        .filter(|ours| has_peer(ours))
        .filter(|ours| {
            let both = meeting(ours, other);
            let meets = !both.is_empty();
            shared.extend(both);
            meets
        })
        .map(Connection::id)
        .collect();
    let first = ours.first()?;
    let what = format!(
        "the foreign connection {} in charon joins the same networks with the same peer as {}: each may take the other's \
         packets, or answer the peer in its place",
        other.name,
        some(&ours)
    );
    let fix = noted(
        format!("grep -rnF -- {} /etc/swanctl /etc/ipsec.conf", quoted(&other.name)),
        &format!(
            "keep one of the two: take it from its file and run swanctl --load-conns, which unloads what is in no file; or \
             cygnet delete {first}, which closes its tunnel"
        ),
    );
    Some(finding(Level::Warning, what, fix).with(some(shared)))
}

/// The pairs of networks that both connections join.
fn meeting(ours: &Connection, other: &Foreign) -> Vec<String> {
    let meet = |nets: &[TrafficSelector], text: &str, own: Option<IpAddr>| -> Option<IpNet> {
        let theirs = if text == "dynamic" { IpNet::from(own?) } else { network(text.split('[').next()?)? };
        let meets = |net: &IpNet| net.contains(&theirs) || theirs.contains(net);
        nets.iter().map(|net| net.net()).find(meets)
    };
    let mut found = Vec::new();
    for (child, other) in ours.children.iter().flat_map(|child| other.children.iter().map(move |o| (child, o))) {
        let local = other.local.iter().find_map(|text| meet(&child.local, text, Some(ours.local_addr)));
        let remote = other.remote.iter().find_map(|text| meet(&child.remote, text, ours.remote_addr.ip()));
        found.extend(local.zip(remote).map(|(local, remote)| format!("{local} to {remote}")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;
    use crate::doctor::facts::procfs::Process;
    use crate::strongswan::foreign::ForeignChild;

    #[test]
    fn connections_with_the_same_networks_are_named_once() {
        let mut case = healthy::case();
        assert!(networks(&case).is_ok());
        let beside = |last: u32, remote| {
            let spec = healthy::record("192.0.2.1", "192.0.2.3", "10.1.0.0/16", remote).spec.clone();
            let id = format!("c000000000004000800000000000000{last}").parse().expect("an id");
            std::sync::Arc::new(crate::store::Record::new(id, spec, 0, case.now).expect("a record"))
        };
        let (apart, over) = (beside(2, "10.3.0.0/24"), beside(3, "10.2.0.0/16"));
        case.records.push(apart);
        assert!(networks(&case).is_ok());
        case.records.push(over);
        let found = networks(&case).expect_err("wrong");
        let evidence = found[0].evidence.clone().unwrap_or_default();
        assert_eq!((found.len(), evidence.matches("10.2.0.0/16").count()), (1, 1), "{found:?}");
        assert!(evidence.contains("00001") && evidence.contains("00003") && !evidence.contains("00002"), "{found:?}");
        case.same_networks = Stance::Off;
        assert!(networks(&case).is_ok());
    }

    #[test]
    fn other_programs_are_named() {
        let mut case = healthy::case();
        assert!(tools(&case).is_ok());
        let more =
            [("pluto", 7), ("charon-nm", 8), ("charon", 9)].map(|(name, pid)| Process { pid, name: name.into() });
        case.facts.processes.as_mut().expect("seen").extend(more);
        case.facts.ipsec_conf = Ok(vec!["site".into()]);
        let found = tools(&case).expect_err("wrong");
        assert_eq!(found.iter().map(|f| f.level).collect::<Vec<_>>(), [Level::Error, Level::Warning, Level::Error]);
        assert!(found[0].what.contains("libreswan") && found[2].what.contains("2 charon daemons"), "{found:?}");
        case.facts.charon.as_mut().expect("seen").charon.plugins.push("stroke".into());
        assert!(tools(&case).expect_err("wrong")[3].what.contains("stroke"));
    }

    #[test]
    fn a_connection_without_a_file_is_foreign() {
        let mut case = healthy::case();
        case.facts.charon.as_mut().expect("seen").connections.push("site".into());
        assert!(foreign(&case).expect_err("wrong")[0].evidence.as_ref().is_some_and(|text| text == "site"));
        case.facts.conf.dry_run.as_mut().expect("seen").connections.push("site".into());
        assert_eq!(foreign(&case).expect("fine"), "1 foreign connections, all in swanctl's files");
    }

    #[test]
    fn a_foreign_connection_for_the_same_networks_is_found_though_it_stands_in_a_file() {
        let texts =
            |text: &str| text.split(' ').filter(|text| !text.is_empty()).map(Into::into).collect::<Vec<String>>();
        for (remotes, local, remote, is_rival) in [
            ("192.0.2.2", "10.1.0.0/24", "10.2.0.0/24", true),
            ("%any", "10.1.0.0/16", "10.2.0.128/25", true),
            ("192.0.2.9 192.0.2.0/24", "10.1.0.7/32[tcp/443]", "10.9.0.0/16 10.2.0.0/16", true),
            ("192.0.2.9", "10.1.0.0/24", "10.2.0.0/24", false),
            ("192.0.2.2", "10.1.0.0/24", "10.3.0.0/24", false),
            ("192.0.2.2", "10.4.0.0/24", "10.2.0.0/24", false),
            ("192.0.2.2", "dynamic", "dynamic", false),
        ] {
            let mut case = healthy::case();
            let answers = case.facts.charon.as_mut().expect("seen");
            let child = ForeignChild { local: texts(local), remote: texts(remote), ..Default::default() };
            answers.connections.push("site".into());
            answers.foreign.push(Foreign {
                name: "site".into(),
                remotes: texts(remotes),
                children: vec![child],
                ..Default::default()
            });
            case.facts.conf.dry_run.as_mut().expect("seen").connections.push("site".into());
            let judged = foreign(&case);
            assert_eq!(judged.is_err(), is_rival, "{remotes} {local} {remote}: {judged:?}");
            if let Err(found) = judged {
                assert_eq!((found.len(), found[0].level), (1, Level::Warning), "{found:?}");
                assert!(
                    found[0].what.contains("connection site") && found[0].fix.contains("cygnet delete c0"),
                    "{found:?}"
                );
                assert_eq!(found[0].evidence.as_deref(), Some("10.1.0.0/24 to 10.2.0.0/24"));
            }
        }
    }
}
