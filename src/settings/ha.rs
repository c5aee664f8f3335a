//! `[ha]`: whether another gateway has the same connections, and takes over with their local addresses.

use serde::Deserialize;

/// Whether this gateway is one of a pair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ha {
    /// What a local address means that this host lacks.
    pub role: HaRole,
}

/// What a local address means that this host lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HaRole {
    /// The gateway is a standby for each address that it had before.
    #[default]
    Auto,
    /// The gateway is a standby for it.
    Pair,
    /// A fault.
    Single,
}
