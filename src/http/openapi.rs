//! `GET /openapi.json`: what is served, as a document that is kept by hand. `tests/openapi.rs` holds it
//! against the router, the tables of the model and, by generated requests, the running agent.

use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use std::sync::LazyLock;

/// The document, with the version of this agent in it.
static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| include_str!("openapi.json").replacen("CARGO_PKG_VERSION", env!("CARGO_PKG_VERSION"), 1));

/// `GET /openapi.json`, for everybody.
pub async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json;charset=UTF-8")], DOCUMENT.as_str()).into_response()
}
