//! `IPsecConnectionInventory` (contract 1.12): a connection as the API shows it.

use super::parse::{ID_TYPES, IKE_VERSIONS, MASK, MODES, word};
use crate::{
    agent::View,
    ipsec::{Auth, State, Status},
    store::{Network, RemoteCidr},
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value, json};

/// The API's class of a connection.
pub const CONNECTION_CLASS: &str = "org.zstack.ipsec.IPsecConnectionInventory";
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
    let record = &view.record;
    let (wish, options) = (&record.wish, &record.wish.options);
    let (auth_mode, key) = match &options.auth {
        Auth::Psk(psk) => ("psk", String::from_utf8_lossy(psk.expose()).into_owned()),
        // A private key never leaves the gateway.
        Auth::Certs(certs) => ("certs", certs.masked_pem(MASK)),
    };
    let key = if mask { MASK.into() } else { key };
    let status = view.status().map(|status| match status {
        Status::Connecting => "Connecting",
        Status::Ready => "Ready",
        Status::Disconnected => "Disconnected",
    });
    let id = record.id.to_string();
    let mut members = json!({
        "uuid": id,
        "name": wish.names.name,
        "description": wish.names.description,
        "peerAddress": wish.peer,
        "authMode": auth_mode,
        "authKey": key,
        "vipUuid": wish.vip.uuid,
        "ikeAuthAlgorithm": options.ike.integrity.row().wire,
        "ikeEncryptionAlgorithm": options.ike.encryption.row().wire,
        "ikeDhGroup": options.ike.group.row().number,
        "policyAuthAlgorithm": options.integrity.row().wire,
        "policyEncryptionAlgorithm": options.encryption.row().wire,
        "pfs": options.pfs.map_or("none", |group| group.row().wire),
        "policyMode": word(&MODES, options.mode),
        "transformProtocol": if options.ah { "ah" } else { "esp" },
        "ikeVersion": word(&IKE_VERSIONS, options.version),
        "idType": word(&ID_TYPES, options.id_kind),
        "localId": options.local_id,
        "remoteId": options.remote_id,
        "state": if record.state == State::Enabled { "Enabled" } else { "Disabled" },
        "status": status,
        "ikeLifeTime": options.ike_lifetime.hard(),
        "lifeTime": options.lifetime.hard(),
        "createDate": date(record.created, zone),
        "lastOpDate": date(record.changed, zone),
        "peerCidrs": wish.remote.iter().map(|entry| cidr(entry, &id, zone)).collect::<Vec<_>>(),
        "l3NetworkRefs": wish.local.iter().map(|network| network_ref(network, &id, zone)).collect::<Vec<_>>(),
    });
    if let Value::Object(members) = &mut members {
        members.retain(|_, value| !value.is_null());
    }
    members
}

/// What a query may ask for beyond the inventory: tags, the VIP and the local networks.
#[must_use]
pub fn beyond(view: &View) -> Value {
    let wish = &view.record.wish;
    let networks = wish.local.iter().flat_map(|network| {
        network.cidrs.iter().map(|cidr| json!({ "uuid": network.network, "cidr": cidr.to_string() }))
    });
    json!({
        "__systemTag__": wish.names.system_tags,
        "__userTag__": wish.names.user_tags,
        "vip": [{ "uuid": wish.vip.uuid, "ip": wish.vip.address }],
        "l3Network": networks.collect::<Vec<_>>(),
    })
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

/// `schema`: the class of each element of `inventories`, parents first, which typed clients need.
#[must_use]
pub fn schema(inventories: &[Value]) -> Value {
    let mut classes = Map::new();
    for (index, inventory) in inventories.iter().enumerate() {
        classes_of(&format!("inventories[{index}]"), inventory, &mut classes);
    }
    Value::Object(classes)
}

/// The same for the result of a write.
#[must_use]
pub fn result_schema(inventory: &Value) -> Value {
    let mut classes = Map::new();
    classes_of("inventory", inventory, &mut classes);
    Value::Object(classes)
}

fn classes_of(place: &str, inventory: &Value, classes: &mut Map<String, Value>) {
    classes.insert(place.into(), CONNECTION_CLASS.into());
    for (member, class) in [("peerCidrs", CIDR_CLASS), ("l3NetworkRefs", REF_CLASS)] {
        let count = inventory.get(member).and_then(Value::as_array).map_or(0, Vec::len);
        for item in 0..count {
            classes.insert(format!("{place}.{member}[{item}]"), class.into());
        }
    }
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
