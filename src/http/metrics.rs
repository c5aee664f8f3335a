//! `GET /metrics`: what monitoring wants to know, for Prometheus and whoever reads its formats. It asks for no credentials, so it is
//! made once a second at most, however many ask. Names and addresses are for callers on this host or with credentials;
//! the others get uuids. Keys are in neither.

pub(super) mod calls;
mod charon;
mod children;
mod connections;
mod process;
mod sas;
mod series;
pub(super) mod texts;

use super::{
    auth::Origin,
    state::{Answer, Api, Shared},
};
use crate::{
    agent::{Agent, CharonLink, LocalAddresses},
    error::Error,
};
use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, Method, header::CONTENT_TYPE},
    response::IntoResponse,
};
use futures_util::FutureExt;
use jiff::Timestamp;
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use series::{Labels, gauge, gauges};
use std::sync::Arc;
use texts::{Pieces, Texts};
use tokio::task::spawn_blocking;

/// Headers by which a proxy on this host says that it asks for somebody else.
const FORWARDED: [&str; 4] = ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"];

/// The handler.
pub async fn metrics(
    State(api): Shared,
    Extension(origin): Extension<Origin>,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    let texts = api.metrics.get(|| made(Arc::clone(&api)).boxed()).await;
    let texts = texts.map_err(|e| Error::Internal(format!("cannot make the metrics: {e}")))?;
    let is_known = is_here(origin, &headers) || api.auth.check(origin, &headers, &method, "/metrics").is_ok();
    let (format, text) = texts.asked(&headers, is_known);
    Ok(([(CONTENT_TYPE, format)], text).into_response())
}

/// Whether the caller is a program of this host, on its own behalf.
fn is_here(origin: Origin, headers: &HeaderMap) -> bool {
    match origin {
        Origin::Local(_) => true,
        Origin::Network(address, _) => {
            address.to_canonical().is_loopback() && !FORWARDED.iter().any(|name| headers.contains_key(*name))
        }
    }
}

async fn made(api: Arc<Api>) -> Result<Texts, String> {
    let (views, stats) = tokio::join!(api.agent.views(), api.agent.charon_stats());
    // With thousands of connections it takes a while, in which others are to be served.
    let made = spawn_blocking(move || {
        let agent = &api.agent;
        let mut few = Registry::with_prefix("cygnet");
        about_charon(&mut few, agent);
        charon::answers(&mut few, agent);
        if let Some(stats) = &stats {
            charon::work(&mut few, stats);
        }
        api.calls.register(&mut few);
        few.register("logins", "Logins, by what came of them", api.auth.logins());
        about_events(&mut few, agent);
        let mut open = Pieces::default();
        open.add(&few)?;
        connections::about(&mut open, &views);
        connections::reasons(&mut open, agent, &views);
        connections::tallies(&mut open, agent, &views);
        connections::certificates(&mut open, &views, Timestamp::now());
        children::about(&mut open, agent, &views);
        sas::about(&mut open, &views);
        let (mut own, mut vips) = (Registry::default(), Registry::with_prefix("cygnet"));
        process::about(&mut own);
        open.add(&own)?;
        let mut named = Pieces::default();
        connections::names(&mut named, &views);
        about_vips(&mut vips, agent);
        named.add(&vips)?;
        Texts::new(open, named)
    });
    made.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
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

/// Whether each local address is on this host: on a standby gateway it is not.
fn about_vips(registry: &mut Registry, agent: &Agent) {
    let present = gauges(registry, "vip_present", "Whether the VIP is an address of this host");
    let host = LocalAddresses::read_host();
    for vip in agent.vips() {
        // Of what is unknown there is no number.
        if let Some(addresses) = host.addresses() {
            let is_here = addresses.contains(&vip);
            present.get_or_create(&vec![("vip", vip.to_string())]).set(i64::from(is_here));
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
