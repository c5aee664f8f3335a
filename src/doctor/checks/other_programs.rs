//! Other programs that do IPsec here, and connections that none of our files explain.

use crate::{
    agent::change::overlaps::{Overlaps, pairs},
    doctor::{Case, Finding, Judged, Level, finding, judged, some, unseen},
    ipsec::ConnectionId,
    settings::policy::Stance,
    strongswan::names,
};
use std::collections::BTreeMap;

/// No other program fights for the same ports, policies or connections.
pub fn tools(case: &Case) -> Judged {
    let mut found = Vec::new();
    let processes = match &case.facts.processes {
        Ok(processes) => processes.as_slice(),
        Err(why) => {
            found.extend(unseen("the processes", why));
            &[]
        }
    };
    let is_charon = |name: &str| name == "charon" || name == "charon-systemd";
    for process in processes.iter().filter(|process| !is_charon(&process.name)) {
        let (level, who) = match process.name.as_str() {
            "charon-nm" => (Level::Warning, "NetworkManager-strongswan"),
            "pluto" => (Level::Error, "libreswan"),
            name => (Level::Error, name),
        };
        let what = format!("{who} runs beside charon: both install IPsec policies and answer IKE");
        found.push(
            finding(level, what, format!("stop and disable {who}"))
                .with(format!("{} (pid {})", process.name, process.pid)),
        );
    }
    let charons: Vec<_> = processes.iter().filter(|process| is_charon(&process.name)).collect();
    if charons.len() > 1 {
        let fix = "systemctl disable --now strongswan-starter (its charon is for ipsec.conf), then restart strongswan";
        let evidence = some(charons.iter().map(|process| format!("{} (pid {})", process.name, process.pid)));
        found.push(finding(Level::Error, format!("{} charons run", charons.len()), fix).with(evidence));
    }
    found.extend(stroke(case));
    judged(found, "no other program of IPsec")
}

/// The connections of ipsec.conf, if charon loads them.
fn stroke(case: &Case) -> Vec<Finding> {
    let loads = case.facts.charon.as_ref().is_ok_and(|answers| answers.charon.plugins.iter().any(|p| p == "stroke"));
    match &case.facts.ipsec_conf {
        Ok(names) if loads && !names.is_empty() => {
            let what = format!("charon's stroke plugin loads {} connections of ipsec.conf beside ours", names.len());
            let fix = "move them to swanctl.conf, or disable the stroke plugin (charon.plugins.stroke.load = no)";
            vec![finding(Level::Warning, what, fix).with(some(names))]
        }
        Ok(_) => Vec::new(),
        Err(why) => unseen("ipsec.conf", why),
    }
}

/// No two connections join the same or overlapping networks.
pub fn networks(case: &Case) -> Judged {
    if case.same_networks == Stance::Off {
        return Ok("not looked at (policy.same-networks)".into());
    }
    let mut all = Overlaps::default();
    case.wanted().for_each(|connection| all.add(connection.id(), pairs(connection)));
    let names: BTreeMap<_, _> = case.records.iter().map(|record| (record.id, &record.spec.names.name)).collect();
    let name = |id: ConnectionId| names.get(&id).map_or_else(|| id.to_string(), |name| format!("{name} ({id})"));
    let mut found = Vec::new();
    for connection in case.wanted() {
        // Each two are named once.
        let of = all.of(connection.id(), pairs(connection));
        found.extend(of.into_iter().filter(|(id, _)| *id > connection.id()).map(|(id, shared)| {
            let shared = some(shared.iter().map(|(local, remote)| format!("{local} to {remote}")));
            format!("{} and {}: {shared}", name(connection.id()), name(id))
        }));
    }
    if found.is_empty() {
        return Ok("each packet has one tunnel at most".into());
    }
    let what =
        "connections join the same or overlapping networks: the one that was installed last takes all the packets";
    let fix = "name other networks, or disable one of each two, unless it is meant as a standby";
    Err(vec![finding(Level::Warning, what, fix).with(some(found))])
}

/// Every loaded connection stands in a file.
pub fn foreign(case: &Case) -> Judged {
    let (answers, dry_run) = match (&case.facts.charon, &case.facts.conf.dry_run) {
        (Ok(answers), Ok(dry_run)) => (answers, dry_run),
        (Err(_), _) => return Err(unseen("foreign connections", "charon does not answer")),
        (_, Err(why)) => return Err(unseen("foreign connections", why)),
    };
    let foreign = answers.connections.iter().filter(|name| names::owner(name).is_none());
    let (kept, lost): (Vec<_>, Vec<_>) = foreign.partition(|name| dry_run.connections.contains(name));
    // While the files are broken nothing can be said of who stands in them.
    if lost.is_empty() || !dry_run.broken.is_empty() {
        return Ok(format!("{} that are not ours, all in swanctl's files", kept.len()));
    }
    let what = format!(
        "{} connections in charon are neither ours nor in swanctl's files: another program loads them",
        lost.len()
    );
    let fix = "the next `swanctl --load-all` removes them: write them to conf.d, or unload them";
    Err(vec![finding(Level::Warning, what, fix).with(some(lost))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;
    use crate::doctor::facts::procfs::Process;

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
        assert!(found[0].what.contains("libreswan") && found[2].what.contains("2 charons"), "{found:?}");
        case.facts.charon.as_mut().expect("seen").charon.plugins.push("stroke".into());
        assert!(tools(&case).expect_err("wrong")[3].what.contains("stroke"));
    }

    #[test]
    fn a_connection_without_a_file_is_foreign() {
        let mut case = healthy::case();
        case.facts.charon.as_mut().expect("seen").connections.push("site".into());
        assert!(foreign(&case).expect_err("wrong")[0].evidence.as_ref().is_some_and(|text| text == "site"));
        case.facts.conf.dry_run.as_mut().expect("seen").connections.push("site".into());
        assert_eq!(foreign(&case).expect("fine"), "1 that are not ours, all in swanctl's files");
    }
}
