//! `[ha]`: whether another gateway has the same connections, and takes over with their local addresses.

use super::files::Step;
use serde::Deserialize;
use std::path::PathBuf;

/// Whether this gateway is one of a pair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ha {
    /// What a local address means that this host lacks.
    pub role: HaRole,
    /// Where the agent of the other gateway listens, with which the doctor compares.
    pub peer: Option<String>,
    /// A file with the token for it.
    pub peer_token_file: Option<PathBuf>,
    /// The CA of its certificate in PEM; without one, the CAs of this host.
    pub peer_ca: Option<PathBuf>,
    /// Our certificate in PEM for a gateway that asks for one, and its key.
    pub peer_cert: Option<PathBuf>,
    /// The key of that certificate in PEM.
    pub peer_key: Option<PathBuf>,
}

impl Ha {
    /// What is wrong beyond the types of values, and where.
    pub(super) fn wrong(&self) -> Vec<(Vec<Step>, String)> {
        let text = match self {
            Self { peer_cert: Some(_), peer_key: None, .. } | Self { peer_cert: None, peer_key: Some(_), .. } => {
                "ha.peer_cert and ha.peer_key need each other"
            }
            Self { peer: None, peer_token_file, peer_ca, peer_cert, .. }
                if peer_token_file.is_some() || peer_ca.is_some() || peer_cert.is_some() =>
            {
                "ha.peer is missing: without it, nobody is asked with the other settings ha.peer_*"
            }
            _ => return Vec::new(),
        };
        vec![(vec!["ha".into()], text.into())]
    }
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
