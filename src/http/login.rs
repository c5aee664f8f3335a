//! Sessions over HTTP: login, logout, validity, renewal (contract 1.10). Always answered directly.

use super::{
    auth::{Origin, Session},
    envelope::Envelope,
    error::{Failure, json_response},
    inventory::date,
    message::Message,
    parse,
    state::{Answer, Shared},
    zone,
};
use crate::error::Error;
use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;
use serde_json::json;
use std::time::Instant;

/// `PUT /accounts/login`: by the account's name and the SHA-512 of its password.
pub async fn login(State(api): Shared, Extension(origin): Extension<Origin>, body: Body) -> Answer {
    let params = Envelope::read_login(body).await?.params("logInByAccount")?;
    let (name, digest) = parse::login(&params)?;
    let (uuid, account, session) = api.auth.login(origin, &name, digest).await?;
    Ok(answer(&uuid, &account, &session))
}

/// `PUT /accounts/users/login`: there are accounts here, and no users in them.
pub async fn user_login() -> Failure {
    Failure::Api(Error::Login("wrong account or username or password".into()))
}

/// `DELETE /accounts/sessions/{uuid}`.
pub async fn log_out(State(api): Shared, Path(uuid): Path<String>) -> Response {
    api.auth.logout(&uuid);
    json_response(StatusCode::OK, &json!({}))
}

/// `GET /accounts/sessions/{uuid}/valid`.
pub async fn valid(State(api): Shared, Path(uuid): Path<String>) -> Response {
    json_response(StatusCode::OK, &json!({ "valid": api.auth.is_valid(&uuid) }))
}

/// `PUT /accounts/sessions/{uuid}/renew`.
pub async fn renew(State(api): Shared, Path(uuid): Path<String>, body: Body) -> Answer {
    let params = Message::RenewSession.params(Envelope::read(body).await?)?;
    let (account, session) = api.auth.renew(&uuid, parse::renewal(&params)?)?;
    Ok(answer(&uuid, &account, &session))
}

fn answer(uuid: &str, account: &str, session: &Session) -> Response {
    let zone = zone::local();
    let expires = session.expires((Instant::now(), Timestamp::now()));
    let inventory = json!({
        "uuid": uuid, "accountUuid": account, "userUuid": account,
        "expiredDate": date(expires, &zone), "createDate": date(session.created, &zone),
    });
    json_response(StatusCode::OK, &json!({ "inventory": inventory }))
}
