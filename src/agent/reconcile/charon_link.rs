//! The state of the link to charon.

use crate::strongswan::Charon;
use jiff::Timestamp;
use std::sync::Arc;

/// The state of the link to charon.
#[derive(Debug, Clone)]
pub enum CharonLink {
    /// charon was not asked yet.
    Starting,
    /// charon answers and has loaded the stored connections.
    Up(Arc<Charon>),
    /// charon does not answer.
    Down {
        /// The error.
        why: String,
        /// The time of the first failure.
        since: Timestamp,
    },
}
