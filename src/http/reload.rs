//! What a call for new settings waits for: `POST /cygnet/v1/reload`, the same as SIGHUP with an answer.

use tokio::sync::oneshot;

/// What came of new settings.
pub struct Reloaded {
    /// What is in force now.
    pub taken_over: Vec<String>,
    /// Settings that differ, and count from the next start on.
    pub needs_restart: Vec<&'static str>,
}

/// Where the outcome is awaited: all faults of the settings, if nothing has changed.
pub type Reload = oneshot::Sender<Result<Reloaded, Vec<String>>>;
