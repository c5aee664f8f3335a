//! Who calls.

use std::fmt;

/// Who calls, by what they showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A session of this account.
    Account(String),
    /// The static token of this name.
    Token(String),
    /// The access key with this id.
    AccessKey(String),
    /// A user of this machine, over the Unix socket.
    User(u32),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(name) => write!(f, "account {name}"),
            Self::Token(name) => write!(f, "token {name}"),
            Self::AccessKey(id) => write!(f, "access key {id}"),
            Self::User(uid) => write!(f, "uid {uid}"),
        }
    }
}
