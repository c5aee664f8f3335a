//! Who calls.

use super::role::Role;
use std::fmt;

/// Who calls, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// By what they showed.
    pub who: Who,
    /// What they may do.
    pub role: Role,
}

/// Who calls, by what they showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
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
        match &self.who {
            Who::Account(name) => write!(f, "account {name}"),
            Who::Token(name) => write!(f, "token {name}"),
            Who::AccessKey(id) => write!(f, "access key {id}"),
            Who::User(uid) => write!(f, "uid {uid}"),
        }
    }
}
