//! CAs and intermediates that connections had and have no longer. charon has no command that unloads one, so it keeps them
//! until its restart; that outlives an agent, and the connections too, so it stands in a file of its own.

use super::Record;
use crate::{
    disk,
    error::{Error, Result},
    ipsec::{ConnectionId, certs::fingerprint},
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The file in the state directory.
const FILE: &str = "dropped-cas.json";
/// The version of the file that this program reads and writes.
const VERSION: u32 = 1;

/// A CA that a connection has no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DroppedCa {
    /// The SHA-256 of the certificate in hexadecimal digits.
    pub sha256: String,
    /// Whom it certifies.
    pub subject: String,
    /// The connection that had it; it may be deleted.
    pub connection: String,
    /// The name of that connection.
    pub name: String,
    /// Which start of charon was given it.
    pub charon: String,
}

impl DroppedCa {
    /// Whether the connection `id` had it.
    #[must_use]
    pub fn is_of(&self, id: ConnectionId) -> bool {
        self.connection == id.to_string()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    dropped: Vec<DroppedCa>,
}

/// All of them, in memory and on disk.
pub struct DroppedCas {
    path: PathBuf,
    list: Mutex<Vec<DroppedCa>>,
}

impl DroppedCas {
    /// Those in `state_dir`. A file that cannot be read is told of in the log, and replaced when there is something to say.
    pub(super) fn open(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let list = read(&path).unwrap_or_else(|error| {
            tracing::error!(%error, "which CAs charon keeps for nobody is not known: {error}");
            Vec::new()
        });
        Self { path, list: Mutex::new(list) }
    }

    /// Those in `state_dir` as they lie there, for who looks while the agent does not run.
    #[must_use]
    pub fn survey(state_dir: &Path) -> Vec<DroppedCa> {
        read(&state_dir.join(FILE)).unwrap_or_default()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<DroppedCa> {
        self.lock().clone()
    }

    /// Adds those of `new` that are not there.
    ///
    /// # Errors
    /// When they cannot be written: they are known until the agent ends.
    pub fn add(&self, new: Vec<DroppedCa>) -> Result<()> {
        let mut list = self.lock();
        let before = list.len();
        for dropped in new {
            if !list.contains(&dropped) {
                list.push(dropped);
            }
        }
        if list.len() == before { Ok(()) } else { write(&self.path, &list) }
    }

    /// Forgets those that charon does not keep.
    ///
    /// # Errors
    /// When that cannot be written: the next start forgets them.
    pub fn retain(&self, is_kept: impl FnMut(&DroppedCa) -> bool) -> Result<()> {
        let mut list = self.lock();
        let before = list.len();
        list.retain(is_kept);
        match list.len() {
            now if now == before => Ok(()),
            0 => disk::remove(&self.path),
            _ => write(&self.path, &list),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<DroppedCa>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The CAs and intermediates that charon is given for `record` itself, each as its SHA-256 and its subject.
pub fn cas(record: &Record) -> impl Iterator<Item = (String, &str)> {
    let certs = record.connection.auth.certs().filter(|_| record.is_loaded());
    let all = certs.into_iter().flat_map(|certs| certs.intermediates.iter().chain(&certs.cas));
    all.map(|ca| (fingerprint(ca.der()), ca.subject.text.as_str()))
}

fn read(path: &Path) -> Result<Vec<DroppedCa>> {
    let Some(bytes) = disk::read(path)? else { return Ok(Vec::new()) };
    let damaged = |why: String| Error::Damaged { path: path.into(), why };
    let file: File = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if file.version != VERSION {
        return Err(damaged(format!("it has version {}, this program reads {VERSION}", file.version)));
    }
    Ok(file.dropped)
}

fn write(path: &Path, list: &[DroppedCa]) -> Result<()> {
    let file = File { version: VERSION, dropped: list.to_vec() };
    let mut bytes = serde_json::to_vec_pretty(&file).map_err(|error| Error::Internal(error.to_string()))?;
    bytes.push(b'\n');
    disk::replace(path, &bytes, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(sha256: &str) -> DroppedCa {
        let text = |text: &str| text.to_owned();
        DroppedCa {
            sha256: text(sha256),
            subject: text("CN=x"),
            connection: text("c"),
            name: text("n"),
            charon: text("1"),
        }
    }

    #[test]
    fn they_outlive_who_noted_them_and_leave_no_empty_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = DroppedCas::open(directory.path());
        first.add(vec![dropped("a"), dropped("b"), dropped("a")]).expect("written");
        let second = DroppedCas::open(directory.path());
        assert_eq!(second.all(), [dropped("a"), dropped("b")]);
        second.retain(|ca| ca.sha256 == "b").expect("written");
        assert_eq!(DroppedCas::survey(directory.path()), [dropped("b")]);
        second.retain(|_| false).expect("removed");
        assert!(!directory.path().join(FILE).exists());
    }

    #[test]
    fn a_damaged_file_stops_nobody() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join(FILE), r#"{"version": 2, "dropped": []}"#).expect("written");
        let all = DroppedCas::open(directory.path());
        assert_eq!(all.all(), []);
        all.add(vec![dropped("a")]).expect("written");
        assert_eq!(DroppedCas::survey(directory.path()), [dropped("a")]);
    }
}
