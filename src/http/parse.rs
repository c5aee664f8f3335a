//! From the wire to the model: the contract's checks and messages (1.8, 1.13), then the model's
//! constructors. After this nothing is checked again.

mod check;
mod declared;
mod identities;
mod keys;
pub mod limits;
mod names;
pub(super) mod native;
mod networks;
mod options;
mod query_parameters;

pub use declared::{Declared, declared_names, exported};
pub use keys::MASK;
pub use names::{login, renewal, state_event, update};
pub use networks::{cidr_list, l3_networks, list_length, peer_cidrs, tags, text_list, vip};
pub use query_parameters::{
    MissingFields, Unset, delete_mode, missing_fields, no_trial, number, page, page_of, required_value, switch, value,
    write_options,
};

use self::native::Native;
use super::{
    envelope::Params,
    error::Failure,
    members::names_of,
    never,
    options::names,
    wire::{self, ChangeParams, CreateParams, OptionBlock},
};
use crate::{
    agent::follow_settings,
    error::{Error, Problem, Resource, Result},
    http::parse::{
        check::{mandatory, not_found, text},
        networks::{elements, optional_network, remote_cidrs},
        options::{filled, options},
    },
    ipsec::{Conflict, ConnectionId, Invalid, Peer},
    settings::Gateway,
    store::{Names, Record, Reference, Spec},
};
use jiff::Timestamp;
use std::{net::IpAddr, sync::Arc};

/// The record that `CreateIPsecConnection` asks for.
///
/// # Errors
/// The first parameter that is wrong, by name.
pub fn create(params: &Params, gateway: &Gateway, now: Timestamp) -> Result<Record, Failure> {
    never::check(&params.members, &create_names())?;
    let own: CreateParams = wire::read(&params.members)?;
    let (block, native, _) = option_block(params)?;
    let name = mandatory("name", own.name, 255)?;
    let description = text("description", own.description, 2048)?;
    let vip_uuid = mandatory("vipUuid", own.vip_uuid, 255)?;
    let peer = mandatory("peerAddress", own.peer_address, 255)?;
    let key = mandatory("authKey", own.auth_key, usize::MAX)?;
    let options = options((block, &native), Some(key), None, true, now)?;
    let id = chosen_uuid("resourceUuid", own.resource_uuid)?.unwrap_or_else(ConnectionId::random);
    let cidrs = own.peer_cidrs.map(|cidrs| elements("peerCidrs", cidrs)).transpose()?;
    if let Some(tags) = own.tag_uuids.filter(|tags| !tags.is_empty()) {
        limits::elements("tagUuids", tags.len())?;
        return Err(not_found("tagUuids", tags.join(","), Resource::TagPattern).into());
    }
    let vip = vip("vipUuid", &vip_uuid, gateway)?;
    let local = optional_network("l3NetworkUuid", own.l3_network_uuid, gateway, now)?;
    let mut names = Names { name, description, ..Names::default() };
    params.tags.clone().apply(&mut names)?;
    let spec = Spec {
        names,
        vip: Reference { uuid: vip.uuid.clone(), address: vip.address },
        peer: new_peer(peer_address(&peer)?)?,
        options,
        local: local.into_iter().collect(),
        remote: cidrs.map_or(Ok(Vec::new()), |cidrs| remote_cidrs(cidrs, now))?,
    };
    Ok(Record::new(id, spec, 0, now).map_err(Error::from)?)
}

/// The members that `CreateIPsecConnection` takes.
#[must_use]
pub fn create_names() -> Vec<&'static str> {
    with_options(names_of::<CreateParams>())
}

/// The members that `ChangeIPsecConnection` takes.
#[must_use]
pub fn change_names() -> Vec<&'static str> {
    with_options(names_of::<ChangeParams>())
}

fn with_options(own: &[&'static str]) -> Vec<&'static str> {
    own.iter().copied().chain(names()).collect()
}

/// What `ChangeIPsecConnection` makes of a stored record. The options that are left out take their
/// defaults, not the stored values (contract, trap 3), unless the caller says that the rest is kept. Certificates must be
/// valid `now`; what comes back also takes the time to store. The VIP and the networks are as `gateway` has them now.
///
/// # Errors
/// The first parameter that is wrong, by name.
pub fn change(
    params: &Params,
    rest: MissingFields,
    gateway: Arc<Gateway>,
    now: Timestamp,
) -> Result<impl Fn(&Record, Timestamp) -> Result<Record> + Send + 'static, Failure> {
    never::check(&params.members, &change_names())?;
    let own: ChangeParams = wire::read(&params.members)?;
    let (block, native, cleared) = option_block(params)?;
    let peer = text("peerAddress", own.peer_address, 255)?;
    let key = text("authKey", own.auth_key, usize::MAX)?;
    if rest == MissingFields::Defaults {
        // All that does not depend on the stored record is checked before it is looked up.
        peer_address(&mandatory("peerAddress", peer.clone(), 255)?)?;
        let key = mandatory("authKey", key.clone(), usize::MAX)?;
        options((block.clone(), &native), Some(key), None, false, now)?;
    }
    let tags = params.tags.clone();
    Ok(move |old: &Record, changed| {
        let mut stored = old.spec.options.clone();
        cleared.clear(&mut stored);
        let block = match rest {
            MissingFields::Kept => filled(&block, &stored)?,
            MissingFields::KeptBut(unset) => {
                unset.clear(&mut stored);
                filled(&block, &stored)?
            }
            MissingFields::Defaults => block.clone(),
        };
        let options = options((block, &native), key.clone(), Some(&stored), false, now)?;
        let peer = peer.as_deref().map_or_else(|| Ok(old.spec.peer.clone()), peer_address)?;
        // One that is stored may be given again, whatever it is.
        let peer = if peer == old.spec.peer { peer } else { new_peer(peer)? };
        let mut spec = Spec { peer, options, ..follow_settings(&old.spec, &gateway) };
        tags.clone().apply(&mut spec.names)?;
        Ok(old.rewritten(spec, changed)?)
    })
}

/// The option block, the options of our own, and the identities that an empty text takes away; a system tag stands in for a `remoteId` that is empty or left out. As tags have no
/// type, one that is no address is a name, unless the caller says what identities are.
fn option_block(params: &Params) -> Result<(OptionBlock, Native, Unset), Failure> {
    let mut block: OptionBlock = wire::read(&params.members)?;
    let is_empty = block.remote_id.as_ref().is_none_or(|id| id.trim().is_empty());
    if let Some(id) = params.tags.remote_id().filter(|_| is_empty) {
        if block.id_type.is_none() && block.local_id.is_none() && id.parse::<IpAddr>().is_err() {
            block.id_type = Some("name".into());
        }
        block.remote_id = Some(id);
    }
    // Empty, and not left out: the address counts again, as for the real server's agent.
    let is_cleared = |id: &mut Option<String>| id.take_if(|id| id.is_empty()).is_some();
    let cleared = Unset { local_id: is_cleared(&mut block.local_id), remote_id: is_cleared(&mut block.remote_id) };
    Ok((block, Native::read(params)?, cleared))
}

fn peer_address(text: &str) -> Result<Peer> {
    text.parse().map_err(|why| {
        let address = text.split_once('%').map_or(text, |(address, _)| address);
        if address.parse::<IpAddr>().is_ok() {
            return wrong_peer(why);
        }
        Error::member("peerAddress", Problem::NotAPeer { found: text.chars().take(64).collect(), why })
    })
}

fn wrong_peer(why: Invalid) -> Error {
    Conflict::Peer(why).into()
}

/// A peer that a caller names: what no peer can have is refused. VIPs of the settings may be on another gateway, which has
/// the same settings; that of the connection itself is refused with its other parts.
pub(super) fn new_peer(peer: Peer) -> Result<Peer> {
    peer.check().map_err(wrong_peer)?;
    Ok(peer)
}

/// A uuid that a client chose for a new connection.
fn chosen_uuid(field: &str, value: Option<String>) -> Result<Option<ConnectionId>> {
    let Some(value) = text(field, value, 255)? else { return Ok(None) };
    let digit =
        |index: usize, allowed: &str| value.as_bytes().get(index).is_some_and(|b| allowed.as_bytes().contains(b));
    let version = digit(12, "12345") && digit(16, "89ab");
    let wrong = || Error::member(field, Problem::NotAUuid(value.chars().take(64).collect()));
    value.parse().ok().filter(|_| version).map(Some).ok_or_else(wrong)
}
