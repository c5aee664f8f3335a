//! The model: IPsec connections in RFC 7296's words.
//! No I/O, no HTTP, no async. A value that exists is valid: the constructors are the only doors.

pub mod algorithm;
pub mod carried;
pub mod certs;
pub mod condition;
pub mod connection;
pub mod coverage;
pub mod dpd;
pub mod flow;
pub mod identity;
pub mod lifetime;
pub mod pass;
pub mod proposal;
pub mod psk;
pub mod reason;
pub mod sa;
pub mod selector;
pub mod status;
pub mod weakness;

pub use crate::ipsec::algorithm::{DhGroup, Encryption, Integrity};
pub use crate::ipsec::carried::{Carried, carried};
pub use crate::ipsec::certs::Certs;
pub use crate::ipsec::condition::{Condition, condition};
pub use crate::ipsec::connection::{
    Auth, Child, Conflict, Connection, ConnectionId, Generation, IkeVersion, KeyOwner, Mode, Part, Parts, Protocol,
    Split,
};
pub use crate::ipsec::dpd::Dpd;
pub use crate::ipsec::flow::{Flow, Flows, Limits, Use};
pub use crate::ipsec::identity::{Dn, Identity, IdentityKey, IdentityKind};
pub use crate::ipsec::lifetime::Lifetime;
pub use crate::ipsec::pass::{Pass, passes, refuse_everything};
pub use crate::ipsec::proposal::{AhProposal, EspProposal, IkeProposal};
pub use crate::ipsec::psk::Psk;
pub use crate::ipsec::reason::{Code, Reason};
pub use crate::ipsec::sa::{ChildSa, ChildState, IkeSa, IkeState};
pub use crate::ipsec::selector::TrafficSelector;
pub use crate::ipsec::status::{State, Status};
pub use crate::ipsec::weakness::{Finding, Weakness};

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
