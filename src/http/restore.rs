//! A connection of a backup comes back, one call for each. The body is a record with its key, in the form of the backup,
//! so only root of this host may call it, and the agent's own user.

use super::{
    auth::{Caller, Who},
    differences::{self, fields},
    envelope::read_bytes,
    error::{Failure, json_response},
    parse::switch,
    request::Pairs,
    state::{Answer, Api, Shared},
    written::AuditNote,
};
use crate::{
    agent::{Found, Plan, View},
    error::Error,
    store::{Record, format},
};
use axum::{
    Extension,
    body::Body,
    extract::{Query as UrlQuery, State},
    http::StatusCode,
};
use nix::unistd::Uid;
use serde_json::{Value, json};
use std::sync::Arc;

/// `POST /cygnet/v1/restore/plan`: what is there in its place. Nothing is done.
pub async fn plan(State(api): Shared, Extension(caller): Extension<Caller>, body: Body) -> Answer {
    let record = record(&caller, body).await?;
    let mut answer = named(&record);
    let what = match api.agent.plan_restore(&record).await? {
        Found::Missing => "missing",
        Found::Same => "same",
        Found::Differs(plan) => {
            answer["fields"] = differing(&plan);
            answer["impact"] = plan.impact.name().into();
            "differs"
        }
    };
    answer["what"] = what.into();
    Ok(json_response(StatusCode::OK, &answer))
}

/// `POST /cygnet/v1/restore`: it is in force, or what was there still is.
pub async fn restore(
    State(api): Shared,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Answer {
    let record = record(&caller, body).await?;
    let replaces = switch("replace", &pairs)?.unwrap_or(false);
    let answer = named(&record);
    let id = record.id;
    Box::pin(api.agent.restore_record(record, replaces, caller.to_string().into())).await?;
    let mut response = json_response(StatusCode::OK, &answer);
    response.extensions_mut().insert(AuditNote { id: Some(id), ..AuditNote::default() });
    Ok(response)
}

/// The record that a caller sends who may.
async fn record(caller: &Caller, body: Body) -> Result<Record, Failure> {
    let may = matches!(caller.who, Who::User(uid) if uid == 0 || uid == Uid::effective().as_raw());
    if !may {
        let text = "only root of this host may restore connections: run cygnet restore as root";
        return Err(Failure::Text(StatusCode::FORBIDDEN, text.into()));
    }
    let bytes = read_bytes(body).await?;
    let record =
        format::from_bytes(&bytes).map_err(|why| Error::argument(format!("the record cannot be read: {why}")))?;
    if record.trial.is_some() {
        return Err(Error::argument("the record cannot be restored: it is on trial").into());
    }
    Ok(record)
}

fn named(record: &Record) -> Value {
    json!({ "uuid": record.id.to_string(), "name": record.spec.names.name })
}

fn differing(plan: &Plan) -> Value {
    let shown = |record: Arc<Record>| Api::inventory(&View { record, running: None, discount: None }, true);
    let (before, after) = (shown(Arc::clone(&plan.before)), shown(Arc::new(plan.after.clone())));
    let mut found = fields(&before, &after, plan.before.connection.auth != plan.after.connection.auth, false);
    found.extend(differences::options(&plan.before.spec.options, &plan.after.spec.options));
    found.into()
}
