//! `GET /metrics`: what monitoring wants to know, in the text format of `OpenMetrics`. It asks for no credentials, so it is
//! made once a second at most, however many ask; no names, addresses or keys are in it, only uuids.

use super::state::{Answer, Shared};
use crate::{
    agent::{Agent, CharonLink, LocalAddresses, View},
    error::Error,
    ipsec::{Carried, Certs, Code, State as Wanted, Status},
};
use axum::{body::Bytes, extract::State, http::header::CONTENT_TYPE, response::IntoResponse};
use futures_util::FutureExt;
use jiff::Timestamp;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::task::spawn_blocking;

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge>;

/// The content type of the format (`OpenMetrics` 1.0.0).
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The handler.
pub async fn metrics(State(api): Shared) -> Answer {
    let agent = Arc::clone(&api.agent);
    let make = || async move { made(agent).await.map(Bytes::from) }.boxed();
    let text = api.metrics.get(make).await.map_err(|e| Error::Internal(format!("cannot make the metrics: {e}")))?;
    Ok(([(CONTENT_TYPE, FORMAT)], text).into_response())
}

async fn made(agent: Arc<Agent>) -> Result<String, String> {
    let views = agent.views().await;
    // With thousands of connections it takes a while, in which others are to be served.
    let made = spawn_blocking(move || {
        let mut registry = Registry::with_prefix("cygnet");
        about_charon(&mut registry, &agent);
        about_connections(&mut registry, &views);
        about_reasons(&mut registry, &agent, &views);
        about_traffic(&mut registry, &views);
        about_certificates(&mut registry, &views, Timestamp::now());
        about_events(&mut registry, &agent);
        let mut text = String::new();
        encode(&mut text, &registry).map(|()| text)
    });
    made.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: impl TryInto<i64>) {
    let gauge: Gauge = Gauge::default();
    gauge.set(value.try_into().unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn gauges(registry: &mut Registry, name: &str, help: &str) -> Gauges {
    let family = Gauges::default();
    registry.register(name, help, family.clone());
    family
}

fn about_charon(registry: &mut Registry, agent: &Agent) {
    let life = agent.link();
    let version = match &life {
        CharonLink::Up(charon) => charon.version.clone(),
        CharonLink::Starting | CharonLink::Down { .. } => String::new(),
    };
    let labels = vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("strongswan", version)];
    gauges(registry, "build_info", "The agent and the strongSwan beside it").get_or_create(&labels).set(1);
    let up = matches!(life, CharonLink::Up(_));
    gauge(registry, "charon_up", "Whether charon answers and holds what the store says", u32::from(up));
    gauge(registry, "damaged_records", "Stored connections that cannot be read", agent.store().damaged().len());
}

fn status_of(view: &View) -> &'static str {
    match view.status() {
        Some(Status::Ready) => "Ready",
        Some(Status::Connecting) => "Connecting",
        Some(Status::Disconnected) => "Disconnected",
        None => "Unknown",
    }
}

fn about_connections(registry: &mut Registry, views: &[View]) {
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

fn about_reasons(registry: &mut Registry, agent: &Agent, views: &[View]) {
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

fn about_traffic(registry: &mut Registry, views: &[View]) {
    let bytes = gauges(registry, "connection_bytes", "Bytes carried by the SAs that run now, each since it was made");
    for view in views {
        let children = || view.running.iter().flatten().flat_map(|ike| &ike.children);
        let sums = [
            ("in", children().map(|sa| sa.bytes.inbound).sum::<u64>()),
            ("out", children().map(|sa| sa.bytes.outbound).sum()),
        ];
        for (direction, sum) in sums.into_iter().filter(|_| children().next().is_some()) {
            let labels = vec![("uuid", view.record.id.to_string()), ("direction", direction.to_owned())];
            bytes.get_or_create(&labels).set(sum.try_into().unwrap_or(i64::MAX));
        }
    }
}

/// Of each role the certificate that ends first.
fn about_certificates(registry: &mut Registry, views: &[View], now: Timestamp) {
    let help = "Seconds until the first certificate of a connection in this role expires, negative when it has";
    let expiry = gauges(registry, "cert_expiry_seconds", help);
    for view in views {
        let mut first = BTreeMap::new();
        for (role, certificate) in view.record.connection.auth.certs().into_iter().flat_map(Certs::by_role) {
            let end = first.entry(role).or_insert(certificate.not_after);
            *end = certificate.not_after.min(*end);
        }
        for (role, end) in first {
            let labels = vec![("uuid", view.record.id.to_string()), ("certificate", role.name().to_owned())];
            expiry.get_or_create(&labels).set(end.duration_since(now).as_secs());
        }
    }
}

fn about_events(registry: &mut Registry, agent: &Agent) {
    let events: Family<Labels, Counter> = Family::default();
    registry.register("events", "What happened since the agent was started", events.clone());
    for (name, count) in agent.events().counts() {
        events.get_or_create(&vec![("event", name.into())]).inc_by(count);
    }
}
