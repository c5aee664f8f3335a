//! Checks of files: their rights, leftovers without a connection, damaged records, and free space.

use crate::{
    doctor::{
        Case, Finding, Level,
        facts::{
            groups::Door,
            permissions::{File, Purpose, Space},
        },
        finding::{Judged, finding, judged, some, unchecked},
        shell::{noted, quoted},
    },
    ipsec::ConnectionId,
    strongswan::names,
};

/// Only the owner reads keys, and only root writes configuration.
pub fn modes(case: &Case) -> Judged {
    let files = match &case.facts.files {
        Ok(files) => files,
        Err(why) => return Err(unchecked("the rights of the files", why)),
    };
    let mut found: Vec<_> = files
        .iter()
        .filter_map(|file| mode(file, [case.facts.uid, case.facts.service.unwrap_or(case.facts.uid)]))
        .collect();
    match &case.facts.doors {
        Ok(doors) => found.extend(doors.iter().map(door)),
        Err(why) => found.extend(unchecked("the members of the groups of charon's socket and certificates", why)),
    }
    judged(found, format!("{} files and directories", files.len()))
}

/// `ours` are the users beside root that may own it: the one of this process, and the one of the agent.
fn mode(file: &File, ours: [u32; 2]) -> Option<Finding> {
    let (path, mode) = (file.path.display(), file.mode);
    let evidence = format!("{} {mode:04o}", file.owners);
    if file.uid != 0 && !ours.contains(&file.uid) {
        let what = format!("{path} belongs to {}, who can change it", file.owners);
        return Some(finding(Level::Error, what, format!("chown root: {}", quoted(&path.to_string()))).with(evidence));
    }
    let (level, what, right) = match file.purpose {
        Purpose::Key if mode & 0o077 != 0 => {
            (Level::Error, "holds a key, and users other than its owner have rights on it", "600")
        }
        Purpose::Secret if mode & 0o007 != 0 => {
            (Level::Error, "holds secrets, and every user has rights on it", "o-rwx")
        }
        Purpose::Rule if mode & 0o002 != 0 => (Level::Error, "can be written by every user", "o-w"),
        Purpose::Rule if mode & 0o020 != 0 => (Level::Warning, "can be written by its group", "g-w"),
        Purpose::Key | Purpose::Secret | Purpose::Rule => return None,
    };
    Some(
        finding(level, format!("{path} {what}"), format!("chmod {right} {}", quoted(&path.to_string()))).with(evidence),
    )
}

/// A group whose members can become root.
fn door(door: &Door) -> Finding {
    let (path, group) = (door.path.display(), &door.group);
    let what = format!("users are in the group {group}, which can write {path}: that is as good as root");
    let each = door.members.iter().map(|member| format!("gpasswd -d {} {}", quoted(member), quoted(group)));
    let fix = noted(each.collect::<Vec<_>>().join("; "), "only services belong in this group");
    finding(Level::Warning, what, fix).with(some(&door.members))
}

/// Every file and loaded connection with a name of cygnet has a record.
pub fn leftovers(case: &Case) -> Judged {
    let names = match &case.facts.conf_files {
        Ok(names) => names,
        Err(why) => return Err(unchecked("the directory of the files", why)),
    };
    let loaded = case.facts.charon.as_ref().map(|answers| answers.connections.as_slice()).unwrap_or_default();
    let fix = "systemctl start cygnet  # a running agent removes it within seconds; if it stays: journalctl -u cygnet";
    let report = |what: &str, lost: Vec<String>| {
        let text = format!("{what} without a stored connection: {}", some(lost));
        finding(Level::Warning, text, fix)
    };
    let of = |items: &[String], owner: fn(&str) -> Option<ConnectionId>| -> Vec<String> {
        items.iter().filter(|item| owner(item).is_some_and(|id| !is_known(case, id))).cloned().collect()
    };
    let all = [
        ("cygnet's files in conf.d", of(names, names::file_owner)),
        ("cygnet's connections in charon", of(loaded, names::owner)),
    ];
    let found = all.into_iter().filter(|(_, lost)| !lost.is_empty()).map(|(what, lost)| report(what, lost)).collect();
    judged(found, "none")
}

/// Whether `id` has a record, even a damaged one.
fn is_known(case: &Case, id: ConnectionId) -> bool {
    case.records.iter().any(|record| record.id == id) || case.damaged.iter().any(|damaged| damaged.id == Some(id))
}

/// Free bytes below which writing fails soon (a warning), and fails at once (an error).
const LOW: [u64; 2] = [64 << 20, 1 << 20];

/// All records can be read, and there is space to write.
pub fn store(case: &Case) -> Judged {
    let damage = |damaged: &crate::store::Damaged| {
        if damaged.is_denied {
            let path = damaged.path.display();
            let what = format!("the agent may not read the record {path}: its connection is not changed");
            let fix = format!("chown cygnet: {} && systemctl restart cygnet", quoted(&path.to_string()));
            return finding(Level::Error, what, fix).with(&damaged.why);
        }
        let what = format!("the record {} is damaged: its connection is not changed", damaged.path.display());
        finding(Level::Error, what, "# restore the file from a backup, then systemctl restart cygnet; if you remove it instead, the restart closes its tunnel").with(&damaged.why)
    };
    let unread = case.unread.iter().flat_map(|why| unchecked("the stored connections", why));
    let mut found: Vec<_> = case.damaged.iter().map(damage).chain(unread).collect();
    found.extend(case.records.iter().filter_map(|record| {
        let (name, id, why) = (&record.spec.names.name, record.id, record.aside.as_deref()?);
        let what = format!("the connection {name} ({id}) conflicts with another and is set aside: it is not loaded");
        let note = "then cygnet change or cygnet delete one of the two; what is deleted closes its tunnel";
        Some(finding(Level::Error, what, noted(format!("cygnet show {id}"), note)).with(why))
    }));
    match &case.facts.space {
        Ok(space) => found.extend(room(*space)),
        Err(why) => found.extend(unchecked("the free space of state_dir", why)),
    }
    let free = case.facts.space.as_ref().map_or(0, |space| space.bytes >> 20);
    judged(found, format!("{} records, {free} MiB free", case.records.len()))
}

fn room(space: Space) -> Option<Finding> {
    let fix = "df -h  # free space on the file system of state_dir: without it every change is refused";
    if space.read_only {
        let fix = "dmesg --level=err,warn  # says why it is not writable; mount -o remount,rw makes it so";
        return Some(finding(Level::Error, "the file system of state_dir is read-only", fix));
    }
    if space.files == Some(0) {
        return Some(finding(Level::Error, "the file system of state_dir has no inode left", fix));
    }
    let level = if space.bytes < LOW[1] { Level::Error } else { Level::Warning };
    (space.bytes < LOW[0]).then(|| {
        finding(level, format!("only {} KiB are free on the file system of state_dir", space.bytes >> 10), fix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::healthy;

    #[test]
    fn modes_are_judged_by_what_the_file_is_for() {
        for (purpose, mode, uid, level) in [
            (Purpose::Key, 0o600, 0, None),
            (Purpose::Key, 0o640, 0, Some(Level::Error)),
            (Purpose::Key, 0o644, 0, Some(Level::Error)),
            (Purpose::Key, 0o600, 1000, Some(Level::Error)),
            (Purpose::Secret, 0o640, 0, None),
            (Purpose::Secret, 0o604, 0, Some(Level::Error)),
            (Purpose::Rule, 0o755, 0, None),
            (Purpose::Rule, 0o775, 0, Some(Level::Warning)),
            (Purpose::Rule, 0o777, 0, Some(Level::Error)),
            (Purpose::Rule, 0o755, 33, Some(Level::Error)),
            (Purpose::Key, 0o600, 777, None),
        ] {
            let file = File { path: "/x".into(), purpose, mode, uid, owners: "u:g".into() };
            assert_eq!(super::mode(&file, [0, 777]).map(|finding| finding.level), level, "{file:?}");
        }
    }

    #[test]
    fn what_is_nobodys_is_found() {
        let mut case = healthy::case();
        assert!(leftovers(&case).is_ok());
        case.facts.conf_files.as_mut().expect("seen").push("site.conf".into());
        assert!(leftovers(&case).is_ok());
        case.records.clear();
        assert_eq!(leftovers(&case).expect_err("wrong").len(), 2);
    }

    #[test]
    fn room_and_damage() {
        let mut case = healthy::case();
        assert!(store(&case).is_ok());
        let level = |bytes, files, read_only| room(Space { bytes, files, read_only }).map(|finding| finding.level);
        assert_eq!(level(1 << 30, None, false), None);
        assert_eq!(level(2 << 20, Some(9), false), Some(Level::Warning));
        assert_eq!(level(1 << 10, Some(9), false), Some(Level::Error));
        assert_eq!(level(1 << 30, Some(0), false), Some(Level::Error));
        assert_eq!(level(1 << 30, Some(9), true), Some(Level::Error));
        case.damaged.push(crate::store::Damaged {
            path: "/x.json".into(),
            id: None,
            why: "line 1".into(),
            is_denied: false,
        });
        assert!(store(&case).expect_err("wrong")[0].what.contains("/x.json"));
        let mut aside = (*case.records[0]).clone();
        aside.aside = Some("it has the key of another".into());
        case.records[0] = std::sync::Arc::new(aside);
        let found = store(&case).expect_err("wrong");
        assert!(
            found[1].what.contains("is set aside") && found[1].evidence.as_deref() == Some("it has the key of another")
        );
    }
}
