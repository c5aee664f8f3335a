//! Choices that are valid and yet weak, each with its reason and the remedy. Pure; what is done about them is the
//! settings' matter.
//!
//! Sources: RFC 8247 and RFC 9395 (algorithms and groups of IKEv2), NIST SP 800-77 revision 1 (IPsec; at least 112 bits
//! of strength, PFS). IKEv1 aggressive mode is not here because it cannot occur: it is never rendered.

mod key;
mod validity;

use super::certs::Certificate;
use super::{Auth, Certs, Child, Connection, DhGroup, Encryption, IkeVersion, Integrity, Part, Protocol};
use std::{collections::BTreeSet, net::IpAddr};
pub use validity::expiring;

/// A weak choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// 3DES.
    TripleDes,
    /// HMAC-MD5.
    Md5,
    /// HMAC-SHA1.
    Sha1,
    /// One of [`GROUPS`], by its place there.
    Group(usize),
    /// No key exchange of its own for each CHILD_SA.
    NoPfs,
    /// A short pre-shared key.
    ShortKey,
    /// A pre-shared key that can be guessed.
    GuessableKey,
    /// No address of this host is in the local selectors.
    NoLocalAddress,
    /// Whether the peer has the same PFS shows at the first rekeying only.
    UntestedPfs,
    /// A certificate, or the list of the revoked ones, ends soon.
    ExpiringCert,
    /// A certificate has a short RSA key.
    WeakCert,
    /// Another connection joins the same or overlapping networks.
    SameNetworks,
    /// Networks that a tunnel is not made for.
    SpecialNetwork,
}

/// The weak groups: number, the settings' word, our code, the reason.
#[rustfmt::skip]
pub const GROUPS: [(u16, &str, &str, &str); 7] = [
    (1,  "dh-group1",  "WEAK_DH_GROUP_1",  "768 bits can be broken"),
    (2,  "dh-group2",  "WEAK_DH_GROUP_2",  "1024 bits are within reach of a state"),
    (5,  "dh-group5",  "WEAK_DH_GROUP_5",  "1536 bits are less than the 112 bits of strength that are the least today"),
    (22, "dh-group22", "WEAK_DH_GROUP_22", "1024 bits with a small subgroup are within reach of a state"),
    (23, "dh-group23", "WEAK_DH_GROUP_23", "its small subgroup is of unknown origin"),
    (24, "dh-group24", "WEAK_DH_GROUP_24", "its small subgroup is of unknown origin"),
    (25, "dh-group25", "WEAK_DH_GROUP_25", "a curve of 192 bits is less than the 112 bits of strength that are the least today"),
];

/// A weak choice in a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is weak.
    pub weakness: Weakness,
    /// The value to change.
    pub part: Part,
    /// The reason and the remedy; never a part of the key.
    pub advice: String,
}

impl Weakness {
    /// All.
    pub fn all() -> impl Iterator<Item = Self> {
        let groups = (0..GROUPS.len()).map(Self::Group);
        let first = [Self::TripleDes, Self::Md5, Self::Sha1];
        let rest = [Self::NoPfs, Self::ShortKey, Self::GuessableKey, Self::NoLocalAddress, Self::UntestedPfs];
        first.into_iter().chain(groups).chain(rest).chain([
            Self::ExpiringCert,
            Self::WeakCert,
            Self::SameNetworks,
            Self::SpecialNetwork,
        ])
    }

    /// Its word in the settings.
    #[must_use]
    pub fn setting(self) -> &'static str {
        match self {
            Self::TripleDes => "3des",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Group(place) => GROUPS.get(place).map_or("", |row| row.1),
            Self::NoPfs => "no-pfs",
            Self::ShortKey => "short-key",
            Self::GuessableKey => "guessable-key",
            Self::NoLocalAddress => "no-local-address",
            Self::UntestedPfs => "untested-pfs",
            Self::ExpiringCert => "expiring-cert",
            Self::WeakCert => "weak-cert",
            Self::SameNetworks => "same-networks",
            Self::SpecialNetwork => "special-network",
        }
    }

    /// Its code in answers.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TripleDes => "WEAK_3DES",
            Self::Md5 => "WEAK_MD5",
            Self::Sha1 => "WEAK_SHA1",
            Self::Group(place) => GROUPS.get(place).map_or("", |row| row.2),
            Self::NoPfs => "NO_PFS",
            Self::ShortKey => "SHORT_KEY",
            Self::GuessableKey => "GUESSABLE_KEY",
            Self::NoLocalAddress => "NO_LOCAL_ADDRESS",
            Self::UntestedPfs => "UNTESTED_PFS",
            Self::ExpiringCert => "EXPIRING_CERT",
            Self::WeakCert => "WEAK_CERT",
            Self::SameNetworks => "SAME_NETWORKS",
            Self::SpecialNetwork => "SPECIAL_NETWORK",
        }
    }

    fn at(self, part: Part, advice: impl Into<String>) -> Finding {
        Finding { weakness: self, part, advice: advice.into() }
    }
}

/// What is weak in `connection` itself.
#[must_use]
pub fn weaknesses(connection: &Connection) -> Vec<Finding> {
    let ike = connection.ike;
    let (cipher, hash, pfs) = match connection.protocol {
        Protocol::Esp(esp) => {
            let hash = Some(esp.integrity).filter(|_| !esp.encryption.row().aead);
            (Some(esp.encryption), hash, esp.pfs)
        }
        Protocol::Ah(ah) => (None, Some(ah.integrity), ah.pfs),
    };
    let mut found = Vec::new();
    found.extend(weak_cipher(ike.encryption, Part::IkeEncryption));
    found.extend(weak_hash(ike.integrity, Part::IkeIntegrity));
    found.extend(weak_group(ike.group, Part::IkeGroup));
    found.extend(cipher.and_then(|cipher| weak_cipher(cipher, Part::Encryption)));
    found.extend(hash.and_then(|hash| weak_hash(hash, Part::Integrity)));
    found.extend(match pfs {
        Some(group) => weak_group(group, Part::Pfs),
        None => Some(Weakness::NoPfs.at(
            Part::Pfs,
            "is none: who learns the key of the IKE SA can read all traffic under it; choose a group such as dh-group19",
        )),
    });
    if let Auth::Psk(psk) = &connection.auth {
        found.extend(key::weaknesses(psk.expose(), connection));
    }
    found.extend(connection.auth.certs().into_iter().flat_map(Certs::certificates).filter_map(short_rsa));
    found
}

fn short_rsa(certificate: &Certificate) -> Option<Finding> {
    let bits = certificate.rsa_bits.filter(|bits| *bits < 2048)?;
    let name = &certificate.subject.text;
    let advice = format!(
        "has the certificate '{name}' with an RSA key of {bits} bits, less than the 112 bits of strength that are the \
         least today: use a CA with RSA of at least 2048 bits, or ECDSA"
    );
    Some(Weakness::WeakCert.at(Part::Certs, advice))
}

fn weak_cipher(cipher: Encryption, part: Part) -> Option<Finding> {
    let advice = "is 3des: its blocks of 64 bits leak after some gigabytes (CVE-2016-2183); choose aes-256";
    (cipher == Encryption::TripleDes).then(|| Weakness::TripleDes.at(part, advice))
}

fn weak_hash(hash: Integrity, part: Part) -> Option<Finding> {
    match hash {
        Integrity::Md5 => {
            Some(Weakness::Md5.at(part, "is md5, which must not be used any more (RFC 8247); choose sha256"))
        }
        Integrity::Sha1 => Some(Weakness::Sha1.at(part, "is sha1, which is on its way out (RFC 8247); choose sha256")),
        Integrity::Sha256 | Integrity::Sha384 | Integrity::Sha512 => None,
    }
}

fn weak_group(group: DhGroup, part: Part) -> Option<Finding> {
    let place = GROUPS.iter().position(|row| row.0 == group.row().number)?;
    let (number, _, _, why) = GROUPS[place];
    Some(
        Weakness::Group(place).at(part, format!("is group {number}: {why}; choose group 19, 20 or 31, or at least 14")),
    )
}

/// The local selectors in which none of `host`'s addresses is. In transport mode a missing address is another fault.
#[must_use]
pub fn without_local_address(connection: &Connection, host: &BTreeSet<IpAddr>) -> Vec<Finding> {
    let lonely = |child: &&Child| !child.local.iter().any(|net| host.iter().any(|address| net.net().contains(address)));
    let mut nets: Vec<_> =
        connection.children.iter().filter(lonely).flat_map(|child| &child.local).map(ToString::to_string).collect();
    nets.sort();
    nets.dedup();
    if nets.is_empty() {
        return Vec::new();
    }
    let advice = format!(
        "has {}, in which this gateway has no address: it cannot use the tunnel itself, strongSwan installs no route \
         for it, and hosts there need a route to this gateway; attach a network that this gateway is in",
        nets.join(", ")
    );
    vec![Weakness::NoLocalAddress.at(Part::LocalNets, advice)]
}

/// That PFS is untested until the first rekeying: an IKEv2 peer takes the first CHILD_SA's keys from its IKE SA
/// (RFC 7296, section 1.2) and may have another group, or none. IKEv1 tests it with the first quick mode.
#[must_use]
pub fn untested_pfs(connection: &Connection) -> Option<Finding> {
    let pfs = match connection.protocol {
        Protocol::Esp(esp) => esp.pfs,
        Protocol::Ah(ah) => ah.pfs,
    };
    let advice = "is first used at the first rekeying: only then it shows whether the peer has the same group; \
                  with the query parameter rehearse=true it is tried at once";
    (pfs.is_some() && connection.version != IkeVersion::V1 && !connection.children.is_empty())
        .then(|| Weakness::UntestedPfs.at(Part::Pfs, advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::policy::CHOICES;

    #[test]
    fn the_settings_know_every_weakness_and_no_other() {
        assert_eq!(Weakness::all().map(Weakness::setting).collect::<Vec<_>>(), CHOICES);
        let mut codes: Vec<_> = Weakness::all().map(Weakness::code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), CHOICES.len());
    }
}
