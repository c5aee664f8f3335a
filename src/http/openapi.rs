//! `GET /openapi.json`: what is served, as a document that is kept by hand but for the options of our own, whose schemas
//! are made from their table. `tests/openapi.rs` holds it against the router, the tables of the model and, by generated
//! requests, the running agent.

use crate::ipsec::{
    native::{Kind, NATIVE, NativeOption},
    post_quantum::MAX_PPK_ID,
};
use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// The document, with the version of this agent in it.
pub static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let schemas = NATIVE.iter().map(|option| format!("{}: {}", Value::from(option.name), schema(option)));
    include_str!("openapi.json").replacen("CARGO_PKG_VERSION", env!("CARGO_PKG_VERSION"), 1).replacen(
        "\"NATIVE_OPTIONS\": {}",
        &schemas.collect::<Vec<_>>().join(",\n          "),
        1,
    )
});

/// `GET /openapi.json`, for everybody.
pub async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json;charset=UTF-8")], DOCUMENT.as_str()).into_response()
}

/// What an option takes.
fn schema(option: &NativeOption) -> Value {
    let (of, default) = (option.about, option.default());
    let default = match default.as_str() {
        Some("") => "empty".into(),
        Some(word) => format!("`{word}`"),
        None => default.to_string(),
    };
    let text = format!("{of} Left out of a Create, it is {default}; left out of a Change, it is kept.");
    match option.kind {
        Kind::Word(words) => json!({ "type": "string", "description": text, "enum": words }),
        Kind::Protocol => json!({ "type": "string", "description": text, "examples": [option.example, "112"] }),
        Kind::PpkId => {
            json!({ "type": "string", "description": text, "maxLength": MAX_PPK_ID, "examples": [option.example] })
        }
        Kind::Switch => json!({ "type": "boolean", "description": text }),
        Kind::Number(low, high) => json!({ "type": "integer", "description": text, "minimum": low, "maximum": high }),
    }
}
