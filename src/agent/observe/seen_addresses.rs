//! The local addresses of connections that this host has or had, in a file: after a restart, a gateway that had an address
//! and lacks it is still a standby. The file also says whether the gateway was made a standby on purpose.

use crate::{
    disk,
    error::{Error, Result},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The name of the file in `state_dir`.
const FILE: &str = "addresses.json";

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The addresses that this host has or had.
    pub seen: BTreeSet<IpAddr>,
}

/// The file, and what it holds.
pub struct SeenAddresses {
    file: PathBuf,
    saved: Mutex<Saved>,
}

impl SeenAddresses {
    /// Those in `state_dir`.
    pub fn new(state_dir: &Path) -> Self {
        Self { file: state_dir.join(FILE), saved: Mutex::default() }
    }

    /// What an earlier start has saved in `state_dir`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn survey(state_dir: &Path) -> Result<Saved> {
        let file = state_dir.join(FILE);
        let damaged = |error: serde_json::Error| Error::Damaged { path: file.clone(), why: error.to_string() };
        let saved = disk::read(&file)?.map(|bytes| serde_json::from_slice(&bytes).map_err(damaged)).transpose()?;
        Ok(saved.unwrap_or_default())
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(&self) -> Result<Saved> {
        let saved = Self::survey(self.file.parent().unwrap_or(Path::new("")))?;
        self.lock().clone_from(&saved);
        Ok(saved)
    }

    /// Saves the addresses, unless the file has just them.
    ///
    /// # Errors
    /// When it cannot be written; it is tried again the next time.
    pub fn save(&self, seen: BTreeSet<IpAddr>) -> Result<()> {
        let mut saved = self.lock();
        if saved.seen == seen {
            return Ok(());
        }
        let new = Saved { seen };
        let bytes = serde_json::to_vec(&new).map_err(|e| Error::Internal(format!("no JSON of addresses: {e}")))?;
        disk::replace(&self.file, &bytes, 0o600)?;
        *saved = new;
        Ok(())
    }

    /// Locks and ignores poison: a panic cannot leave it half changed.
    fn lock(&self) -> std::sync::MutexGuard<'_, Saved> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
