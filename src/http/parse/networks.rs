//! Networks: the CIDRs behind the peer, and the local networks of this gateway.

use super::{
    check::{mandatory_value, not_among, text},
    limits,
};
use crate::{
    error::{Error, Problem, Resource, Result},
    http::{
        envelope::Params,
        error::Failure,
        wire::{self, NetworkParams, Tags},
    },
    ipsec::{ConnectionId, Invalid, TrafficSelector, special::never_carried},
    settings::{Gateway, Vip},
    store::{Network, RemoteCidr},
};
use jiff::Timestamp;

/// `peerCidrs` of `AddRemoteCidrsToIPsecConnection`.
///
/// # Errors
/// When there is none, or one is none or stands there twice.
pub fn peer_cidrs(params: &Params, now: Timestamp) -> Result<Vec<RemoteCidr>, Failure> {
    let own: NetworkParams = wire::read(&params.members)?;
    Ok(remote_cidrs(elements("peerCidrs", required("peerCidrs", own.peer_cidrs)?)?, now)?)
}

/// `l3NetworkUuids` of `AttachL3NetworksToIPsecConnection`.
///
/// # Errors
/// When there is none, or the gateway does not have one of them.
pub fn l3_networks(params: &Params, gateway: &Gateway, now: Timestamp) -> Result<Vec<Network>, Failure> {
    let own: NetworkParams = wire::read(&params.members)?;
    let uuids = required("l3NetworkUuids", own.l3_network_uuids)?;
    if uuids.is_empty() {
        return Err(Error::member("l3NetworkUuids", Problem::Empty).into());
    }
    let uuids: Vec<_> = elements("l3NetworkUuids", uuids)?.iter().map(|uuid| uuid.trim().to_owned()).collect();
    let missing = uuids.iter().filter_map(|uuid| Some((uuid.clone(), gateway.find_l3_network(uuid).err()?)));
    let (missing, known): (Vec<_>, Vec<_>) = missing.unzip();
    if let Some(known) = known.into_iter().next() {
        return Err(not_among("l3NetworkUuids", missing.join(", "), Resource::L3Network, known).into());
    }
    Ok(uuids.iter().map(|uuid| network("l3NetworkUuids", uuid, gateway, now)).collect::<Result<_>>()?)
}

fn required<T>(field: &str, value: Option<Vec<T>>) -> Result<Vec<T>> {
    mandatory_value(field, value)
}

/// The CIDRs of a list in a query string.
///
/// # Errors
/// When there is none, or one is none.
pub fn cidr_list(field: &str, pairs: &[(String, String)]) -> Result<Vec<TrafficSelector>> {
    let cidr = |text: String| text.parse().map_err(|e: Invalid| Error::rule(field, e.to_string()));
    text_list(field, pairs)?.into_iter().map(cidr).collect()
}

/// The texts of a list in a query string: the key repeated, or with an index (contract 1.3).
///
/// # Errors
/// When there is none.
pub fn text_list(field: &str, pairs: &[(String, String)]) -> Result<Vec<String>> {
    let values = texts(field, pairs);
    limits::elements(field, values.len())?;
    let values = values.into_iter().map(|value| text(field, Some(value), 255));
    let values: Vec<_> = values.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    if values.is_empty() { mandatory_value(field, None) } else { Ok(values) }
}

/// Refuses what makes a list of a stored connection too long.
///
/// # Errors
/// When it would have so many elements.
pub fn list_length(field: &str, count: usize) -> Result<()> {
    limits::elements(field, count)
}

/// The tags in a query string.
#[must_use]
pub fn tags(pairs: &[(String, String)]) -> Tags {
    let list = |field| Some(texts(field, pairs)).filter(|list| !list.is_empty());
    Tags { system_tags: list("systemTags"), user_tags: list("userTags") }
}

fn texts(field: &str, pairs: &[(String, String)]) -> Vec<String> {
    let is_indexed = |name: &str| {
        let index = name.strip_prefix(field).and_then(|rest| rest.strip_prefix('.'));
        index.is_some_and(|index| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()))
    };
    pairs.iter().filter(|(name, _)| name == field || is_indexed(name)).map(|(_, value)| value.clone()).collect()
}

/// The local network that an optional parameter names.
///
/// # Errors
/// When the gateway does not have it.
pub fn optional_network(
    field: &'static str,
    uuid: Option<String>,
    gateway: &Gateway,
    now: Timestamp,
) -> Result<Option<Network>> {
    text(field, uuid, 255)?.map(|uuid| network(field, &uuid, gateway, now)).transpose()
}

/// The VIP that a parameter names.
///
/// # Errors
/// When the gateway does not have it.
pub fn vip<'a>(field: &'static str, text: &str, gateway: &'a Gateway) -> Result<&'a Vip> {
    gateway.find_vip(text).map_err(|known| not_among(field, text.into(), Resource::Vip, known))
}

/// The attachment of a local network.
pub(super) fn network(field: &'static str, text: &str, gateway: &Gateway, now: Timestamp) -> Result<Network> {
    let network = gateway.find_l3_network(text);
    let network = network.map_err(|known| not_among(field, text.into(), Resource::L3Network, known))?;
    let cidrs = network.cidrs.iter().map(|net| TrafficSelector::new(*net)).collect::<std::result::Result<_, _>>();
    let cidrs = cidrs.map_err(|e| Error::Internal(format!("gateway.l3_networks: {e}")))?;
    Ok(Network { uuid: ConnectionId::random(), network: network.uuid.clone(), cidrs, created: now })
}

/// The elements of a list that may not be empty.
pub(super) fn elements(field: &str, list: Vec<Option<String>>) -> Result<Vec<String>> {
    if list.is_empty() {
        return Err(Error::member(field, Problem::Empty));
    }
    limits::elements(field, list.len())?;
    let element = |text: Option<String>| text.ok_or_else(|| Error::rule(field, "cannot contain a NULL element"));
    list.into_iter().map(element).collect()
}

/// The networks behind the peer.
pub(super) fn remote_cidrs(cidrs: Vec<String>, now: Timestamp) -> Result<Vec<RemoteCidr>> {
    let mut entries = Vec::with_capacity(cidrs.len());
    for cidr in cidrs {
        let shown: String = cidr.trim().chars().take(64).collect();
        let cidr: TrafficSelector = shown.parse().map_err(|e: Invalid| Error::rule("peerCidrs", e.to_string()))?;
        if let Some(why) = never_carried(cidr) {
            return Err(Error::rule("peerCidrs", why));
        }
        if entries.iter().any(|entry: &RemoteCidr| entry.cidr == cidr) {
            return Err(Error::member("peerCidrs", Problem::Twice(cidr.to_string())));
        }
        entries.push(RemoteCidr { uuid: ConnectionId::random(), cidr, created: now });
    }
    Ok(entries)
}
