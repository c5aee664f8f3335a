//! Which version of IKE a connection that speaks both initiates with, and which one its peer was last up with.

use super::record::Record;
use crate::ipsec::{Child, Conflict, IkeVersion, Split};

impl Record {
    /// The same connection, initiating with `version` if it speaks both. What it answers stays as it is.
    ///
    /// # Errors
    /// When its values cannot stand together under IKEv1.
    pub fn speaking(&self, version: IkeVersion) -> Result<Self, Conflict> {
        let answering = self.connection.answering().into_owned();
        let connection = match version {
            IkeVersion::V1 if answering.version == IkeVersion::Any => answering.falling_back(self.ikev1_children()?),
            _ => answering,
        };
        Ok(Self { connection, ..self.clone() })
    }

    /// The version that a peer was last up with, of a connection that speaks both.
    #[must_use]
    pub fn worked(&self) -> IkeVersion {
        if self.ikev1_worked { IkeVersion::V1 } else { IkeVersion::V2 }
    }

    /// The same connection, which was up with `version`: it is tried first from now on.
    ///
    /// # Errors
    /// As [`Record::speaking`].
    pub fn having_worked(&self, version: IkeVersion) -> Result<Self, Conflict> {
        let ikev1_worked = version == IkeVersion::V1 && self.connection.version == IkeVersion::Any;
        Ok(Self { ikev1_worked, ..self.speaking(version)? })
    }

    /// Why IKEv1 is not tried, of a connection that speaks both.
    #[must_use]
    pub fn why_not_ikev1(&self) -> Option<Conflict> {
        self.ikev1_children().err()
    }

    /// The same connection with what was learnt of the peer of `before`, if it is the same peer and IKEv1 can still be
    /// spoken with it.
    pub(super) fn speaking_as(self, before: &Self) -> Self {
        let versions = (self.connection.version, before.connection.version);
        if self.spec.peer != before.spec.peer || versions != (IkeVersion::Any, IkeVersion::Any) {
            return self;
        }
        // Without networks it initiates nothing.
        let is_idle = before.connection.children.is_empty();
        match self.speaking(if is_idle { before.worked() } else { before.connection.initiates() }) {
            Ok(new) => Self { ikev1_worked: before.ikev1_worked, ..new },
            Err(_) => self,
        }
    }

    /// The children under IKEv1: one per pair of networks.
    fn ikev1_children(&self) -> Result<Vec<Child>, Conflict> {
        let mut spec = self.spec.clone();
        spec.options.version = IkeVersion::V1;
        let answering = self.connection.answering();
        // Of a single pair the whole is that pair.
        if answering.children.iter().all(|child| child.local.len() * child.remote.len() == 1) {
            spec.options.native.split = Split::Pairs;
        }
        Ok(spec.connection(self.id, self.ike_generation, self.resolved)?.children)
    }
}
