//! From errors to answers: the only place that knows HTTP statuses and `SYS` codes (contract 1.6, 1.7).

use super::{members::LISTS, sentences};
use crate::{
    error::{Error, Problem},
    ipsec::Code,
};
use axum::{
    body::Bytes,
    http::{HeaderName, Method, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

/// The longest `details` in characters.
const MAX_DETAILS: usize = 4096;

/// The code of an error, as its answer carries it along for whoever writes down what came of a call.
#[derive(Debug, Clone, Copy)]
pub struct ErrorCode(pub &'static str);

/// The sentence of an error, for the same.
#[derive(Debug, Clone)]
pub struct Why(pub String);

/// Why a call has no result.
#[derive(Debug)]
pub enum Failure {
    /// The request is not one: a status and a line of plain text.
    Text(StatusCode, String),
    /// A value is of another type: 400 with the contract's sentence as plain text.
    Wrong(Error),
    /// The call failed: 503 with the error object.
    Api(Error),
}

impl Failure {
    /// 400 with `text`.
    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self::Text(StatusCode::BAD_REQUEST, text.into())
    }

    /// 503: there is no room for the call at this moment.
    #[must_use]
    pub fn busy(why: &str) -> Self {
        Self::Api(Error::Busy(format!("{why}: try again in a few seconds")))
    }

    /// 405: the path has no call for this method.
    #[must_use]
    pub(super) fn not_allowed(method: &Method, path: &str) -> Self {
        Self::Text(StatusCode::METHOD_NOT_ALLOWED, format!("The method[{method}] is not allowed for the path[{path}]"))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Text(_, text) => Self::Argument(text),
            Failure::Wrong(error) | Failure::Api(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Api(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Text(status, text) => {
                let mut response = (status, text.clone()).into_response();
                response.extensions_mut().insert(Why(text));
                response
            }
            Self::Wrong(error) => (StatusCode::BAD_REQUEST, details(&error)).into_response(),
            Self::Api(error) => {
                let (code, _) = code(&error);
                let body = json!({ "error": object(&error) });
                let mut response = json_response(StatusCode::SERVICE_UNAVAILABLE, &body);
                response.extensions_mut().insert(ErrorCode(code));
                response.extensions_mut().insert(Why(details(&error)));
                response
            }
        }
    }
}

/// A JSON answer, in the form that every client takes.
#[must_use]
pub(super) fn json_response(status: StatusCode, body: &Value) -> Response {
    json_bytes(status, body.to_string().into())
}

/// The header of that form.
#[must_use]
pub(super) fn json_type() -> [(HeaderName, &'static str); 1] {
    [(CONTENT_TYPE, "application/json;charset=UTF-8")]
}

/// A JSON answer of which the text is there already.
#[must_use]
pub(super) fn json_bytes(status: StatusCode, body: Bytes) -> Response {
    (status, json_type(), body).into_response()
}

/// The error object of `error`.
#[must_use]
pub fn object(error: &Error) -> Value {
    let (code, description) = code(error);
    let mut members = Map::new();
    members.insert("code".into(), code.into());
    members.insert("description".into(), description.into());
    members.insert("details".into(), details(error).chars().take(MAX_DETAILS).collect::<String>().into());
    if let Some(text) = elaboration(error) {
        members.insert("elaboration".into(), text.into());
    }
    if let Some(data) = sentences::data(error) {
        members.insert("opaque".into(), data);
    }
    Value::Object(members)
}

/// The named cause and what to do about it, where there is one.
fn elaboration(error: &Error) -> Option<String> {
    match error {
        Error::NotConfirmed { elaboration, .. } => elaboration.clone(),
        Error::Value { problem: Problem::NotAttached { known, .. }, .. } => Some(attached(known)),
        Error::Conflict(conflict) => conflict.code().map(Code::explained),
        Error::NotFound { known, .. } => known.clone(),
        Error::Clash(clash) => clash.code().map(Code::explained),
        Error::Unreachable { .. } => Some(Code::CharonUnreachable.explained()),
        _ => None,
    }
}

/// The networks that a connection has.
fn attached(known: &[String]) -> String {
    const SHOWN: usize = 20;
    match known.get(..SHOWN) {
        _ if known.is_empty() => "no network is attached".into(),
        Some(first) if known.len() > SHOWN => {
            format!("attached are: {} and {} more", first.join(", "), known.len() - SHOWN)
        }
        _ => format!("attached are: {}", known.join(", ")),
    }
}

fn code(error: &Error) -> (&'static str, &'static str) {
    match error {
        // The real server answers SYS.1007 for a tunnel that did not come up after a change.
        Error::Argument(_)
        | Error::Value { .. }
        | Error::Conflict(_)
        | Error::Clash(_)
        | Error::NotConfirmed { .. } => ("SYS.1007", "One or more API argument is invalid"),
        Error::NotFound { .. } => ("SYS.1003", "A resource can not be found"),
        Error::Session => {
            ("ID.1001", "The session is invalid, either wrong session id or the session has been expired")
        }
        Error::Timeout(_) => ("SYS.1001", "The operation timed out"),
        Error::Login(_) => ("ID.1000", "Unable to authenticate a user"),
        Error::TooManySessions => ("ID.1006", "There are too many concurrent sessions"),
        Error::Refused { .. } | Error::Unreachable { .. } | Error::Busy(_) => ("SYS.1006", "An operation failed"),
        Error::Storage { .. } => ("SYS.1016", "An I/O error happened"),
        Error::Damaged { .. } | Error::Internal(_) => ("SYS.1000", "An internal error happened in system"),
    }
}

fn details(error: &Error) -> String {
    match error {
        Error::NotFound { field, uuid, resource, .. } => {
            let name = sentences::type_of(*resource);
            // Of a parameter that is a list, all that are missing.
            let uuid = if LISTS.contains(field) { format!("uuids:[{uuid}]") } else { format!("uuid:{uuid}") };
            format!("invalid field[{field}], resource[{uuid}, type:{name}] not found")
        }
        Error::Value { place, name, problem } => sentences::value(*place, name, problem),
        Error::Conflict(conflict) => sentences::details(conflict),
        Error::Clash(clash) => sentences::clash(clash),
        Error::NotConfirmed { down: Some(id), text, .. } => format!("IPsec connection[{id}] status down: {text}"),
        Error::Refused { .. } | Error::Unreachable { .. } => format!("operation error, because:{error}"),
        // The code's description says already that it is internal.
        Error::Internal(text) => text.clone(),
        other => other.to_string(),
    }
}
