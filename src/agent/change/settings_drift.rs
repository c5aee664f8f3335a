//! Settings that changed under stored connections: the address of a VIP, the CIDRs of a network. A record keeps what
//! the settings said when it was made. What they say now is shown as drift first; the next Change or Reconnect takes
//! it over, or [`Agent::reconnect_all_changed`]. A reload of the settings alone changes no tunnel.

use crate::{
    agent::{
        Agent, WriteOptions,
        change::transaction::{not_found, uncancelled},
        observe::events::EventKind,
    },
    error::{Error, Result},
    ipsec::{Conflict, ConnectionId, TrafficSelector},
    settings::Gateway,
    store::{Network, Record, Reference, Spec},
};
use jiff::Timestamp;
use std::{collections::BTreeSet, fmt, sync::Arc};

/// A value that a connection keeps although the settings have another one, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingDrift {
    /// The list in the settings: `gateway.vips` or `gateway.l3_networks`.
    pub setting: &'static str,
    /// The entry's uuid.
    pub uuid: String,
    /// What the connection runs with.
    pub stored: String,
    /// What the settings say; `None` if the entry is gone. Then the connection keeps what it has.
    pub now: Option<String>,
}

impl fmt::Display for SettingDrift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, uuid, stored, now } = self;
        match now {
            Some(now) => write!(f, "{setting} {uuid} is {now} in the settings and {stored} in the connection"),
            None => write!(f, "{setting} {uuid} is not in the settings any more and {stored} in the connection"),
        }
    }
}

/// Where `spec` differs from what `gateway` says now.
#[must_use]
pub fn settings_drift(spec: &Spec, gateway: &Gateway) -> Vec<SettingDrift> {
    let vip = gateway.vip(&spec.vip.uuid).map(|vip| vip.address);
    let moved = (vip != Some(spec.vip.address)).then(|| SettingDrift {
        setting: "gateway.vips",
        uuid: spec.vip.uuid.clone(),
        stored: spec.vip.address.to_string(),
        now: vip.map(|address| address.to_string()),
    });
    let networks = spec.local.iter().filter_map(|network| {
        let now = gateway.l3_network(&network.network).map(|now| selectors(&now.cidrs));
        let differs = now.as_ref().is_none_or(|now| !is_same(now, &network.cidrs));
        differs.then(|| SettingDrift {
            setting: "gateway.l3_networks",
            uuid: network.network.clone(),
            stored: list(&network.cidrs),
            now: now.as_deref().map(list),
        })
    });
    moved.into_iter().chain(networks).collect()
}

/// `spec` with what `gateway` says now. What the settings do not have any more is kept, and so is what only stands in
/// another order.
#[must_use]
pub fn follow_settings(spec: &Spec, gateway: &Gateway) -> Spec {
    let vip = gateway.vip(&spec.vip.uuid).map_or(spec.vip.address, |vip| vip.address);
    let local = spec.local.iter().map(|network| {
        let now = gateway.l3_network(&network.network).map(|now| selectors(&now.cidrs));
        let cidrs = now.filter(|now| !is_same(now, &network.cidrs)).unwrap_or_else(|| network.cidrs.clone());
        Network { cidrs, ..network.clone() }
    });
    Spec { vip: Reference { address: vip, ..spec.vip.clone() }, local: local.collect(), ..spec.clone() }
}

/// `record` with what `gateway` says now, in a new generation: what a Reconnect means.
///
/// # Errors
/// When the values cannot stand together any more.
pub fn reconnected(record: &Record, gateway: &Gateway, now: Timestamp) -> Result<Record, Conflict> {
    let spec = follow_settings(&record.spec, gateway);
    let followed = if spec == record.spec { record.clone() } else { record.changed(spec, now)? };
    Ok(followed.renewed(now))
}

/// The settings hold valid prefixes alone: they were checked when they were read.
fn selectors(cidrs: &[ipnet::IpNet]) -> Vec<TrafficSelector> {
    cidrs.iter().filter_map(|net| TrafficSelector::new(*net).ok()).collect()
}

fn is_same(a: &[TrafficSelector], b: &[TrafficSelector]) -> bool {
    let set = |list: &[TrafficSelector]| list.iter().map(|selector| selector.net()).collect::<BTreeSet<_>>();
    set(a) == set(b)
}

fn list(cidrs: &[TrafficSelector]) -> String {
    cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Agent {
    /// Where the settings have moved away from `record`.
    #[must_use]
    pub fn settings_drift(&self, record: &Record) -> Vec<SettingDrift> {
        settings_drift(&record.spec, &self.gateway())
    }

    /// Tells of each connection that `now` moves away from and `before` did not, or not so.
    pub(in crate::agent) fn tell_settings_drift(&self, before: Option<&Gateway>, now: &Gateway) {
        for record in self.store.all() {
            let drift = settings_drift(&record.spec, now);
            let known = before.map(|before| settings_drift(&record.spec, before));
            if !drift.is_empty() && known.as_ref() != Some(&drift) {
                tracing::warn!(uuid = %record.id, ?drift, "the settings have changed under the connection");
                self.publish(record.id, EventKind::SettingsDrift(drift));
            }
        }
    }

    /// Takes over what the settings say now in each connection that they can be taken over in, as a Change would: the
    /// new SA comes up beside the old one. Returns what came of each; waits for no tunnel.
    pub async fn reconnect_all_changed(self: &Arc<Self>) -> Vec<(Arc<Record>, Result<()>)> {
        let gateway = self.gateway();
        let is_behind = |record: &Arc<Record>| follow_settings(&record.spec, &gateway) != record.spec;
        let mut outcomes = Vec::new();
        for record in self.store.all().into_iter().filter(is_behind) {
            outcomes.push((Arc::clone(&record), self.take_over_settings(record.id).await));
        }
        outcomes
    }

    async fn take_over_settings(self: &Arc<Self>, id: ConnectionId) -> Result<()> {
        let settings = Arc::clone(self);
        let edit = move |old: Option<&Record>| {
            let old = old.ok_or_else(|| not_found(id))?;
            let spec = follow_settings(&old.spec, &settings.gateway());
            let new = old.changed(spec, Timestamp::now());
            new.map_err(|e| Error::Part { part: e.part.name(), why: e.why.0 })
        };
        let agent = Arc::clone(self);
        uncancelled(async move { agent.put(id, &WriteOptions::default(), edit).await }).await.map(drop)
    }
}
