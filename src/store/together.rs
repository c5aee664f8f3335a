//! Several records that come into force in one step. The records lie beside their files, durably; then a journal says
//! which take the place of which: that is the commit point. A start finishes what a crash left in between.
//!
//! The journal holds names and digests of files, and nothing of what is in them.

use super::{Record, Staged, Store};
use crate::{
    disk,
    error::{Error, Result},
};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{path::Path, sync::Arc};

/// How the name of a journal ends.
const JOURNAL: &str = ".together";

/// One file that takes the place of another, all in one directory.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Replacement {
    from: String,
    to: String,
    /// The SHA-256 of what is to be replaced, `None` if there was no file. Where something else lies, that is newer.
    replaces: Option<String>,
}

impl Replacement {
    fn is_due(&self, directory: &Path) -> Result<bool> {
        Ok(digest(&directory.join(&self.to))? == self.replaces && directory.join(&self.from).exists())
    }
}

/// Whether a file of this name is a journal.
pub fn is_journal(name: &str) -> bool {
    name.ends_with(JOURNAL)
}

/// Finishes what was committed and not put in its place when the agent died.
///
/// # Errors
/// When a file cannot be put in its place; then nothing may be read.
pub fn finish(directory: &Path) -> Result<()> {
    for name in disk::list(directory)?.iter().filter(|name| is_journal(name)) {
        let path = directory.join(name);
        let bytes = disk::read(&path)?.unwrap_or_default();
        let replacements: Vec<Replacement> = serde_json::from_slice(&bytes)
            .map_err(|_| Error::Damaged { path: path.clone(), why: "it is not a journal of changes".into() })?;
        for replacement in replacements {
            if replacement.is_due(directory)? {
                tracing::warn!(file = replacement.to, "a change of several connections is finished after a crash");
                disk::rename(&directory.join(&replacement.from), &directory.join(&replacement.to))?;
            }
        }
        disk::remove(&path)?;
    }
    Ok(())
}

impl Store {
    /// The commit point of a change of several records: all of `staged` are the truth, or none.
    /// Beside each record: whether its file is to be written anew by [`Store::save`].
    ///
    /// # Errors
    /// When it cannot be made durable; then none counts.
    pub fn commit_together(&self, staged: Vec<Staged>) -> Result<Vec<(Arc<Record>, bool)>> {
        let Some(first) = staged.first() else { return Ok(Vec::new()) };
        let journal = self.directory.join(format!("{}{JOURNAL}", first.record.id));
        let replacement = |staged: &Staged| {
            let target = self.path(staged.record.id);
            let to = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Replacement { from: staged.file.name(), to, replaces: digest(&target)? })
        };
        let replacements = staged.iter().map(replacement).collect::<Result<Vec<_>>>()?;
        let bytes = serde_json::to_vec(&replacements).map_err(|e| Error::Internal(e.to_string()))?;
        if let Err(error) = disk::replace(&journal, &bytes, 0o600) {
            // It may be there and not be durable. Without the records, which go now, it says nothing.
            drop(staged);
            disk::remove(&journal).unwrap_or_else(|error| tracing::warn!(%error, "a journal without records stays"));
            return Err(error);
        }
        let mut records = Vec::new();
        for Staged { file, record } in staged {
            let moved = file.commit_or_leave();
            if let Err(error) = &moved {
                tracing::error!(uuid = %record.id, %error, "a committed record is not in its place yet");
            }
            self.lock().insert(Arc::clone(&record));
            records.push((record, moved.is_err()));
        }
        if records.iter().all(|(_, unsaved)| !unsaved)
            && let Err(error) = disk::remove(&journal)
        {
            tracing::warn!(%error, "the journal of a finished change stays until the next start");
        }
        Ok(records)
    }
}

/// The SHA-256 of the file, if it is there.
fn digest(path: &Path) -> Result<Option<String>> {
    let bytes = disk::read(path)?.map(zeroize::Zeroizing::new);
    Ok(bytes.map(|bytes| HEXLOWER.encode(&Sha256::digest(&*bytes))))
}
