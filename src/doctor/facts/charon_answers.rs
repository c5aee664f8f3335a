//! charon as the doctor sees it: its socket, its version and algorithms, what is loaded and what runs.

use super::{PATIENCE, Places, Seen};
use crate::{
    ipsec::IkeSa,
    strongswan::{Charon, StrongSwan},
};
use nix::unistd::{Gid, Group, Uid, User};
use std::{
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};
use tokio::{net::UnixStream, time::timeout};

/// The vici socket, as this process finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Its path.
    pub path: PathBuf,
    /// Owner, group and mode; an error when there is no socket.
    pub rights: Seen<String>,
    /// Whether this process can connect.
    pub connect: Seen<()>,
}

/// What charon says.
#[derive(Debug)]
pub struct Answers {
    /// Its version, plugins and algorithms.
    pub charon: Charon,
    /// The names of all connections that are loaded, ours and others'.
    pub connections: Vec<String>,
    /// The SAs of ours.
    pub running: Vec<IkeSa>,
}

/// Looks at the socket and connects to it.
pub async fn socket(places: &Places) -> Socket {
    let path = &places.vici;
    let connect = match timeout(PATIENCE, UnixStream::connect(path)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err(format!("not accepted within {} s", PATIENCE.as_secs())),
    };
    let rights = super::reading(places, |places| rights(&places.vici)).await;
    Socket { path: path.into(), rights, connect }
}

fn rights(path: &Path) -> Seen<String> {
    let metadata = std::fs::metadata(path).map_err(|e| e.to_string())?;
    if !metadata.file_type().is_socket() {
        return Err("it is no socket".into());
    }
    Ok(format!("{} {:04o}", owners(&metadata), metadata.mode() & 0o7777))
}

/// `owner:group` by name, by number where there is no name.
pub(super) fn owners(metadata: &std::fs::Metadata) -> String {
    let (uid, gid) = (metadata.uid(), metadata.gid());
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name);
    format!("{user}:{group}")
}

/// Asks charon; a charon that hangs costs one deadline.
///
/// # Errors
/// When it does not answer.
pub async fn ask(swan: &StrongSwan) -> Seen<Answers> {
    let questions = async {
        Ok(Answers {
            charon: swan.probe().await?,
            connections: swan.connections().await?,
            running: swan.all().await?.values().flat_map(|sas| sas.iter().cloned()).collect(),
        })
    };
    match timeout(PATIENCE, questions).await {
        Ok(answers) => answers.map_err(|e: crate::error::Error| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
