//! From the members of a file to the record. A refusal names the member, never its value.

use super::{
    file::{
        Earlier, File, Identities, Local, OnTrial, Remote, Revisions, WITH_CERTS, WITH_PPK, WITH_PSK, WITH_TRANSITION,
        WITH_TRIAL,
    },
    transition, wish,
    words::{ID_KINDS, KEY_OWNERS, MODES, SPLITS, meaning},
};
use crate::{
    ipsec::{
        Auth, Certs, ConnectionId, DhGroup, Dpd, Encryption, Generation, IdKinds, IkeProposal, IkeVersion, Integrity,
        KeyOwner, Lifetime, NativeOptions, Psk, State, native::NativeOption,
    },
    store::{
        history::{History, Past, REVISIONS, Revision},
        record::{Names, Network, Options, Record, Reference, RemoteCidr, Spec, Trial},
    },
};
use serde_json::Value;
use std::sync::Arc;

pub(super) fn read_trial(trial: OnTrial) -> Result<Trial, String> {
    let before = trial.before.map(|file| match file.version {
        WITH_PSK | WITH_CERTS | WITH_PPK | WITH_TRANSITION if file.trial.is_none() => read_record(*file),
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

pub(super) fn read_record(mut file: File) -> Result<Record, String> {
    let id = file.uuid.parse().map_err(|e| format!("uuid {e}"))?;
    let (created, changed, enabled, unproven) = (file.created, file.changed, file.enabled, file.unproven);
    let (generation, child_generation) = (file.ike_generation, file.child_generation);
    let key_owner = file.identity.key_owner.as_deref().map(|owner| meaning(&KEY_OWNERS, owner));
    let key_owner = key_owner.unwrap_or(Some(KeyOwner::default())).ok_or("identity.key_owner is not valid")?;
    let worked = if file.ike.ikev1_worked { IkeVersion::V1 } else { IkeVersion::V2 };
    if file.ike.ikev1_worked && file.ike.version != 0 {
        return Err("ike.ikev1_worked is of another ike.version".into());
    }
    let history = file.history.take().map_or_else(|| Ok(History::begun(changed)), read_history)?;
    let in_transition = file.transition.take();
    let (resolved, spec) = (file.resolved, spec(file)?);
    if resolved.is_some() && spec.peer.name().is_none() {
        return Err("resolved is of a peer without a name".into());
    }
    let record = Record::resolved(id, spec, resolved, generation, created);
    let record = record.and_then(|record| record.having_worked(worked));
    let mut record = record.map_err(|e| format!("{:?} is not valid", e.part()))?;
    record.connection.child_generation = Generation(child_generation);
    record.connection.key_owner = key_owner;
    let in_transition = in_transition.map(|file| transition::read(file, &record.connection)).transpose()?;
    record.transition = in_transition.map(Box::new);
    record.changed = changed;
    record.history = history;
    record.unproven = unproven;
    record.state = if enabled { State::Enabled } else { State::Disabled };
    Ok(record)
}

fn read_history(revisions: Revisions) -> Result<History, String> {
    let Revisions { number, at, caller, new_key, new_ppk, last, past } = revisions;
    let last = last.unwrap_or(number);
    let revision = |number, at, caller: Option<String>, [new_key, new_ppk]: [bool; 2]| Revision {
        number,
        at,
        caller: caller.map(Into::into),
        new_key,
        new_ppk,
    };
    let mut next = number;
    let earlier = |Earlier { number, at, caller, new_key, new_ppk, was }: Earlier| {
        if number >= std::mem::replace(&mut next, number) {
            return Err("history.past is not in the order of its numbers".to_owned());
        }
        if !was.keys().all(|name| wish::is_known(name)) {
            return Err("history.past has a member that this program does not know".into());
        }
        Ok(Past {
            revision: revision(number, at, caller, [new_key, new_ppk]),
            was: Value::Object(was).to_string().into(),
        })
    };
    let past = all(past.into_iter().take(REVISIONS - 1).map(earlier))?;
    if last < number {
        return Err("history.last is lower than history.number".into());
    }
    Ok(History { present: revision(number, at, caller, [new_key, new_ppk]), last, past })
}

pub(super) fn spec(file: File) -> Result<Spec, String> {
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
        id_kind: id_kinds(&file.identity)?,
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
            integrity: Some(integrity(&ike.integrity, "ike.integrity")?)
                .filter(|hash| !hash.is_cut())
                .ok_or_else(|| unknown("ike.integrity"))?,
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
        native: native(file)?,
    })
}

/// How the identities are read.
fn id_kinds(identity: &Identities) -> Result<IdKinds, String> {
    let kind =
        |word: &String, member| meaning(&ID_KINDS, word).ok_or_else(|| format!("identity.{member} is not valid"));
    let own = |word: &Option<String>, member| word.as_ref().map(|word| kind(word, member)).transpose();
    let ends = [own(&identity.local_kind, "local_kind")?, own(&identity.remote_kind, "remote_kind")?];
    Ok(IdKinds::new(kind(&identity.kind, "kind")?, ends))
}

/// The options of our own; the older ones among the other values.
fn native(file: &File) -> Result<NativeOptions, String> {
    let unknown = |member: &str| format!("{member} is not valid");
    let mut native = NativeOptions::default();
    if let Some(word) = &file.child.split {
        native.split = meaning(&SPLITS, word).ok_or_else(|| unknown("child.split"))?;
    }
    if let Some(dpd) = &file.ike.dpd {
        native.dpd = Some(Dpd::new(dpd.delay_s.into(), dpd.timeout_s.into()).map_err(|_| unknown("ike.dpd"))?);
    }
    for (name, value) in &file.native {
        let option = NativeOption::named(name).filter(|option| !option.stored_apart);
        let option = option.ok_or("native has an option that this program does not know")?;
        option.put(&mut native, value).map_err(|_| unknown(&format!("native.{name}")))?;
    }
    let ppk = file.ppk_hex.as_ref().map(|hex| Psk::from_hex(hex).map_err(|_| unknown("ppk_hex")));
    native.ppk = ppk.transpose()?;
    Ok(native)
}

/// The proof of identity that the version promises, and no other.
fn auth(file: &File) -> Result<Auth, String> {
    match (file.version, &file.psk_hex, &file.certs_pem) {
        (WITH_PSK | WITH_TRIAL | WITH_PPK | WITH_TRANSITION, Some(hex), None) => {
            Psk::from_hex(hex).map(Auth::Psk).map_err(|_| "psk_hex is not valid".into())
        }
        (WITH_CERTS | WITH_TRIAL | WITH_PPK | WITH_TRANSITION, None, Some(pem)) => match Certs::new(pem) {
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
