//! The versions of IKE that a connection speaks.

/// Which IKE is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IkeVersion {
    /// Initiates IKEv2 and answers both (strongSwan's `version = 0`).
    Any,
    /// IKEv1 (RFC 2409), main mode.
    V1,
    /// IKEv2 (RFC 7296).
    V2,
}

impl IkeVersion {
    /// Whether a peer that speaks `version` (1 or 2) is answered.
    #[must_use]
    pub fn accepts(self, version: u8) -> bool {
        match self {
            Self::Any => true,
            Self::V1 => version == 1,
            Self::V2 => version == 2,
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "IKEv2 or IKEv1",
            Self::V1 => "IKEv1",
            Self::V2 => "IKEv2",
        }
    }
}
