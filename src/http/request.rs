//! What many handlers read off a request.

use super::{auth::Caller, error::Failure, parse};
use crate::{
    agent::WriteOptions,
    error::{Error, Resource, Result},
    ipsec::ConnectionId,
};
use axum::extract::Query;

/// The parameters in the query, in their order.
pub type Pairs = Query<Vec<(String, String)>>;

/// How `caller` wants a write to be done.
pub fn write_options(pairs: &[(String, String)], caller: &Caller) -> Result<WriteOptions, Failure> {
    Ok(WriteOptions { caller: Some(caller.to_string().into()), ..parse::write_options(pairs)? })
}

/// The connection that a path names; text that is no uuid names none.
pub fn id_of(text: &str) -> Result<ConnectionId> {
    text.parse().map_err(|_| Error::NotFound {
        field: "uuid",
        uuid: text.chars().take(64).collect(),
        resource: Resource::Connection,
        known: None,
    })
}
