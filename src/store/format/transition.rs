//! A transition in the file of its record.

use super::file::{Accepted, InTransition};
use crate::{
    ipsec::{
        AhProposal, Connection, DhGroup, Encryption, EspProposal, IkeProposal, Integrity, MlKem, Protection, Protocol,
    },
    store::{accepted::Transition, transition::MOST},
};

pub(super) fn file(transition: &Transition) -> InTransition {
    let accepted = |protection: &Protection| {
        let Protection { ike, ike_prf, protocol, post_quantum, post_quantum_optional } = *protection;
        let (encryption, integrity) = match protocol {
            Protocol::Esp(esp) => (Some(esp.encryption.row().wire.into()), esp.integrity),
            Protocol::Ah(ah) => (None, ah.integrity),
        };
        Accepted {
            ike_encryption: ike.encryption.row().wire.into(),
            ike_integrity: ike.integrity.row().wire.into(),
            ike_group: ike.group.row().number,
            ike_prf: ike_prf.map(|hash| hash.row().wire.into()),
            encryption,
            integrity: integrity.row().wire.into(),
            pfs: protocol.pfs().map(|group| group.row().number),
            post_quantum: post_quantum.map(|kem| kem.row().wire.into()),
            post_quantum_optional,
        }
    };
    InTransition {
        caller: transition.caller.clone(),
        began: transition.began,
        until: transition.until,
        accept: transition.accept,
        over: transition.over,
        accepted: transition.accepted.iter().map(accepted).collect(),
    }
}

/// The transition of `connection` that a file has.
pub(super) fn read(file: InTransition, connection: &Connection) -> Result<Transition, String> {
    let InTransition { caller, began, until, accept, over, accepted } = file;
    let accepted = accepted.iter().map(protection).collect::<Option<Vec<_>>>();
    let is_ah = |protection: &Protection| matches!(protection.protocol, Protocol::Ah(_));
    let own = connection.protection();
    let accepted = accepted
        .filter(|all| (1..=MOST).contains(&all.len()) && all.iter().all(|one| is_ah(one) == is_ah(&own)))
        .ok_or("transition.accepted is not valid")?;
    Ok(Transition { caller, began, until, accept, over, accepted })
}

fn protection(file: &Accepted) -> Option<Protection> {
    let integrity = Integrity::from_wire(&file.integrity)?;
    let group = |number: u16| DhGroup::new(number.into());
    let ike_prf = match &file.ike_prf {
        None => None,
        Some(name) => Some(Integrity::from_wire(name).filter(|hash| !hash.is_cut())?),
    };
    let pfs = match file.pfs {
        None => None,
        Some(number) => Some(group(number)?),
    };
    let post_quantum = match &file.post_quantum {
        None => None,
        Some(name) => Some(MlKem::from_wire(name)?),
    };
    Some(Protection {
        ike: IkeProposal {
            encryption: Encryption::from_wire(&file.ike_encryption)?,
            integrity: Integrity::from_wire(&file.ike_integrity).filter(|hash| !hash.is_cut())?,
            group: group(file.ike_group)?,
        },
        ike_prf,
        protocol: match &file.encryption {
            Some(name) => Protocol::Esp(EspProposal { encryption: Encryption::from_wire(name)?, integrity, pfs }),
            None => Protocol::Ah(AhProposal { integrity, pfs }),
        },
        post_quantum,
        post_quantum_optional: file.post_quantum_optional,
    })
}
