//! Who follows a fleet here: the name under which a follower reads the stream of events, and the mark on the connections that
//! it brings. Followers are callers as any other; this is for people to see.

use super::{error::Failure, parse, state::Api};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What the tags of connections that a follower brought begin with; the gateway's name and the revision of etcd follow.
pub const MARK: &str = "cygnet-fleet::";

/// Whether a gateway of a fleet can have this name.
///
/// # Errors
/// What it must be.
pub fn check_gateway(name: &str) -> Result<(), String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(is_good) {
        return Ok(());
    }
    Err(format!("gateway: {name:?} must have 1 to 64 letters, digits, dots, dashes and underscores"))
}

/// The gateway and the revision in a tag that is a mark.
#[must_use]
pub fn mark(tag: &str) -> Option<(&str, i64)> {
    let (gateway, revision) = tag.strip_prefix(MARK)?.split_once("::")?;
    Some((gateway, revision.parse().ok()?))
}

/// The names under which the stream of events is read.
#[derive(Clone, Default)]
pub(super) struct Followers(Arc<Mutex<Vec<String>>>);

/// A reader of the stream, until it is dropped.
pub(super) struct Follower(Followers, String);

impl Followers {
    fn names(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the name that a reader gives itself.
    pub(super) fn enter(&self, pairs: &[(String, String)]) -> Result<Option<Follower>, Failure> {
        let Some(name) = parse::value("fleet", pairs)? else { return Ok(None) };
        check_gateway(name).map_err(|why| Failure::bad_request(format!("Invalid query parameter[fleet], {why}")))?;
        self.names().push(name.to_owned());
        Ok(Some(Follower(self.clone(), name.to_owned())))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut names = self.0.names();
        if let Some(place) = names.iter().position(|name| *name == self.1) {
            names.swap_remove(place);
        }
    }
}

/// By the name in the fleet: whether a follower follows etcd now, how many connections it has brought, and the highest
/// revision of etcd among them.
pub(super) fn seen(api: &Api) -> Value {
    let names = api.followers.names().clone();
    let mut all: BTreeMap<String, (usize, i64)> = names.iter().map(|name| (name.clone(), (0, 0))).collect();
    for record in api.agent.store().all() {
        for (gateway, revision) in record.spec.names.user_tags.iter().filter_map(|tag| mark(tag)) {
            let (count, highest) = all.entry(gateway.to_owned()).or_default();
            (*count, *highest) = (*count + 1, revision.max(*highest));
        }
    }
    let entry = |(gateway, (connections, revision)): (String, _)| {
        json!({ "follows": names.contains(&gateway), "gateway": gateway, "connections": connections,
                "revision": revision })
    };
    all.into_iter().map(entry).collect()
}
