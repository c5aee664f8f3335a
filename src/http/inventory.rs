//! `IPsecConnectionInventory` (contract 1.12): a connection as the API shows it.

use super::{options::shown, parse::MASK};
use crate::{
    agent::View,
    ipsec::{Auth, State, Status},
    store::{Network, RemoteCidr},
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value, json};

/// The API's class of a connection.
pub(super) const CONNECTION_CLASS: &str = "org.zstack.ipsec.IPsecConnectionInventory";
const CIDR_CLASS: &str = "org.zstack.ipsec.IPsecPeerCidrInventory";
const REF_CLASS: &str = "org.zstack.ipsec.IPsecL3NetworkRefInventory";

/// All members of an inventory, for queries and their errors.
pub const MEMBERS: [&str; 27] = [
    "uuid",
    "name",
    "description",
    "peerAddress",
    "authMode",
    "authKey",
    "vipUuid",
    "ikeAuthAlgorithm",
    "ikeEncryptionAlgorithm",
    "ikeDhGroup",
    "policyAuthAlgorithm",
    "policyEncryptionAlgorithm",
    "pfs",
    "policyMode",
    "transformProtocol",
    "ikeVersion",
    "idType",
    "localId",
    "remoteId",
    "state",
    "status",
    "ikeLifeTime",
    "lifeTime",
    "createDate",
    "lastOpDate",
    "peerCidrs",
    "l3NetworkRefs",
];

/// The inventory of `view`; members without a value are left out. With `mask`, the key is hidden.
#[must_use]
pub fn inventory(view: &View, mask: bool, zone: &TimeZone) -> Value {
    let members = MEMBERS.iter().map(|name| ((*name).to_owned(), member(view, name, mask, zone)));
    members.filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>().into()
}

/// The member `name` of the inventory of `view`; null if it has no value, or does not exist.
#[must_use]
pub fn member(view: &View, name: &str, mask: bool, zone: &TimeZone) -> Value {
    let record = &view.record;
    let (spec, id) = (&record.spec, record.id.to_string());
    match name {
        "uuid" => id.into(),
        "name" => spec.names.name.as_str().into(),
        "description" => spec.names.description.as_deref().into(),
        "peerAddress" => spec.peer.to_string().into(),
        "authKey" => auth_key(&spec.options.auth, mask),
        "vipUuid" => spec.vip.uuid.as_str().into(),
        "state" => if record.state == State::Enabled { "Enabled" } else { "Disabled" }.into(),
        "status" => status(view).into(),
        "createDate" => date(record.created, zone).into(),
        "lastOpDate" => date(record.changed, zone).into(),
        "peerCidrs" => spec.remote.iter().map(|entry| cidr(entry, &id, zone)).collect(),
        "l3NetworkRefs" => spec.local.iter().map(|network| network_ref(network, &id, zone)).collect(),
        _ => shown(&spec.options, name),
    }
}

fn auth_key(auth: &Auth, mask: bool) -> Value {
    match auth {
        _ if mask => MASK.into(),
        Auth::Psk(psk) => String::from_utf8_lossy(psk.expose()).into(),
        // A private key never leaves the gateway.
        Auth::Certs(certs) => certs.masked_pem(MASK).into(),
    }
}

fn status(view: &View) -> Option<&'static str> {
    view.status().map(|status| match status {
        Status::Connecting => "Connecting",
        Status::Ready => "Ready",
        Status::Disconnected => "Disconnected",
    })
}

/// The list `name` that a query may look into beyond the inventory: tags, the VIP or the local networks.
#[must_use]
pub fn beyond(view: &View, name: &str) -> Option<Value> {
    let spec = &view.record.spec;
    let networks = || {
        let cidrs = spec.local.iter().flat_map(|network| network.cidrs.iter().map(move |cidr| (network, cidr)));
        cidrs.map(|(network, cidr)| json!({ "uuid": network.network, "cidr": cidr.to_string() })).collect()
    };
    match name {
        "__systemTag__" => Some(json!(spec.names.system_tags)),
        "__userTag__" => Some(json!(spec.names.user_tags)),
        "__tagUuid__" => Some(json!([])),
        "vip" => Some(json!([{ "uuid": spec.vip.uuid, "ip": spec.vip.address }])),
        "l3Network" => Some(networks()),
        _ => None,
    }
}

/// The moment that the member `name` of the inventory shows, if it is a date.
#[must_use]
pub fn time(view: &View, name: &str) -> Option<Timestamp> {
    match name {
        "createDate" => Some(view.record.created),
        "lastOpDate" => Some(view.record.changed),
        _ => None,
    }
}

/// The moments that each date of the elements of the list `name` shows.
#[must_use]
pub fn times(view: &View, name: &str) -> Option<Vec<Timestamp>> {
    let spec = &view.record.spec;
    match name {
        "peerCidrs" => Some(spec.remote.iter().map(|entry| entry.created).collect()),
        "l3NetworkRefs" => Some(spec.local.iter().map(|network| network.created).collect()),
        _ => None,
    }
}

/// One member, which is no date, of each element of the list `name`; `None` where elements are made whole. A condition
/// looks at one of five, and dates cost most.
#[must_use]
pub fn column(view: &View, name: &str, member: &str) -> Option<Vec<Value>> {
    let (spec, id) = (&view.record.spec, view.record.id.to_string());
    let cidr = |entry: &RemoteCidr| match member {
        "uuid" => entry.uuid.to_string().into(),
        "cidr" => entry.cidr.to_string().into(),
        _ => id.as_str().into(),
    };
    let network = |network: &Network| match member {
        "uuid" => network.uuid.to_string().into(),
        "l3NetworkUuid" => network.network.as_str().into(),
        _ => id.as_str().into(),
    };
    match name {
        "peerCidrs" => Some(spec.remote.iter().map(cidr).collect()),
        "l3NetworkRefs" => Some(spec.local.iter().map(network).collect()),
        _ => None,
    }
}

fn cidr(entry: &RemoteCidr, connection: &str, zone: &TimeZone) -> Value {
    let created = date(entry.created, zone);
    json!({ "uuid": entry.uuid.to_string(), "cidr": entry.cidr.to_string(), "connectionUuid": connection,
            "createDate": created, "lastOpDate": created })
}

fn network_ref(network: &Network, connection: &str, zone: &TimeZone) -> Value {
    let created = date(network.created, zone);
    json!({ "uuid": network.uuid.to_string(), "connectionUuid": connection, "l3NetworkUuid": network.network,
            "createDate": created, "lastOpDate": created })
}

/// A date as the clients parse it: `Nov 14, 2017 10:20:57 PM`, local time without a zone (contract 1.9).
#[must_use]
pub fn date(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%b %-d, %Y %-I:%M:%S %p").to_string()
}

/// How many elements the lists of classes of their own have in the inventory of `view`, if it has them.
#[must_use]
pub fn counts(view: &View, shown: &[&str]) -> [usize; 2] {
    let spec = &view.record.spec;
    [("peerCidrs", spec.remote.len()), ("l3NetworkRefs", spec.local.len())]
        .map(|(name, count)| if shown.contains(&name) { count } else { 0 })
}

/// The class of each element of the inventory at `place` that has so many in its lists, parents first; typed clients need
/// them.
pub fn classes(place: &str, counts: [usize; 2]) -> impl Iterator<Item = (String, &'static str)> {
    let lists = [("peerCidrs", CIDR_CLASS), ("l3NetworkRefs", REF_CLASS)].into_iter().zip(counts);
    let of = move |((member, class), count): ((&'static str, &'static str), usize)| {
        let place = place.to_owned();
        (0..count).map(move |item| (format!("{place}.{member}[{item}]"), class))
    };
    std::iter::once((place.to_owned(), CONNECTION_CLASS)).chain(lists.flat_map(of))
}

/// `schema`: the classes of the result of a write.
#[must_use]
pub(super) fn result_schema(inventory: &Value) -> Value {
    let count = |member| inventory.get(member).and_then(Value::as_array).map_or(0, Vec::len);
    let classes = classes("inventory", [count("peerCidrs"), count("l3NetworkRefs")]);
    classes.map(|(place, class)| (place, class.into())).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_clients() {
        let time: Timestamp = "2017-11-14T22:20:57Z".parse().expect("a time");
        assert_eq!(date(time, &TimeZone::UTC), "Nov 14, 2017 10:20:57 PM");
        let time: Timestamp = "2026-01-02T00:05:09Z".parse().expect("a time");
        assert_eq!(date(time, &TimeZone::UTC), "Jan 2, 2026 12:05:09 AM");
    }
}
