//! `GET /cygnet/v1/connections`: all connections at a glance, each with its reason if it is not up. Keys are not in it.

use super::{Answer, Shared, error::json_response, query::Query, why};
use crate::agent::{Host, View};
use axum::{
    extract::{Query as UrlQuery, State},
    http::StatusCode,
};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What of the query language is understood here; members cannot be chosen, for the reason goes with the uuid.
const UNDERSTOOD: [&str; 6] = ["q", "limit", "start", "sort", "count", "replyWithCount"];

/// The handler.
pub async fn connections(State(api): Shared, UrlQuery(mut pairs): UrlQuery<Vec<(String, String)>>) -> Answer {
    pairs.retain(|(name, _)| UNDERSTOOD.contains(&name.as_str()));
    let query = Query::parse(&pairs)?;
    let views = api.agent.views().await;
    let item = |view: &View| {
        let mut item = api.item(view);
        if let Some(members) = item.inventory.as_object_mut() {
            members.remove("authKey");
        }
        item
    };
    let mut reply = query.reply(views.iter().map(item).collect());
    let mut body = json!({});
    if let Some(total) = reply.get("total") {
        body["total"] = total.clone();
    }
    if let Some(Value::Array(found)) = reply.get_mut("inventories").map(Value::take) {
        let by_uuid: HashMap<_, _> = views.iter().map(|view| (view.record.id.to_string(), view)).collect();
        let host = Host::look();
        let entry = |inventory: Value| {
            let view = inventory["uuid"].as_str().and_then(|uuid| by_uuid.get(uuid));
            let reason = view.and_then(|view| api.agent.reason(view, &host));
            json!({ "inventory": inventory, "reason": reason.as_ref().map(why::reason) })
        };
        body["connections"] = found.into_iter().map(entry).collect();
    }
    Ok(json_response(StatusCode::OK, &body))
}
