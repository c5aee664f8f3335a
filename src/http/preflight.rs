//! What is wrong with a write as a request: no action in the body, or a number that is none. The real server
//! answers these at once, with 400, and begins no job for them (contract 1.1, steps 5 and 7).

use super::{
    envelope::{Envelope, Params},
    error::Failure,
    message::{Content, Message},
    parse::{self, native::Native},
    paths::{no_method, path_of},
    route::{Otherwise, Route},
    wire::{self, OptionBlock, RenewParams},
};
use axum::{
    extract::Query,
    http::{Uri, request::Parts},
};
use serde::de::DeserializeOwned;

/// Refuses a write that is no request of the API that its path and body mean; the message that they mean.
///
/// # Errors
/// A text, as the handler would answer it. What else is wrong is left to the job.
pub fn check(route: &Route, parts: &Parts, bytes: &[u8]) -> Result<Message, Failure> {
    let envelope = Envelope::parse(bytes)?;
    let (method, uri) = (&parts.method, &parts.uri);
    let none = || match route.otherwise {
        Otherwise::NoApi => no_method(method, uri),
        Otherwise::NotAllowed | Otherwise::NotAllowedForAnybody => Failure::not_allowed(method, &path_of(uri)),
    };
    let call = route.call(method).ok_or_else(none)?;
    let message = call.message(&envelope).ok_or_else(none)?;
    content(message, envelope)?;
    query(uri)?;
    Ok(message)
}

/// That the parameters of `message` are there, and that the numbers among them are numbers.
fn content(message: Message, envelope: Envelope) -> Result<(), Failure> {
    match message.content() {
        Content::Nothing => Ok(()),
        Content::Texts => message.params(envelope).map(drop),
        Content::Options => {
            let params = message.params(envelope)?;
            numbers::<OptionBlock>(&params)?;
            at_once(Native::read(&params))
        }
        Content::Duration => numbers::<RenewParams>(&message.params(envelope)?),
    }
}

/// That the numbers among the parameters are numbers.
fn numbers<T: DeserializeOwned>(params: &Params) -> Result<(), Failure> {
    at_once(wire::read::<T>(&params.members))
}

/// That what may stand in the query once does.
fn query(uri: &Uri) -> Result<(), Failure> {
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Err(Failure::bad_request("the query cannot be read"));
    };
    at_once(parse::write_options(&pairs))?;
    at_once(parse::delete_mode(&pairs))
}

/// The failures that begin no job.
fn at_once<T>(result: Result<T, Failure>) -> Result<(), Failure> {
    match result {
        Err(failure @ (Failure::Text(..) | Failure::Wrong(_))) => Err(failure),
        Ok(_) | Err(Failure::Api(_)) => Ok(()),
    }
}
