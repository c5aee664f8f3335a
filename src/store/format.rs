//! The text of a stored record. One of the two files that hold the key.
//!
//! A reader refuses what it does not understand: a newer `version`, an unknown member, a value that
//! the model refuses. Errors name the member, never its value, because it may be the key.

mod words;

use super::{
    record::Trial,
    record::{Names, Network, Options, Record, Reference, RemoteCidr, Spec},
};
use crate::{
    error::{Error, Result},
    ipsec::{
        Auth, Certs, ConnectionId, DhGroup, Dpd, Encryption, Generation, IkeProposal, IkeVersion, Integrity, KeyOwner,
        Lifetime, Psk, Split, State,
    },
    store::format::words::{ID_KINDS, KEY_OWNERS, MODES, SPLITS, meaning, word},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, sync::Arc};
use zeroize::Zeroizing;

/// The version of records with a pre-shared key; programs that know no certificates read it too.
const WITH_PSK: u32 = 1;
/// The version of records with certificates.
const WITH_CERTS: u32 = 2;
/// The version of records with a change on trial, whatever the proof of identity.
const WITH_TRIAL: u32 = 3;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    uuid: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    system_tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    user_tags: Vec<String>,
    enabled: bool,
    created: Timestamp,
    changed: Timestamp,
    vip: Vip,
    peer: String,
    identity: Identities,
    ike: Ike,
    child: Child,
    local: Vec<Local>,
    remote: Vec<Remote>,
    /// How often the key was changed.
    #[serde(default)]
    ike_generation: u32,
    /// How often a child was to be negotiated anew beside one that ran otherwise than wanted.
    #[serde(default, skip_serializing_if = "is_zero")]
    child_generation: u32,
    /// Whether what runs may have been made for an earlier connection.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unproven: bool,
    /// The key as hexadecimal digits, wiped with the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    psk_hex: Option<Zeroizing<String>>,
    /// The bundle of certificates with its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certs_pem: Option<Zeroizing<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial: Option<OnTrial>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnTrial {
    uuid: String,
    caller: String,
    began: Timestamp,
    until: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    overruled: bool,
    /// The record that counts if the trial fails; none of a connection that was created on trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Box<File>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vip {
    uuid: String,
    address: IpAddr,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identities {
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
    /// Whose the key is in charon, if it is not the peer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_owner: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ike {
    version: u8,
    encryption: String,
    integrity: String,
    group: u16,
    lifetime_s: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dpd: Option<DeadPeer>,
    /// Whether the peer was last up with IKEv1, where both versions are spoken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ikev1_worked: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeadPeer {
    delay_s: u32,
    timeout_s: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Child {
    protocol: String,
    mode: String,
    encryption: String,
    integrity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pfs: Option<u16>,
    lifetime_s: u32,
    /// Absent in records that were stored before there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    split: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Local {
    uuid: String,
    network: String,
    cidrs: Vec<String>,
    created: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remote {
    uuid: String,
    cidr: String,
    created: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The contents of `record`'s file.
///
/// # Errors
/// When it cannot be written as JSON, which is a fault of this program.
pub fn to_bytes(record: &Record) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(2048));
    serde_json::to_writer_pretty(&mut *bytes, &file(record)).map_err(|e| Error::Internal(e.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn file(record: &Record) -> File {
    let spec = &record.spec;
    let options = &spec.options;
    let (version, psk_hex, certs_pem) = match &options.auth {
        Auth::Psk(psk) => (WITH_PSK, Some(psk.expose_hex()), None),
        Auth::Certs(certs) => (WITH_CERTS, None, Some(certs.expose_pem())),
    };
    File {
        version: if record.trial.is_some() { WITH_TRIAL } else { version },
        uuid: record.id.to_string(),
        name: spec.names.name.clone(),
        description: spec.names.description.clone(),
        system_tags: spec.names.system_tags.clone(),
        user_tags: spec.names.user_tags.clone(),
        enabled: record.state == State::Enabled,
        created: record.created,
        changed: record.changed,
        vip: Vip { uuid: spec.vip.uuid.clone(), address: spec.vip.address },
        peer: spec.peer.to_string(),
        identity: Identities {
            kind: word(&ID_KINDS, options.id_kind).into(),
            local: options.local_id.clone(),
            remote: options.remote_id.clone(),
            key_owner: Some(record.connection.key_owner)
                .filter(|owner| *owner != KeyOwner::default())
                .map(|owner| word(&KEY_OWNERS, owner).into()),
        },
        ike: Ike {
            version: match options.version {
                IkeVersion::Any => 0,
                IkeVersion::V1 => 1,
                IkeVersion::V2 => 2,
            },
            encryption: options.ike.encryption.row().wire.into(),
            integrity: options.ike.integrity.row().wire.into(),
            group: options.ike.group.row().number,
            lifetime_s: options.ike_lifetime.hard(),
            dpd: options.dpd.map(|dpd| DeadPeer { delay_s: dpd.delay(), timeout_s: dpd.timeout() }),
            ikev1_worked: record.ikev1_worked,
        },
        child: Child {
            protocol: if options.ah { "ah" } else { "esp" }.into(),
            mode: word(&MODES, options.mode).into(),
            encryption: options.encryption.row().wire.into(),
            integrity: options.integrity.row().wire.into(),
            pfs: options.pfs.map(|group| group.row().number),
            lifetime_s: options.lifetime.hard(),
            split: Some(options.split).filter(|split| *split != Split::Stored).map(|split| split.name().into()),
        },
        local: spec.local.iter().map(local).collect(),
        remote: spec.remote.iter().map(remote).collect(),
        ike_generation: record.ike_generation,
        child_generation: record.connection.child_generation.0,
        unproven: record.unproven,
        psk_hex,
        certs_pem,
        trial: record.trial.as_deref().map(on_trial),
    }
}

fn on_trial(trial: &Trial) -> OnTrial {
    OnTrial {
        uuid: trial.id.to_string(),
        caller: trial.caller.clone(),
        began: trial.began,
        until: trial.until,
        overruled: trial.overruled,
        before: trial.before.as_ref().map(|before| Box::new(file(before))),
    }
}

fn local(network: &Network) -> Local {
    Local {
        uuid: network.uuid.to_string(),
        network: network.network.clone(),
        cidrs: network.cidrs.iter().map(ToString::to_string).collect(),
        created: network.created,
    }
}

fn remote(entry: &RemoteCidr) -> Remote {
    Remote { uuid: entry.uuid.to_string(), cidr: entry.cidr.to_string(), created: entry.created }
}

/// The record that `bytes` hold.
///
/// # Errors
/// What is wrong with them, without quoting a value.
pub fn from_bytes(bytes: &[u8]) -> Result<Record, String> {
    let version = serde_json::from_slice::<Version>(bytes).map_err(|e| place(&e))?.version;
    if !(WITH_PSK..=WITH_TRIAL).contains(&version) {
        return Err(format!("it has version {version}, this program reads {WITH_PSK} to {WITH_TRIAL}"));
    }
    let mut file: File = serde_json::from_slice(bytes).map_err(|e| place(&e))?;
    let on_trial = file.trial.take();
    if on_trial.is_some() != (version == WITH_TRIAL) {
        return Err(format!("a record with a trial has version {WITH_TRIAL}, and no other has it"));
    }
    let trial = on_trial.map(read_trial).transpose()?;
    let record = read_record(file)?;
    if trial.as_ref().and_then(|trial| trial.before.as_ref()).is_some_and(|before| before.id != record.id) {
        return Err("trial.before is of another connection".into());
    }
    Ok(Record { trial: trial.map(Box::new), ..record })
}

fn read_trial(trial: OnTrial) -> Result<Trial, String> {
    let before = trial.before.map(|file| match file.version {
        WITH_PSK | WITH_CERTS if file.trial.is_none() => read_record(*file),
        _ => Err("trial.before is not a record without a trial".into()),
    });
    let before = before.transpose()?;
    Ok(Trial {
        id: uuid(&trial.uuid, "trial.uuid")?,
        caller: trial.caller,
        began: trial.began,
        until: trial.until,
        overruled: trial.overruled,
        before,
    })
}

fn read_record(file: File) -> Result<Record, String> {
    let id = file.uuid.parse().map_err(|e| format!("uuid {e}"))?;
    let (created, changed, enabled, unproven) = (file.created, file.changed, file.enabled, file.unproven);
    let (generation, child_generation) = (file.ike_generation, file.child_generation);
    let key_owner = file.identity.key_owner.as_deref().map(|owner| meaning(&KEY_OWNERS, owner));
    let key_owner = key_owner.unwrap_or(Some(KeyOwner::default())).ok_or("identity.key_owner is not valid")?;
    let worked = if file.ike.ikev1_worked { IkeVersion::V1 } else { IkeVersion::V2 };
    if file.ike.ikev1_worked && file.ike.version != 0 {
        return Err("ike.ikev1_worked is of another ike.version".into());
    }
    let record = Record::new(id, spec(file)?, generation, created).and_then(|record| record.having_worked(worked));
    let mut record = record.map_err(|e| format!("{:?} is not valid", e.part()))?;
    record.connection.child_generation = Generation(child_generation);
    record.connection.key_owner = key_owner;
    record.changed = changed;
    record.unproven = unproven;
    record.state = if enabled { State::Enabled } else { State::Disabled };
    Ok(record)
}

/// The one member that every version has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Where JSON is wrong; serde's own text may quote the key.
fn place(error: &serde_json::Error) -> String {
    let what = if error.is_data() { "it does not have the members of a record" } else { "it is not JSON" };
    format!("{what}: line {}, column {}", error.line(), error.column())
}

fn spec(file: File) -> Result<Spec, String> {
    let options = options(&file)?;
    let local = all(file.local.into_iter().map(read_local))?;
    let remote = all(file.remote.iter().map(read_remote))?;
    Ok(Spec {
        names: Names {
            name: file.name,
            description: file.description,
            system_tags: file.system_tags,
            user_tags: file.user_tags,
        },
        vip: Reference { uuid: file.vip.uuid, address: file.vip.address },
        peer: file.peer.parse().map_err(|_| "peer is not valid")?,
        options,
        local,
        remote,
    })
}

fn options(file: &File) -> Result<Options, String> {
    let unknown = |member: &str| format!("{member} is not valid");
    let (ike, child) = (&file.ike, &file.child);
    let encryption = |name: &str, member| Encryption::from_wire(name).ok_or_else(|| unknown(member));
    let integrity = |name: &str, member| Integrity::from_wire(name).ok_or_else(|| unknown(member));
    let group = |number: u16, member| DhGroup::new(number.into()).ok_or_else(|| unknown(member));
    Ok(Options {
        auth: auth(file)?,
        id_kind: meaning(&ID_KINDS, &file.identity.kind).ok_or_else(|| unknown("identity.kind"))?,
        local_id: file.identity.local.clone(),
        remote_id: file.identity.remote.clone(),
        version: match ike.version {
            0 => IkeVersion::Any,
            1 => IkeVersion::V1,
            2 => IkeVersion::V2,
            _ => return Err(unknown("ike.version")),
        },
        ike: IkeProposal {
            encryption: encryption(&ike.encryption, "ike.encryption")?,
            integrity: integrity(&ike.integrity, "ike.integrity")?,
            group: group(ike.group, "ike.group")?,
        },
        ike_lifetime: Lifetime::ike(ike.lifetime_s.into()).map_err(|_| unknown("ike.lifetime_s"))?,
        ah: match child.protocol.as_str() {
            "esp" => false,
            "ah" => true,
            _ => return Err(unknown("child.protocol")),
        },
        encryption: encryption(&child.encryption, "child.encryption")?,
        integrity: integrity(&child.integrity, "child.integrity")?,
        pfs: child.pfs.map(|number| group(number, "child.pfs")).transpose()?,
        mode: meaning(&MODES, &child.mode).ok_or_else(|| unknown("child.mode"))?,
        lifetime: Lifetime::child(child.lifetime_s.into()).map_err(|_| unknown("child.lifetime_s"))?,
        split: match &child.split {
            None => Split::Stored,
            Some(word) => meaning(&SPLITS, word).ok_or_else(|| unknown("child.split"))?,
        },
        dpd: match &ike.dpd {
            Some(dpd) => Some(Dpd::new(dpd.delay_s.into(), dpd.timeout_s.into()).map_err(|_| unknown("ike.dpd"))?),
            None => None,
        },
    })
}

/// The proof of identity that the version promises, and no other.
fn auth(file: &File) -> Result<Auth, String> {
    match (file.version, &file.psk_hex, &file.certs_pem) {
        (WITH_PSK | WITH_TRIAL, Some(hex), None) => {
            Psk::from_hex(hex).map(Auth::Psk).map_err(|_| "psk_hex is not valid".into())
        }
        (WITH_CERTS | WITH_TRIAL, None, Some(pem)) => match Certs::new(pem) {
            Ok(certs) => Ok(Auth::Certs(Arc::new(certs))),
            Err(_) => Err("certs_pem is not valid".into()),
        },
        (version, ..) => Err(format!("it does not have the one proof of identity of version {version}")),
    }
}

/// What was read, in no more memory than it needs: a list that grows takes room for four, in thousands of records.
fn all<T, E>(read: impl Iterator<Item = Result<T, E>>) -> Result<Vec<T>, E> {
    let mut all = read.collect::<Result<Vec<_>, _>>()?;
    all.shrink_to_fit();
    Ok(all)
}

fn read_local(local: Local) -> Result<Network, String> {
    let cidrs = all(local.cidrs.iter().map(|cidr| cidr.parse())).map_err(|_| "local.cidrs is not valid")?;
    Ok(Network { uuid: uuid(&local.uuid, "local.uuid")?, network: local.network, cidrs, created: local.created })
}

fn read_remote(remote: &Remote) -> Result<RemoteCidr, String> {
    let cidr = remote.cidr.parse().map_err(|_| "remote.cidr is not valid")?;
    Ok(RemoteCidr { uuid: uuid(&remote.uuid, "remote.uuid")?, cidr, created: remote.created })
}

fn uuid(text: &str, member: &str) -> Result<ConnectionId, String> {
    text.parse().map_err(|e| format!("{member} {e}"))
}
