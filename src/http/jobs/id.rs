//! The ids of jobs.

use crate::http::error::Failure;
use axum::http::HeaderMap;

/// A new id.
pub fn fresh() -> String {
    uuid::Uuid::new_v4().as_simple().to_string()
}

/// The id that the caller chooses for a job, or a new one.
///
/// # Errors
/// 400 when it is none.
pub fn chosen(headers: &HeaderMap) -> Result<String, Failure> {
    let Some(id) = headers.get("X-Job-UUID") else { return Ok(fresh()) };
    let id = id.to_str().unwrap_or_default();
    if id.len() == 32 && id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(id.into());
    }
    Err(Failure::bad_request("Invalid header[X-Job-UUID], it must be a UUID with '-' stripped"))
}
