//! What a charon is and can do, from its own answers.

use super::{conf::Traps, section::Section};
use crate::ipsec::{
    Connection, IkeProposal, MlKem, Part, Protocol, algorithm,
    post_quantum::{ML_KEM_SINCE, MlKemRow},
};
use std::fmt;

/// What this charon is and can do; this changes only with a restart of charon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charon {
    /// strongSwan's version.
    pub version: String,
    /// Whether its kernel interface can hold trap policies.
    pub traps: Traps,
    /// Whether it speaks IKEv1.
    pub ikev1: bool,
    /// The plugins that are loaded, as `stats` lists them.
    pub plugins: Vec<String>,
    /// Its algorithms by kind, as `get-algorithms` names them.
    algorithms: Section,
}

/// An algorithm that a charon lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What the API calls it.
    pub name: String,
    /// The Debian package that brings it.
    pub package: &'static str,
    /// The value of the connection that needs it.
    pub part: Part,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (Debian package {})", self.name, self.package)
    }
}

/// The numbers of a version such as `5.9.8` or `6.0.0rc1`, for comparing.
fn version_number(version: &str) -> [u32; 3] {
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let mut parts = version.split('.').map(digits);
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

impl Charon {
    /// Reads these answers of charon. None of them says whether it speaks IKEv1, so it is assumed to; most builds do.
    pub(crate) fn new(version: String, stats: &Section, algorithms: Section) -> Self {
        let plugins: Vec<_> = stats.items("plugins").map(str::to_owned).collect();
        let libipsec = plugins.iter().any(|plugin| plugin == "kernel-libipsec");
        let old = version_number(&version) < [5, 9, 11];
        let traps = if libipsec && old { Traps::Unsupported } else { Traps::Supported };
        Self { version, traps, ikev1: true, plugins, algorithms }
    }

    /// Whether it can negotiate this ML-KEM. Older ones take a proposal that has it, and then fail each negotiation.
    fn has_ml_kem(&self, kem: &MlKemRow) -> bool {
        let listed = self.algorithms.section("ke").is_some_and(|section| section.0.contains_key(kem.charon));
        listed && version_number(&self.version) >= version_number(ML_KEM_SINCE)
    }

    /// Whether pass policies keep traffic out of its tunnels. kernel-libipsec ignores them: what a route
    /// gives to its device goes into a tunnel.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.traps == Traps::Supported && !self.has_libipsec()
    }

    /// Whether it encrypts packets itself.
    #[must_use]
    pub fn has_libipsec(&self) -> bool {
        self.plugins.iter().any(|plugin| plugin == "kernel-libipsec")
    }

    /// Whether it may have been built without IKEv1: from 6.1.0 on that is the default, also in Debian.
    pub(super) fn may_lack_ikev1(&self) -> bool {
        version_number(&self.version) >= [6, 1, 0]
    }

    /// The algorithms that `connection` needs and this charon lacks. Debian moved the plugin openssl, which has them all,
    /// to the base package in 6.0.0.
    #[must_use]
    pub fn missing(&self, connection: &Connection) -> Vec<Missing> {
        let mut missing: Vec<Missing> = Vec::new();
        let openssl_is_base = version_number(&self.version) >= [6, 0, 0];
        let mut need = |kinds: &[&str], charon: &str, wire: &str, package, part| {
            // strongSwan 6.0.0 renamed the section `dh` to `ke`.
            let has = |kind: &&str| self.algorithms.section(kind).is_some_and(|s| s.0.contains_key(charon));
            if !kinds.iter().any(has) && !missing.iter().any(|known| known.name == wire) {
                let package = if openssl_is_base { algorithm::BASE } else { package };
                missing.push(Missing { name: wire.to_owned(), package, part });
            }
        };
        let (mut prfs, mut ciphers, mut hashes, mut groups) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for offer in connection.ike_proposals() {
            let IkeProposal { encryption, integrity, group } = offer.proposal;
            prfs.push(offer.prf());
            ciphers.push((encryption.row(), Part::IkeEncryption));
            groups.push((group.row(), Part::IkeGroup));
            hashes.extend(Some((integrity.row(), Part::IkeIntegrity)).filter(|_| !encryption.row().aead));
        }
        for offer in connection.child_proposals() {
            if let Protocol::Esp(esp) = offer.protocol {
                ciphers.push((esp.encryption.row(), Part::Encryption));
            }
            hashes.extend(offer.protocol.integrity().map(|hash| (hash.row(), Part::Integrity)));
            groups.extend(offer.protocol.pfs().map(|group| (group.row(), Part::Pfs)));
        }
        for prf in prfs {
            need(&["prf"], prf.prf_charon, prf.wire, prf.package, Part::IkeIntegrity);
        }
        for (cipher, part) in ciphers {
            need(&["encryption", "aead"], cipher.charon, cipher.wire, cipher.package, part);
        }
        for (hash, part) in hashes {
            need(&["integrity"], hash.charon, hash.wire, hash.package, part);
        }
        for (group, part) in groups {
            need(&["dh", "ke"], group.charon, group.wire, group.package, part);
        }
        let mut kems = connection.protections().filter_map(|protection| protection.post_quantum.map(MlKem::row));
        if let Some(kem) = kems.find(|kem| !self.has_ml_kem(kem)) {
            let name = format!(
                "{}, which strongSwan has from {ML_KEM_SINCE} on, with OpenSSL 3.5; ppkId and ppk protect against quantum \
                 computers with this one, too",
                kem.wire
            );
            missing.push(Missing { name, package: algorithm::BASE, part: Part::Native("postQuantum") });
        }
        if connection.is_cut() && self.has_libipsec() {
            // It negotiates SHA-256, and has no SA then.
            let name = "sha256-96 with its plugin kernel-libipsec; kernel-netlink has it";
            missing.push(Missing { name: name.to_owned(), package: algorithm::BASE, part: Part::Integrity });
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn versions_compare() {
        assert!(version_number("5.9.8") < version_number("5.9.11"));
        assert!(version_number("6.0.0rc1") >= [6, 0, 0]);
        assert_eq!(version_number("6.1"), [6, 1, 0]);
    }
}
