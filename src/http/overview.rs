//! `GET /cygnet/v1/connections`: all connections at a glance, each with its reason if it is not up. Keys are not in it.

use super::{
    auth::Caller,
    child_json,
    error::json_response,
    inventory::MEMBERS,
    query::{Lens, Query, list},
    reason_json,
    request::Pairs,
    state::{Answer, Shared},
    transition,
};
use crate::agent::{LocalAddresses, View};
use axum::{
    Extension,
    extract::{Query as UrlQuery, State},
    http::StatusCode,
};
use serde_json::json;
use std::{iter, sync::Arc};

/// What of the query language is understood here; members cannot be chosen, for the reason goes with the uuid.
const UNDERSTOOD: [&str; 6] = ["q", "limit", "start", "sort", "count", "replyWithCount"];

/// The handler.
pub async fn connections(
    State(api): Shared,
    Extension(caller): Extension<Caller>,
    UrlQuery(mut pairs): Pairs,
) -> Answer {
    pairs.retain(|(name, _)| UNDERSTOOD.contains(&name.as_str()));
    let query = Query::parse(&pairs)?;
    let lens = Lens { keys: false, ..api.lens(&caller) };
    let found = query.select(api.agent.views().await, &lens).await?;
    let total = query.total(&found);
    if let Some(total) = total.filter(|_| query.count) {
        return Ok(json_response(StatusCode::OK, &json!({ "total": total })));
    }
    let total = total.map_or_else(String::new, |total| format!("\"total\":{total},"));
    let (host, agent) = (LocalAddresses::read_host(), Arc::clone(&api.agent));
    let entry = move |view: &View| {
        let reason = agent.reason(view, &host);
        let mut entry =
            json!({ "inventory": lens.inventory(view, &MEMBERS), "reason": reason.as_ref().map(reason_json::reason) });
        child_json::extend(&mut entry, child_json::carried(view));
        child_json::extend(&mut entry, child_json::vip(&agent, view));
        child_json::extend(&mut entry, child_json::networks_and_traffic(&agent, view));
        child_json::extend(&mut entry, transition::member(view));
        let worst = agent.conditions(view).into_iter().max_by_key(|seen| seen.condition);
        let since = reason.map(|reason| reason.since).or_else(|| agent.up_since(view));
        child_json::extend(
            &mut entry,
            json!({ "condition": worst.map(|seen| seen.condition.name()), "since": since.map(|since| since.to_string()) }),
        );
        entry
    };
    Ok(list(format!("{{{total}\"connections\":["), found.page, entry, iter::once("]}".into())))
}
