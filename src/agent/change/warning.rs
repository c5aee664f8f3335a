//! What the caller of a write, and whoever looks, should know.

use crate::ipsec::{Finding, Part};

/// A warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The code, for programs.
    pub code: &'static str,
    /// The value that it is about, if it is about one.
    pub part: Option<Part>,
    /// For people; where there is a part, what is said of it.
    pub message: String,
}

impl From<Finding> for Warning {
    fn from(finding: Finding) -> Self {
        Self { code: finding.weakness.code(), part: Some(finding.part), message: finding.advice }
    }
}
