//! The result of a check: it passed, or it found what is wrong and how to fix it.

use super::facts::Unchecked;
use std::fmt::Display;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It breaks tunnels or exposes keys.
    Error,
    /// It may do so later, or under some conditions.
    Warning,
    /// Nothing has to be done.
    Info,
}

impl Level {
    /// The word in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// A fault, with its fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name of the check.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What is wrong, with the values.
    pub what: String,
    /// What to do: a line for a shell, in the form of `shell.rs`.
    pub fix: String,
    /// The values that show it.
    pub evidence: Option<String>,
    /// Whether the check lacks a fact; `cygnet doctor` run by root then gathers it itself.
    pub lacks_fact: bool,
}

/// What the check saw when it passed, or its findings.
pub(super) type Judged = Result<String, Vec<Finding>>;

/// The results of all checks.
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
    let fix = fix.into();
    // Every fix of every test is a line that may be pasted.
    #[cfg(test)]
    super::shell::tests::can_be_pasted(&fix);
    Finding { check: "", level, what: what.into(), fix, evidence: None, lacks_fact: false }
}

impl Finding {
    pub(super) fn with(self, evidence: impl Into<String>) -> Self {
        Self { evidence: Some(evidence.into()), ..self }
    }
}

/// The finding for a check that lacks a fact. It counts neither as wrong nor as right.
pub(super) fn unchecked(what: &str, why: &Unchecked) -> Vec<Finding> {
    let fix = match why {
        Unchecked::Absent(_) => "apt install iproute2 nftables strongswan-swanctl  # then sudo cygnet doctor",
        Unchecked::Denied(_) => "sudo cygnet doctor",
        Unchecked::Failed(_) => "cygnet doctor  # again, as root; if it fails again: journalctl -b -p warning",
    };
    vec![lacking(what, &why.to_string(), fix)]
}

/// The findings for a check that lacks several facts: one for all that this user may not have.
pub(super) fn all_unchecked(what: &str, whys: &[Unchecked]) -> Vec<Finding> {
    let texts: Vec<_> = whys.iter().filter_map(Unchecked::as_denied).collect();
    let joined = (!texts.is_empty()).then(|| Unchecked::Denied(texts.join("; ")));
    let others = whys.iter().filter(|why| why.as_denied().is_none());
    joined.iter().chain(others).flat_map(|why| unchecked(what, why)).collect()
}

/// The finding for a check that needs charon, which cannot be asked.
pub(super) fn silent(what: &str, why: &Unchecked) -> Vec<Finding> {
    if why.as_denied().is_some() {
        return unchecked(what, why);
    }
    let fix = "systemctl status strongswan  # then cygnet doctor again";
    vec![lacking(what, "charon does not answer", fix)]
}

fn lacking(what: &str, why: &str, fix: &str) -> Finding {
    Finding { lacks_fact: true, ..finding(Level::Info, format!("{what} could not be checked: {why}"), fix) }
}

/// Passes with `seen` if there are no findings.
pub(super) fn judged(findings: Vec<Finding>, seen: impl Into<String>) -> Judged {
    if findings.is_empty() { Ok(seen.into()) } else { Err(findings) }
}

/// The first five items of a list, and the number of the others.
pub(super) fn some<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 5;
    let all: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    match all.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", all[..SHOWN].join(", ")),
        _ => all.join(", "),
    }
}
