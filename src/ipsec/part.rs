//! The parts of a connection that a rule, a warning or a refusal can be about.

use std::fmt;

/// A value of a connection that its owner can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The local address.
    LocalAddr,
    /// The peer's address.
    RemoteAddr,
    /// The version of IKE.
    Version,
    /// The encryption of the IKE SA.
    IkeEncryption,
    /// The integrity of the IKE SA, and its PRF.
    IkeIntegrity,
    /// The group of the IKE SA's key exchange.
    IkeGroup,
    /// The encryption of the CHILD_SAs.
    Encryption,
    /// The integrity of the CHILD_SAs.
    Integrity,
    /// The group of the CHILD_SAs' own key exchange.
    Pfs,
    /// Who we are.
    LocalId,
    /// Who the peer is.
    RemoteId,
    /// The pre-shared key.
    Psk,
    /// The certificates.
    Certs,
    /// The networks behind this gateway.
    LocalNets,
    /// The networks behind the peer.
    RemoteNets,
    /// The lifetime of the IKE SA.
    IkeLifetime,
    /// The lifetime of the CHILD_SAs.
    Lifetime,
    /// Tunnel or transport.
    Mode,
    /// ESP or AH.
    Protocol,
    /// How the identities are read.
    IdKind,
    /// The option of our own of this name.
    Native(&'static str),
}

impl Part {
    /// The name of the part in this model.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LocalAddr => "local_addr",
            Self::RemoteAddr => "remote_addr",
            Self::Version => "ike.version",
            Self::IkeEncryption => "ike.encryption",
            Self::IkeIntegrity => "ike.integrity",
            Self::IkeGroup => "ike.group",
            Self::Encryption => "protocol.encryption",
            Self::Integrity => "protocol.integrity",
            Self::Pfs => "protocol.pfs",
            Self::LocalId => "local_id",
            Self::RemoteId => "remote_id",
            Self::Psk => "auth.psk",
            Self::Certs => "auth.certs",
            Self::LocalNets => "local_nets",
            Self::RemoteNets => "remote_nets",
            Self::IkeLifetime => "ike.lifetime",
            Self::Lifetime => "lifetime",
            Self::Mode => "mode",
            Self::Protocol => "protocol",
            Self::IdKind => "id_kind",
            Self::Native(name) => name,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
