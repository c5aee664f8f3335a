//! What runs: security associations as charon reports them.
//! Unknown words of charon are kept, not guessed at.

use super::{ChildOffer, Connection, IkeOffer, IkeProposal, IkeVersion, MlKem, Mode, Protocol};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::IpAddr};

/// The state of an IKE SA (strongSwan `ike_sa_state_t`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IkeState {
    /// CREATED or CONNECTING: being negotiated.
    #[default]
    Connecting,
    /// ESTABLISHED or REKEYING: usable.
    Established,
    /// REKEYED, DELETING, DESTROYING, PASSIVE: on its way out, or not ours to use.
    Closing,
}

/// The state of a CHILD_SA (strongSwan `child_sa_state_t`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ChildState {
    /// CREATED, ROUTED, INSTALLING, RETRYING: carries nothing yet.
    #[default]
    Pending,
    /// INSTALLED, REKEYING or UPDATING: carries traffic.
    Installed,
    /// REKEYED: another has taken its traffic. Under IKEv2 charon closes it soon, under IKEv1 at the end of its lifetime.
    Replaced,
    /// DELETING, DELETED, DESTROYING: on its way out.
    Closing,
}

/// The algorithms of an SA under charon's names; absent while it is being negotiated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suite {
    /// In charon's words (`encr-alg`); AH has none.
    pub encryption: Option<String>,
    /// Key length in bits, where the algorithm has several.
    pub key_bits: Option<u16>,
    /// Integrity; absent with AEAD ciphers.
    pub integrity: Option<String>,
    /// PRF, of IKE SAs.
    pub prf: Option<String>,
    /// Group; absent in a CHILD_SA that was made together with its IKE SA.
    pub group: Option<String>,
    /// The first additional key exchange; of a CHILD_SA likewise.
    pub additional: Option<String>,
}

/// A value for each direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InOut<T> {
    /// Of what is received.
    pub inbound: T,
    /// Of what is sent.
    pub outbound: T,
}

/// A CHILD_SA.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChildSa {
    /// The name of its configuration.
    pub name: String,
    /// charon's number of it.
    pub unique_id: u64,
    /// Both SPIs. The peer sees the same two the other way round.
    pub spis: InOut<String>,
    /// Its state.
    pub state: ChildState,
    /// Known to be made for an earlier configuration; not everything of it shows in the other fields.
    pub stale: bool,
    /// Tunnel or transport; `None` for a word that we do not know.
    pub mode: Option<Mode>,
    /// Whether it is AH rather than ESP.
    pub ah: bool,
    /// Whether its packets travel in UDP (RFC 3948).
    pub encap: bool,
    /// Its algorithms.
    pub suite: Suite,
    /// Our side's selectors as charon writes them.
    pub local: BTreeSet<String>,
    /// The peer's.
    pub remote: BTreeSet<String>,
    /// The XFRM interface that its packets come out of, by its `if_id`; 0: none.
    pub if_id: u32,
    /// Bytes received and sent.
    pub bytes: InOut<u64>,
    /// Packets received and sent.
    pub packets: InOut<u64>,
    /// Seconds since the last packet was received and sent; `None` if there was none, or charon does not say.
    pub unused: InOut<Option<u64>>,
    /// Seconds since it was installed.
    pub age: u64,
    /// Seconds until charon begins to rekey it; negative when that is overdue, `None` if it is never to be.
    pub rekey_in: Option<i64>,
    /// Seconds until its hard end; `None` if it has none.
    pub ends_in: Option<i64>,
}

/// Which ends of an IKE SA are behind a NAT.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Nat {
    /// This one.
    pub local: bool,
    /// The peer.
    pub remote: bool,
}

/// The times of an IKE SA in seconds; absent until it is established, and the last two where there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IkeTimes {
    /// Since it was established.
    pub age: Option<u64>,
    /// Until charon rekeys it; negative when that is overdue.
    pub rekey_in: Option<i64>,
    /// Until charon authenticates anew; negative when that is overdue.
    pub reauth_in: Option<i64>,
}

/// An IKE SA.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that charon lists")]
pub struct IkeSa {
    /// The name of its configuration.
    pub name: String,
    /// charon's number of it.
    pub unique_id: u64,
    /// 1 or 2.
    pub version: u8,
    /// Its state.
    pub state: IkeState,
    /// Known to be made for an earlier configuration, such as another key.
    pub stale: bool,
    /// Our address as charon writes it.
    pub local_host: String,
    /// The peer's.
    pub remote_host: String,
    /// Whether this end began it.
    pub is_initiator: bool,
    /// The initiator's SPI: both ends know it, so both can prefer the same SA.
    pub initiator_spi: String,
    /// The responder's.
    pub responder_spi: String,
    /// Where a NAT is.
    pub nat: Nat,
    /// Its age, and when charon rekeys it or authenticates anew.
    pub times: IkeTimes,
    /// Its algorithms.
    pub suite: Suite,
    /// Whether a PPK is in its keys, and in those of its CHILD_SAs.
    pub ppk: bool,
    /// Whether charon has work on it that is not finished.
    pub busy: bool,
    /// Its CHILD_SAs.
    pub children: Vec<ChildSa>,
}

impl IkeSa {
    /// Whether this SA is what `wanted` asks for, as far as an SA shows it.
    #[must_use]
    pub fn runs(&self, wanted: &Connection) -> bool {
        let version = match wanted.version {
            IkeVersion::Any => true,
            IkeVersion::V1 => self.version == 1,
            IkeVersion::V2 => self.version == 2,
        };
        version
            && !self.stale
            && is_address(&self.local_host, wanted.local_addr)
            && wanted.remote_addr.ip().is_none_or(|peer| is_address(&self.remote_host, peer))
            && (self.ppk || wanted.native.ppk_id.is_none() || wanted.native.ppk_optional)
            && wanted.ike_proposals().iter().any(|offer| self.suite.is_ike(offer))
    }
}

impl IkeSa {
    /// What protects it against quantum computers, in charon's words; `none` if nothing does.
    #[must_use]
    pub fn post_quantum(&self) -> String {
        protection(self.suite.additional.as_deref(), self.ppk)
    }

    /// The same of its CHILD_SA `child`, and whether the keys of this IKE_SA are what has it: those of a CHILD_SA come from
    /// them, and from a key exchange of its own after the first rekeying.
    #[must_use]
    pub fn post_quantum_of(&self, child: &ChildSa) -> (String, bool) {
        match &child.suite.additional {
            Some(own) => (protection(Some(own), self.ppk), false),
            None => (self.post_quantum(), true),
        }
    }
}

/// Of an additional key exchange and a PPK, those that protect.
fn protection(additional: Option<&str>, ppk: bool) -> String {
    let all: Vec<_> =
        additional.filter(|name| name.starts_with("ML_KEM")).into_iter().chain(ppk.then_some("PPK")).collect();
    if all.is_empty() { "none".into() } else { all.join("+") }
}

impl Suite {
    /// Whether it is that of an IKE SA which was made by `offer`.
    fn is_ike(&self, offer: &IkeOffer) -> bool {
        let IkeProposal { encryption, integrity, group } = offer.proposal;
        let encryption = encryption.row();
        self.encryption.as_deref() == Some(encryption.charon)
            && (encryption.key_bits.is_none() || self.key_bits == encryption.key_bits)
            && (encryption.aead || self.integrity.as_deref() == Some(integrity.row().charon))
            && self.prf.as_deref() == Some(offer.prf().prf_charon)
            && self.group.as_deref() == Some(group.row().charon)
            && self.has_additional(offer.additional)
    }

    fn has_additional(&self, wanted: Option<MlKem>) -> bool {
        self.additional.as_deref() == wanted.map(|kem| kem.row().charon)
    }
}

impl ChildSa {
    /// Whether it has the algorithms of a proposal of `wanted`, as far as an SA shows them.
    #[must_use]
    pub(super) fn runs_suite(&self, wanted: &Connection) -> bool {
        wanted.child_proposals().iter().any(|offer| self.is_made_by(offer))
    }

    pub(super) fn is_made_by(&self, offer: &ChildOffer) -> bool {
        let integrity_is = |name: &str| self.suite.integrity.as_deref() == Some(name);
        // The first CHILD_SA takes its keys from IKE_AUTH: its group shows only after a rekeying.
        let group_is = |pfs: Option<super::DhGroup>| match (&self.suite.group, pfs) {
            (Some(group), Some(pfs)) => group == pfs.row().charon && self.suite.has_additional(offer.additional),
            (Some(_), None) => false,
            (None, _) => true,
        };
        match offer.protocol {
            Protocol::Ah(ah) => self.ah && integrity_is(ah.integrity.row().charon) && group_is(ah.pfs),
            Protocol::Esp(esp) => {
                let row = esp.encryption.row();
                !self.ah
                    && self.suite.encryption.as_deref() == Some(row.charon)
                    && (row.key_bits.is_none() || self.suite.key_bits == row.key_bits)
                    && (row.aead || integrity_is(esp.integrity.row().charon))
                    && group_is(esp.pfs)
            }
        }
    }
}

/// Whether charon's text of an address means `address`.
#[must_use]
pub fn is_address(text: &str, address: IpAddr) -> bool {
    text.parse() == Ok(address)
}
