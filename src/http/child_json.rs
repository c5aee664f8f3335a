//! What the native view tells of a child beyond its SAs: its condition, and what is wanted of it. And
//! the warnings and the rehearsal, as answers have them.

use super::sentences::{data_of_remedy, field_of, remedied, warned};
use crate::{
    agent::{Agent, Companion, Outcome, RekeyTest, Seen, SettingDrift, Turn, View, Warning},
    ipsec::{
        Carried, Code, Connection, ConnectionId, IkeState, IkeVersion, Integrity, Mode, Pass, Protocol,
        TrafficSelector, condition::post_quantum, condition_advice, native::StartMode, rates,
    },
    store::Record,
};
use serde_json::{Map, Value, json};

/// Adds `members`, which is an object, to `item`, which is one too.
pub fn extend(item: &mut Value, members: Value) {
    if let (Some(item), Value::Object(members)) = (item.as_object_mut(), members) {
        item.extend(members);
    }
}

/// `condition`, `condition_advice`, `condition_since` and `wanted` of a child of `connection`.
pub fn child(connection: &Connection, seen: Option<&Seen>) -> Value {
    json!({
        "condition": seen.map(|seen| seen.condition.name()),
        "condition_advice": seen.and_then(|seen| condition_advice(connection, seen.condition)),
        "condition_since": seen.and_then(|seen| seen.since).map(|since| since.to_string()),
        "wanted": wanted(connection),
    })
}

/// The algorithms of all children under charon's names, as the SAs have them.
fn wanted(connection: &Connection) -> Value {
    let mode = match connection.mode {
        Mode::Tunnel => "tunnel",
        Mode::Transport => "transport",
    };
    let (protocol, cipher, pfs) = match connection.protocol {
        Protocol::Esp(esp) => ("esp", Some(esp.encryption.row()), esp.pfs),
        Protocol::Ah(ah) => ("ah", None, ah.pfs),
    };
    let integrity = connection.protocol.integrity().map(Integrity::row);
    json!({
        "mode": mode, "protocol": protocol,
        "encryption": cipher.map(|row| row.charon), "key_bits": cipher.and_then(|row| row.key_bits),
        "integrity": integrity.map(|row| row.charon), "group": pfs.map(|group| group.row().charon),
        "additional": connection.child_proposals().iter().find_map(|offer| offer.additional).map(|kem| kem.row().charon),
        "life_time_s": connection.lifetime.hard(),
    })
}

/// The algorithms of the IKE SA under charon's names, as the SAs have them.
pub fn wanted_ike(connection: &Connection) -> Value {
    let ike = &connection.ike;
    let (cipher, integrity) = (ike.encryption.row(), ike.integrity.row());
    let prf = connection.native.ike_prf.map_or(integrity, Integrity::row);
    json!({
        "encryption": cipher.charon, "key_bits": cipher.key_bits,
        "integrity": (!cipher.aead).then_some(integrity.charon), "prf": prf.prf_charon,
        "group": ike.group.row().charon,
    })
}

/// What a connection leaves alone.
pub fn passes(passes: &[Pass]) -> Value {
    let texts = |nets: &[TrafficSelector]| nets.iter().map(ToString::to_string).collect::<Vec<_>>();
    passes.iter().map(|pass| json!({ "local": texts(&pass.local), "remote": texts(&pass.remote) })).collect()
}

/// The times of dead peer detection as charon has them.
pub fn dpd(connection: &Connection) -> Value {
    json!({ "delay_s": connection.dpd_delay(), "timeout_s": connection.dpd_timeout() })
}

/// The version of IKE that is initiated, and whether that is IKEv1 or not because the peer was last up with it.
pub fn versions(record: &Record) -> Value {
    let initiates = if record.connection.initiates() == IkeVersion::V1 { "ikev1" } else { "ikev2" };
    json!({ "initiates": initiates, "remembered": record.ikev1_worked.then_some("ikev1") })
}

/// Who begins; where the peer is, of what runs if something runs; and why its name has no address now.
pub fn peer(view: &View, unresolved: Option<&str>) -> Value {
    let connection = &view.record.connection;
    let role = match connection.start_mode() {
        StartMode::Initiate => "initiates",
        StartMode::Respond => "waits_for_peer",
        StartMode::Trap => "waits_for_traffic",
    };
    let established = view.running.iter().flatten().rev().find(|ike| ike.state == IkeState::Established);
    let address = established.map(|ike| ike.remote_host.clone());
    let address = address.or_else(|| connection.remote_addr.ip().map(|address| address.to_string()));
    json!({ "role": role, "peer": { "address": address, "unresolved": unresolved } })
}

/// The connection's local address, and what this gateway is for it.
pub fn vip(agent: &Agent, view: &View) -> Value {
    let address = view.record.connection.local_addr;
    let (presence, since) = agent.presence(address);
    let since = since.map(|since| since.to_string());
    json!({ "vip": { "address": address.to_string(), "role": presence.role(), "since": since } })
}

/// The networks of both ends, and what was carried between them in each step of the last ten minutes.
pub fn networks_and_traffic(agent: &Agent, view: &View) -> Value {
    let spec = &view.record.spec;
    let local: Vec<_> = spec.local.iter().flat_map(|network| &network.cidrs).map(ToString::to_string).collect();
    let remote: Vec<_> = spec.remote.iter().map(|entry| entry.cidr.to_string()).collect();
    let (inbound, outbound): (Vec<_>, Vec<_>) =
        agent.rates(view.record.id).iter().map(|rate| (rate.inbound, rate.outbound)).unzip();
    json!({
        "networks": { "local": local, "remote": remote },
        "traffic": { "step_s": rates::STEP, "in": inbound, "out": outbound },
    })
}

/// When it went up and down of late.
pub fn availability(agent: &Agent, id: ConnectionId) -> Value {
    let (since, turns) = agent.availability(id);
    let turn =
        |turn: &Turn| json!({ "at": turn.at.to_string(), "event": turn.event, "code": turn.code.map(Code::name) });
    let changes: Vec<_> = turns.iter().map(turn).collect();
    json!({ "availability": { "since": since.to_string(), "changes": changes } })
}

/// Whether something carries, whether that is as wanted, and the sentence about what carries otherwise.
pub fn carried(view: &View) -> Value {
    let carried = view.carried();
    json!({
        "carrying": carried.map(Carried::is_something),
        "as_wanted": carried.map(|carried| carried == Carried::AsWanted),
        "note": carried.and_then(Carried::note),
        "post_quantum": view.running.as_deref().and_then(post_quantum),
    })
}

/// Where the settings have moved away from a connection.
pub fn settings_drift(drift: &[SettingDrift]) -> Value {
    let item = |drift: &SettingDrift| json!({ "setting": drift.setting, "uuid": drift.uuid, "stored": drift.stored, "now": drift.now });
    drift.iter().map(item).collect()
}

/// Warnings as a list.
pub fn warnings(warnings: &[Warning]) -> Value {
    warnings.iter().map(warning).collect()
}

fn warning(warning: &Warning) -> Value {
    let mut members = Map::new();
    members.insert("code".into(), warning.code.into());
    let field = warning.part.map(field_of);
    members.extend(field.map(|field| ("field".to_owned(), field.into())));
    let message = warned(warning);
    let remedy = warning.remedy.map_or_else(String::new, |remedy| format!("; {}", remedied(remedy)));
    members.insert("message".into(), (message + &remedy).into());
    let opaque = warning.remedy.map(|remedy| json!({ "rule": warning.message, "remedy": data_of_remedy(remedy) }));
    members.extend(opaque.map(|opaque| ("opaque".to_owned(), opaque)));
    Value::Object(members)
}

/// The last rehearsal of a rekeying.
pub fn rehearsal(rehearsal: Option<&RekeyTest>) -> Value {
    rehearsal.map_or(Value::Null, |rehearsal| {
        let outcome = match rehearsal.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
            Outcome::Unknown => "unknown",
        };
        json!({ "outcome": outcome, "at": rehearsal.at.to_string(), "details": rehearsal.details })
    })
}

/// The connections that change in the same step: whether their key does, or only whose it is to charon.
pub fn companions(others: &[Companion]) -> Value {
    let item = |other: &Companion| {
        let changed = if other.has_new_key() { "authKey" } else { "keyOwner" };
        json!({ "uuid": other.id().to_string(), "name": other.after.spec.names.name, "changed": changed })
    };
    others.iter().map(item).collect()
}
