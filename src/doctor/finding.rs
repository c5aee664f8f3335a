//! What a check says: that it passed, or what is wrong and what to do.

use std::fmt::Display;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Tunnels or keys suffer from it.
    Error,
    /// They will, or may.
    Warning,
    /// Good to know; nothing has to be done.
    Info,
}

impl Level {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name of the check.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What is wrong, with the values.
    pub what: String,
    /// What to do.
    pub fix: String,
    /// What shows it.
    pub evidence: Option<String>,
}

/// What passed, or what is wrong.
pub(super) type Judged = Result<String, Vec<Finding>>;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, in the order of the checks.
    pub findings: Vec<Finding>,
    /// The checks that passed, with what they saw.
    pub passed: Vec<(&'static str, String)>,
}

impl Report {
    /// Whether nothing has to be done.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.level == Level::Info)
    }
}

/// A finding; its check's name comes with [`judge`](crate::doctor::judge).
pub(super) fn finding(level: Level, what: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { check: "", level, what: what.into(), fix: fix.into(), evidence: None }
}

impl Finding {
    pub(super) fn with(self, evidence: impl Into<String>) -> Self {
        Self { evidence: Some(evidence.into()), ..self }
    }
}

/// What a finding says of what could not be looked at; who may look can do it instead.
pub const UNSEEN: &str = "could not be looked at";

/// What could not be looked at. It does not count as wrong, nor as right.
pub(super) fn unseen(what: &str, why: &str) -> Vec<Finding> {
    vec![finding(Level::Info, format!("{what} {UNSEEN}: {why}"), "look at it yourself, or repair the cause")]
}

/// Passes with `seen` where nothing is wrong.
pub(super) fn judged(findings: Vec<Finding>, seen: impl Into<String>) -> Judged {
    if findings.is_empty() { Ok(seen.into()) } else { Err(findings) }
}

/// The first few of a list.
pub(super) fn some<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 5;
    let all: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    match all.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", all[..SHOWN].join(", ")),
        _ => all.join(", "),
    }
}
