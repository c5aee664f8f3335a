//! Connections as files declare them: many are planned as one set, one is written as a whole if nobody else has changed it
//! since, and all are exported. `cygnet apply` and `cygnet export` are made of these calls.

use super::{
    auth::Caller,
    child_json::{self, companions},
    differences::{self, fields},
    envelope::Envelope,
    error::{Failure, json_response, object},
    parse::{self, Declared, exported},
    query::{Query, list},
    request::{Pairs, id_of, write_options},
    state::{Answer, Api, Shared},
    unknown::HOW,
    written::written,
};
use crate::{
    agent::{Member, View, Wish, WriteOptions},
    error::{Error, Result},
    ipsec::{Clash, ConnectionId},
    nearest::nearest,
    store::Record,
    visible::visible,
};
use axum::{
    Extension,
    body::Body,
    extract::{Path, Query as UrlQuery, State},
    http::{HeaderMap, StatusCode},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeSet, HashMap},
    iter,
    sync::Arc,
};

/// The members of the body of a plan.
const MEMBERS: [&str; 3] = ["connections", "prune", "scope"];

/// What a request to plan a set says.
struct Set {
    /// For each: what it is to be, or why it cannot be read.
    connections: Vec<Result<Declared>>,
    /// Whether what is not in the set is to go.
    prunes: bool,
    /// Only with this user tag.
    scope: Option<String>,
}

impl Set {
    fn read(envelope: Envelope, api: &Api) -> Result<Self, Failure> {
        let mut members = envelope.into_members();
        if let Some(name) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
            return Err(Error::rule(&visible(name), "is no member of a set of connections").into());
        }
        let Some(Value::Array(list)) = members.remove("connections") else {
            return Err(Error::rule("connections", "must be a list").into());
        };
        let prunes = match members.remove("prune") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(prunes)) => prunes,
            Some(_) => return Err(Error::rule("prune", "must be true or false").into()),
        };
        let scope = match members.remove("scope") {
            None | Some(Value::Null) => None,
            Some(Value::String(scope)) => Some(scope),
            Some(_) => return Err(Error::rule("scope", "must be a string").into()),
        };
        let read = |value| match value {
            Value::Object(members) => Ok(Declared::read(members, api.agent.gateway())?),
            _ => Err(Error::rule("connections", "has an element that is no object")),
        };
        Ok(Self { connections: list.into_iter().map(read).collect(), prunes, scope })
    }
}

/// `POST /cygnet/v1/plan`: what writing all of these connections would do. Nothing is done, but who may not write may not
/// compare keys. That a key differs from the
/// stored one is a line of the audit trail: keys cannot be tried unseen.
pub async fn plan(
    State(api): Shared,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Answer {
    only(&pairs, &["confirm", "immediate", "rehearse"])?;
    let set = Set::read(Envelope::read_set(body).await?, &api)?;
    let how = write_options(&pairs, &caller)?;
    let stored = api.agent.store().all();
    let named = targets(&set.connections, &stored);
    let (mut wishes, mut places, mut items) = (Vec::new(), Vec::new(), vec![Value::Null; named.len()]);
    let mut keys = Vec::new();
    for (place, (declared, named)) in set.connections.into_iter().zip(&named).enumerate() {
        match (declared, named) {
            (Ok(declared), Ok(id)) => {
                keys.push(declared.gives_key);
                let (id, now) = (*id, Timestamp::now());
                wishes.push(Wish { id, edit: Box::new(move |old| declared.record(old, id, now)) });
                places.push(place);
            }
            (declared, Err(error)) => items[place] = refused(declared.ok().as_ref(), error),
            (Err(error), Ok(_)) => items[place] = refused(None, &error),
        }
    }
    let outcomes = api.agent.plan_set(&wishes, &how).await;
    for (((outcome, place), wish), gives_key) in outcomes.iter().zip(places).zip(&wishes).zip(keys) {
        audit_key(outcome, wish.id, gives_key, &caller);
        items[place] = match outcome {
            Ok(member) => planned(&api, member),
            Err(error) => {
                let mut item = json!({ "error": object(error) });
                item["uuid"] = wish.id.to_string().into();
                item
            }
        };
    }
    let meant: BTreeSet<_> = named.into_iter().flatten().collect();
    let gone = stored.iter().filter(|record| set.prunes && !meant.contains(&record.id));
    let in_scope = |record: &&Arc<Record>| {
        set.scope.as_ref().is_none_or(|scope| record.spec.names.user_tags.iter().any(|tag| tag == scope))
    };
    let deletions: Vec<_> = gone.filter(in_scope).map(deletion).collect();
    Ok(json_response(StatusCode::OK, &json!({ "connections": items, "deletions": deletions })))
}

/// Which connection each of these is: by its uuid, else the only one with its name, else a new one.
fn targets(all: &[Result<Declared>], stored: &[Arc<Record>]) -> Vec<Result<ConnectionId>> {
    let mut by_name: HashMap<&str, Vec<ConnectionId>> = HashMap::new();
    for record in stored {
        by_name.entry(&record.spec.names.name).or_default().push(record.id);
    }
    let (mut names, mut ids) = (HashMap::new(), HashMap::new());
    let mut target = |number: usize, declared: &Declared| {
        if let Some(first) = names.insert(declared.name.clone(), number) {
            return Err(Error::rule("name", format!("is that of connection {} of the set too", first + 1)));
        }
        let of_name = by_name.get(declared.name.as_str()).map_or(&[][..], Vec::as_slice);
        let id = match (declared.id, of_name) {
            (Some(id), _) => id,
            (None, []) => ConnectionId::random(),
            (None, [id]) => *id,
            (None, several) => {
                let rule = format!("is that of {} stored connections: give the uuid of one of them", several.len());
                return Err(Error::rule("name", rule));
            }
        };
        match ids.insert(id, number) {
            Some(first) => {
                Err(Error::rule("uuid", format!("is that of connection {} of the set too: {id}", first + 1)))
            }
            None => Ok(id),
        }
    };
    let each = all.iter().enumerate().map(|(number, declared)| match declared {
        Ok(declared) => target(number, declared),
        Err(_) => Ok(ConnectionId::random()),
    });
    each.collect()
}

fn refused(declared: Option<&Declared>, error: &Error) -> Value {
    let uuid = declared.and_then(|declared| declared.id).map(|id| id.to_string());
    let mut item = json!({ "error": object(error) });
    if let Some(uuid) = uuid {
        item["uuid"] = uuid.into();
    }
    item
}

/// Says that a key was compared with a stored one, and was another.
fn audit_key(outcome: &Result<Member>, id: ConnectionId, gives_key: bool, caller: &Caller) {
    let differs = match outcome {
        Ok(member) => member.before.as_ref().is_some_and(|before| {
            let keys = |record: &Record| (record.connection.auth.clone(), record.connection.native.ppk.clone());
            keys(before) != keys(&member.after)
        }),
        Err(error) => matches!(error, Error::Clash(Clash::Keys(_) | Clash::Ppk { .. }) | Error::Argument(_)),
    };
    if gives_key && differs {
        tracing::info!(
            target: "cygnet::audit", uuid = %id, action = "PlanConnections", caller = %caller,
            "{id}: a plan by {caller} gives another authKey or ppk than is stored for this connection or its identity"
        );
    }
}

/// An element of the answer.
fn planned(api: &Api, member: &Member) -> Value {
    let view = |record| View { record, running: None, discount: None };
    let after = Api::inventory(&view(Arc::new(member.after.clone())), api.mask_auth_key);
    let spec = &member.after.spec;
    let mut item = json!({ "uuid": member.after.id.to_string(), "name": spec.names.name, "place": member.place });
    let differences = match &member.before {
        None => Vec::new(),
        Some(before) => {
            let new_key = before.connection.auth != member.after.connection.auth;
            let mut differences =
                fields(&Api::inventory(&view(Arc::clone(before)), api.mask_auth_key), &after, new_key, false);
            differences.extend(differences::options(&before.spec.options, &spec.options));
            differences.extend(differences::ppk(before, &member.after, false));
            differences.extend(tags(before, &member.after));
            item["changed"] = before.changed.to_string().into();
            differences
        }
    };
    let action = match &member.before {
        None => "create",
        Some(_) if member.is_same => "keep",
        Some(_) => "change",
    };
    child_json::extend(
        &mut item,
        json!({
            "action": action, "impact": member.impact.name(), "fields": differences,
            "warnings": child_json::warnings(&member.warnings), "together": companions(&member.others),
        }),
    );
    item
}

fn tags(before: &Record, after: &Record) -> Vec<Value> {
    let of = |record: &Record| [&record.spec.names.system_tags, &record.spec.names.user_tags].map(|tags| json!(tags));
    let both = super::envelope::TAGS.into_iter().zip(of(before)).zip(of(after));
    let differ = both.filter(|((_, before), after)| before != after);
    differ.map(|((name, from), to)| json!({ "field": name, "from": from, "to": to })).collect()
}

fn deletion(record: &Arc<Record>) -> Value {
    json!({
        "uuid": record.id.to_string(), "name": record.spec.names.name, "changed": record.changed.to_string(),
        "peerAddress": record.spec.peer.to_string(), "on_trial": record.trial.is_some(),
    })
}

/// What a write presumes of the connection.
enum Presumed {
    Nothing,
    /// That there is none, nor one of its name.
    Absent,
    /// That it was changed last at this time.
    Unchanged(Timestamp),
}

impl Presumed {
    /// `If-Match` has the time when the connection was changed last; `If-None-Match: *` says that there is none.
    fn read(headers: &HeaderMap) -> Result<Self> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim_matches('"'));
        match (text("If-Match"), text("If-None-Match")) {
            (None, None) => Ok(Self::Nothing),
            (None, Some("*")) => Ok(Self::Absent),
            (Some(time), None) => time.parse().map(Self::Unchanged).map_err(|_| {
                Error::argument("the header If-Match must have the member changed of the connection, in quotes")
            }),
            _ => Err(Error::argument("the header If-None-Match must be *, and is not possible beside If-Match")),
        }
    }

    fn check(&self, record: &Record) -> Result<()> {
        match self {
            Self::Unchanged(time) if *time != record.changed => {
                let (name, changed) = (record.spec.names.name.clone(), record.changed);
                Err(Error::argument(format!(
                    "the connection {name} ({}) was changed by another call at {changed}: look at it, and plan anew",
                    record.id
                )))
            }
            _ => Ok(()),
        }
    }
}

/// `PUT /cygnet/v1/connections/{uuid}`: the connection is as this body declares it, as a whole.
pub async fn put(
    State(api): Shared,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    only(&pairs, &HOW)?;
    let declared = Declared::read(one(Envelope::read(body).await?)?, api.agent.gateway())?;
    let (presumed, id) = (Presumed::read(&headers)?, id_of(&uuid)?);
    if declared.id.is_some_and(|own| own != id) {
        return Err(Error::rule("uuid", format!("is not that of the path: {id}")).into());
    }
    let how = WriteOptions { says_all: true, ..write_options(&pairs, &caller)? };
    let is_there = api.agent.store().get(id).is_some();
    let done = if is_there || matches!(presumed, Presumed::Unchanged(_)) {
        if matches!(presumed, Presumed::Absent) {
            return Err(Error::from(Clash::UuidInUse(id)).into());
        }
        let edit =
            move |old: &Record| presumed.check(old).and_then(|()| declared.record(Some(old), id, Timestamp::now()));
        api.agent.change(id, how, edit).await?
    } else {
        if matches!(presumed, Presumed::Absent) {
            refuse_name(&api, &declared.name)?;
        }
        let record = declared.record(None, id, Timestamp::now())?;
        Box::pin(api.agent.create(record, how)).await?
    };
    Ok(written(&api, &done, Vec::new()))
}

/// The members under `connection`, which is all that the body may have.
fn one(envelope: Envelope) -> Result<Map<String, Value>, Failure> {
    let mut members = envelope.into_members();
    let connection = members.remove("connection");
    if let Some(name) = members.keys().next() {
        return Err(Error::rule(&visible(name), "stands beside the member connection").into());
    }
    match connection {
        Some(Value::Object(members)) => Ok(members),
        _ => Err(Error::rule("connection", "must be an object").into()),
    }
}

/// Refuses parameters in the query that are none of `names`: one that is misspelled would be a write without a trial.
fn only(pairs: &[(String, String)], names: &[&'static str]) -> Result<()> {
    let Some((name, _)) = pairs.iter().find(|(name, _)| !names.contains(&name.as_str())) else { return Ok(()) };
    let near = nearest(name, names.iter().copied());
    let near = near.map_or_else(String::new, |near| format!(": did you mean {near}?"));
    let shown: String = name.chars().take(64).collect();
    Err(Error::in_query(&visible(&shown), format!("is not known here{near}")))
}

/// Two callers that create one name at the same moment made it twice otherwise, where nothing else clashes.
fn refuse_name(api: &Api, name: &str) -> Result<()> {
    match api.agent.store().all().iter().find(|record| record.spec.names.name == name) {
        None => Ok(()),
        Some(record) => Err(Error::argument(format!(
            "another call has created a connection {name} ({}): look at it, and plan anew",
            record.id
        ))),
    }
}

/// `DELETE /cygnet/v1/connections/{uuid}`: it is deleted as by the contract's call, unless it was changed since.
pub async fn delete(
    State(api): Shared,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    headers: HeaderMap,
) -> Answer {
    parse::no_trial(&pairs, "a deletion cannot be put back")?;
    only(&pairs, &[])?;
    let (presumed, id) = (Presumed::read(&headers)?, id_of(&uuid)?);
    api.agent.remove_if(id, false, move |record| presumed.check(record)).await?;
    let kept: Vec<_> = api.agent.dropped_cas(id).into_iter().collect();
    Ok(json_response(StatusCode::OK, &json!({ "warnings": child_json::warnings(&kept) })))
}

/// `GET /cygnet/v1/export`: all connections as files declare them, without keys. Takes `q` of the query language.
pub async fn export(State(api): Shared, UrlQuery(mut pairs): Pairs, Extension(caller): Extension<Caller>) -> Answer {
    only(&pairs, &["q"])?;
    // All of them: a page would be a part of the gateway.
    pairs.push(("limit".into(), i32::MAX.to_string()));
    let query = Query::parse(&pairs)?;
    let found = query.select(api.agent.views().await, &api.lens(&caller)).await?;
    let item = |view: &View| Value::Object(exported(&view.record));
    Ok(list("{\"connections\":[".into(), found.page, item, iter::once("]}".into())))
}
