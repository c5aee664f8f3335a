//! What a connection offers to its peer: lists of proposals, of which the first is what is wanted.

use super::{Connection, Protocol};
use crate::ipsec::{IkeProposal, Integrity, MlKem, algorithm::IntegrityRow};
use std::fmt;

/// A proposal for the IKE SA, with all that is offered in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IkeOffer {
    /// The transforms.
    pub proposal: IkeProposal,
    /// The hash of the PRF, if it is another than that of the integrity.
    pub prf: Option<Integrity>,
    /// The first additional key exchange (RFC 9370).
    pub additional: Option<MlKem>,
}

impl IkeOffer {
    /// The row of the hash of its PRF.
    #[must_use]
    pub fn prf(&self) -> &'static IntegrityRow {
        self.prf.unwrap_or(self.proposal.integrity).row()
    }
}

/// A proposal for the CHILD_SAs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildOffer {
    /// The protocol with its transforms.
    pub protocol: Protocol,
    /// The additional key exchange beside that of PFS.
    pub additional: Option<MlKem>,
}

/// Writes `-ke1_mlkem768` if there is one.
fn additional_suffix(f: &mut fmt::Formatter<'_>, additional: Option<MlKem>) -> fmt::Result {
    additional.map_or(Ok(()), |kem| write!(f, "-ke1_{}", kem.row().wire))
}

/// All that the proposals of a connection are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protection {
    /// The transforms of the IKE SA.
    pub ike: IkeProposal,
    /// The hash of its PRF, if it is another than that of the integrity.
    pub ike_prf: Option<Integrity>,
    /// The protocol of the CHILD_SAs with its transforms.
    pub protocol: Protocol,
    /// The additional key exchange.
    pub post_quantum: Option<MlKem>,
    /// Whether an SA without it is wanted, too.
    pub post_quantum_optional: bool,
}

impl Protection {
    /// What the IKE SA may be protected with; the first wins.
    pub(in crate::ipsec) fn ike_offers(self) -> impl Iterator<Item = IkeOffer> {
        let Self { ike: proposal, ike_prf: prf, .. } = self;
        self.additional().into_iter().map(move |additional| IkeOffer { proposal, prf, additional })
    }

    /// What the CHILD_SAs may be protected with; the first wins.
    pub(in crate::ipsec) fn child_offers(self) -> impl Iterator<Item = ChildOffer> {
        let protocol = self.protocol;
        // Without a key exchange of their own, they take what the IKE SA has.
        let additional = if protocol.pfs().is_none() { vec![None] } else { self.additional() };
        additional.into_iter().map(move |additional| ChildOffer { protocol, additional })
    }

    /// The additional key exchanges of the proposals. One that a peer may lack stands in the first of two: `ke1_none`
    /// beside it in one proposal makes strongSwan before 6.0 refuse both (facts 20.22).
    fn additional(self) -> Vec<Option<MlKem>> {
        match self.post_quantum {
            Some(kem) if self.post_quantum_optional => vec![Some(kem), None],
            kem => vec![kem],
        }
    }

    /// Whether whoever accepts these proposals accepts all of `other`, too.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        other.ike_offers().all(|offer| self.ike_offers().any(|own| own == offer))
            && other.child_offers().all(|offer| self.child_offers().any(|own| own == offer))
    }
}

/// Each once, in order.
fn each_once<T: PartialEq>(offers: impl Iterator<Item = T>) -> Vec<T> {
    offers.fold(Vec::new(), |mut all, offer| {
        if !all.contains(&offer) {
            all.push(offer);
        }
        all
    })
}

impl Connection {
    /// What it is to be protected with.
    #[must_use]
    pub fn protection(&self) -> Protection {
        Protection {
            ike: self.ike,
            ike_prf: self.native.ike_prf,
            protocol: self.protocol,
            post_quantum: self.native.post_quantum,
            post_quantum_optional: self.native.post_quantum_optional,
        }
    }

    /// The same, which accepts the proposals of `accepted`, too.
    #[must_use]
    pub fn accepting(&self, accepted: &[Protection]) -> Self {
        Self { accepted: accepted.to_vec(), ..self.clone() }
    }

    /// All that is accepted, what is wanted first.
    pub fn protections(&self) -> impl Iterator<Item = Protection> {
        std::iter::once(self.protection()).chain(self.accepted.iter().copied())
    }

    /// What the IKE SA may be protected with; the first wins.
    #[must_use]
    pub fn ike_proposals(&self) -> Vec<IkeOffer> {
        each_once(self.protections().flat_map(Protection::ike_offers))
    }

    /// What the CHILD_SAs may be protected with; the first wins.
    #[must_use]
    pub fn child_proposals(&self) -> Vec<ChildOffer> {
        each_once(self.protections().flat_map(Protection::child_offers))
    }

    /// Whether packets of SHA-256 are cut: that is said of a child, and of all its proposals.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.protections().any(|protection| protection.protocol.is_cut())
    }
}

/// strongSwan's proposal string, such as `aes256-sha256-modp2048`.
/// An AEAD cipher needs the PRF named (`aes256gcm16-prfsha256-ecp384`).
impl fmt::Display for IkeOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IkeProposal { encryption, integrity, group } = self.proposal;
        let (encryption, integrity) = (encryption.row(), integrity.row());
        f.write_str(encryption.keyword)?;
        if !encryption.aead {
            write!(f, "-{}", integrity.keyword)?;
        }
        if encryption.aead || self.prf.is_some() {
            write!(f, "-{}", self.prf().prf_keyword)?;
        }
        write!(f, "-{}", group.row().keyword)?;
        additional_suffix(f, self.additional)
    }
}

impl fmt::Display for ChildOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Esp(esp) => write!(f, "{esp}"),
            Protocol::Ah(ah) => write!(f, "{ah}"),
        }?;
        additional_suffix(f, self.additional)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipsec::{DhGroup, Encryption, list};

    #[test]
    fn strings_are_strongswans() {
        let group = DhGroup::new(20);
        let ike = |encryption, prf| {
            let proposal = IkeProposal { encryption, integrity: Integrity::Sha384, group: group.expect("20") };
            IkeOffer { proposal, prf, additional: None }
        };
        assert_eq!(ike(Encryption::Aes256, None).to_string(), "aes256-sha384-ecp384");
        assert_eq!(ike(Encryption::Aes256Gcm, None).to_string(), "aes256gcm16-prfsha384-ecp384");
        let cut = [ike(Encryption::Aes256, Some(Integrity::Sha1)), ike(Encryption::Aes192Gcm, Some(Integrity::Sha512))];
        assert_eq!(list(&cut), "aes256-sha384-prfsha1-ecp384, aes192gcm16-prfsha512-ecp384");
        let hybrid = IkeOffer { additional: Some(MlKem::MlKem1024), ..ike(Encryption::Aes256, None) };
        assert_eq!(hybrid.to_string(), "aes256-sha384-ecp384-ke1_mlkem1024");
    }
}
