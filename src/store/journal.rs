//! The journal of a step of several connections: which files take the place of which. It holds names and digests of
//! files, and nothing of what is in them.

use crate::{
    disk,
    error::{Error, Result},
};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::path::Path;

/// How the name of a journal ends.
pub(super) const JOURNAL: &str = ".together";

/// One file that takes the place of another, all in one directory.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replacement {
    pub from: String,
    pub to: String,
    /// The SHA-256 of what is to be replaced, `None` if there was no file. Where something else lies, that is newer.
    pub replaces: Option<String>,
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
                tracing::warn!(
                    file = replacement.to,
                    "a change of several connections is finished after a crash: {}",
                    replacement.to
                );
                disk::rename(&directory.join(&replacement.from), &directory.join(&replacement.to))?;
            }
        }
        disk::remove(&path)?;
    }
    Ok(())
}

/// The SHA-256 of the file, if it is there.
pub(super) fn digest(path: &Path) -> Result<Option<String>> {
    let bytes = disk::read(path)?.map(zeroize::Zeroizing::new);
    Ok(bytes.map(|bytes| HEXLOWER.encode(&Sha256::digest(&*bytes))))
}
