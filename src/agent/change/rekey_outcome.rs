//! What a rehearsed rekeying showed.

use jiff::Timestamp;

/// How a rehearsal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every child was rekeyed.
    Passed,
    /// The peer refused a rekeying.
    Failed,
    /// It did not come to an end.
    Unknown,
}

/// A rehearsal that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RekeyTest {
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
    /// What happened, and what to do.
    pub details: String,
}
