//! The last revisions of a connection, and the way back to one of them.

use super::{
    auth::Caller,
    differences::{self, fields},
    error::{Failure, json_response, object},
    native::planned,
    parse::{self, new_peer, value},
    request::{Pairs, id_of, write_options},
    state::{Answer, Api, Shared},
    written::written,
};
use crate::{
    agent::{View, Warning, WriteOptions, follow_settings},
    error::{Error, Result},
    settings::Gateway,
    store::{Record, Revision},
};
use axum::{
    Extension,
    extract::{Path, Query as UrlQuery, State},
    http::StatusCode,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /cygnet/v1/connections/{uuid}/history`: the last revisions, the newest first.
pub async fn history(State(api): Shared, Path(uuid): Path<String>) -> Answer {
    let record = api.agent.stored_record(id_of(&uuid)?)?;
    let revisions: Vec<_> = record.revisions().collect();
    let said: Vec<_> = revisions.iter().map(|revision| record.reverted(revision.number, record.changed)).collect();
    let before = said.iter().skip(1).map(|said| said.as_ref().ok()).chain([None]);
    let shown = revisions.iter().zip(&said).zip(before);
    let list: Vec<_> = shown.map(|((revision, said), before)| item(&record, revision, said, before)).collect();
    let body = json!({ "uuid": record.id.to_string(), "name": record.spec.names.name, "revisions": list });
    Ok(json_response(StatusCode::OK, &body))
}

/// One revision: what it `said`, and what that changed of what was `before` it.
fn item(record: &Record, revision: &Revision, said: &Result<Record>, before: Option<&Record>) -> Value {
    let is_current = revision.number == record.history.present.number;
    let mut item = json!({
        "revision": revision.number, "current": is_current, "at": revision.at.to_string(),
        "caller": revision.caller.as_deref(),
    });
    if is_current && record.trial.is_some() {
        item["on_trial"] = true.into();
    }
    match said {
        Ok(said) => {
            if let Some(before) = before {
                let mut found = fields(&shown(before), &shown(said), revision.new_key, false);
                found.extend(differences::options(&before.spec.options, &said.spec.options));
                found.extend(revision.new_ppk.then(|| differences::new_ppk(false)));
                item["fields"] = found.into();
            }
            item["connection"] = shown(said);
        }
        // The reason why it cannot be reverted to.
        Err(error) => item["refused"] = object(error)["details"].take(),
    }
    item
}

/// The inventory of `record` without its key, and without what changes by itself.
fn shown(record: &Record) -> Value {
    let mut shown = Api::inventory(&View { record: Arc::new(record.clone()), running: None, discount: None }, true);
    if let Value::Object(members) = &mut shown {
        members.retain(|name, _| !["authKey", "lastOpDate", "status"].contains(&name.as_str()));
    }
    shown
}

/// `POST /cygnet/v1/connections/{uuid}/revert/plan`: what a revert would do. Nothing is done.
pub async fn plan(
    State(api): Shared,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let way = Way::read(&pairs, &api)?;
    let id = id_of(&uuid)?;
    let how = parse::write_options(&pairs)?;
    let plan = api.agent.plan(id, &how, false, |old| way.back(old)).await?;
    let kept = way.kept_key(&plan.before).into_iter().collect();
    Ok(planned(&plan, api.masks(&caller), kept))
}

/// `POST /cygnet/v1/connections/{uuid}/revert`: the connection becomes what a revision said, as by a Change.
pub async fn revert(
    State(api): Shared,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let way = Way::read(&pairs, &api)?;
    let id = id_of(&uuid)?;
    let before = api.agent.stored_record(id)?;
    let kept = way.kept_key(&before);
    let how = WriteOptions { says_all: true, ..write_options(&pairs, &caller)? };
    let done = api.agent.change(id, how, move |old| way.back(old)).await?;
    Ok(written(&api, &done, kept.into_iter().collect()))
}

/// The way back to a revision.
struct Way {
    to: u32,
    /// The revision that the caller has seen as the present one.
    from: Option<u32>,
    gateway: Arc<Gateway>,
}

impl Way {
    /// `revision=3`, and `from=7`.
    fn read(pairs: &[(String, String)], api: &Api) -> Result<Self, Failure> {
        let number = |name: &str| {
            let number = value(name, pairs)?.map(|text| {
                let rule = "must be the number of a revision, as the history shows it";
                text.parse().map_err(|_| Error::in_query(name, rule))
            });
            Ok::<_, Failure>(number.transpose()?)
        };
        let to = number("revision")?.ok_or_else(|| Error::in_query("revision", "is missing"))?;
        Ok(Self { to, from: number("from")?, gateway: api.agent.gateway() })
    }

    /// `old` as the revision had it, with today's addresses of the settings.
    fn back(&self, old: &Record) -> Result<Record> {
        let present = old.history.present.number;
        if let Some(from) = self.from.filter(|from| *from != present) {
            let rule = format!("is {from}, and the connection is at revision {present} by now: look at the plan again");
            return Err(Error::in_query("from", rule));
        }
        let now = Timestamp::now();
        let reverted = old.reverted(self.to, now)?;
        let spec = follow_settings(&reverted.spec, &self.gateway);
        if spec.peer != old.spec.peer {
            new_peer(spec.peer.clone())?;
        }
        if spec == reverted.spec { Ok(reverted) } else { Ok(reverted.changed(spec, now)?) }
    }

    /// That the key stays, if it has changed since.
    fn kept_key(&self, record: &Record) -> Option<Warning> {
        let mut newer = record.revisions().take_while(|revision| revision.number > self.to);
        newer.any(|revision| revision.new_key || revision.new_ppk).then(|| Warning {
            code: "KEY_KEPT",
            part: None,
            message: format!(
                "keys are not reverted: the key was changed after revision {}, and the present one stays",
                self.to
            ),
            remedy: None,
        })
    }
}
