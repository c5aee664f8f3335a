//! Our own view beside the contract's: health, readiness, and a connection with what runs of it.

use super::{Answer, Shared, error::json_response, id_of};
use crate::{
    agent::{Life, View},
    ipsec::{ChildSa, ChildState, IkeSa, IkeState},
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

/// `GET /healthz`: the process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 when charon holds what the store says, else 503 with the reason.
pub async fn readyz(State(api): Shared) -> Response {
    let damaged: Vec<_> = api.agent.store().damaged().iter().map(|d| json!({ "file": d.path, "why": d.why })).collect();
    let (status, state) = match api.agent.life() {
        Life::Up(charon) => (StatusCode::OK, json!({ "ready": true, "strongswan": charon.version })),
        Life::Starting => (StatusCode::SERVICE_UNAVAILABLE, json!({ "ready": false, "why": "starting" })),
        Life::Down(why) => (StatusCode::SERVICE_UNAVAILABLE, json!({ "ready": false, "why": why })),
    };
    let mut body = state;
    if let Some(members) = body.as_object_mut().filter(|_| !damaged.is_empty()) {
        members.insert("damaged".into(), damaged.into());
    }
    json_response(status, &body)
}

/// `GET /cygnet/v1/connections/{uuid}`: the inventory, and per child what is wanted and what runs.
pub async fn connection(State(api): Shared, Path(uuid): Path<String>) -> Answer {
    let view = api.agent.view(id_of(&uuid)?).await?;
    let body = json!({ "inventory": api.inventory(&view), "ike_sas": ike_sas(&view), "children": children(&view) });
    Ok(json_response(StatusCode::OK, &body))
}

fn ike_sas(view: &View) -> Value {
    let Some(running) = &view.running else { return Value::Null };
    let item = |ike: &IkeSa| {
        let suite = &ike.suite;
        json!({
            "id": ike.unique_id, "version": ike.version, "as_wanted": ike.runs(&view.record.connection),
            "state": match ike.state {
                IkeState::Connecting => "connecting",
                IkeState::Established => "established",
                IkeState::Closing => "closing",
            },
            "local": ike.hosts.0, "remote": ike.hosts.1,
            "encryption": suite.encryption, "key_bits": suite.key_bits, "integrity": suite.integrity,
            "prf": suite.prf, "group": suite.group,
        })
    };
    running.iter().map(item).collect()
}

fn children(view: &View) -> Value {
    let connection = &view.record.connection;
    let running: Vec<_> = view.running.iter().flatten().flat_map(|ike| &ike.children).collect();
    let item = |child: &crate::ipsec::Child| {
        let sas: Vec<_> = running
            .iter()
            .filter(|sa| sa.name == child.name)
            .map(|sa| child_sa(sa, sa.runs(connection, child)))
            .collect();
        let texts = |nets: &[crate::ipsec::TrafficSelector]| nets.iter().map(ToString::to_string).collect::<Vec<_>>();
        json!({ "name": child.name, "local": texts(&child.local), "remote": texts(&child.remote),
                "sas": view.running.as_ref().map(|_| sas) })
    };
    connection.children.iter().map(item).collect()
}

fn child_sa(sa: &ChildSa, as_wanted: bool) -> Value {
    let suite = &sa.suite;
    json!({
        "id": sa.unique_id, "as_wanted": as_wanted,
        "state": match sa.state {
            ChildState::Pending => "pending",
            ChildState::Installed => "installed",
            ChildState::Replaced => "replaced",
            ChildState::Closing => "closing",
        },
        "protocol": if sa.ah { "ah" } else { "esp" },
        "encryption": suite.encryption, "key_bits": suite.key_bits, "integrity": suite.integrity, "group": suite.group,
        "local": sa.local, "remote": sa.remote, "age_s": sa.age,
        "bytes_in": sa.bytes.0, "bytes_out": sa.bytes.1, "packets_in": sa.packets.0, "packets_out": sa.packets.1,
    })
}
