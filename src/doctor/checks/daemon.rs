//! Checks of the agent and of charon: its socket, its plugins, and the algorithms that stored connections need.

use crate::{
    agent::CharonLink,
    doctor::{
        Case, Level,
        facts::Unchecked,
        finding::{Finding, Judged, finding, judged, silent, some, unchecked},
        shell::{noted, quoted},
    },
};
use std::collections::BTreeMap;

/// The agent runs, and charon has loaded what is stored.
pub fn agent(case: &Case) -> Judged {
    match &case.agent {
        Ok(CharonLink::Up(_)) => Ok("it runs, and charon has loaded what is stored".into()),
        Ok(CharonLink::Starting) => {
            Err(vec![finding(Level::Info, "the agent is starting", "cygnet doctor  # again in a few seconds")])
        }
        Ok(CharonLink::Down { why, since }) => Err(vec![
            finding(
                Level::Warning,
                "the agent could not load the stored connections into charon",
                "# see the check charon; the agent retries by itself",
            )
            .with(format!("since {since}: {why}")),
        ]),
        // Whoever cannot ask has no report worth a good end.
        Err(why @ Unchecked::Denied(_)) => Err(unchecked("the agent", why)
            .into_iter()
            .map(|found| Finding { level: Level::Warning, ..found })
            .collect()),
        Err(why) => Err(vec![
            finding(
                Level::Warning,
                "the agent does not answer: no change is accepted, and no tunnel is repaired",
                "systemctl restart cygnet  # it touches no tunnel; if it fails: journalctl -u cygnet",
            )
            .with(why.to_string()),
        ]),
    }
}

/// charon answers.
pub fn reachable(case: &Case) -> Judged {
    match &case.facts.charon {
        Ok(answers) => {
            let (count, version) = (answers.connections.len(), &answers.charon.version);
            Ok(format!("strongSwan {version}, {count} connections loaded, {} IKE_SAs of cygnet", answers.running.len()))
        }
        Err(why @ Unchecked::Denied(_)) => Err(unchecked("charon", why)),
        Err(why) => {
            let fix = if case.facts.vici.connect.is_ok() {
                "journalctl -u strongswan -n 50  # it is there and hangs: systemctl restart strongswan, which interrupts \
                 all tunnels"
            } else {
                "systemctl start strongswan  # if it fails: journalctl -u strongswan (package charon-systemd)"
            };
            Err(vec![finding(Level::Error, "charon does not answer", fix).with(why.to_string())])
        }
    }
}

/// The vici socket exists and accepts this process.
pub fn socket(case: &Case) -> Judged {
    let socket = &case.facts.vici;
    let path = socket.path.display();
    // The agent must have it; of anybody else it is right that they have not.
    let is_agent = case.agent.is_ok();
    let denied = [socket.rights.as_ref().err(), socket.connect.as_ref().err()];
    if let Some(why) = denied.into_iter().flatten().find(|why| why.as_denied().is_some() && !is_agent) {
        return Err(unchecked("charon's vici socket", why));
    }
    match (&socket.rights, &socket.connect) {
        (Ok(rights), Ok(())) => Ok(format!("{path} {rights}")),
        (Ok(rights), Err(why)) => {
            let fix = if matches!(why, Unchecked::Denied(_)) {
                let path = quoted(&path.to_string());
                noted(
                    format!("chgrp cygnet-vici {path} && chmod 0660 {path}"),
                    "until charon's next start; for good: include /etc/strongswan.d/cygnet.conf in strongswan.conf, which \
                     gives the socket to the agent's group",
                )
            } else {
                noted(
                    "systemctl start strongswan",
                    "a charon that ended left this socket behind; if it runs: systemctl restart strongswan, which \
                     interrupts all tunnels",
                )
            };
            let what = format!("this process (uid {}) cannot connect to the vici socket {path}", case.facts.uid);
            Err(vec![finding(Level::Error, what, fix).with(format!("{rights}: {why}"))])
        }
        (Err(why), _) => {
            let fix = "systemctl start strongswan  # if it runs: apt install strongswan-swanctl (the vici plugin), and set \
                       charon.vici in cygnet.toml to charon.plugins.vici.socket of strongswan.conf";
            Err(vec![finding(Level::Error, format!("there is no vici socket at {path}"), fix).with(why.to_string())])
        }
    }
}

/// Charon needs one plugin of each group; beside it, the package that has it.
const NEEDED: [(&[&str], &str); 3] = [
    (&["kernel-netlink", "kernel-libipsec", "kernel-pfkey"], "libstrongswan"),
    (&["socket-default", "socket-dynamic"], "strongswan-libcharon"),
    (&["nonce"], "libstrongswan"),
];

/// charon has loaded the plugins that every tunnel needs.
pub fn plugins(case: &Case) -> Judged {
    let answers = case.facts.charon.as_ref().map_err(|why| silent("charon's plugins", why))?;
    let plugins = &answers.charon.plugins;
    let has = |names: &[&str]| names.iter().any(|name| plugins.iter().any(|plugin| plugin == name));
    let lack = |(names, package): &(&[&str], &str)| {
        let fix = noted(
            format!("apt install {package}"),
            "if it is installed, enable it in strongswan.conf (charon.load, charon.plugins.*.load); then systemctl restart \
             strongswan, which interrupts all tunnels",
        );
        finding(Level::Error, format!("charon has not loaded the plugin {}", names.join(" or ")), fix)
            .with(format!("loaded: {}", plugins.join(" ")))
    };
    let found = NEEDED.iter().filter(|(names, _)| !has(names)).map(lack).collect();
    judged(found, format!("{} loaded", plugins.len()))
}

/// charon has the algorithms of the stored connections.
pub fn algorithms(case: &Case) -> Judged {
    let answers = case.facts.charon.as_ref().map_err(|why| silent("charon's algorithms", why))?;
    let mut missing: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for connection in case.wanted() {
        for lack in answers.charon.missing(connection) {
            missing.entry((lack.name, lack.package)).or_default().push(connection.id());
        }
    }
    let lack = |((name, package), connections): (_, Vec<_>)| {
        let what = format!("charon lacks {name}, which {} stored connections need", connections.len());
        let note = "then systemctl restart strongswan, which interrupts all tunnels";
        finding(Level::Error, what, noted(format!("apt install {package}"), note))
            .with(format!("connections: {}", some(connections)))
    };
    let found = missing.into_iter().map(|(lack, all): ((String, &str), _)| (lack, all)).map(lack).collect();
    judged(found, format!("all that {} stored connections need", case.wanted().count()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{checks::healthy, judge};

    #[test]
    fn a_charon_that_is_gone_is_one_error_and_nothing_else_is_guessed() {
        let mut case = healthy::case();
        case.facts.charon = Err("connection refused".into());
        case.facts.vici.connect = Err("Connection refused (os error 111)".into());
        let report = judge(&case);
        let errors: Vec<_> = report.findings.iter().filter(|f| f.level == Level::Error).map(|f| f.check).collect();
        assert_eq!(errors, ["charon", "vici"], "{:?}", report.findings);
        assert!(!report.is_healthy());
        assert!(report.findings.iter().any(|f| f.check == "algorithms" && f.level == Level::Info));
    }

    #[test]
    fn the_socket_must_be_there_and_let_us_in() {
        let mut case = healthy::case();
        assert_eq!(socket(&case).expect("fine"), "/run/charon.vici root:root 0770");
        case.facts.vici.connect = Err(Unchecked::Denied("connect: Permission denied (os error 13)".into()));
        assert!(socket(&case).expect_err("wrong")[0].fix.contains("group"));
        case.facts.vici.rights = Err("No such file".into());
        assert!(socket(&case).expect_err("wrong")[0].what.contains("no vici socket"));
    }

    #[test]
    fn what_charon_lacks_is_named_with_its_package() {
        let mut case = healthy::case();
        assert!(plugins(&case).is_ok() && algorithms(&case).is_ok());
        let answers = case.facts.charon.as_mut().expect("seen");
        answers.charon.plugins.retain(|plugin| plugin != "socket-default");
        assert!(plugins(&case).expect_err("wrong")[0].fix.contains("strongswan-libcharon"));
        let nothing = crate::strongswan::section::Section::new();
        let none = crate::strongswan::Charon::new("5.9.8".into(), &nothing, nothing.clone());
        case.facts.charon.as_mut().expect("seen").charon = none;
        let found = algorithms(&case).expect_err("wrong");
        assert!(found.iter().all(|f| f.what.contains("1 stored connections") && f.fix.starts_with("apt install ")));
        assert!(found.iter().any(|f| f.what.contains("aes-256")) && found.len() == 3, "{found:?}");
    }

    #[test]
    fn an_agent_that_does_not_run_is_a_finding() {
        let mut case = healthy::case();
        for (life, level) in [
            (Err("connection refused".into()), Level::Warning),
            (Ok(CharonLink::Starting), Level::Info),
            (Ok(CharonLink::Down { why: "x".into(), since: case.now }), Level::Warning),
        ] {
            case.agent = life;
            assert_eq!(agent(&case).expect_err("wrong")[0].level, level);
        }
    }
}
