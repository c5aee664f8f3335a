//! What the tags of a request do: they replace those that are stored, one of them names the peer, and others set options
//! of our own.

use super::{parse, wire::Tags};
use crate::{error::Result, store::Names};

impl Tags {
    /// Puts the tags that were given in the place of those that are stored.
    ///
    /// # Errors
    /// When there are too many, or one is too long.
    pub fn apply(self, names: &mut Names) -> Result<()> {
        if let Some(tags) = self.system_tags {
            parse::limits::tags("systemTags", &tags, &names.system_tags)?;
            names.system_tags = tags;
        }
        if let Some(tags) = self.user_tags {
            parse::limits::tags("userTags", &tags, &names.user_tags)?;
            names.user_tags = tags;
        }
        Ok(())
    }

    /// The peer's identity that the system tag `remoteId::<id>` names.
    pub fn remote_id(&self) -> Option<String> {
        let id = self.system_tags.iter().flatten().find_map(|tag| tag.trim().strip_prefix("remoteId::"));
        id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    /// The options of our own that the system tags `cygnet::<name>::<value>` set: name and value.
    pub fn native(&self) -> impl Iterator<Item = (&str, &str)> {
        let tags = self.system_tags.iter().flatten().filter_map(|tag| tag.trim().strip_prefix("cygnet::"));
        tags.map(|tag| tag.split_once("::").unwrap_or((tag, "")))
    }
}
