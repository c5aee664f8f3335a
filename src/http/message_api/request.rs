//! From a message to the request that means the same at the other door. Nothing is checked here but what a request of
//! that door cannot say; what a parameter may be is left to the call.

use super::{
    classes::{Class, Params},
    conditions::{self, text},
};
use crate::{
    error::{Error, Problem, Result},
    http::{
        auth::Origin,
        error::Failure,
        request::id_of,
        route::{Call, Route},
        serve::room::Seat,
    },
    ipsec::ConnectionId,
};
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, header::AUTHORIZATION, request::Parts},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use std::{fmt::Write, sync::Arc};

/// What stands in a query as it is.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b',').remove(b':').remove(b'/');
/// The headers that mean at this door what they mean at the other.
const HEADERS: [&str; 3] = ["x-request-ip", "x-api-timeout", "x-json-schema"];

/// The request that the message of `class` with these parameters means; `outer` is what it came with.
///
/// # Errors
/// 400 when the session is none, or a text is too long for a request; what the call would say of a parameter that its
/// path or query cannot have.
pub fn translated(
    class: &Class,
    routes: &'static [Route],
    mut params: Map<String, Value>,
    outer: &Parts,
) -> Result<Request, Failure> {
    let (route, call) = served(class, routes)?;
    let session = session(params.shift_remove("session"))?;
    let mut target = path(route, class.subject, &mut params)?;
    let mut pairs: Vec<(String, String)> = Vec::new();
    let body = match class.params {
        Params::Body(key) => serde_json::json!({ key: params }).to_string(),
        Params::Query => {
            pairs.extend(
                params.into_iter().flat_map(|(name, value)| values(value).into_iter().map(move |v| (name.clone(), v))),
            );
            String::new()
        }
        Params::Conditions => {
            pairs = conditions::pairs(params)?;
            String::new()
        }
    };
    let mut mark = '?';
    for (name, value) in &pairs {
        // A text takes all that is written to it.
        let _ = write!(target, "{mark}{}={}", utf8_percent_encode(name, PLAIN), utf8_percent_encode(value, PLAIN));
        mark = '&';
    }
    if let Some(query) = outer.uri.query() {
        target.push(mark);
        target.push_str(query);
    }
    let request = Request::builder().method(call.method.method()).uri(target).body(Body::from(body));
    let request = request.map_err(|_| Error::argument("the parameters are too long for the query that they become"))?;
    Ok(with_caller(request, &session, outer))
}

/// The call that serves messages of `class`.
fn served(class: &Class, routes: &'static [Route]) -> Result<(&'static Route, &'static Call)> {
    let calls = routes.iter().flat_map(|route| route.calls.iter().map(move |call| (route, call)));
    let found = calls.into_iter().find(|(_, call)| call.operation == class.operation);
    found.ok_or_else(|| Error::Internal(format!("nothing serves {}", class.operation)))
}

/// The uuid of the session in a message; without one it is empty, which no session's is.
fn session(value: Option<Value>) -> Result<String, Failure> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::Object(mut session)) => match session.remove("uuid") {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(uuid)) => Ok(uuid),
            Some(_) => Err(Failure::bad_request("the uuid of the session is not a string")),
        },
        Some(_) => Err(Failure::bad_request("the session is not an object with a uuid")),
    }
}

/// The path of `route` for what the member `subject` names, which is taken out of the parameters.
fn path(route: &Route, subject: &str, params: &mut Map<String, Value>) -> Result<String> {
    if !route.path.contains("{uuid}") {
        return Ok(route.path.to_owned());
    }
    let text = match params.shift_remove(subject) {
        None | Some(Value::Null) => return Err(Error::member(subject, Problem::Missing)),
        Some(Value::String(text)) => text,
        Some(_) => return Err(Error::rule(subject, "must be a string")),
    };
    let text = text.trim();
    if text.is_empty() {
        // No path has an empty part.
        id_of(text)?;
    }
    Ok(route.path.replace("{uuid}", &segment(text)))
}

/// `text` as one part of a path that is none of the words of the table.
fn segment(text: &str) -> String {
    if text.parse::<ConnectionId>().is_ok() {
        return text.to_owned();
    }
    text.bytes().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "%{byte:02X}");
        all
    })
}

/// The values of a parameter in the query: one, or those of a list.
fn values(value: Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.into_iter().map(text).collect(),
        other => vec![text(other)],
    }
}

/// `request` with whose it is, and with what else of `outer` counts.
fn with_caller(mut request: Request, session: &str, outer: &Parts) -> Request {
    let headers = request.headers_mut();
    // What cannot stand in a header is no session's uuid.
    let session = HeaderValue::from_str(&format!("OAuth {session}")).ok().filter(|value| value.to_str().is_ok());
    headers.insert(AUTHORIZATION, session.unwrap_or(HeaderValue::from_static("OAuth")));
    headers.insert("prefer", HeaderValue::from_static("respond-async"));
    for name in HEADERS.map(HeaderName::from_static) {
        headers.extend(outer.headers.get(&name).cloned().map(|value| (name, value)));
    }
    let extensions = request.extensions_mut();
    if let Some(origin) = outer.extensions.get::<Origin>() {
        extensions.insert(*origin);
    }
    if let Some(seat) = outer.extensions.get::<Arc<Seat>>() {
        extensions.insert(Arc::clone(seat));
    }
    request
}
