//! The version of IKE that a connection initiates with, if it speaks both.

use super::{Child, Connection, IkeVersion};
use std::borrow::Cow;

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
