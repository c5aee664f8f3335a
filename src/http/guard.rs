//! What every call passes: whose it is, and, where the caller asks for it, the classes of the answer.

use super::{
    audit,
    auth::{Caller, Origin, Role, Standing, Who},
    error::{Failure, json_response},
    inventory::result_schema,
    paths::signed_path,
    route::Route,
    serve::room::Seat,
    state::{Answer, Shared},
};
use axum::{
    Extension,
    extract::{Request, State},
    http::{Extensions, Method, StatusCode},
    middleware::Next,
    response::IntoResponse,
};
use serde_json::Value;
use std::sync::Arc;

/// Lets known callers pass. Of a write that may become a job it is known already who calls.
pub async fn authenticate(
    State(api): Shared,
    Extension(origin): Extension<Origin>,
    mut request: Request,
    next: Next,
) -> Answer {
    let known = request.extensions().get::<Caller>().cloned();
    let check = || api.auth.check(origin, request.headers(), request.method(), &signed_path(request.uri()));
    match known.map_or_else(check, Ok) {
        Ok(caller) => {
            mark_known(request.extensions());
            if let Err(failure) = permit(&caller, &request) {
                return Ok(audit::forbidden(&api, &request, origin, &caller, failure));
            }
            request.extensions_mut().insert(caller.clone());
            // Held until the answer is there: what a body becomes takes memory too.
            let _reserved = match api.bodies.reserve(&mut request).await {
                Ok(reserved) => reserved,
                Err(failure) => {
                    let mut response = failure.into_response();
                    response.extensions_mut().insert(caller);
                    return Ok(response);
                }
            };
            let standing = Standing::of(&caller, request.headers());
            let response = audit::answered(&api, &caller, origin, request, next).await;
            Ok(standing.bound(&api, response))
        }
        Err(failure) => {
            let mut response = failure.into_response();
            audit::refused(&api, &request, origin, &mut response);
            Ok(response)
        }
    }
}

/// Refuses a write of a caller who may only read.
///
/// # Errors
/// 403 with what to do instead.
pub fn permit(caller: &Caller, request: &Request) -> Result<(), Failure> {
    let route = request.extensions().get::<&'static Route>();
    let call = route.and_then(|route| route.call(request.method())).filter(|call| call.writes());
    match call {
        Some(call) if caller.role == Role::Read => {
            let file = if matches!(caller.who, Who::Token(_)) { "tokens file" } else { "accounts file" };
            let text = format!(
                "{caller} has the role read and may not call {}: call with credentials that have the role write, or give \
                 it that role in the {file} of the gateway",
                call.name().unwrap_or(call.operation)
            );
            Err(Failure::Text(StatusCode::FORBIDDEN, text))
        }
        _ => Ok(()),
    }
}

/// Notes that right credentials were shown on the connection: it is closed behind all strangers when room is short.
pub fn mark_known(extensions: &Extensions) {
    if let Some(seat) = extensions.get::<Arc<Seat>>() {
        seat.is_known();
    }
}

/// Adds the classes of the elements to the result of a write, if the caller asks for them (contract 1.4).
pub async fn with_schema(request: Request, next: Next) -> Answer {
    let is_write = !matches!(*request.method(), Method::GET | Method::HEAD);
    let wanted = is_write && request.headers().contains_key("X-JSON-Schema");
    let response = next.run(request).await;
    if !wanted || response.status() != StatusCode::OK {
        return Ok(response);
    }
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
    let mut body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let schema = body.get("inventory").filter(|inventory| inventory.get("peerCidrs").is_some()).map(result_schema);
    if let (Some(members), Some(schema)) = (body.as_object_mut(), schema) {
        members.insert("schema".into(), schema);
    }
    Ok(json_response(StatusCode::OK, &body))
}
