//! What is stored of a change in transition: which proposals of before are still accepted, and until when.

use crate::ipsec::Protection;
use jiff::Timestamp;

/// While both ends are changed at different hours: what was offered before is accepted, after what is wanted now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Who began it.
    pub caller: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ends at the latest.
    pub until: Timestamp,
    /// Whether a tunnel by what was offered before is Ready, too.
    pub accept: bool,
    /// Whether its time is over: nothing else is accepted any more, and the tunnel never moved.
    pub over: bool,
    /// What is accepted beside what is wanted, the latest first; never empty.
    pub accepted: Vec<Protection>,
}
