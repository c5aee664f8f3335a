//! The messages of the API that write: how the audit trail names them, and where the body of a request has their
//! parameters.

use super::{
    envelope::{Envelope, Params},
    error::Failure,
};

/// A message that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// `CreateIPsecConnection`.
    Create,
    /// `ChangeIPsecConnection`.
    Change,
    /// `UpdateIPsecConnection`.
    Update,
    /// `DeleteIPsecConnection`.
    Delete,
    /// `ChangeIPSecConnectionState`.
    ChangeState,
    /// `ReconnectIPsecConnection`.
    Reconnect,
    /// `AddRemoteCidrsToIPsecConnection`.
    AddRemoteCidrs,
    /// `RemoveRemoteCidrsFromIPsecConnection`.
    RemoveRemoteCidrs,
    /// `AttachL3NetworksToIPsecConnection`.
    AttachL3Networks,
    /// `DetachL3NetworksFromIPsecConnection`.
    DetachL3Networks,
    /// `RenewSession`.
    RenewSession,
}

/// What the body of a request holds for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing: the parameters stand in the query.
    Nothing,
    /// Parameters without numbers.
    Texts,
    /// The options of a connection, numbers among them.
    Options,
    /// A duration.
    Duration,
}

impl Message {
    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The member of the body that has the parameters.
    #[must_use]
    pub const fn key(self) -> &'static str {
        self.row().key
    }

    /// Whether the parameters are in the body.
    #[must_use]
    pub const fn reads_body(self) -> bool {
        !matches!(self.content(), Content::Nothing)
    }

    /// What is in the body.
    #[must_use]
    pub(super) const fn content(self) -> Content {
        self.row().content
    }

    /// The parameters in `envelope`.
    ///
    /// # Errors
    /// As [`Envelope::params`].
    pub fn params(self, envelope: Envelope) -> Result<Params, Failure> {
        envelope.params(self.key())
    }

    const fn row(self) -> Row {
        use Content::{Duration, Nothing, Options, Texts};
        match self {
            Self::Create => row("CreateIPsecConnection", "params", Options),
            Self::Change => row("ChangeIPsecConnection", "changeIPsecConnection", Options),
            Self::Update => row("UpdateIPsecConnection", "updateIPsecConnection", Texts),
            Self::Delete => row("DeleteIPsecConnection", "params", Nothing),
            Self::ChangeState => row("ChangeIPSecConnectionState", "changeIPSecConnectionState", Texts),
            Self::Reconnect => row("ReconnectIPsecConnection", "reconnectIPsecConnection", Texts),
            Self::AddRemoteCidrs => row("AddRemoteCidrsToIPsecConnection", "params", Texts),
            Self::RemoveRemoteCidrs => row("RemoveRemoteCidrsFromIPsecConnection", "params", Nothing),
            Self::AttachL3Networks => row("AttachL3NetworksToIPsecConnection", "params", Texts),
            Self::DetachL3Networks => row("DetachL3NetworksFromIPsecConnection", "params", Nothing),
            Self::RenewSession => row("RenewSession", "renewSession", Duration),
        }
    }
}

/// What is known of a message.
struct Row {
    name: &'static str,
    key: &'static str,
    content: Content,
}

const fn row(name: &'static str, key: &'static str, content: Content) -> Row {
    Row { name, key, content }
}
