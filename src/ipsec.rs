//! The model: IPsec connections in RFC 7296's words.
//! No I/O, no HTTP, no async. A value that exists is valid: the constructors are the only doors.

mod address;
mod advice;
pub mod algorithm;
pub mod carried;
pub mod certs;
pub mod clash;
pub mod condition;
mod conflict;
mod connection;
pub mod coverage;
mod dpd;
mod flow;
pub mod host_name;
mod identity;
mod lifetime;
pub mod native;
pub mod next_layer;
pub mod packet_size;
mod part;
mod pass;
mod peer;
pub mod post_quantum;
mod proposal;
mod psk;
pub mod rates;
pub mod reason;
mod remedy;
mod remote;
pub mod sa;
mod selector;
pub mod special;
pub mod status;
pub mod totals;
pub mod transition;
pub mod weakness;

pub use advice::condition_advice;
pub use algorithm::{DhGroup, Encryption, Integrity};
pub use carried::{Carried, carried};
pub use certs::Certs;
pub use clash::Clash;
pub use condition::{Condition, condition};
pub use conflict::{Conflict, rest_instead};
pub use connection::{
    Auth, Child, ChildOffer, Connection, ConnectionId, Generation, IkeOffer, IkeVersion, KeyOwner, Mode, Parts,
    Protection, Protocol, Split,
};
pub use dpd::Dpd;
pub use flow::{Flow, Flows, Limits, Use};
pub use host_name::HostName;
pub use identity::{Dn, IdKinds, Identity, IdentityKey, IdentityKind};
pub use lifetime::{ByteLifetime, Lifetime};
pub use native::NativeOptions;
pub use next_layer::NextLayer;
pub use packet_size::PacketSize;
pub use part::Part;
pub use pass::{Pass, passes, passes_beside, refuse_everything};
pub use peer::PeerAddr;
pub use post_quantum::MlKem;
pub use proposal::{AhProposal, EspProposal, IkeProposal, list};
pub use psk::Psk;
pub use reason::{Code, Reason};
pub use remedy::Remedy;
pub use remote::{Peer, Remote};
pub use sa::{ChildSa, ChildState, IkeSa, IkeState, InOut};
pub use selector::TrafficSelector;
pub use status::{State, Status};
pub use transition::Former;
pub use weakness::{Finding, Weakness};

/// Why a value cannot be part of a connection: one sentence, without the field's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// The reason `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}
