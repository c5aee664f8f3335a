//! Checks of what swanctl loads at a reboot or at an operator's `swanctl --load-all`.

use crate::{
    doctor::{
        Case, Level,
        facts::{Unchecked, swanctl_files::covers},
        finding::{Judged, finding, judged, some, unchecked},
        shell::quoted,
    },
    strongswan::names,
};

/// swanctl.conf includes the directory of the connections' files.
pub fn include(case: &Case) -> Judged {
    let (conf, directory) = (&case.facts.conf, &case.facts.conf_dir);
    let line = quoted(&format!("include {}/*.conf", directory.display()));
    let fix = format!("echo {line} >>{}", quoted(&conf.main.display().to_string()));
    let patterns = match &conf.includes {
        Ok(patterns) => patterns,
        // swanctl runs as root, which may read it.
        Err(why @ Unchecked::Denied(_)) if case.facts.uid != 0 => return Err(unchecked("swanctl.conf", why)),
        Err(why) => {
            let fix =
                "apt install strongswan-swanctl  # or set swanctl_dir; without the file, swanctl unloads everything";
            return Err(vec![finding(Level::Error, "swanctl.conf cannot be read", fix).with(why.to_string())]);
        }
    };
    // The name of one file stands for all: they differ in the uuid alone.
    let file = directory.join(names::file(crate::ipsec::ConnectionId::random()));
    if let Some(pattern) = patterns.iter().find(|pattern| covers(pattern, &file)) {
        return Ok(format!("{} is included", pattern.display()));
    }
    let what = format!(
        "swanctl.conf does not include {}: after a reboot, or `swanctl --load-all`, charon has no connection of cygnet",
        directory.display()
    );
    let seen = if patterns.is_empty() { "nothing".into() } else { some(patterns.iter().map(|p| p.display())) };
    Err(vec![finding(Level::Error, what, fix).with(format!("it includes {seen}"))])
}

/// swanctl can read its files, and finds the stored connections in them.
pub fn syntax(case: &Case) -> Judged {
    let dry_run = match &case.facts.conf.dry_run {
        Ok(dry_run) => dry_run,
        Err(why) => return Err(unchecked("what swanctl loads", why)),
    };
    if !dry_run.broken.is_empty() {
        let fix = "# repair or remove that file; until then, swanctl --load-all unloads every connection";
        let what = "swanctl cannot read its files: it would unload every connection";
        return Err(vec![finding(Level::Error, what, fix).with(dry_run.broken.join("; "))]);
    }
    let is_read = |name: &String| dry_run.connections.contains(name);
    let names = case.wanted().map(|connection| names::connection(connection.id()));
    let lost: Vec<_> = names.filter(|name| !is_read(name)).collect();
    let found = if lost.is_empty() {
        Vec::new()
    } else {
        let what = format!("swanctl does not find {} connections of cygnet in its files", lost.len());
        let fix = "systemctl restart cygnet  # writes missing files and touches no tunnel; first see the check include";
        vec![finding(Level::Error, what, fix).with(some(lost))]
    };
    judged(found, format!("swanctl reads {} connections", dry_run.connections.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;

    #[test]
    fn our_directory_must_be_included() {
        let mut case = healthy::case();
        assert!(include(&case).is_ok());
        case.facts.conf.includes = Ok(vec!["/etc/swanctl/other/*.conf".into()]);
        assert_eq!(
            include(&case).expect_err("wrong")[0].fix,
            "echo 'include /etc/swanctl/conf.d/*.conf' >>/etc/swanctl/swanctl.conf"
        );
        case.facts.conf.includes = Err("/etc/swanctl/swanctl.conf: No such file".into());
        assert_eq!(include(&case).expect_err("wrong")[0].level, Level::Error);
        (case.facts.uid, case.facts.conf.includes) =
            (777, Err(Unchecked::Denied("x: Permission denied (os error 13)".into())));
        assert_eq!(include(&case).expect_err("unchecked")[0].level, Level::Info);
    }

    #[test]
    fn files_must_be_readable_and_complete() {
        let mut case = healthy::case();
        assert!(syntax(&case).is_ok());
        let dry_run = case.facts.conf.dry_run.as_mut().expect("seen");
        let names = std::mem::take(&mut dry_run.connections);
        assert!(syntax(&case).expect_err("wrong")[0].evidence.as_ref().is_some_and(|text| text.contains(&names[0])));
        case.facts.conf.dry_run.as_mut().expect("seen").broken = vec!["x.conf:3: syntax error".into()];
        assert!(syntax(&case).expect_err("wrong")[0].what.contains("unload every connection"));
    }
}
