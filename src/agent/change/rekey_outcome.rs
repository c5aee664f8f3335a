//! The result of a rekey test.

use jiff::Timestamp;

/// The outcome of a rekey test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every child was rekeyed.
    Passed,
    /// The peer refused a rekey.
    Failed,
    /// The test did not complete.
    Unknown,
}

/// A completed rekey test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RekeyTest {
    /// The outcome.
    pub outcome: Outcome,
    /// When it ended.
    pub at: Timestamp,
    /// What happened, and what to do.
    pub details: String,
}
