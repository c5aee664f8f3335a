//! The contract's sentences (1.8) of what the model refuses: the members of the API in place of the model's parts, and the
//! real server's own wording where it has one.

use crate::ipsec::{Conflict, Part};

/// `details` of a conflict.
pub(super) fn details(conflict: &Conflict) -> String {
    let field = field_of(conflict.part());
    // The real server's sentences name the value; the field is added behind them.
    let own = match conflict {
        Conflict::SameAddress(peer) => format!("the peerAddress[{peer}] cannot be the same to the VIP address"),
        Conflict::AddressFamilies { peer, local } => {
            format!("the peerAddress[{peer}] and the VIP address[{local}] are not of the same address family")
        }
        Conflict::RemotesOverlap(a, b) => format!("the remote CIDR[{a}] and remote CIDR[{b}] are overlaped"),
        Conflict::SidesOverlap { local, remote } => {
            format!("the CIDR[{local}] of local router and remote CIDR[{remote}] are overlaped")
        }
        other => return format!("field[{field}] {}", in_our_words(other)),
    };
    format!("{own} (field[{field}])")
}

/// What stands behind the field where the real server says nothing: the model's sentence with the API's names in it.
fn in_our_words(conflict: &Conflict) -> String {
    match conflict {
        Conflict::NoSubject { names } => {
            format!("has a certificate without a subject: give a localId that it has ({names})")
        }
        Conflict::Subject(why) => {
            format!("has a certificate whose subject {why}; give a localId that it has beside it")
        }
        other => other.to_string(),
    }
}

/// The API's name for a part of the model.
pub(super) fn field_of(part: Part) -> &'static str {
    match part {
        Part::LocalAddr => "vipUuid",
        Part::RemoteAddr => "peerAddress",
        Part::IkeEncryption => "ikeEncryptionAlgorithm",
        Part::IkeIntegrity => "ikeAuthAlgorithm",
        Part::IkeGroup => "ikeDhGroup",
        Part::Encryption => "policyEncryptionAlgorithm",
        Part::Integrity => "policyAuthAlgorithm",
        Part::Pfs => "pfs",
        Part::LocalId => "localId",
        Part::RemoteId => "remoteId",
        Part::Psk | Part::Certs => "authKey",
        Part::LocalNets => "l3NetworkUuid",
        Part::RemoteNets => "peerCidrs",
        Part::Native(name) => name,
    }
}
