//! What clients ask for before they come to IPsec: the VIPs, the L3 networks, the virtual router and the version. The
//! settings answer; the router is this gateway.

use super::{
    envelope::Envelope,
    error::json_response,
    paths::no_method,
    query::{Class, rows},
    request::Pairs,
    state::{Answer, Shared},
};
use crate::settings::{L3Network, Vip};
use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::{Method, StatusCode, Uri},
};
use serde_json::{Map, Value, json};

const VIP: Class = Class::plain("org.zstack.network.service.vip.VipInventory", &["uuid", "name", "ip", "state"]);
/// L3 networks.
pub const L3_NETWORK: Class =
    Class::plain("org.zstack.header.network.l3.L3NetworkInventory", &["uuid", "name", "state", "ipRanges"]);
const ROUTER: Class = Class::plain("org.zstack.header.vpc.VpcRouterVmInventory", &["uuid", "name", "state", "status"]);

/// `QueryVip`.
pub async fn vips(State(api): Shared, Query(pairs): Pairs) -> Answer {
    answer(&pairs, &VIP, api.agent.gateway().vips.iter().map(vip), None)
}

/// `QueryVip` by uuid.
pub async fn vip_by_uuid(State(api): Shared, Path(uuid): Path<String>, Query(pairs): Pairs) -> Answer {
    answer(&pairs, &VIP, api.agent.gateway().vips.iter().map(vip), Some(&uuid))
}

/// `QueryL3Network`.
pub async fn l3_networks(State(api): Shared, Query(pairs): Pairs) -> Answer {
    answer(&pairs, &L3_NETWORK, api.agent.gateway().l3_networks.iter().map(l3_network), None)
}

/// `QueryL3Network` by uuid.
pub async fn l3_network_by_uuid(State(api): Shared, Path(uuid): Path<String>, Query(pairs): Pairs) -> Answer {
    answer(&pairs, &L3_NETWORK, api.agent.gateway().l3_networks.iter().map(l3_network), Some(&uuid))
}

/// `QueryVpcRouter`.
pub async fn routers(Query(pairs): Pairs) -> Answer {
    answer(&pairs, &ROUTER, std::iter::once(router()), None)
}

/// `QueryVpcRouter` by uuid.
pub async fn router_by_uuid(Path(uuid): Path<String>, Query(pairs): Pairs) -> Answer {
    answer(&pairs, &ROUTER, std::iter::once(router()), Some(&uuid))
}

/// `GetVersion`: cygnet's own; clients only want to see one. The path has other actions in the management plane.
pub async fn version(uri: Uri, body: Body) -> Answer {
    if !Envelope::read_login(body).await?.has("getVersion") {
        return Err(no_method(&Method::PUT, &uri));
    }
    Ok(json_response(StatusCode::OK, &json!({ "version": env!("CARGO_PKG_VERSION") })))
}

fn answer(
    pairs: &[(String, String)],
    class: &Class,
    all: impl Iterator<Item = Map<String, Value>>,
    uuid: Option<&str>,
) -> Answer {
    let all = all.filter(|row| uuid.is_none_or(|uuid| row.get("uuid").and_then(Value::as_str) == Some(uuid)));
    Ok(json_response(StatusCode::OK, &rows(pairs, class, all.collect())?))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn vip(vip: &Vip) -> Map<String, Value> {
    object(json!({ "uuid": vip.uuid, "name": vip.shown_name(), "ip": vip.address, "state": "Enabled" }))
}

/// A network as candidates and queries show it.
pub fn l3_network(network: &L3Network) -> Map<String, Value> {
    let range = |cidr: &ipnet::IpNet| json!({ "l3NetworkUuid": network.uuid, "networkCidr": cidr.to_string() });
    let ranges: Vec<_> = network.cidrs.iter().map(range).collect();
    object(json!({ "uuid": network.uuid, "name": network.shown_name(), "state": "Enabled", "ipRanges": ranges }))
}

fn router() -> Map<String, Value> {
    let name = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let uuid = crate::settings::uuid_of("router", &name);
    object(json!({ "uuid": uuid, "name": name, "state": "Running", "status": "Connected" }))
}
