//! Settings that changed under stored connections: the address of a VIP, the CIDRs of a network. A record keeps what
//! the settings said when it was made. What they say now is shown as drift first; the next Change or Reconnect takes
//! it over, or [`reconnect_all_changed`](crate::agent::Agent::reconnect_all_changed). A reload of the settings alone changes no tunnel.

use crate::{
    error::Result,
    ipsec::{Conflict, TrafficSelector},
    settings::Gateway,
    store::{Network, Record, Reference, Spec},
};
use jiff::Timestamp;
use std::{collections::BTreeSet, fmt};

/// A value that a connection keeps while the settings have another one, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingDrift {
    /// The list in the settings: `gateway.vips` or `gateway.l3_networks`.
    pub setting: &'static str,
    /// The entry's uuid.
    pub uuid: String,
    /// The value of the connection.
    pub stored: String,
    /// The value of the settings; `None` if the entry is gone. The connection then keeps its value.
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

/// The differences between `spec` and `gateway`.
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

/// `spec` with the values of `gateway`. Values that the settings no longer have stay, and so does a mere difference in
/// order.
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

/// `record` with the values of `gateway`, in a new generation, as a Reconnect needs it.
///
/// # Errors
/// When the values conflict.
pub fn reconnected(record: &Record, gateway: &Gateway, now: Timestamp) -> Result<Record, Conflict> {
    let spec = follow_settings(&record.spec, gateway);
    let followed = if spec == record.spec { record.clone() } else { record.changed(spec, now)? };
    Ok(followed.renewed(now))
}

/// The prefixes are valid: reading the settings checked them.
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
