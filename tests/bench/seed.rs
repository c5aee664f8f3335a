//! The connections that the gateway is given: realistic ones, whose peers do not answer.

use cygnet::{
    ipsec::{
        Auth, ConnectionId, DhGroup, Encryption, IdentityKind, IkeProposal, IkeVersion, Integrity, Lifetime, Mode, Psk,
    },
    store::{Names, Network, Options, Record, Reference, RemoteCidr, Spec, Timestamp},
};
use serde_json::{Value, json};

use crate::support::agent::{l3_network, vip};
use crate::support::lab::Side;

/// The key of every connection.
pub const KEY: &str = "benchmark-only-key-not-a-secret";
/// The group of the key exchanges: a cheap one, so that the attempts that peers never answer weigh little.
const GROUP: i64 = 31;
/// The lifetime that the records are made with; each change sets another.
const LIFETIME: i64 = 3600;
/// The number of the connection that is not the agent's.
const FOREIGN: u32 = 12_000;

/// The uuid of the connection number `n`.
pub fn id(n: u32) -> ConnectionId {
    format!("{:08x}0000400080000000000000be", n + 1).parse().expect("32 digits")
}

/// Its name.
pub fn name(n: u32) -> String {
    format!("branch-{n}")
}

/// The addresses of all peers.
pub const PEERS: &str = "198.18.0.0/15";

/// What a gateway needs to answer for all peers.
pub fn responder() -> String {
    format!(
        "connections {{\n all {{\n version = 2\n local_addrs = 0.0.0.0/0\n remote_addrs = 0.0.0.0/0\n \
         proposals = aes256-sha256-x25519\n unique = never\n local {{\n auth = psk\n id = %any\n }}\n remote {{\n auth = psk\n \
         id = %any\n }}\n children {{\n all {{\n local_ts = 0.0.0.0/0\n remote_ts = 0.0.0.0/0\n \
         esp_proposals = aes256-sha256-x25519\n }}\n }}\n }}\n}}\n\
         secrets {{\n ike-all {{\n secret = \"{KEY}\"\n }}\n}}\n"
    )
}

/// Its peer: in 198.18.0.0/15, which is for benchmarks (RFC 2544), and is routed to where nothing answers.
fn peer(n: u32) -> String {
    format!("198.18.{}.{}", n / 250, n % 250 + 1)
}

/// The network behind it.
fn network(n: u32) -> String {
    format!("100.{}.{}.0/24", 64 + n / 256, n % 256)
}

/// A host in that network.
pub fn host(n: u32) -> String {
    network(n).replace(".0/24", ".1/32")
}

/// Its record, as it is stored by an agent that has seen the tunnel up.
pub fn record(n: u32) -> Record {
    let made = Record::new(id(n), spec(n, LIFETIME), 0, Timestamp::UNIX_EPOCH).expect("the values fit each other");
    Record { unproven: false, ..made }
}

/// The same with another lifetime of the tunnel.
pub fn changed(n: u32, lifetime: i64) -> Record {
    Record::new(id(n), spec(n, lifetime), 0, Timestamp::UNIX_EPOCH).expect("the values fit each other")
}

/// A connection as [`record`], of somebody else: its names are changed where it is rendered.
pub fn foreign(lifetime: i64) -> Record {
    changed(FOREIGN, lifetime)
}

/// The body of a `ChangeIPsecConnection` that sets another lifetime of the tunnel.
pub fn change(n: u32, lifetime: i64) -> Value {
    json!({ "changeIPsecConnection": {
        "peerAddress": peer(n), "authKey": KEY, "ikeVersion": "ikev2", "ikeDhGroup": GROUP,
        "pfs": format!("dh-group{GROUP}"), "lifeTime": lifetime,
    }})
}

fn spec(n: u32, lifetime: i64) -> Spec {
    let created = Timestamp::UNIX_EPOCH;
    Spec {
        names: Names { name: name(n), ..Default::default() },
        vip: Reference { uuid: vip(Side::A), address: Side::A.wan().parse().expect("an address") },
        peer: peer(n).parse().expect("an address"),
        options: options(lifetime),
        local: vec![Network {
            uuid: id(n),
            network: l3_network(Side::A),
            cidrs: vec![Side::A.lan().parse().expect("a network")],
            created,
        }],
        remote: vec![RemoteCidr { uuid: id(n), cidr: network(n).parse().expect("a network"), created }],
    }
}

fn options(lifetime: i64) -> Options {
    let (encryption, integrity) = (Encryption::Aes256, Integrity::Sha256);
    let group = DhGroup::new(GROUP).expect("a group");
    Options {
        auth: Auth::Psk(Psk::new(KEY).expect("a key")),
        id_kind: IdentityKind::Ip.into(),
        local_id: None,
        remote_id: None,
        version: IkeVersion::V2,
        ike: IkeProposal { encryption, integrity, group },
        ike_lifetime: Lifetime::ike(86_400).expect("in range"),
        ah: false,
        encryption,
        integrity,
        pfs: Some(group),
        mode: Mode::Tunnel,
        lifetime: Lifetime::child(lifetime).expect("in range"),
        native: cygnet::ipsec::NativeOptions::created(),
    }
}
