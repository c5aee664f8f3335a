//! What one look found, and how long it may take.

use std::time::Duration;

/// A fact, or why it could not be had.
pub type Probe<T> = Result<T, String>;

/// How long one look may take, whatever hangs: a process, a file system, charon.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
