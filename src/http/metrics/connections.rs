//! The series of connections.

use super::series::{counters, gauges};
use crate::{
    agent::{Agent, LocalAddresses, View},
    ipsec::{Carried, Certs, Code, State as Wanted, Status},
};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;

fn status_of(view: &View) -> &'static str {
    match view.status() {
        Some(Status::Ready) => "Ready",
        Some(Status::Connecting) => "Connecting",
        Some(Status::Disconnected) => "Disconnected",
        None => "Unknown",
    }
}

/// Their states, and what each carries.
pub fn about(registry: &mut Registry, views: &[View]) {
    let counts = gauges(registry, "connections", "Stored connections by state and status");
    for state in ["Enabled", "Disabled"] {
        for status in ["Ready", "Connecting", "Disconnected", "Unknown"] {
            counts.get_or_create(&vec![("state", state.into()), ("status", status.into())]).set(0);
        }
    }
    let up = gauges(registry, "connection_up", "Whether an enabled connection runs as wanted");
    let help =
        "Whether some SA carries, of this or an earlier configuration, of a connection that has something to carry";
    let carrying = gauges(registry, "connection_carrying", help);
    let help = "Whether exactly what is wanted carries, of a connection that has something to carry";
    let as_wanted = gauges(registry, "connection_as_wanted", help);
    for view in views {
        let state = if view.record.state == Wanted::Enabled { "Enabled" } else { "Disabled" };
        counts.get_or_create(&vec![("state", state.into()), ("status", status_of(view).into())]).inc();
        if view.record.state == Wanted::Enabled {
            let labels = vec![("uuid", view.record.id.to_string())];
            up.get_or_create(&labels).set(i64::from(view.status() == Some(Status::Ready)));
            // Of what is unknown there is no number: unknown is not down.
            if let Some(carried) = view.carried() {
                carrying.get_or_create(&labels).set(i64::from(carried.is_something()));
                as_wanted.get_or_create(&labels).set(i64::from(carried == Carried::AsWanted));
            }
        }
    }
}

/// Why they are not up.
pub fn reasons(registry: &mut Registry, agent: &Agent, views: &[View]) {
    let counts = gauges(registry, "connections_down", "Enabled connections that are not up, by reason");
    for code in Code::ALL {
        counts.get_or_create(&vec![("reason", code.name().into())]).set(0);
    }
    let each = gauges(registry, "connection_down", "The reason why an enabled connection is not up");
    let host = LocalAddresses::read_host();
    for view in views.iter().filter(|view| view.record.state == Wanted::Enabled) {
        if let Some(reason) = agent.reason(view, &host) {
            let code = reason.code.name().to_owned();
            counts.get_or_create(&vec![("reason", code.clone())]).inc();
            each.get_or_create(&vec![("uuid", view.record.id.to_string()), ("reason", code)]).set(1);
        }
    }
}

/// How often each was negotiated and rekeyed, and why it failed, since the start of the agent.
pub fn tallies(registry: &mut Registry, agent: &Agent, views: &[View]) {
    let attempts = counters(registry, "connection_attempts", "Negotiations of a connection that this gateway began");
    let rekeyings =
        counters(registry, "connection_rekeyings", "Rekeyings of a connection by either end, by kind of SA");
    let failures = counters(registry, "connection_failures", "Failed negotiations of a connection, by reason");
    for view in views {
        let (tally, uuid) = (agent.tally(view.record.id), ("uuid", view.record.id.to_string()));
        attempts.get_or_create(&vec![uuid.clone()]).inc_by(tally.attempts);
        for (sa, count) in [("ike", tally.ike_rekeyings), ("child", tally.child_rekeyings)] {
            rekeyings.get_or_create(&vec![uuid.clone(), ("sa", sa.to_owned())]).inc_by(count);
        }
        for (code, count) in tally.failures() {
            failures.get_or_create(&vec![uuid.clone(), ("reason", code.name().to_owned())]).inc_by(count);
        }
    }
}

/// Of each role the certificate that ends first.
pub fn certificates(registry: &mut Registry, views: &[View], now: Timestamp) {
    let help = "Seconds until the first certificate of a connection in this role expires, negative when it has";
    let expiry = gauges(registry, "cert_expiry_seconds", help);
    let help = "When the first certificate of a connection in this role expires, in seconds since 1970";
    let ends = gauges(registry, "cert_not_after_timestamp_seconds", help);
    for view in views {
        let mut first = BTreeMap::new();
        for (role, certificate) in view.record.connection.auth.certs().into_iter().flat_map(Certs::by_role) {
            let end = first.entry(role).or_insert(certificate.not_after);
            *end = certificate.not_after.min(*end);
        }
        for (role, end) in first {
            let labels = vec![("uuid", view.record.id.to_string()), ("certificate", role.name().to_owned())];
            expiry.get_or_create(&labels).set(end.duration_since(now).as_secs());
            ends.get_or_create(&labels).set(end.as_second());
        }
    }
}

/// What people call them: to be joined with the other series by the uuid.
pub fn names(registry: &mut Registry, views: &[View]) {
    let info = gauges(registry, "connection_info", "Name, peer and VIP of a connection; always 1");
    for view in views {
        let (record, connection) = (&view.record, &view.record.connection);
        let labels = vec![
            ("uuid", record.id.to_string()),
            ("name", record.spec.names.name.clone()),
            ("peer", record.spec.peer.to_string()),
            ("vip", connection.local_addr.to_string()),
        ];
        info.get_or_create(&labels).set(1);
    }
}
