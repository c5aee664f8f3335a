//! Which CAs charon has, and which start of charon that is.

use super::{Backend, StrongSwan};
use crate::error::Result;
use std::{collections::BTreeSet, os::unix::fs::MetadataExt};

impl StrongSwan {
    /// The CAs and intermediates that charon has, by the SHA-256 of each in hexadecimal digits; `None` where they
    /// cannot be listed.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn cas(&self) -> Result<Option<BTreeSet<String>>> {
        match &*self.way {
            Backend::Vici(vici) => Ok(Some(vici.cas().await?)),
            Backend::Swanctl(_) => Ok(None),
        }
    }

    /// Identifies this start of charon, also across restarts of the agent: charon creates its socket at each start.
    /// `None` if there is no socket.
    #[must_use]
    pub fn birth(&self) -> Option<String> {
        let path = match &*self.way {
            Backend::Vici(vici) => vici.path(),
            Backend::Swanctl(swanctl) => swanctl.vici(),
        };
        // Not the ctime: permissions may change while charon runs.
        let socket = path.symlink_metadata().ok()?;
        Some(format!("{}:{}.{:09}", socket.ino(), socket.mtime(), socket.mtime_nsec()))
    }
}
