//! The result of gathering one fact, and its time limit.

use crate::{error::Error, rights};
use nix::unistd::Uid;
use std::{fmt, io, time::Duration};

/// A fact, or why it could not be had.
pub type Probe<T> = Result<T, Unchecked>;

/// Why a fact could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unchecked {
    /// The program that prints it is not installed.
    Absent(String),
    /// This user may not read it; root may.
    Denied(String),
    /// Anything else, such as a time limit.
    Failed(String),
}

impl Unchecked {
    /// An error of the system about `what`.
    pub(super) fn io(what: &str, error: &io::Error) -> Self {
        let text = format!("{what}: {error}");
        if error.kind() == io::ErrorKind::PermissionDenied { Self::denied(text) } else { Self::Failed(text) }
    }

    /// What this user may not do. What even root may not, as in a container, sudo does not help.
    pub(crate) fn denied(text: String) -> Self {
        if Uid::effective().is_root() { Self::Failed(text) } else { Self::Denied(text) }
    }
}

impl Unchecked {
    /// What this user may not do, if that is why.
    #[must_use]
    pub fn as_denied(&self) -> Option<&str> {
        match self {
            Self::Denied(text) => Some(text),
            Self::Absent(_) | Self::Failed(_) => None,
        }
    }
}

impl fmt::Display for Unchecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text) => write!(f, "{} ({text})", rights::NOT_PERMITTED),
            Self::Absent(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

impl From<String> for Unchecked {
    fn from(text: String) -> Self {
        Self::Failed(text)
    }
}

impl From<&str> for Unchecked {
    fn from(text: &str) -> Self {
        Self::Failed(text.to_owned())
    }
}

impl From<Error> for Unchecked {
    fn from(error: Error) -> Self {
        match &error {
            Error::Storage { path, source, .. } => Self::io(&path.display().to_string(), source),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// How long gathering one fact may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
