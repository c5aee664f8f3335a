//! Groups whose rights amount to root's: their members may write charon's socket or swanctl's directories. charon runs
//! the `updown` script of a connection as root, and swanctl loads every CA that it finds.

use super::{
    places::Places,
    probe::{Probe, Unchecked},
};
use crate::{
    disk::open::{Kind, read_to_string},
    rights::SERVICE,
    strongswan::credentials::DIRECTORIES,
};
use std::{io::ErrorKind, os::unix::fs::MetadataExt, path::PathBuf};

/// What a group may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The socket or directory.
    pub path: PathBuf,
    /// The group's name.
    pub group: String,
    /// Who is in it, but for root and the service.
    pub members: Vec<String>,
}

/// charon's socket, and the directories of certificates and keys, where a group has members.
///
/// # Errors
/// When the users and groups of this host cannot be read.
pub fn doors(places: &Places) -> Probe<Vec<Door>> {
    let directories = DIRECTORIES.iter().map(|name| places.swanctl_dir.join(name));
    let mut found = Vec::new();
    for path in std::iter::once(places.vici.clone()).chain(directories) {
        let data = match path.metadata() {
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                return Err(Unchecked::io(&path.display().to_string(), &e));
            }
            // A missing path gives nobody rights; other checks report that it is missing.
            data => data.ok(),
        };
        let Some(data) = data.filter(|data| data.gid() != 0 && data.mode() & 0o020 != 0) else { continue };
        let (group, members) = members(places, data.gid())?;
        if !members.is_empty() {
            found.push(Door { path, group, members });
        }
    }
    Ok(found)
}

/// The name of a group, and its members: those that it names, and users that have it as their own.
fn members(places: &Places, gid: u32) -> Probe<(String, Vec<String>)> {
    let read = |name: &str| match read_to_string(&places.below(name), Kind::Operator) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(String::new()),
        outcome => outcome.map_err(|e| Unchecked::io(&format!("/{name}"), &e)),
    };
    let (groups, users, number) = (read("etc/group")?, read("etc/passwd")?, gid.to_string());
    // name:password:gid:members, and name:password:uid:gid:...
    let fields = |line: &str| line.split(':').map(ToOwned::to_owned).collect::<Vec<_>>();
    let group = groups.lines().map(fields).find(|group| group.get(2) == Some(&number)).unwrap_or_default();
    let named = group.get(3).map(|names| names.split(',').map(ToOwned::to_owned).collect::<Vec<_>>());
    let own = users.lines().map(fields).filter(|user| user.get(3) == Some(&number)).map(|user| user[0].clone());
    let mut members: Vec<_> = named.unwrap_or_default().into_iter().chain(own).collect();
    members.retain(|name| !name.is_empty() && name != "root" && name != SERVICE);
    members.sort_unstable();
    members.dedup();
    Ok((group.into_iter().next().unwrap_or(number), members))
}
