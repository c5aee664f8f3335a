//! The last revisions of a connection: who made each, when, and what it said. They are a part of its record, so they are
//! durable with it, and go with it. A revision that counts no more is kept as what it said otherwise than the one behind
//! it, in the words of the record's file. None has a key: those are in the record alone, and no revert brings one back.

use jiff::Timestamp;
use std::sync::Arc;

/// The most revisions that a connection has, the present one among them.
pub const REVISIONS: usize = 10;

/// The last revisions of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// What is stored now.
    pub present: Revision,
    /// The highest number that was given to one: a trial that was taken back leaves a gap.
    pub(super) last: u32,
    /// The earlier ones, the newest first.
    pub(super) past: Vec<Past>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its number; no other one of this connection has it.
    pub number: u32,
    /// When it was made.
    pub at: Timestamp,
    /// Who made it; `None` if that is not known, as of those that were stored before there was a history.
    pub caller: Option<Arc<str>>,
    /// Whether it has another key than the one before it.
    pub new_key: bool,
    /// Whether it has another PPK.
    pub new_ppk: bool,
}

/// An earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) revision: Revision,
    /// The members of the file in which it differs from the one behind it, as JSON; null for those that it lacks.
    pub(super) was: Arc<str>,
}

impl History {
    /// That of a connection which nobody has changed since `at`.
    pub(super) fn begun(at: Timestamp) -> Self {
        Self {
            present: Revision { number: 1, at, caller: None, new_key: false, new_ppk: false },
            last: 1,
            past: Vec::new(),
        }
    }

    /// Whether it is what one without a history begins with, so that nothing of it need be stored.
    pub(super) fn is_bare(&self, changed: Timestamp) -> bool {
        *self == Self::begun(changed)
    }

    /// The same, which gives none of the numbers again that `other` gave.
    pub(super) fn beyond(&self, other: &Self) -> Self {
        Self { last: self.last.max(other.last), ..self.clone() }
    }
}
