//! What the caller of a write, and whoever looks, should know.

use crate::ipsec::{Finding, Part, Remedy};

/// What a valid request should be changed for, if that is possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The code, for programs.
    pub code: &'static str,
    /// The value that it is about, if it is about one.
    pub part: Option<Part>,
    /// For people; where there is a part, what is said of it.
    pub message: String,
    /// The option of a write that helps.
    pub remedy: Option<Remedy>,
}

impl From<Finding> for Warning {
    fn from(finding: Finding) -> Self {
        let (code, remedy) = (finding.weakness.code(), finding.weakness.remedy());
        Self { code, part: Some(finding.part), message: finding.advice, remedy }
    }
}
