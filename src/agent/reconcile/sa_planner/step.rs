//! The steps that the planner asks for.

use std::fmt;

/// A step towards what is wanted, in the order in which they are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Load the connection and its secret into charon.
    Load,
    /// Make charon forget them.
    Unload,
    /// Write the file in conf.d.
    Write,
    /// Remove the file from conf.d.
    Erase,
    /// Negotiate the child of this name.
    Initiate(String),
    /// Close the IKE SA of this number.
    CloseIke(u64),
    /// Close the CHILD_SA of this number.
    CloseChild(u64),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load => f.write_str("load into charon"),
            Self::Unload => f.write_str("unload from charon and close its SAs"),
            Self::Write => f.write_str("write the file in conf.d"),
            Self::Erase => f.write_str("remove the file from conf.d"),
            Self::Initiate(child) => write!(f, "negotiate {child}"),
            Self::CloseIke(number) => write!(f, "close the IKE SA {number}"),
            Self::CloseChild(number) => write!(f, "close the CHILD_SA {number}"),
        }
    }
}
