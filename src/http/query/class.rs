//! What a query is about: a class of the management plane, and the members that it has here.

use crate::{
    error::Error,
    http::{error::Failure, inventory},
};

/// What a query is about.
pub struct Class {
    /// Its name in the management plane.
    pub name: &'static str,
    /// Its members, in the order of answers.
    pub members: &'static [&'static str],
    /// Whether conditions may look into the lists of a connection.
    pub(super) has_lists: bool,
}

/// Connections.
pub(super) const CONNECTION: Class =
    Class { name: inventory::CONNECTION_CLASS, members: &inventory::MEMBERS, has_lists: true };

impl Class {
    /// A class whose members are plain.
    pub const fn plain(name: &'static str, members: &'static [&'static str]) -> Self {
        Self { name, members, has_lists: false }
    }

    /// The member of this name.
    ///
    /// # Errors
    /// 503 when there is none.
    pub(super) fn member(&self, name: &str) -> Result<&'static str, Failure> {
        self.members.iter().find(|member| **member == name).copied().ok_or_else(|| {
            let shown: String = name.chars().take(64).collect();
            Failure::Api(Error::Internal(format!("inventory class[{}] has no field[{shown}]", self.name)))
        })
    }
}
