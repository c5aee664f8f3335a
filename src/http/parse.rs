//! From the wire to the model: the contract's checks and messages (1.8, 1.13), then the model's
//! constructors. After this nothing is checked again.

use super::{
    envelope::Params,
    error::Failure,
    wire::{self, ChangeParams, CreateParams, Integer, OptionBlock, Tags},
};
use crate::{
    agent::How,
    error::{Error, Resource, Result},
    ipsec::{
        Auth, Conflict, ConnectionId, DhGroup, Encryption, IdentityKind, IkeProposal, IkeVersion, Integrity, Lifetime,
        Mode, Psk, TrafficSelector,
        algorithm::{DH_GROUP, ENCRYPTION, INTEGRITY},
    },
    settings::Gateway,
    store::{Names, Network, Options, Record, Reference, RemoteCidr, Wish},
};
use jiff::Timestamp;
use std::{net::IpAddr, ops::RangeInclusive, time::Duration};

/// How long a change may be on trial.
const CONFIRM: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(10);

/// The class that the real server names in its messages.
const CLASS: &str = "org.zstack.header.message.ApiMessageParamValidator";

/// The record that `CreateIPsecConnection` asks for.
///
/// # Errors
/// The first parameter that is wrong, by name.
pub fn create(params: &Params, gateway: &Gateway, now: Timestamp) -> Result<Record, Failure> {
    let own: CreateParams = wire::read(&params.members)?;
    let block: OptionBlock = wire::read(&params.members)?;
    let name = mandatory("name", own.name, 255)?;
    let description = text("description", own.description, 2048)?;
    let vip_uuid = mandatory("vipUuid", own.vip_uuid, 255)?;
    let peer = mandatory("peerAddress", own.peer_address, 255)?;
    let key = mandatory("authKey", own.auth_key, usize::MAX)?;
    let options = options(block, key, None, true)?;
    let id = resource_uuid(own.resource_uuid)?;
    if let Some(tags) = own.tag_uuids.filter(|tags| !tags.is_empty()) {
        return Err(not_found("tagUuids", tags.join(","), Resource::TagPattern).into());
    }
    let vip = gateway.vip(&vip_uuid).ok_or_else(|| not_found("vipUuid", vip_uuid, Resource::Vip))?;
    let networks = text("l3NetworkUuid", own.l3_network_uuid, 255)?;
    let local = networks.map(|uuid| network("l3NetworkUuid", &uuid, gateway, now)).transpose()?;
    let wish = Wish {
        names: Names {
            name,
            description,
            system_tags: params.tags.system_tags.clone().unwrap_or_default(),
            user_tags: params.tags.user_tags.clone().unwrap_or_default(),
        },
        vip: Reference { uuid: vip.uuid.clone(), address: vip.address },
        peer: peer_address(&peer)?,
        options,
        local: local.into_iter().collect(),
        remote: own.peer_cidrs.map_or(Ok(Vec::new()), |cidrs| remote_cidrs(cidrs, now))?,
    };
    Ok(Record::new(id, wish, 0, now).map_err(conflict)?)
}

/// What `ChangeIPsecConnection` makes of a stored record. The options that are left out take their
/// defaults, not the stored values (contract, trap 3).
///
/// # Errors
/// The first parameter that is wrong, by name.
pub fn change(params: &Params) -> Result<impl FnOnce(&Record, Timestamp) -> Result<Record> + Send + 'static, Failure> {
    let own: ChangeParams = wire::read(&params.members)?;
    let block: OptionBlock = wire::read(&params.members)?;
    let peer = peer_address(&mandatory("peerAddress", own.peer_address, 255)?)?;
    let key = mandatory("authKey", own.auth_key, usize::MAX)?;
    // All that does not depend on the stored record is checked before it is looked up.
    options(block.clone(), key.clone(), None, false)?;
    let Tags { system_tags, user_tags } = params.tags.clone();
    Ok(move |old: &Record, now| {
        let options = options(block, key, Some(&old.wish.options), false)?;
        let mut wish = Wish { peer, options, ..old.wish.clone() };
        if let Some(tags) = system_tags {
            wish.names.system_tags = tags;
        }
        if let Some(tags) = user_tags {
            wish.names.user_tags = tags;
        }
        old.changed(wish, now).map_err(conflict)
    })
}

/// Whether `deleteMode` says that a deletion is to be done whatever charon says.
///
/// # Errors
/// When it is not one of the contract's words.
pub fn delete_mode(pairs: &[(String, String)]) -> Result<bool> {
    let value = pairs.iter().find(|(name, _)| name == "deleteMode").map(|(_, value)| value.clone());
    choice("deleteMode", 32, value, &[("Permissive", false), ("Enforcing", true)], false)
}

/// How a write is to be done: `confirm=60s` and `immediate=true`.
///
/// # Errors
/// When a value is not one.
pub fn how(pairs: &[(String, String)]) -> Result<How> {
    let value = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let confirm = value("confirm").map(|text| {
        let span: Option<jiff::SignedDuration> = text.parse().ok();
        let span = span.and_then(|span| Duration::try_from(span).ok()).filter(|span| CONFIRM.contains(span));
        span.ok_or_else(|| {
            Error::argument("the query parameter confirm must be a duration from 1s to 10m, such as 60s")
        })
    });
    let immediate = match value("immediate") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Error::argument("the query parameter immediate must be true or false")),
    };
    Ok(How { confirm: confirm.transpose()?, immediate })
}

/// The model's refusal under the model's name of the part; `error.rs` knows the API's name of it.
fn conflict(conflict: Conflict) -> Error {
    Error::Part { part: conflict.part.name(), why: conflict.why.0 }
}

fn not_found(field: &'static str, uuid: String, resource: Resource) -> Error {
    Error::NotFound { field, uuid, resource }
}

/// The typed options; `old` are the stored ones, of which Change keeps some.
fn options(block: OptionBlock, key: String, old: Option<&Options>, creating: bool) -> Result<Options> {
    let auth_mode =
        choice("authMode", 255, block.auth_mode, &[("psk", AuthMode::Psk), ("certs", AuthMode::Certs)], AuthMode::Psk)?;
    if auth_mode == AuthMode::Certs {
        return Err(Error::argument("field[authMode] certs is not supported by this agent yet: use psk"));
    }
    let kept = |new: &Option<String>, old: Option<&Option<String>>| new.clone().or_else(|| old.cloned().flatten());
    let local_id = identity("localId", block.local_id)?;
    let remote_id = identity("remoteId", block.remote_id)?;
    let keeps_id =
        [(&local_id, old.and_then(|o| o.local_id.as_ref())), (&remote_id, old.and_then(|o| o.remote_id.as_ref()))]
            .iter()
            .any(|(new, old)| new.is_none() && old.is_some_and(|id| id.parse::<IpAddr>().is_err()));
    // Without an idType, identities that are kept keep their meaning: read as `ip` they would have none.
    let default_kind = old.filter(|_| keeps_id).map_or(IdentityKind::Ip, |o| o.id_kind);
    Ok(Options {
        auth: Auth::Psk(psk(key)?),
        id_kind: choice("idType", 32, block.id_type, &ID_TYPES, default_kind)?,
        local_id: kept(&local_id, old.map(|o| &o.local_id)),
        remote_id: kept(&remote_id, old.map(|o| &o.remote_id)),
        version: choice("ikeVersion", 32, block.ike_version, &IKE_VERSIONS, IkeVersion::Any)?,
        ike: IkeProposal {
            encryption: encryption("ikeEncryptionAlgorithm", block.ike_encryption_algorithm)?,
            integrity: integrity("ikeAuthAlgorithm", block.ike_auth_algorithm)?,
            group: ike_group(block.ike_dh_group, old.map(|o| o.ike.group))?,
        },
        ike_lifetime: lifetime("ikeLifeTime", block.ike_life_time, 86_400, Lifetime::ike)?,
        ah: protocol(block.transform_protocol)?,
        encryption: encryption("policyEncryptionAlgorithm", block.policy_encryption_algorithm)?,
        integrity: integrity("policyAuthAlgorithm", block.policy_auth_algorithm)?,
        pfs: pfs(block.pfs, creating)?,
        mode: choice("policyMode", 32, block.policy_mode, &MODES, Mode::Tunnel)?,
        lifetime: lifetime("lifeTime", block.life_time, 3600, Lifetime::child)?,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AuthMode {
    Psk,
    Certs,
}

/// `idType`.
pub const ID_TYPES: [(&str, IdentityKind); 3] =
    [("ip", IdentityKind::Ip), ("name", IdentityKind::Name), ("fqdn", IdentityKind::Fqdn)];
/// `ikeVersion`.
pub const IKE_VERSIONS: [(&str, IkeVersion); 3] =
    [("ike", IkeVersion::Any), ("ikev1", IkeVersion::V1), ("ikev2", IkeVersion::V2)];
/// `policyMode`.
pub const MODES: [(&str, Mode); 2] = [("tunnel", Mode::Tunnel), ("transport", Mode::Transport)];

/// A string: trimmed, and at most `max` UTF-16 units long.
fn text(field: &str, value: Option<String>, max: usize) -> Result<Option<String>> {
    let Some(value) = value.map(|v| v.trim().to_owned()) else { return Ok(None) };
    match value.encode_utf16().count() {
        n if n > max => Err(Error::argument(format!(
            "field[{field}] of message[{CLASS}] exceeds max length of string. expected was <= {max}, actual was {n}"
        ))),
        _ => Ok(Some(value)),
    }
}

fn mandatory(field: &str, value: Option<String>, max: usize) -> Result<String> {
    text(field, value, max)?
        .ok_or_else(|| Error::argument(format!("field[{field}] of message[{CLASS}] is mandatory, can not be null")))
}

fn invalid_choice(field: &str, valid: &[String], found: &str) -> Error {
    let found: String = found.chars().take(64).collect();
    Error::argument(format!(
        "valid value for field[{field}] of message[{CLASS}] are [{}], but {found} found",
        valid.join(", ")
    ))
}

fn choice<T: Copy>(field: &str, max: usize, value: Option<String>, table: &[(&str, T)], default: T) -> Result<T> {
    let Some(value) = text(field, value, max)? else { return Ok(default) };
    let names = || table.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    table
        .iter()
        .find(|(name, _)| *name == value)
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| invalid_choice(field, &names(), &value))
}

fn encryption(field: &str, value: Option<String>) -> Result<Encryption> {
    let table: Vec<_> = ENCRYPTION.iter().map(|row| (row.wire, row.value)).collect();
    choice(field, 32, value, &table, Encryption::Aes256)
}

fn integrity(field: &str, value: Option<String>) -> Result<Integrity> {
    let table: Vec<_> = INTEGRITY.iter().map(|row| (row.wire, row.value)).collect();
    choice(field, 32, value, &table, Integrity::Sha256)
}

/// `ikeDhGroup`: 0 keeps the stored group; left out, it is group 2, as the contract has it.
fn ike_group(value: Option<Integer>, old: Option<DhGroup>) -> Result<DhGroup> {
    let number = match value {
        None => 2,
        Some(Integer(0)) => old.map_or(2, |group| group.row().number.into()),
        Some(Integer(number)) => number,
    };
    let valid = || DH_GROUP.iter().map(|row| row.number.to_string()).collect::<Vec<_>>();
    DhGroup::new(number).ok_or_else(|| invalid_choice("ikeDhGroup", &valid(), &number.to_string()))
}

/// `pfs`; `dh-group0`, which only Create knows, means none.
fn pfs(value: Option<String>, creating: bool) -> Result<Option<DhGroup>> {
    let Some(value) = text("pfs", value, 32)? else { return Ok(DhGroup::new(14)) };
    if value == "none" || (creating && value == "dh-group0") {
        return Ok(None);
    }
    let valid =
        || std::iter::once("none").chain(DH_GROUP.iter().map(|row| row.wire)).map(Into::into).collect::<Vec<_>>();
    DhGroup::from_wire(&value).map(Some).ok_or_else(|| invalid_choice("pfs", &valid(), &value))
}

/// Whether the protocol is AH.
fn protocol(value: Option<String>) -> Result<bool> {
    match choice(
        "transformProtocol",
        32,
        value,
        &[("esp", Some(false)), ("ah", Some(true)), ("ah-esp", None)],
        Some(false),
    )? {
        Some(ah) => Ok(ah),
        None => Err(Error::argument(
            "field[transformProtocol] ah-esp is not supported: strongSwan offers AH and ESP as alternatives, \
             never both around one packet; use esp, which authenticates too",
        )),
    }
}

fn lifetime<E: ToString>(
    field: &str,
    value: Option<Integer>,
    default: i64,
    new: impl Fn(i64) -> std::result::Result<Lifetime, E>,
) -> Result<Lifetime> {
    new(value.map_or(default, |Integer(n)| n)).map_err(|e| Error::argument(format!("field[{field}] {}", e.to_string())))
}

/// An identity; the empty one, which would match every peer, is refused.
fn identity(field: &str, value: Option<String>) -> Result<Option<String>> {
    match text(field, value, 255)? {
        Some(empty) if empty.is_empty() => Err(Error::argument(format!("field[{field}] cannot be an empty string"))),
        other => Ok(other),
    }
}

/// What stands for a hidden key in an inventory.
pub const MASK: &str = "******";

fn psk(key: String) -> Result<Psk> {
    let key = zeroize::Zeroizing::new(key);
    if key.chars().any(|c| c.is_whitespace() || "'\"`\\".contains(c)) {
        return Err(Error::argument("the authKey cannot contain white space and special characters of '\"`\\"));
    }
    if key.as_str() == MASK {
        return Err(Error::argument("the authKey is the mask of a hidden key, not a key: give the key itself"));
    }
    Psk::new(key.as_bytes()).map_err(|e| Error::argument(format!("field[authKey] {e}")))
}

fn peer_address(text: &str) -> Result<IpAddr> {
    let shown: String = text.chars().take(64).collect();
    text.parse()
        .map_err(|_| Error::argument(format!("the peerAddress[{shown}] is not an IPv4 address (nor an IPv6 address)")))
}

/// A client-chosen uuid, or a fresh one.
fn resource_uuid(value: Option<String>) -> Result<ConnectionId> {
    let Some(value) = text("resourceUuid", value, 255)? else { return Ok(ConnectionId::random()) };
    let digit =
        |index: usize, allowed: &str| value.as_bytes().get(index).is_some_and(|b| allowed.as_bytes().contains(b));
    let version = digit(12, "12345") && digit(16, "89ab");
    let shown: String = value.chars().take(64).collect();
    value.parse().ok().filter(|_| version).ok_or_else(|| {
        Error::argument(format!(
            "resourceUuid[{shown}] is not a valid uuid: 32 lower-case hexadecimal digits of a UUID, without '-'"
        ))
    })
}

/// The attachment of a local network.
fn network(field: &'static str, uuid: &str, gateway: &Gateway, now: Timestamp) -> Result<Network> {
    let network = gateway.l3_network(uuid).ok_or_else(|| not_found(field, uuid.into(), Resource::L3Network))?;
    let cidrs = network.cidrs.iter().map(|net| TrafficSelector::new(*net)).collect::<std::result::Result<_, _>>();
    let cidrs = cidrs.map_err(|e| Error::Internal(format!("gateway.l3_networks: {e}")))?;
    Ok(Network { uuid: ConnectionId::random(), network: uuid.into(), cidrs, created: now })
}

/// The networks behind the peer.
fn remote_cidrs(cidrs: Vec<Option<String>>, now: Timestamp) -> Result<Vec<RemoteCidr>> {
    if cidrs.is_empty() {
        return Err(Error::argument("field[peerCidrs] must be a nonempty list"));
    }
    let mut entries = Vec::with_capacity(cidrs.len());
    for cidr in cidrs {
        let cidr = cidr.ok_or_else(|| Error::argument("field[peerCidrs] cannot contain a NULL element"))?;
        let shown: String = cidr.trim().chars().take(64).collect();
        let cidr: TrafficSelector = shown.parse().map_err(|e| Error::argument(format!("field[peerCidrs] {e}")))?;
        if entries.iter().any(|entry: &RemoteCidr| entry.cidr == cidr) {
            return Err(Error::argument(format!("the remote CIDR[{cidr}] is same to existed cidrs")));
        }
        entries.push(RemoteCidr { uuid: ConnectionId::random(), cidr, created: now });
    }
    Ok(entries)
}
