//! The uuid of a connection.

use crate::ipsec::Invalid;
use std::{fmt, str::FromStr};

/// The uuid of a connection, printed as 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(uuid::Uuid);

impl ConnectionId {
    /// A fresh random id (UUID version 4).
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl FromStr for ConnectionId {
    type Err = Invalid;

    /// Takes exactly 32 lower-case hexadecimal digits, so that one id has one spelling.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let exact = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match uuid::Uuid::try_parse(text) {
            Ok(id) if exact => Ok(Self(id)),
            _ => Err(Invalid::new("must be 32 lower-case hexadecimal digits")),
        }
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}
