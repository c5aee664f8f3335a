//! Other programs that do IPsec here, and connections that none of our files explain.

use super::{Case, Finding, Judged, Level, finding, judged, some, unseen};
use crate::swan::names;

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

/// Every loaded connection stands in a file.
pub fn foreign(case: &Case) -> Judged {
    let (answers, rehearsal) = match (&case.facts.charon, &case.facts.conf.rehearsal) {
        (Ok(answers), Ok(rehearsal)) => (answers, rehearsal),
        (Err(_), _) => return Err(unseen("foreign connections", "charon does not answer")),
        (_, Err(why)) => return Err(unseen("foreign connections", why)),
    };
    let foreign = answers.connections.iter().filter(|name| names::owner(name).is_none());
    let (kept, lost): (Vec<_>, Vec<_>) = foreign.partition(|name| rehearsal.connections.contains(name));
    // While the files are broken nothing can be said of who stands in them.
    if lost.is_empty() || !rehearsal.broken.is_empty() {
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
    use super::super::sound;
    use super::*;
    use crate::gateway::proc::Process;

    #[test]
    fn other_programs_are_named() {
        let mut case = sound::case();
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
        let mut case = sound::case();
        case.facts.charon.as_mut().expect("seen").connections.push("site".into());
        assert!(foreign(&case).expect_err("wrong")[0].evidence.as_ref().is_some_and(|text| text == "site"));
        case.facts.conf.rehearsal.as_mut().expect("seen").connections.push("site".into());
        assert_eq!(foreign(&case).expect("fine"), "1 that are not ours, all in swanctl's files");
    }
}
