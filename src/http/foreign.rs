//! `GET /cygnet/v1/foreign`: what charon has beside the connections of cygnet, for people who look for it.

use super::{
    child_json::extend,
    error::json_response,
    sa_json,
    state::{Answer, Shared},
};
use crate::{agent::Stranger, ipsec::IkeSa, strongswan::foreign::ForeignChild};
use axum::{extract::State, http::StatusCode};
use serde_json::{Value, json};

/// The most connections in an answer.
const MOST: usize = 1000;

/// The handler: null if charon does not answer.
pub async fn foreign(State(api): Shared) -> Answer {
    let all = api.agent.strangers().await;
    let left_out = all.as_ref().map_or(0, |all| all.len().saturating_sub(MOST));
    let connections: Option<Vec<_>> =
        all.as_ref().map(|all| all.iter().take(MOST).map(|(name, stranger)| connection(name, stranger)).collect());
    Ok(json_response(StatusCode::OK, &json!({ "connections": connections, "left_out": left_out })))
}

fn connection(name: &str, stranger: &Stranger) -> Value {
    let loaded = stranger.connection.as_ref();
    let child = |child: &ForeignChild| json!({ "name": child.name, "local": child.local, "remote": child.remote });
    json!({
        "name": name, "loaded": loaded.is_some(),
        "version": loaded.map(|loaded| &loaded.version),
        "local": loaded.map(|loaded| &loaded.locals), "remote": loaded.map(|loaded| &loaded.remotes),
        "children": loaded.map(|loaded| loaded.children.iter().map(child).collect::<Vec<_>>()),
        "ike_sas": stranger.running.iter().map(ike_sa).collect::<Vec<_>>(),
    })
}

/// An IKE SA with its CHILD_SAs.
fn ike_sa(ike: &IkeSa) -> Value {
    let child = |sa| {
        let mut item = sa_json::child_sa(ike, sa);
        extend(&mut item, json!({ "name": sa.name }));
        item
    };
    let mut item = sa_json::ike_sa(ike);
    extend(&mut item, json!({ "children": ike.children.iter().map(child).collect::<Vec<_>>() }));
    item
}
