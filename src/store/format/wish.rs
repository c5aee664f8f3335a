//! What a record says of its connection, without the key and without what the agent learnt: the members of the file that
//! tell one revision from another.

use super::file::File;
use serde_json::{Map, Value};

/// The members of the file that a caller can change. None has a key in it.
const MEMBERS: [&str; 13] = [
    "name",
    "description",
    "system_tags",
    "user_tags",
    "enabled",
    "vip",
    "peer",
    "identity",
    "ike",
    "child",
    "native",
    "local",
    "remote",
];
/// The members of sections that nobody wished: what was learnt of the peer, and whose the key is to charon.
const LEARNT: [(&str, &str); 2] = [("identity", "key_owner"), ("ike", "ikev1_worked")];

/// These members of one record.
pub struct Wish(Map<String, Value>);

/// Whether a revision may have a member of this name.
pub(super) fn is_known(name: &str) -> bool {
    MEMBERS.contains(&name)
}

impl Wish {
    /// What a file without a key says.
    pub(super) fn of(file: &File) -> serde_json::Result<Self> {
        let Value::Object(mut members) = serde_json::to_value(file)? else { return Ok(Self(Map::new())) };
        members.retain(|name, _| is_known(name));
        for (section, member) in LEARNT {
            if let Some(Value::Object(section)) = members.get_mut(section) {
                section.remove(member);
            }
        }
        Ok(Self(members))
    }

    /// `file`, which says this.
    pub(super) fn put_into(self, file: &File) -> serde_json::Result<File> {
        let mut whole = serde_json::to_value(file)?;
        if let Value::Object(members) = &mut whole {
            members.retain(|name, _| !is_known(name));
            members.extend(self.0);
        }
        serde_json::from_value(whole)
    }

    /// The members that differ from those of `newer`, as JSON; null for those that this lacks.
    pub fn otherwise_than(&self, newer: &Self) -> String {
        let differing = MEMBERS.into_iter().filter(|name| self.0.get(*name) != newer.0.get(*name));
        let was = differing.map(|name| (name.to_owned(), self.0.get(name).cloned().unwrap_or_default()));
        Value::Object(was.collect()).to_string()
    }

    /// Takes a step back: `was` is what [`Wish::otherwise_than`] made.
    pub fn become_what_was(&mut self, was: &str) -> serde_json::Result<()> {
        let was: Map<String, Value> = serde_json::from_str(was)?;
        for (name, value) in was.into_iter().filter(|(name, _)| is_known(name)) {
            if value.is_null() {
                self.0.remove(&name);
            } else {
                self.0.insert(name, value);
            }
        }
        Ok(())
    }
}
