//! What is wrong with a write as a request: no action in the body, or a number that is none. The real server
//! answers these at once, with 400, and begins no job for them (contract 1.1, steps 5 and 7).

use super::{
    envelope::{Envelope, Params},
    error::Failure,
    no_method, parse,
    wire::{self, OptionBlock, RenewParams},
};
use axum::{
    extract::{MatchedPath, Query},
    http::{Method, Uri, request::Parts},
};
use serde::de::DeserializeOwned;

/// Refuses a write that is no request of the API that its path and body mean.
///
/// # Errors
/// A text, as the handler would answer it. What else is wrong is left to the job.
pub fn check(parts: &Parts, bytes: &[u8]) -> Result<(), Failure> {
    let envelope = Envelope::parse(bytes)?;
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let route = route.strip_prefix("/zstack/v1/").unwrap_or(route);
    let (method, uri) = (&parts.method, &parts.uri);
    match (route, method) {
        ("ipsec", &Method::POST) => numbers::<OptionBlock>(&envelope.params("params")?)?,
        ("ipsec/config/{uuid}" | "ipsec/config/{uuid}/actions", _) => {
            numbers::<OptionBlock>(&envelope.params("changeIPsecConnection")?)?;
        }
        ("ipsec/{uuid}", &Method::PUT) => action(envelope, &["updateIPsecConnection"], uri)?,
        ("ipsec/{uuid}/actions", &Method::PUT) => {
            action(envelope, &["changeIPSecConnectionState", "reconnectIPsecConnection"], uri)?;
        }
        ("ipsec/{uuid}/remote-cidrs" | "ipsec/{uuid}/l3networks", &Method::POST) => drop(envelope.params("params")?),
        ("accounts/sessions/{uuid}/renew", _) => numbers::<RenewParams>(&envelope.params("renewSession")?)?,
        ("ipsec/{uuid}" | "ipsec/{uuid}/remote-cidrs" | "ipsec/{uuid}/l3networks", &Method::DELETE) => {}
        _ => return Err(no_method(method, uri)),
    }
    query(uri)
}

/// That one of these actions is in the body.
fn action(envelope: Envelope, keys: &[&str], uri: &Uri) -> Result<(), Failure> {
    let key = keys.iter().find(|key| envelope.has(key)).ok_or_else(|| no_method(&Method::PUT, uri))?;
    envelope.params(key).map(drop)
}

/// That the numbers among the parameters are numbers.
fn numbers<T: DeserializeOwned>(params: &Params) -> Result<(), Failure> {
    texts(wire::read::<T>(&params.members))
}

/// That what may stand in the query once does.
fn query(uri: &Uri) -> Result<(), Failure> {
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Err(Failure::bad_request("the query cannot be read"));
    };
    texts(parse::how(&pairs))?;
    texts(parse::delete_mode(&pairs))
}

/// The failures that begin no job.
fn texts<T>(result: Result<T, Failure>) -> Result<(), Failure> {
    match result {
        Err(failure @ Failure::Text(..)) => Err(failure),
        Ok(_) | Err(Failure::Api(_)) => Ok(()),
    }
}
