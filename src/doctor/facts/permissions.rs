//! Files and their modes, the space for records, and the connections in ipsec.conf. Contents that may hold keys are
//! not read.

use super::{
    places::Places,
    probe::{Probe, Unchecked},
};
use crate::{
    disk::open::Kind,
    doctor::facts::charon_answers::owners,
    strongswan::{credentials, names},
};
use nix::sys::statvfs::{FsFlags, statvfs};
use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What a file is for; its mode is judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It holds a connection's key: only its owner may read it.
    Key,
    /// It holds tokens or passwords of the API: its owner and a group may read it.
    Secret,
    /// It configures the agent or swanctl: only root may write it.
    Rule,
}

/// A file or directory with its rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path.
    pub path: PathBuf,
    /// What it is for.
    pub purpose: Purpose,
    /// The bits of its mode.
    pub mode: u32,
    /// Its owner's number.
    pub uid: u32,
    /// `owner:group`.
    pub owners: String,
}

/// A file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may still be written.
    pub bytes: u64,
    /// Files that may still be made; `None` where they are not counted.
    pub files: Option<u64>,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// The files whose rights matter. A missing file is left out: other checks report it.
///
/// # Errors
/// When a directory cannot be listed, or a file's rights cannot be read.
pub fn files(places: &Places) -> Probe<Vec<File>> {
    let mut found = Vec::new();
    let mut add = |path: PathBuf, purpose| match fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        // A directory that this user may not enter is closed to others too.
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied && purpose == Purpose::Secret => Ok(()),
        Err(e) => Err(Unchecked::io(&path.display().to_string(), &e)),
        Ok(metadata) => {
            found.push(file(path, purpose, &metadata));
            Ok(())
        }
    };
    let records = places.state_dir.join("connections");
    for directory in [&places.swanctl_dir, &places.conf_dir, &places.state_dir, &records] {
        add(directory.clone(), Purpose::Rule)?;
    }
    add(places.swanctl_dir.join("swanctl.conf"), Purpose::Rule)?;
    if let Some(path) = &places.settings {
        add(path.clone(), Purpose::Rule)?;
    }
    for path in &places.secrets {
        add(path.clone(), Purpose::Secret)?;
    }
    for path in names_in(&places.conf_dir)?.into_iter().filter(|name| names::file_owner(name).is_some()) {
        add(places.conf_dir.join(path), Purpose::Key)?;
    }
    for directory in credentials::DIRECTORIES {
        let path = places.swanctl_dir.join(directory);
        // As above: a directory that this user may not list is closed to others too.
        for name in crate::disk::list(&path).unwrap_or_default() {
            let is_key = directory == credentials::PRIVATE && names::credential_owner(&name).is_some();
            // swanctl loads every file of the directory.
            add(path.join(name), if is_key { Purpose::Key } else { Purpose::Rule })?;
        }
    }
    for path in names_in(&records)? {
        add(records.join(path), Purpose::Key)?;
    }
    Ok(found)
}

fn names_in(directory: &Path) -> Probe<Vec<String>> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    Ok(crate::disk::list(directory)?)
}

fn file(path: PathBuf, purpose: Purpose, metadata: &Metadata) -> File {
    File { path, purpose, mode: metadata.mode() & 0o7777, uid: metadata.uid(), owners: owners(metadata) }
}

/// The file system of `directory`.
///
/// # Errors
/// When the directory is missing or may not be entered.
pub fn space(directory: &Path) -> Probe<Space> {
    let found = statvfs(directory).map_err(|e| Unchecked::io(&directory.display().to_string(), &e.into()))?;
    Ok(Space {
        bytes: found.blocks_available().saturating_mul(found.fragment_size()),
        files: (found.files() > 0).then(|| found.files_available()),
        read_only: found.flags().contains(FsFlags::ST_RDONLY),
    })
}

/// The connections in ipsec.conf, which the stroke plugin loads; none if there is no such file.
///
/// # Errors
/// When it is there and cannot be read.
pub fn ipsec_conf(path: &Path) -> Probe<Vec<String>> {
    let bytes = crate::disk::read_as(path, Kind::Operator)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let name = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("conn")).then(|| words.next().map(ToOwned::to_owned)).flatten()
    };
    Ok(text.lines().filter_map(name).filter(|name| name != "%default").collect())
}
