//! Paths as messages and signatures name them, and the answers for those that mean nothing.

use super::error::Failure;
use axum::http::{Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;

/// The path as the contract's messages name it: without `/zstack`, and of a bearable length.
#[must_use]
pub fn path_of(uri: &Uri) -> String {
    uri.path().strip_prefix("/zstack").unwrap_or(uri.path()).chars().take(255).collect()
}

/// The path as signatures cover it: decoded, without `/zstack`.
#[must_use]
pub fn signed_path(uri: &Uri) -> String {
    let path = percent_decode_str(uri.path()).decode_utf8_lossy();
    path.strip_prefix("/zstack").unwrap_or(&path).to_owned()
}

/// A path that means nothing.
pub async fn no_such_path(uri: Uri) -> Failure {
    Failure::Text(StatusCode::NOT_FOUND, format!("no api mapping to {}", path_of(&uri)))
}

/// A method that a path with one API does not have.
pub async fn no_such_method(method: Method, uri: Uri) -> Failure {
    Failure::not_allowed(&method, &path_of(&uri))
}

/// The contract's answers for a method that a path has no API for (1.2).
#[must_use]
pub fn no_method(method: &Method, uri: &Uri) -> Failure {
    let path = path_of(uri);
    let none =
        |kind| Failure::Text(StatusCode::INTERNAL_SERVER_ERROR, format!("No {kind} API found for the path[{path}]"));
    match *method {
        Method::POST => none("creational"),
        Method::GET | Method::HEAD => none("query"),
        Method::DELETE => none("delete"),
        Method::PUT => Failure::bad_request(format!("the body doesn't contain action mapping to the URL[{path}]")),
        _ => Failure::not_allowed(method, &path),
    }
}
