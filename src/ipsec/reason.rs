//! Why a tunnel is not up: a named cause, what was seen, and what to do about it.

use jiff::Timestamp;
use std::fmt;

/// A cause. Its names are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The peer does not answer.
    PeerUnreachable,
    /// The two ends want different protection of the IKE SA.
    NoProposalIke,
    /// The two ends want different protection of the traffic.
    NoProposalChild,
    /// The two ends want different traffic carried.
    TsMismatch,
    /// This side refused the peer's proof of identity.
    AuthFailed,
    /// The peer refused this side's proof of identity.
    PeerRefusedAuth,
    /// An end names itself, or the other, otherwise than is configured here.
    IdMismatch,
    /// This charon holds no key for this pair of identities.
    NoSharedKey,
    /// The peer speaks the other IKE version.
    IkeVersionMismatch,
    /// The peer calls in aggressive mode.
    AggressiveMode,
    /// The peer wants a road warrior: XAUTH, EAP, or an address to be assigned.
    RemoteAccess,
    /// A certificate is not acceptable.
    CertInvalid,
    /// The peer closed the tunnel.
    PeerDeleted,
    /// The peer fell silent while the tunnel was up.
    DpdTimeout,
    /// Nobody has tried to bring it up.
    NotAttempted,
    /// One of its sides has no network, so there is nothing to bring up.
    NoNetworks,
    /// charon does not answer, so nothing is known.
    CharonUnreachable,
    /// This gateway's charon or kernel lacks an algorithm.
    AlgorithmUnsupported,
    /// Several keys fit these identities.
    KeyAmbiguous,
    /// The tunnel comes up and is closed soon after, again and again.
    Flapping,
    /// The gateway's address of the connection is not on this host.
    LocalAddressMissing,
    /// The gateway's address of the connection is not on this host, which stands by for the one that has it.
    Standby,
    /// The peer's name has no address.
    PeerNameUnresolved,
    /// Another stored connection has what it needs.
    SetAside,
    /// The two ends have different PPKs.
    PpkMismatch,
    /// One end wants a PPK that the other does not have.
    PpkMissing,
    /// The tunnel runs by proposals of before a change, and the peer has not moved to the new ones yet.
    InTransition,
    /// The time for that is over.
    TransitionOver,
    /// Something else; the details are charon's own words.
    Unknown,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 29] = [
        Self::PeerUnreachable,
        Self::NoProposalIke,
        Self::NoProposalChild,
        Self::TsMismatch,
        Self::AuthFailed,
        Self::PeerRefusedAuth,
        Self::IdMismatch,
        Self::NoSharedKey,
        Self::IkeVersionMismatch,
        Self::AggressiveMode,
        Self::RemoteAccess,
        Self::CertInvalid,
        Self::PeerDeleted,
        Self::DpdTimeout,
        Self::NotAttempted,
        Self::NoNetworks,
        Self::CharonUnreachable,
        Self::AlgorithmUnsupported,
        Self::KeyAmbiguous,
        Self::Flapping,
        Self::LocalAddressMissing,
        Self::Standby,
        Self::PeerNameUnresolved,
        Self::SetAside,
        Self::PpkMismatch,
        Self::PpkMissing,
        Self::InTransition,
        Self::TransitionOver,
        Self::Unknown,
    ];

    /// Its name for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Its name, and what to do about it.
    #[must_use]
    pub fn explained(self) -> String {
        format!("{}: {}", self.name(), self.advice())
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::PeerUnreachable => (
                "PEER_UNREACHABLE",
                "Check the peer's address, that its IKE daemon runs, and that UDP 500 and 4500 pass both ways; many peers \
                 are silent too if they have no such connection, or another IKE version.",
            ),
            Self::NoProposalIke => (
                "NO_PROPOSAL_IKE",
                "Give both ends the same IKE version, encryption, integrity, PRF, DH group and ML-KEM for IKE (phase 1); the PRF here \
                 is that of the integrity algorithm, also beside AES-GCM.",
            ),
            Self::NoProposalChild => (
                "NO_PROPOSAL_CHILD",
                "Give both ends the same encryption, integrity, PFS group and protocol for the traffic (phase 2).",
            ),
            Self::TsMismatch => {
                ("TS_MISMATCH", "Make the networks mirror each other: what is local here must be remote at the peer.")
            }
            Self::AuthFailed => ("AUTH_FAILED", "Enter the same key on both ends; the peer's does not fit ours."),
            Self::PeerRefusedAuth => (
                "PEER_REFUSED_AUTH",
                "Compare the key, and the identities that each end expects of the other; the peer's log says which.",
            ),
            Self::IdMismatch => (
                "ID_MISMATCH",
                "Set localId and remoteId so that each end expects the name that the other gives itself.",
            ),
            Self::NoSharedKey => {
                ("NO_SHARED_KEY", "Send the connection's key again; what charon holds fits no such pair of identities.")
            }
            Self::AggressiveMode => (
                "AGGRESSIVE_MODE",
                "Set the peer to IKEv2, or to IKEv1 in main mode; aggressive mode shows everybody a hash of the key.",
            ),
            Self::RemoteAccess => (
                "REMOTE_ACCESS",
                "Set the peer to site-to-site, with a pre-shared key or certificates alone: no XAUTH, no EAP, no address \
                 that one end assigns to the other.",
            ),
            Self::IkeVersionMismatch => ("IKE_VERSION_MISMATCH", "Set the same IKE version on both ends."),
            Self::CertInvalid => (
                "CERT_INVALID",
                "Check the certificates' validity, issuer and revocation, and the clocks of both ends.",
            ),
            Self::PeerDeleted => {
                ("PEER_DELETED", "Ask the peer's side why it closed the tunnel; it is tried again from here.")
            }
            Self::DpdTimeout => {
                ("DPD_TIMEOUT", "Check the path to the peer and whether it still runs; it is tried again from here.")
            }
            Self::NotAttempted => ("NOT_ATTEMPTED", "Nothing is wrong yet; enable the connection if it should be up."),
            Self::NoNetworks => (
                "NO_NETWORKS",
                "Give it a network of this gateway and one behind the peer: without both it carries nothing.",
            ),
            Self::CharonUnreachable => {
                ("CHARON_UNREACHABLE", "Look after strongswan.service on this gateway and its vici socket.")
            }
            Self::AlgorithmUnsupported => (
                "ALGORITHM_UNSUPPORTED",
                "Install the plugin's package or kernel module that brings the algorithm, or choose another one.",
            ),
            Self::KeyAmbiguous => (
                "KEY_AMBIGUOUS",
                "Give the peers different identities or one key, or remove the other secret for the same identity.",
            ),
            Self::SetAside => (
                "SET_ASIDE",
                "Change or delete one of the two connections; this one is loaded when nothing is in its way any more.",
            ),
            Self::Flapping => (
                "FLAPPING",
                "Ask the side that closes the tunnel why; often it allows one SA only, or its networks or PFS differ.",
            ),
            Self::LocalAddressMissing => {
                ("LOCAL_ADDRESS_MISSING", "Put the address on an interface of this gateway, or correct the VIP.")
            }
            Self::Standby => ("STANDBY", "Nothing is wrong here; look at the gateway that has the address."),
            Self::PeerNameUnresolved => (
                "PEER_NAME_UNRESOLVED",
                "Correct the peerAddress, or the name servers of this gateway (`getent ahosts NAME` asks them); the name is \
                 looked up again by itself.",
            ),
            Self::PpkMismatch => (
                "PPK_MISMATCH",
                "Enter the same PPK under the same ppkId on both ends; if they are the same, compare the pre-shared keys.",
            ),
            Self::InTransition => {
                ("IN_TRANSITION", "Give the peer the new proposals; the tunnel then moves by itself.")
            }
            Self::TransitionOver => ("TRANSITION_OVER", "Give the peer the new proposals, or change this end back."),
            Self::PpkMissing => (
                "PPK_MISSING",
                "Give both ends the PPK under the same ppkId, or set ppkRequired to false where it is given, until both \
                 have it.",
            ),
            Self::Unknown => ("UNKNOWN", "Read the connection's log for what charon said around that time."),
        }
    }
}

/// Why a connection or child is not up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The cause.
    pub code: Code,
    /// Since when it is known to be the cause.
    pub since: Timestamp,
    /// What was seen, with both ends' values where they are known.
    pub details: String,
    /// What took the tunnel down, if it is another cause that keeps it down.
    pub trigger: Option<Code>,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. {}", self.code.name(), self.details, self.code.advice())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_told_apart() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| code.advice().ends_with('.') && !code.advice().contains('\n')));
    }
}
