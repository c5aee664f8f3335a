//! What the doctor learns about charon: its socket, version, algorithms, connections and SAs.

use super::{
    places::{Places, reading},
    probe::{PATIENCE, Probe, Unchecked},
};
use crate::{
    ipsec::IkeSa,
    strongswan::{Charon, StrongSwan, foreign::Foreign, names},
};
use nix::unistd::{Gid, Group, Uid, User};
use std::{
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};
use tokio::{net::UnixStream, time::timeout};

/// The most foreign connections that are read.
const DESCRIBED: usize = 256;

/// The vici socket, as this process finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Its path.
    pub path: PathBuf,
    /// Owner, group and mode; an error when there is no socket.
    pub rights: Probe<String>,
    /// Whether this process can connect.
    pub connect: Probe<()>,
}

/// What charon answers.
#[derive(Debug)]
pub struct Answers {
    /// Its version, plugins and algorithms.
    pub charon: Charon,
    /// The names of all loaded connections, of cygnet and foreign.
    pub connections: Vec<String>,
    /// The foreign connections, at most the first [`DESCRIBED`].
    pub foreign: Vec<Foreign>,
    /// The IKE_SAs of cygnet's connections.
    pub running: Vec<IkeSa>,
}

/// Reads the socket's rights and connects to it.
pub async fn socket(places: &Places) -> Socket {
    let path = &places.vici;
    let connect = match timeout(PATIENCE, UnixStream::connect(path)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(Unchecked::io("connect", &e)),
        Err(_) => Err(format!("connect: not accepted within {} s", PATIENCE.as_secs()).into()),
    };
    let rights = reading(places, |places| rights(&places.vici)).await;
    Socket { path: path.into(), rights, connect }
}

fn rights(path: &Path) -> Probe<String> {
    let metadata = std::fs::metadata(path).map_err(|e| Unchecked::io(&path.display().to_string(), &e))?;
    if !metadata.file_type().is_socket() {
        return Err("it is not a socket".into());
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

/// Asks charon, at most for [`PATIENCE`].
///
/// # Errors
/// When it does not answer.
pub async fn ask(strongswan: &StrongSwan) -> Probe<Answers> {
    let questions = async {
        let connections = strongswan.connections().await?;
        let names = connections.iter().map(String::as_str).filter(|name| names::owner(name).is_none());
        let foreign = strongswan.foreign(&names.take(DESCRIBED).collect::<Vec<_>>()).await?;
        Ok(Answers {
            charon: strongswan.probe().await?,
            connections,
            foreign,
            running: strongswan.all().await?.values().flat_map(|sas| sas.iter().cloned()).collect(),
        })
    };
    match timeout(PATIENCE, questions).await {
        Ok(answers) => answers.map_err(|e: crate::error::Error| e.into()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs()).into()),
    }
}
