//! Why a connection cannot be written beside what is stored, as data. The sentences here are for the journal and for a
//! connection that is set aside; who answers a caller makes a sentence of the caller's words.

use super::{Code, ConnectionId, remedy::Remedy};
use jiff::Timestamp;
use std::fmt;

/// A stored connection that is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its uuid.
    pub id: ConnectionId,
    /// Its name, as its owner wrote it.
    pub name: String,
    /// Until when a change of it is on trial, if one is.
    pub trial_until: Option<Timestamp>,
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection {} ({}{})", self.name, self.id, self.trial())
    }
}

impl Stored {
    /// That a change of it is on trial, behind its name.
    #[must_use]
    pub fn trial(&self) -> String {
        self.trial_until.map_or_else(String::new, |until| format!(", with a change on trial until {until}"))
    }
}

/// Which identity two connections with different keys share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// The remote one of both.
    Remote,
    /// The remote one of the other is the local one of the written one.
    RemoteIsLocal,
    /// The local one of the other is the remote one of the written one.
    LocalIsRemote,
    /// The local one of both.
    Local,
}

/// A connection with another pre-shared key that charon could take for the written one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherKey {
    /// The connection.
    pub other: Stored,
    /// What the two share.
    pub shared: Shared,
    /// The identity that they share.
    pub identity: String,
}

impl OtherKey {
    /// What the two share, behind "has another key".
    #[must_use]
    pub fn relation(&self) -> String {
        let identity = &self.identity;
        match self.shared {
            Shared::Remote => format!(" for the same remote identity[{identity}]"),
            Shared::RemoteIsLocal => format!(", and its remote identity[{identity}] is the local identity here"),
            Shared::LocalIsRemote => format!(", and its local identity[{identity}] is the remote identity here"),
            Shared::Local => format!(" for the same local identity[{identity}]"),
        }
    }
}

/// A trial that is not decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnTrial {
    /// The connection.
    pub connection: Stored,
    /// Whether the connection itself is on trial, or only a change of it.
    pub is_new: bool,
    /// Who began the trial.
    pub caller: String,
    /// When.
    pub began: Timestamp,
    /// When it is decided at the latest.
    pub until: Timestamp,
}

impl OnTrial {
    /// The trial and its times, behind the connection's name.
    #[must_use]
    pub fn described(&self) -> String {
        let (what, Self { caller, began, until, .. }) = (if self.is_new { "creation" } else { "change" }, self);
        format!("has a {what} on trial: {caller} began it at {began}, and it is decided at {until} at the latest")
    }
}

/// What is in the way of a write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    /// Another connection has the uuid.
    #[error("the uuid {0} is in use")]
    UuidInUse(ConnectionId),
    /// A stored connection has the uuid, and its file cannot be read.
    #[error(
        "the uuid {0} is that of a stored connection whose file is damaged: repair or remove the file and restart cygnet"
    )]
    UuidOfDamaged(ConnectionId),
    /// Another connection joins the same two ends.
    #[error("{other} has the same local address and {}", if *is_anywhere { BY_IDENTITY } else { "peer" })]
    SameEnds {
        /// The connection.
        other: Stored,
        /// Whether its peer has no fixed address, and is known by its identity.
        is_anywhere: bool,
    },
    /// charon could not tell which key to use.
    #[error(
        "{}: charon could not tell which key to use; give the peers different remote identities, or all of these \
         connections the same key",
        .0.iter().map(|key| format!("{} has another key{}", key.other, key.relation())).collect::<Vec<_>>().join("; ")
    )]
    Keys(Vec<OtherKey>),
    /// Another connection has another PPK under the same name.
    #[error(
        "{other} has another PPK under the name {id}, and charon could not tell which one to use: give this one another name"
    )]
    Ppk {
        /// The connection.
        other: Stored,
        /// The name.
        id: String,
    },
    /// Another trial of the connection is not decided.
    #[error("{} {}", .0.connection, .0.described())]
    OnTrial(Box<OnTrial>),
}

const BY_IDENTITY: &str = "remote identity, by which peers without a fixed address (%any) are told apart";

impl Clash {
    /// The cause, if it has a name.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        matches!(self, Self::Keys(_) | Self::Ppk { .. }).then_some(Code::KeyAmbiguous)
    }

    /// The option of a write that helps.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        let together = Remedy { option: "together", effect: "all of these connections get it in one step" };
        matches!(self, Self::Keys(_)).then_some(together)
    }

    /// The connections that are in the way.
    #[must_use]
    pub fn others(&self) -> Vec<&Stored> {
        match self {
            Self::UuidInUse(_) | Self::UuidOfDamaged(_) => Vec::new(),
            Self::SameEnds { other, .. } | Self::Ppk { other, .. } => vec![other],
            Self::Keys(keys) => keys.iter().map(|key| &key.other).collect(),
            Self::OnTrial(trial) => vec![&trial.connection],
        }
    }
}
