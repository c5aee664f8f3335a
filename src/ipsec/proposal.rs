//! Proposals: the sets of transforms that are offered to the peer (RFC 7296, section 3.3).
//! One proposal holds one algorithm of each kind, because IKEv1 keeps no more (strongSwan facts 5.1). What is offered are
//! lists of them; the first is what is wanted.

use super::{DhGroup, Encryption, Integrity};
use std::fmt;

/// What an IKE SA is protected with; the PRF has the same hash as `integrity` if nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IkeProposal {
    /// Encryption of IKE messages.
    pub encryption: Encryption,
    /// Integrity and PRF; with an AEAD cipher the PRF only.
    pub integrity: Integrity,
    /// Key exchange.
    pub group: DhGroup,
}

/// What an ESP SA (RFC 4303) is protected with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EspProposal {
    /// Encryption of packets.
    pub encryption: Encryption,
    /// Integrity; does not apply with an AEAD cipher.
    pub integrity: Integrity,
    /// A fresh key exchange for each CHILD_SA; `None` takes keys from the IKE SA.
    pub pfs: Option<DhGroup>,
}

/// What an AH SA (RFC 4302) is protected with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AhProposal {
    /// Integrity of packets.
    pub integrity: Integrity,
    /// A fresh key exchange for each CHILD_SA.
    pub pfs: Option<DhGroup>,
}

/// Writes `-group` if there is one.
fn pfs_suffix(f: &mut fmt::Formatter<'_>, pfs: Option<DhGroup>) -> fmt::Result {
    pfs.map_or(Ok(()), |group| write!(f, "-{}", group.row().keyword))
}

/// Proposals as a list of strongSwan's.
#[must_use]
pub fn list<T: fmt::Display>(offers: &[T]) -> String {
    offers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// strongSwan's proposal string, such as `aes256-sha256-modp2048` or `aes256gcm16`.
impl fmt::Display for EspProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encryption = self.encryption.row();
        f.write_str(encryption.keyword)?;
        if !encryption.aead {
            write!(f, "-{}", self.integrity.row().keyword)?;
        }
        pfs_suffix(f, self.pfs)
    }
}

/// strongSwan's proposal string, such as `sha256-modp2048`.
impl fmt::Display for AhProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.integrity.row().keyword)?;
        pfs_suffix(f, self.pfs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_strongswans() {
        let group = DhGroup::new(20);
        let esp = |encryption, pfs| EspProposal { encryption, integrity: Integrity::Sha1, pfs };
        assert_eq!(esp(Encryption::TripleDes, None).to_string(), "3des-sha1");
        assert_eq!(esp(Encryption::ChaCha20Poly1305, group).to_string(), "chacha20poly1305-ecp384");
        let ah = AhProposal { integrity: Integrity::Md5, pfs: group };
        assert_eq!(ah.to_string(), "md5-ecp384");
    }
}
