//! The option block of Create and Change (contract 1.13): defaults, valid values and ranges.

use super::{
    check::{choice, invalid_choice, mandatory, text},
    identities::{Identities, identities},
    keys::{MASK, text_key},
    limits,
    native::Native,
};
use crate::{
    error::{Error, Result},
    http::{
        options::{AUTH_MODES, AuthMode, CONTRACT, IKE_VERSIONS, LeftOut, MODES},
        wire::{Integer, OptionBlock},
    },
    ipsec::{
        Auth, Certs, Conflict, DhGroup, Encryption, IkeProposal, IkeVersion, Integrity, Invalid, Lifetime, Mode,
        NativeOptions,
        algorithm::{DH_GROUP, ENCRYPTION, INTEGRITY, IntegrityRow},
    },
    store::Options,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The typed options; `old` are the stored ones, of which Change keeps some. Without a key, theirs is kept. Certificates
/// that are given must be valid `now`.
pub(super) fn options(
    (block, native): (OptionBlock, &Native),
    key: Option<String>,
    old: Option<&Options>,
    creating: bool,
    now: Timestamp,
) -> Result<Options> {
    // Without a rest: an option that is not read does not compile.
    let OptionBlock {
        auth_mode,
        id_type,
        local_id,
        remote_id,
        ike_version,
        ike_auth_algorithm,
        ike_encryption_algorithm,
        ike_dh_group,
        ike_life_time,
        policy_auth_algorithm,
        policy_encryption_algorithm,
        pfs,
        policy_mode,
        transform_protocol,
        life_time,
    } = block;
    let mut own = old.map_or_else(NativeOptions::created, |old| old.native.clone());
    native.apply(&mut own)?;
    let auth_mode = choice("authMode", 255, auth_mode, &AUTH_MODES, AuthMode::Psk)?;
    let own_kinds = [own.local_id_type, own.remote_id_type];
    let Identities { kinds, local_id, remote_id } = identities(id_type, [local_id, remote_id], own_kinds, old)?;
    Ok(Options {
        auth: auth(auth_mode, key, old, creating, now)?,
        id_kind: kinds,
        local_id,
        remote_id,
        version: choice("ikeVersion", 32, ike_version, &IKE_VERSIONS, IkeVersion::Any)?,
        ike: IkeProposal {
            encryption: encryption("ikeEncryptionAlgorithm", ike_encryption_algorithm)?,
            integrity: integrity("ikeAuthAlgorithm", ike_auth_algorithm, Integrity::of_ike())?,
            group: ike_group(ike_dh_group, old.map(|old| old.ike.group))?,
        },
        ike_lifetime: lifetime("ikeLifeTime", ike_life_time, 86_400, Lifetime::ike)?,
        ah: protocol(transform_protocol)?,
        encryption: encryption("policyEncryptionAlgorithm", policy_encryption_algorithm)?,
        integrity: integrity("policyAuthAlgorithm", policy_auth_algorithm, INTEGRITY.iter())?,
        pfs: group_of_children(pfs, creating)?,
        mode: choice("policyMode", 32, policy_mode, &MODES, Mode::Tunnel)?,
        lifetime: lifetime("lifeTime", life_time, 3600, Lifetime::child)?,
        native: own,
    })
}

/// The proof of identity: a new one, or the stored one if it is of that kind. A key that is stored may be given again
/// however long it is; whether it is the stored one is not known before the record is.
fn auth(mode: AuthMode, key: Option<String>, old: Option<&Options>, creating: bool, now: Timestamp) -> Result<Auth> {
    if let (None, Some(old)) = (&key, old.filter(|old| AuthMode::of(&old.auth) == mode)) {
        return Ok(old.auth.clone());
    }
    let key = mandatory("authKey", key, usize::MAX)?;
    Ok(match mode {
        AuthMode::Psk => {
            let psk = text_key("authKey", &zeroize::Zeroizing::new(key))?;
            let is_stored = || old.is_some_and(|old| matches!(&old.auth, Auth::Psk(stored) if *stored == psk));
            if (creating || old.is_some()) && !is_stored() {
                limits::key("authKey", &psk)?;
            }
            Auth::Psk(psk)
        }
        AuthMode::Certs => Auth::Certs(Arc::new(certs(key, now)?)),
    })
}

/// `block` with what is stored where it says nothing. What a Change keeps in any case is left to [`options`].
pub(super) fn filled(block: &OptionBlock, old: &Options) -> Result<OptionBlock> {
    let broken = |e: serde_json::Error| Error::Internal(format!("the stored options are no options: {e}"));
    let mut members: Map<String, Value> = serde_json::from_value(json!(block)).map_err(broken)?;
    members.retain(|_, value| !value.is_null());
    let names_nobody = block.local_id.is_none() && block.remote_id.is_none();
    for row in CONTRACT.iter().filter(|row| matches!(row.left_out, LeftOut::Default(_))) {
        // Without one, each identity that is kept is read as before.
        if row.name == "idType" && names_nobody {
            continue;
        }
        members.entry(row.name).or_insert_with(|| row.value(old));
    }
    serde_json::from_value(members.into()).map_err(broken)
}

fn encryption(field: &str, value: Option<String>) -> Result<Encryption> {
    let table: Vec<_> = ENCRYPTION.iter().map(|row| (row.wire, row.value)).collect();
    choice(field, 32, value, &table, Encryption::Aes256)
}

fn integrity(
    field: &str,
    value: Option<String>,
    valid: impl Iterator<Item = &'static IntegrityRow>,
) -> Result<Integrity> {
    let table: Vec<_> = valid.map(|row| (row.wire, row.value)).collect();
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
fn group_of_children(value: Option<String>, creating: bool) -> Result<Option<DhGroup>> {
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
        None => Err(Error::rule(
            "transformProtocol",
            "ah-esp is not supported: strongSwan offers AH and ESP as alternatives, \
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
    new(value.map_or(default, |Integer(seconds)| seconds)).map_err(|e| Error::rule(field, e.to_string()))
}

/// The bundle in `key`, all of it valid at `now`.
fn certs(key: String, now: Timestamp) -> Result<Certs> {
    let key = zeroize::Zeroizing::new(key);
    let refused = |why: Invalid| Error::from(Conflict::Bundle(why));
    if key.as_str() == MASK {
        return Err(refused(Invalid::new("is the mask of a hidden bundle, not a bundle: give the bundle itself")));
    }
    let certs = Certs::given(&key, now).map_err(refused)?;
    certs.check_at(now).map_err(refused)?;
    Ok(certs)
}
