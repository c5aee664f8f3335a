//! What an `Authorization` header shows.

use crate::http::error::Failure;
use axum::http::{HeaderMap, header::AUTHORIZATION};

/// An `Authorization` header that has a form; whether it is right is another question.
pub enum Claim<'a> {
    /// A session or a static token.
    Session(&'a str),
    /// A signature by an access key.
    Signature(&'a str),
}

/// The claim in `headers`.
///
/// # Errors
/// 400 when there is none, or of no known kind.
pub fn claim(headers: &HeaderMap) -> Result<Claim<'_>, Failure> {
    let header = headers.get(AUTHORIZATION).ok_or_else(|| Failure::bad_request("missing header 'Authorization'"))?;
    let value = header.to_str().unwrap_or_default().trim();
    if let Some(session) = value.strip_prefix("OAuth") {
        return Ok(Claim::Session(session.trim()));
    }
    let signature = value.strip_prefix("ZStack").map(|value| Claim::Signature(value.trim()));
    signature.ok_or_else(|| Failure::bad_request("Authorization type must be 'OAuth'"))
}
