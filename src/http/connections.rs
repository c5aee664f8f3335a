//! Connections as a whole: they are found, created, changed and deleted.

use super::{
    auth::Caller,
    child_json::warnings,
    envelope::Envelope,
    error::json_response,
    message::Message,
    parse,
    query::{self, Found, Lens, Query},
    request::{Pairs, id_of, write_options},
    state::{Answer, Shared},
    unknown::unread,
    written::written,
};
use crate::agent::WriteOptions;
use axum::{
    Extension,
    body::Body,
    extract::{Path, Query as UrlQuery, State},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;
use serde_json::json;

/// `GET /ipsec`: `QueryIPSecConnection`.
pub async fn query(State(api): Shared, Extension(caller): Extension<Caller>, UrlQuery(pairs): Pairs) -> Answer {
    let query = Query::parse(&pairs)?;
    let lens = api.lens(&caller);
    let found = query::find(&api, &query, &lens).await?;
    Ok(shown(&query, found, lens))
}

/// `GET /ipsec/{uuid}`: the query by uuid.
pub async fn query_one(
    State(api): Shared,
    Path(uuid): Path<String>,
    Extension(caller): Extension<Caller>,
    UrlQuery(pairs): Pairs,
) -> Answer {
    let query = Query::parse(&pairs)?;
    let found = match id_of(&uuid) {
        Ok(id) => api.agent.view(id).await.ok(),
        Err(_) => None,
    };
    let lens = api.lens(&caller);
    let found = query.select(found.into_iter().collect(), &lens).await?;
    Ok(shown(&query, found, lens))
}

/// The answer to `query`.
fn shown(query: &Query, found: Found, lens: Lens) -> Response {
    match query.total(&found) {
        Some(total) if query.count => json_response(StatusCode::OK, &json!({ "total": total })),
        total => query::reply(found.page, query.shown(), lens, total),
    }
}

/// `POST /ipsec`: `CreateIPsecConnection`.
pub async fn create(
    State(api): Shared,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Answer {
    let params = Message::Create.params(Envelope::read(body).await?)?;
    let record = parse::create(&params, &api.agent.gateway(), Timestamp::now())?;
    let how = write_options(&pairs, &caller)?;
    let unknown = unread(Message::Create, Some(&params), &pairs);
    let done = Box::pin(api.agent.create(record, how)).await?;
    Ok(written(&api, &done, unknown))
}

/// `PUT` and `POST /ipsec/config/{uuid}`: `ChangeIPsecConnection`.
pub async fn change(
    State(api): Shared,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Answer {
    let params = Message::Change.params(Envelope::read(body).await?)?;
    let rest = parse::missing_fields(&pairs)?;
    let change = parse::change(&params, rest, api.agent.gateway(), Timestamp::now())?;
    let how = WriteOptions { says_all: rest == parse::MissingFields::Defaults, ..write_options(&pairs, &caller)? };
    let done = api.agent.change(id_of(&uuid)?, how, move |old| change(old, Timestamp::now())).await?;
    Ok(written(&api, &done, unread(Message::Change, Some(&params), &pairs)))
}

/// `DELETE /ipsec/{uuid}`: `DeleteIPsecConnection`.
pub async fn delete(State(api): Shared, Path(uuid): Path<String>, UrlQuery(pairs): Pairs) -> Answer {
    parse::no_trial(&pairs, "a deletion cannot be put back")?;
    let enforce = parse::delete_mode(&pairs)?;
    let id = id_of(&uuid)?;
    api.agent.remove(id, enforce).await?;
    let kept: Vec<_> = api.agent.dropped_cas(id).into_iter().collect();
    let body = if kept.is_empty() { json!({}) } else { json!({ "warnings": warnings(&kept) }) };
    Ok(json_response(StatusCode::OK, &body))
}
