//! Choices that are valid and yet weak, each with its reason and the remedy. Pure; what is done about them is the
//! settings' matter.
//!
//! Sources: RFC 8247 and RFC 9395 (algorithms and groups of IKEv2), NIST SP 800-77 revision 1 (IPsec; at least 112 bits
//! of strength, PFS). IKEv1 aggressive mode is not here because it cannot occur: it is never rendered.

mod key;
mod rules;
mod validity;

pub use rules::{untested_pfs, weaknesses, without_local_address, without_post_quantum};
pub use validity::expiring;

use super::{Part, Remedy};

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
    /// Nothing protects against quantum computers.
    NoPostQuantum,
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
    /// Every weakness, those of each weak group among them.
    pub fn all() -> impl Iterator<Item = Self> {
        let groups = (0..GROUPS.len()).map(Self::Group);
        let first = [Self::TripleDes, Self::Md5, Self::Sha1];
        let rest = [Self::NoPfs, Self::ShortKey, Self::GuessableKey, Self::NoLocalAddress, Self::UntestedPfs];
        first.into_iter().chain(groups).chain(rest).chain([
            Self::ExpiringCert,
            Self::WeakCert,
            Self::SameNetworks,
            Self::SpecialNetwork,
            Self::NoPostQuantum,
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
            Self::NoPostQuantum => "no-post-quantum",
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
            Self::NoPostQuantum => "NO_POST_QUANTUM",
        }
    }

    /// The option of a write that helps.
    #[must_use]
    pub fn remedy(self) -> Option<Remedy> {
        let rehearse = Remedy { option: "rehearse", effect: "it is tried at once" };
        (self == Self::UntestedPfs).then_some(rehearse)
    }

    fn at(self, part: Part, advice: impl Into<String>) -> Finding {
        Finding { weakness: self, part, advice: advice.into() }
    }
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
