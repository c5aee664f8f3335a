//! The parts that certificates have in a bundle.

/// What a certificate is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It is this gateway's.
    Gateway,
    /// It stands between others and a root.
    Intermediate,
    /// It is a root.
    Ca,
    /// It is the peer's.
    Peer,
}

impl Role {
    /// Its name in views and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Intermediate => "intermediate",
            Self::Ca => "ca",
            Self::Peer => "peer",
        }
    }
}
