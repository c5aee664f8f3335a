//! The versions of IKE: which are spoken, and with which a connection begins that speaks both.

use super::{Child, Connection};
use std::borrow::Cow;

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

impl Connection {
    /// Whether IKEv1 is initiated although IKEv2 is answered too.
    #[must_use]
    pub fn falls_back(&self) -> bool {
        !self.answered.is_empty()
    }

    /// The version that it initiates with.
    #[must_use]
    pub fn initiates(&self) -> IkeVersion {
        match self.version {
            IkeVersion::Any if self.falls_back() => IkeVersion::V1,
            IkeVersion::Any => IkeVersion::V2,
            version => version,
        }
    }

    /// The same as it answers, and as it initiates with IKEv2.
    #[must_use]
    pub fn answering(&self) -> Cow<'_, Self> {
        if !self.falls_back() {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self { children: self.answered.clone(), answered: Vec::new(), ..self.clone() })
    }

    /// The same initiating with IKEv1, whose children are `pairs`.
    #[must_use]
    pub fn falling_back(&self, pairs: Vec<Child>) -> Self {
        let answering = self.answering().into_owned();
        Self { answered: answering.children.clone(), children: pairs, ..answering }
    }
}
