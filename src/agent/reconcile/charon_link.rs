//! Whether charon is there.

use crate::strongswan::Charon;
use jiff::Timestamp;
use std::sync::Arc;

/// Whether charon is there.
#[derive(Debug, Clone)]
pub enum CharonLink {
    /// Not asked yet.
    Starting,
    /// It answers, and holds what the store says.
    Up(Arc<Charon>),
    /// It does not answer.
    Down {
        /// Why.
        why: String,
        /// Since when.
        since: Timestamp,
    },
}
