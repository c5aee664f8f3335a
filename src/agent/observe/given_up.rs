//! Whether the gateway was made a standby on purpose, and the file that says so over restarts. keepalived may track it.

use crate::{disk, error::Result};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};
use tokio::task::block_in_place;

/// The name of the file in `state_dir`: 1, or 0 for a gateway that works.
const FILE: &str = "standby";

/// Whether the gateway was made a standby, and the file that says so.
pub struct GivenUp {
    file: PathBuf,
    is_given_up: AtomicBool,
}

impl GivenUp {
    /// As the file in `state_dir` says. One that cannot be read leaves the gateway active.
    pub fn new(state_dir: &Path) -> Self {
        let file = state_dir.join(FILE);
        let text = disk::read(&file).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot read whether this gateway was made a standby: {error}; it is active");
            None
        });
        let is_given_up = AtomicBool::new(text.is_some_and(|text| text.trim_ascii() == b"1"));
        Self { file, is_given_up }
    }

    /// Whether it was.
    pub fn get(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }

    /// Sets it for this run.
    pub fn set(&self, is_given_up: bool) {
        self.is_given_up.store(is_given_up, Ordering::Relaxed);
    }

    /// Stores it for the next one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn store(&self, is_given_up: bool) -> Result<()> {
        let text: &[u8] = if is_given_up { b"1\n" } else { b"0\n" };
        block_in_place(|| disk::replace(&self.file, text, 0o600))
    }
}
