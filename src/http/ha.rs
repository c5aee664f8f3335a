//! The gateway's role in a pair: what it is, and that it is made a standby on purpose, or active again.

use super::{
    error::json_response,
    state::{Answer, Api, Shared},
};
use axum::{extract::State, http::StatusCode};
use serde_json::{Value, json};

/// `GET /cygnet/v1/ha`: the roles of this gateway.
pub async fn show(State(api): Shared) -> Answer {
    Ok(json_response(StatusCode::OK, &roles(&api)))
}

/// `POST /cygnet/v1/standby`: all tunnels are closed, and none is negotiated.
pub async fn standby(State(api): Shared) -> Answer {
    api.agent.give_up().await?;
    Ok(json_response(StatusCode::OK, &roles(&api)))
}

/// `POST /cygnet/v1/active`: the gateway works again for the addresses that it has.
pub async fn active(State(api): Shared) -> Answer {
    api.agent.take_back().await?;
    Ok(json_response(StatusCode::OK, &roles(&api)))
}

/// What this gateway is for its local addresses.
pub(super) fn roles(api: &Api) -> Value {
    let vip = |address: &std::net::IpAddr| {
        let (presence, since) = api.agent.presence(*address);
        json!({ "address": address.to_string(), "role": presence.role(), "since": since.map(|since| since.to_string()) })
    };
    let vips: Vec<_> = api.agent.vips().iter().map(vip).collect();
    json!({ "role": api.agent.ha_role(), "given_up": api.agent.has_given_up(), "vips": vips })
}
