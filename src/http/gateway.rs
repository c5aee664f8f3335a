//! `GET /cygnet/v1/gateway`: this gateway in a few words, and what the caller may do on it.

use super::{
    auth::Caller,
    child_json,
    error::json_response,
    fleet, ha,
    state::{Answer, Shared},
};
use crate::agent::CharonLink;
use axum::{Extension, extract::State, http::StatusCode};
use serde_json::json;

/// The handler.
pub async fn show(State(api): Shared, Extension(caller): Extension<Caller>) -> Answer {
    let charon = match api.agent.link() {
        CharonLink::Up(charon) => json!({ "answers": true, "version": charon.version, "why": null, "since": null }),
        CharonLink::Starting => json!({ "answers": false, "version": null, "why": "starting", "since": null }),
        CharonLink::Down { why, since } => {
            json!({ "answers": false, "version": null, "why": why, "since": since.to_string() })
        }
    };
    let name = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut body = json!({
        "name": name, "version": env!("CARGO_PKG_VERSION"), "charon": charon,
        "caller": { "name": caller.to_string(), "role": caller.role.name() },
        "fleet": fleet::seen(&api),
    });
    child_json::extend(&mut body, ha::roles(&api));
    Ok(json_response(StatusCode::OK, &body))
}
