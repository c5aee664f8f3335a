//! The text of a stored record. One of the two files that hold the key.
//!
//! A reader refuses what it does not understand: a newer `version`, an unknown member, a value that
//! the model refuses. Errors name the member, never its value, because it may be the key.

mod file;
mod read;
mod transition;
mod wish;
mod words;

use super::{
    history::{History, Past},
    record::{Network, Options, Record, RemoteCidr, Spec, Trial},
};
use crate::{
    error::{Error, Result},
    ipsec::{Auth, IkeVersion, KeyOwner, NativeOptions, Psk, Split, State, native::NATIVE},
    store::format::{
        file::{
            Child, DeadPeer, Earlier, File, Identities, Ike, Local, OnTrial, Remote, Revisions, Version, Vip,
            WITH_CERTS, WITH_PPK, WITH_PSK, WITH_TRANSITION, WITH_TRIAL,
        },
        read::{read_record, read_trial, spec},
        wish::Wish,
        words::{ID_KINDS, KEY_OWNERS, MODES, word},
    },
};
use serde_json::{Map, Value};
use std::sync::Arc;
use zeroize::Zeroizing;

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
    let (identity, ike, child) = sections(record);
    let (written_as, psk_hex, certs_pem) = key(&spec.options.auth);
    let post_quantum_key = spec.options.native.ppk.as_ref().map(Psk::expose_hex);
    File {
        version: match (&post_quantum_key, &record.trial) {
            _ if has_transition(record) => WITH_TRANSITION,
            (Some(_), _) => WITH_PPK,
            (None, Some(_)) => WITH_TRIAL,
            (None, None) => written_as,
        },
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
        resolved: record.resolved,
        identity,
        ike,
        child,
        native: native(&spec.options.native),
        local: spec.local.iter().map(local).collect(),
        remote: spec.remote.iter().map(remote).collect(),
        ike_generation: record.ike_generation,
        child_generation: record.connection.child_generation.0,
        unproven: record.unproven,
        history: revisions(record),
        psk_hex,
        certs_pem,
        ppk_hex: post_quantum_key,
        trial: record.trial.as_deref().map(on_trial),
        transition: record.transition.as_deref().map(transition::file),
    }
}

/// Whether it is in transition, or what its trial would put back is.
fn has_transition(record: &Record) -> bool {
    let before = record.trial.as_ref().and_then(|trial| trial.before.as_ref());
    std::iter::once(record).chain(before).any(|record| record.transition.is_some())
}

/// The options, in the sections of the file. The proof of identity is beside them.
fn sections(record: &Record) -> (Identities, Ike, Child) {
    // Without a rest: an option that is not stored does not compile.
    let Options {
        auth: _,
        id_kind,
        local_id,
        remote_id,
        version,
        ike,
        ike_lifetime,
        ah,
        encryption,
        integrity,
        pfs,
        mode,
        lifetime,
        native,
    } = &record.spec.options;
    let own_kind = |kind: Option<_>| kind.map(|kind| word(&ID_KINDS, kind).into());
    let identity = Identities {
        kind: word(&ID_KINDS, id_kind.both).into(),
        local: local_id.clone(),
        remote: remote_id.clone(),
        local_kind: own_kind(id_kind.local),
        remote_kind: own_kind(id_kind.remote),
        key_owner: Some(record.connection.key_owner)
            .filter(|owner| *owner != KeyOwner::default())
            .map(|owner| word(&KEY_OWNERS, owner).into()),
    };
    let child = Child {
        protocol: if *ah { "ah" } else { "esp" }.into(),
        mode: word(&MODES, *mode).into(),
        encryption: encryption.row().wire.into(),
        integrity: integrity.row().wire.into(),
        pfs: pfs.map(|group| group.row().number),
        lifetime_s: lifetime.hard(),
        split: Some(native.split).filter(|split| *split != Split::Stored).map(|split| split.name().into()),
    };
    let ike = Ike {
        version: match version {
            IkeVersion::Any => 0,
            IkeVersion::V1 => 1,
            IkeVersion::V2 => 2,
        },
        encryption: ike.encryption.row().wire.into(),
        integrity: ike.integrity.row().wire.into(),
        group: ike.group.row().number,
        lifetime_s: ike_lifetime.hard(),
        dpd: native.dpd.map(|dpd| DeadPeer { delay_s: dpd.delay(), timeout_s: dpd.timeout() }),
        ikev1_worked: record.ikev1_worked,
    };
    (identity, ike, child)
}

/// The options of our own that have no other place, but for those that mean the same when they are left out.
fn native(options: &NativeOptions) -> Map<String, Value> {
    let without = NativeOptions::default();
    let own = NATIVE.iter().filter(|option| !option.stored_apart && !(option.same)(options, &without));
    own.map(|option| (option.name.to_owned(), (option.get)(options))).collect()
}

/// The revisions, but for a history that nothing has happened in.
fn revisions(record: &Record) -> Option<Revisions> {
    let History { present, last, past } = &record.history;
    let text = |caller: &Option<Arc<str>>| caller.as_deref().map(ToOwned::to_owned);
    let earlier = |Past { revision, was }: &Past| Earlier {
        number: revision.number,
        at: revision.at,
        caller: text(&revision.caller),
        new_key: revision.new_key,
        new_ppk: revision.new_ppk,
        was: serde_json::from_str(was).unwrap_or_default(),
    };
    (!record.history.is_bare(record.changed)).then(|| Revisions {
        number: present.number,
        at: present.at,
        caller: text(&present.caller),
        new_key: present.new_key,
        new_ppk: present.new_ppk,
        last: Some(*last).filter(|last| *last != present.number),
        past: past.iter().map(earlier).collect(),
    })
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

/// What `record` says, without its key.
///
/// # Errors
/// When it cannot be written as JSON, which is a fault of this program.
pub(super) fn wish(record: &Record) -> Result<Wish> {
    Wish::of(&without_key(record)).map_err(|e| Error::Internal(e.to_string()))
}

/// What `wish` means for the connection of `record`, with the key that it has.
///
/// # Errors
/// What is wrong with it, without quoting a value.
pub(super) fn said(record: &Record, wish: Wish) -> Result<(Spec, State), String> {
    let mut file = wish.put_into(&without_key(record)).map_err(|e| place(&e))?;
    (file.version, file.psk_hex, file.certs_pem) = key(&record.spec.options.auth);
    let state = if file.enabled { State::Enabled } else { State::Disabled };
    let mut spec = spec(file)?;
    // The PPK that there is now belongs to its name alone.
    let now = &record.spec.options.native;
    spec.options.native.ppk = now.ppk.clone().filter(|_| spec.options.native.ppk_id == now.ppk_id);
    Ok((spec, state))
}

fn without_key(record: &Record) -> File {
    let file = file(record);
    File { psk_hex: None, certs_pem: None, ppk_hex: None, trial: None, transition: None, history: None, ..file }
}

/// The version, and the members with the key.
fn key(auth: &Auth) -> (u32, Option<Zeroizing<String>>, Option<Zeroizing<String>>) {
    match auth {
        Auth::Psk(psk) => (WITH_PSK, Some(psk.expose_hex()), None),
        Auth::Certs(certs) => (WITH_CERTS, None, Some(certs.expose_pem())),
    }
}

/// The record that `bytes` hold.
///
/// # Errors
/// What is wrong with them, without quoting a value.
pub fn from_bytes(bytes: &[u8]) -> Result<Record, String> {
    let version = serde_json::from_slice::<Version>(bytes).map_err(|e| place(&e))?.version;
    if !(WITH_PSK..=WITH_TRANSITION).contains(&version) {
        return Err(format!("it has version {version}, this program reads {WITH_PSK} to {WITH_TRANSITION}"));
    }
    let mut file: File = serde_json::from_slice(bytes).map_err(|e| place(&e))?;
    let on_trial = file.trial.take();
    if version != WITH_TRANSITION && file.transition.is_some() {
        return Err(format!("a record in transition has version {WITH_TRANSITION}"));
    }
    if version != WITH_TRANSITION && file.ppk_hex.is_some() != (version == WITH_PPK) {
        return Err(format!("a record with a PPK has version {WITH_PPK}, and no other has it"));
    }
    if version < WITH_PPK && on_trial.is_some() != (version == WITH_TRIAL) {
        return Err(format!("a record with a trial has version {WITH_TRIAL}, and no other has it"));
    }
    let trial = on_trial.map(read_trial).transpose()?;
    let record = read_record(file)?;
    if trial.as_ref().and_then(|trial| trial.before.as_ref()).is_some_and(|before| before.id != record.id) {
        return Err("trial.before is of another connection".into());
    }
    let record = Record { trial: trial.map(Box::new), ..record };
    if version == WITH_TRANSITION && !has_transition(&record) {
        return Err(format!("a record of version {WITH_TRANSITION} is in transition, or has one to put back that is"));
    }
    Ok(record)
}

/// Where JSON is wrong; serde's own text may quote the key.
pub(super) fn place(error: &serde_json::Error) -> String {
    let what = if error.is_data() { "it does not have the members of a record" } else { "it is not JSON" };
    format!("{what}: line {}, column {}", error.line(), error.column())
}
