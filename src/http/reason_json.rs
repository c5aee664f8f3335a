//! Reasons as callers see them.

use crate::{
    agent::{Agent, LocalAddresses, View},
    ipsec::{Reason, Status, status},
};
use serde_json::{Value, json};

/// A reason as JSON.
#[must_use]
pub fn reason(reason: &Reason) -> Value {
    let mut object = json!({
        "code": reason.code.name(),
        "since": reason.since.to_string(),
        "details": reason.details,
        "advice": reason.code.advice(),
    });
    if let Some(trigger) = reason.trigger {
        object["trigger"] = trigger.name().into();
    }
    object
}

/// Adds to the native view of a connection why it, and which of its children, are not up.
pub fn add(agent: &Agent, view: &View, body: &mut Value) {
    let host = (view.status() != Some(Status::Ready)).then(LocalAddresses::read_host);
    let whole = host.as_ref().and_then(|host| agent.reason(view, host));
    body["reason"] = whole.as_ref().map_or(Value::Null, reason);
    let running = view.running.as_deref().unwrap_or_default();
    let connection = view.record.counting();
    let children = body["children"].as_array_mut().into_iter().flatten();
    for (child, item) in connection.children.iter().zip(children) {
        let down = host.as_ref().filter(|_| !status::carries(&connection, child, running));
        item["reason"] = down.map_or(Value::Null, |host| reason(&agent.reason_of(view, child, host)));
    }
}
