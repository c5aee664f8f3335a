//! Why the values of a connection cannot stand together, as data. The model's own sentence is for the journal; who answers
//! a caller makes a sentence of the caller's words.

use super::{Code, Encryption, Invalid, Part, PeerAddr, Remedy, TrafficSelector};
use ipnet::IpNet;
use std::net::IpAddr;

/// A rule that a connection breaks, with what breaks it. The sentence begins behind the name of the part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The address of an end is not that of one host.
    #[error("{address} is not the address of one host")]
    NotOneHost {
        /// Which end.
        part: Part,
        /// Its address.
        address: IpAddr,
    },
    /// The peer's address is no peer's at all.
    #[error("{0}")]
    Peer(Invalid),
    /// What a peer without a fixed address cannot have, or must.
    #[error("{why}")]
    Anywhere {
        /// The value to change.
        part: Part,
        /// Why it is refused, as the end of a sentence.
        why: &'static str,
    },
    /// The peer has the address of a network, or its broadcast address.
    #[error(
        "{peer} is no host's address in {net}, which this host is in: it is the network itself or its broadcast address"
    )]
    NetworksAddress {
        /// The peer.
        peer: PeerAddr,
        /// The network of this host.
        net: IpNet,
    },
    /// Both ends have one address.
    #[error("{0} is the local address too")]
    SameAddress(PeerAddr),
    /// One end has an IPv4 address, the other an IPv6 address.
    #[error("{peer} and the local address {local} are not of the same address family")]
    AddressFamilies {
        /// The peer.
        peer: PeerAddr,
        /// The local address.
        local: IpAddr,
    },
    /// An AEAD cipher for an IKE SA that may be an IKEv1 SA only.
    #[error("{} cannot protect an IKEv1 SA (RFC 5282 is for IKEv2 only): use ikev2 or an AES-CBC cipher", .0.row().wire)]
    AeadUnderIkev1(Encryption),
    /// An Ed25519 key under IKEv1.
    #[error("has an Ed25519 key, which IKEv1 does not know (RFC 8420 is for IKEv2 only): use ikev2")]
    Ed25519UnderIkev1,
    /// An RSA-PSS key under IKEv1.
    #[error("has an RSA-PSS key, with which IKEv1 cannot sign (RFC 7427 is for IKEv2 only): use ikev2")]
    PssUnderIkev1,
    /// A certificate of the peer that has not its identity.
    #[error("must be in the peer's certificate, which is signed by itself: {id:?} is not, give one of {names}")]
    NotOfPeer {
        /// The peer's identity.
        id: String,
        /// The names that the certificate has.
        names: String,
    },
    /// No local identity is given, and the certificate has no subject.
    #[error("has a certificate without a subject: give a local identity that it has ({names})")]
    NoSubject {
        /// The names that the certificate has.
        names: String,
    },
    /// No local identity is given, and the certificate's subject cannot be one.
    #[error("has a certificate whose subject {0}; give a local identity that it has beside it")]
    Subject(Invalid),
    /// The certificate is not for the local identity.
    #[error("{id:?} is not in the gateway's certificate; it has {names}")]
    NotInCertificate {
        /// The identity.
        id: String,
        /// The names that the certificate has.
        names: String,
    },
    /// An identity is none.
    #[error("{why}")]
    Identity {
        /// Whose.
        part: Part,
        /// What is wrong with it.
        why: Invalid,
    },
    /// A network in transport mode that is not the gateway of its side.
    #[error(
        "transport mode joins the gateways themselves, and {net} is not {gateway}: use tunnel mode, or leave the networks out"
    )]
    TransportNetwork {
        /// The side.
        part: Part,
        /// The network.
        net: TrafficSelector,
        /// The gateway's own address.
        gateway: TrafficSelector,
    },
    /// Two networks behind the peer overlap.
    #[error("{0} and {1} overlap")]
    RemotesOverlap(TrafficSelector, TrafficSelector),
    /// A network behind the peer overlaps a local one.
    #[error("{remote} overlaps the local network {local}{}", rest_instead(*remote, *local))]
    SidesOverlap {
        /// The local network.
        local: TrafficSelector,
        /// The network behind the peer.
        remote: TrafficSelector,
    },
    /// All addresses of a family on both sides, each in one selector.
    #[error(
        "{0} on both sides would take every packet of this gateway, the tunnel's own included: name the networks of one \
         side, or set ifId and lead routes into the XFRM interface that has it"
    )]
    Everything(TrafficSelector),
    /// All addresses of a family on both sides, in one selector or several.
    #[error(
        "{} on both sides would take every packet of this gateway, of its neighbours and of its other tunnels: name the \
         networks of one side, or set ifId and lead routes into the XFRM interface that has it",
        if *v4 { "0.0.0.0/0" } else { "::/0" }
    )]
    EverythingTogether {
        /// Whether the family is IPv4.
        v4: bool,
    },
    /// A network behind the peer has no local network of its family.
    #[error("{} has no local network of its family ({}) to be joined with", .0, if .0.is_v4() { "IPv4" } else { "IPv6" })]
    NoLocalOfFamily(TrafficSelector),
    /// All networks in one child, under IKEv1.
    #[error("whole is not possible with ikev1, whose CHILD_SAs carry one pair of networks each")]
    WholeUnderIkev1,
    /// An option of our own that does not go with the rest.
    #[error("{why}")]
    Native {
        /// Its name.
        option: &'static str,
        /// Why, and what to do.
        why: &'static str,
    },
    /// More children than a connection can have.
    #[error("{count} pairs of networks are too many for one connection: at most {most}")]
    TooManyPairs {
        /// How many there would be.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// More networks than one child can have on a side.
    #[error("{count} networks are too many for one child: at most {most}")]
    TooManyNetworks {
        /// How many there would be.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// This gateway's charon was built without IKEv1.
    #[error("this gateway's strongSwan {version} has no ikev1 (it was built without it; ikev2 is there)")]
    NoIkev1 {
        /// The version that charon tells.
        version: String,
    },
    /// This gateway's charon cannot hold trap policies.
    #[error(
        "trap is not possible: the kernel-libipsec of this gateway's strongSwan {version} sees no packet before there is \
         an SA; use initiate or respond"
    )]
    NoTraps {
        /// The version that charon tells.
        version: String,
    },
    /// This gateway's charon lacks algorithms.
    #[error("this gateway's strongSwan {version} has no {}", .missing.join(", "))]
    Unsupported {
        /// The value that names the first one.
        part: Part,
        /// The version that charon tells.
        version: String,
        /// Each with the Debian package that brings it.
        missing: Vec<String>,
    },
    /// A value that cannot change in a transition.
    #[error("cannot change in a transition: {why}")]
    InTransition {
        /// The value.
        part: Part,
        /// Why, and what to do.
        why: &'static str,
    },
    /// The peer's name has no address, and a tunnel runs.
    #[error("has no address, so the running tunnel stays as it is: {0}")]
    Unresolved(String),
    /// What is given is no bundle of certificates, or one that cannot be used.
    #[error("{0}")]
    Bundle(Invalid),
    /// A weak choice that the settings refuse.
    #[error("{advice} (refused by policy.{setting})")]
    Policy {
        /// The value that is weak.
        part: Part,
        /// The reason and the remedy.
        advice: String,
        /// The option of a write that helps.
        remedy: Option<Remedy>,
        /// The choice of `[policy]`.
        setting: &'static str,
    },
}

/// So many networks can be read in one sentence.
const READABLE: usize = 32;

/// What to give instead of `remote`, which has `local` in it, as a spoke's hub has: the end of a sentence.
#[must_use]
pub fn rest_instead(remote: TrafficSelector, local: TrafficSelector) -> String {
    if remote.net().prefix_len() == 1 {
        return format!("; for all traffic, give {} instead", if remote.is_v4() { "0.0.0.0/0" } else { "::/0" });
    }
    let rest = remote.without(local);
    if rest.is_empty() || rest.len() > READABLE {
        return String::new();
    }
    format!("; give the rest of it: {}", rest.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

impl Conflict {
    /// The option of a write that helps.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        if let Self::Policy { remedy, .. } = self { *remedy } else { None }
    }

    /// The cause, if it has a name.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::NoIkev1 { .. } => Some(Code::IkeVersionMismatch),
            Self::Unsupported { .. } => Some(Code::AlgorithmUnsupported),
            Self::Unresolved(_) => Some(Code::PeerNameUnresolved),
            Self::Bundle(_) => Some(Code::CertInvalid),
            _ => None,
        }
    }

    /// The value to change.
    #[must_use]
    pub fn part(&self) -> Part {
        match self {
            Self::NotOneHost { part, .. }
            | Self::Identity { part, .. }
            | Self::Anywhere { part, .. }
            | Self::InTransition { part, .. }
            | Self::TransportNetwork { part, .. }
            | Self::Unsupported { part, .. }
            | Self::Policy { part, .. } => *part,
            Self::Peer(_)
            | Self::NetworksAddress { .. }
            | Self::SameAddress(_)
            | Self::AddressFamilies { .. }
            | Self::Unresolved(_) => Part::RemoteAddr,
            Self::NoIkev1 { .. } => Part::Version,
            Self::NoTraps { .. } => Part::Native("startMode"),
            Self::Native { option, .. } => Part::Native(option),
            Self::AeadUnderIkev1(_) => Part::IkeEncryption,
            Self::Ed25519UnderIkev1
            | Self::PssUnderIkev1
            | Self::NoSubject { .. }
            | Self::Subject(_)
            | Self::Bundle(_) => Part::Certs,
            Self::NotInCertificate { .. } => Part::LocalId,
            Self::NotOfPeer { .. } => Part::RemoteId,
            Self::RemotesOverlap(..)
            | Self::SidesOverlap { .. }
            | Self::Everything(_)
            | Self::EverythingTogether { .. }
            | Self::NoLocalOfFamily(_)
            | Self::TooManyPairs { .. }
            | Self::TooManyNetworks { .. } => Part::RemoteNets,
            Self::WholeUnderIkev1 => Part::Native("split"),
        }
    }
}
