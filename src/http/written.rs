//! The answer to a write: its result, what the caller should know beside it, and the other connections that were changed
//! with it. What it says of itself goes with it, for the audit trail.

use super::{
    child_json::{companions, extend, warnings},
    error::json_response,
    message::Message,
    state::Api,
};
use crate::{
    agent::{Companion, Warning, Written},
    ipsec::ConnectionId,
};
use axum::{http::StatusCode, response::Response};
use serde_json::json;

/// What an answer says of itself.
#[derive(Clone, Default)]
pub struct AuditNote {
    /// The connection that it is about, where the path does not say so.
    pub id: Option<ConnectionId>,
    /// The message, where the path has several.
    pub message: Option<Message>,
    /// The other connections that were changed in the same step.
    pub others: Vec<Companion>,
}

/// The answer to a write; `unknown` is what nobody read of the request.
pub fn written(api: &Api, Written { view, others }: &Written, unknown: Vec<Warning>) -> Response {
    let mut body = json!({ "inventory": Api::inventory(view, api.mask_auth_key) });
    let mut found = unknown;
    found.extend(api.agent.warnings(view));
    if !found.is_empty() {
        extend(&mut body, json!({ "warnings": warnings(&found) }));
    }
    if !others.is_empty() {
        extend(&mut body, json!({ "together": companions(others) }));
    }
    let mut response = json_response(StatusCode::OK, &body);
    response.extensions_mut().insert(AuditNote {
        id: Some(view.record.id),
        others: others.clone(),
        ..AuditNote::default()
    });
    response
}

/// `response`, which says that it answers `message`.
pub fn named(message: Message, mut response: Response) -> Response {
    let note = response.extensions().get::<AuditNote>().cloned().unwrap_or_default();
    response.extensions_mut().insert(AuditNote { message: Some(message), ..note });
    response
}
