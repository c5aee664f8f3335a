//! Members of a body, and parameters in the query of a write, that nobody reads. The contract ignores them (1.3), and so
//! does the agent; but an option that is misspelled takes its default, so the caller is told. Their values are never
//! shown: one of them may be a key.

use super::{
    envelope::{Params, TAGS},
    members::names_of,
    message::Message,
    parse,
    wire::{StateParams, UpdateParams},
};
use crate::{agent::Warning, nearest::nearest, visible::visible};

/// What clients of the contract may send with any call, and what is ignored on purpose.
const IGNORED: [&str; 17] = [
    "accessKeyId",
    "accessKeySecret",
    "apiId",
    "apiTimeout",
    "createdTime",
    "headers",
    "id",
    "pollingInterval",
    "requestIp",
    "resourceUuid",
    "serviceId",
    "session",
    "sessionId",
    "sessionUuid",
    "tagUuids",
    "timeout",
    "uuid",
];

/// The parameters in the query that say how a write is done.
pub(super) const HOW: [&str; 6] = ["accept", "confirm", "immediate", "rehearse", "together", "transition"];
/// Those that say what becomes of the members that a Change leaves out.
const REST: [&str; 2] = ["keep", "unset"];

/// So many names are told.
const MOST: usize = 8;
/// So much of a name is told, in characters.
const SHOWN: usize = 64;

/// The warnings for what nobody reads of `message`: of its parameters, and of its query.
#[must_use]
pub fn unread(message: Message, params: Option<&Params>, pairs: &[(String, String)]) -> Vec<Warning> {
    let names = match message {
        Message::Create => parse::create_names(),
        Message::Change => parse::change_names(),
        Message::Update => names_of::<UpdateParams>().to_vec(),
        Message::ChangeState => names_of::<StateParams>().to_vec(),
        Message::AddRemoteCidrs | Message::RemoveRemoteCidrs => vec!["peerCidrs"],
        Message::AttachL3Networks | Message::DetachL3Networks => vec!["l3NetworkUuids"],
        Message::Reconnect | Message::Delete | Message::RenewSession => Vec::new(),
    };
    let in_query: Vec<_> = match message {
        Message::Update => Vec::new(),
        Message::Change => HOW.into_iter().chain(REST).collect(),
        Message::RemoveRemoteCidrs | Message::DetachL3Networks => {
            HOW.into_iter().chain(names.iter().copied()).collect()
        }
        _ => HOW.to_vec(),
    };
    let mut unknown = params.map(|params| members(params, &names)).unwrap_or_default();
    unknown.extend(parameters(pairs, &in_query));
    unknown
}

/// The warnings for the members of a call that takes `names`, and for those beside it.
#[must_use]
pub fn members(params: &Params, names: &[&'static str]) -> Vec<Warning> {
    let known = || names.iter().chain(&TAGS).copied();
    let call = params.key.as_str();
    let inner = params.members.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str());
    let inner = inner.filter(|name| !known().any(|known| known == *name));
    let inner = inner.map(|name| (name, true));
    let outer = params.beside.iter().map(|name| (name.as_str(), false));
    told(inner.chain(outer).filter(|(name, _)| !IGNORED.contains(name)), |(name, is_inner)| {
        if is_inner {
            return (name, format!("is no member of {call}"), nearest(name, known()).map(String::from));
        }
        // An option that stands one level too high is the other way to miss it.
        let own = || nearest(name, known()).map(|near| format!("{near} within {call}"));
        let near = nearest(name, TAGS.into_iter().chain([call])).map(String::from).or_else(own);
        (name, format!("is ignored beside {call}"), near)
    })
}

/// The warnings for the parameters in the query of a write that takes `names`.
fn parameters(pairs: &[(String, String)], names: &[&'static str]) -> Vec<Warning> {
    let known = || names.iter().chain(&TAGS).chain(&IGNORED).copied();
    // Only a list has elements: `transition.0` would be a change without a transition.
    let plain = |name: &str| match name.split_once('.') {
        Some((list, _)) if !HOW.contains(&list) && !REST.contains(&list) => list.to_owned(),
        _ => name.to_owned(),
    };
    let unknown = pairs.iter().map(|(name, _)| name.as_str()).filter(|name| !known().any(|one| one == plain(name)));
    told(unknown, |name| {
        let near = nearest(name, names.iter().copied()).map(String::from);
        (name, "is no parameter in the query of this call".into(), near)
    })
}

/// A warning for each name, with what is wrong with it and what is near; of many, for the first ones. Only for these it
/// is found out: a body has room for many thousands.
fn told<'a, T>(
    mut unknown: impl Iterator<Item = T>,
    what: impl Fn(T) -> (&'a str, String, Option<String>),
) -> Vec<Warning> {
    let first = unknown.by_ref().take(MOST).map(what).map(|(name, wrong, near)| {
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        format!("\"{}\" {wrong}: it changes nothing{near}", shown(name))
    });
    let mut messages: Vec<_> = first.collect();
    match unknown.count() {
        0 => {}
        count => messages.push(format!("{count} more are unknown: they change nothing")),
    }
    messages.into_iter().map(|message| Warning { code: "UNKNOWN_MEMBER", part: None, message, remedy: None }).collect()
}

/// The beginning of `name`, with what a reader would not see.
fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(SHOWN).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    visible(&shown).replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn of_thousands_only_those_that_are_told_are_looked_into() {
        let looked = Cell::new(0);
        let warnings = told(0..10_000, |_| {
            looked.set(looked.get() + 1);
            ("x", "is no member".into(), None)
        });
        assert_eq!((looked.get(), warnings.len()), (MOST, MOST + 1));
    }
}
