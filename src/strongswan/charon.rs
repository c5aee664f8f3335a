//! What a charon is and can do, from its own answers.

use super::{conf::Traps, section::Section};
use crate::ipsec::{Connection, DhGroup, Protocol, algorithm};

/// What this charon is and can do; this changes only with a restart of charon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charon {
    /// strongSwan's version.
    pub version: String,
    /// Whether its kernel interface can hold trap policies.
    pub traps: Traps,
    /// Whether it speaks IKEv1.
    pub ikev1: bool,
    /// Its plugins.
    pub plugins: Vec<String>,
    /// Its algorithms by kind, as `get-algorithms` names them.
    algorithms: Section,
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

    /// The algorithms that `connection` needs and this charon lacks: what the API calls it, and the
    /// Debian package that brings it. Debian moved the plugin openssl, which has them all, to the base package in
    /// 6.0.0.
    #[must_use]
    pub fn missing(&self, connection: &Connection) -> Vec<(String, &'static str)> {
        let mut missing = Vec::new();
        let openssl_is_base = version_number(&self.version) >= [6, 0, 0];
        let mut need = |kinds: &[&str], charon: &str, wire: &str, package| {
            // strongSwan 6.0.0 renamed the section `dh` to `ke`.
            let has = |kind: &&str| self.algorithms.section(kind).is_some_and(|s| s.0.contains_key(charon));
            let lack = (wire.to_owned(), if openssl_is_base { algorithm::BASE } else { package });
            if !kinds.iter().any(has) && !missing.contains(&lack) {
                missing.push(lack);
            }
        };
        let ike = connection.ike;
        let (integrity, group) = (ike.integrity.row(), ike.group.row());
        let (mut ciphers, mut hashes, mut groups) = (vec![ike.encryption.row()], Vec::new(), vec![group]);
        if !ike.encryption.row().aead {
            hashes.push(integrity);
        }
        match connection.protocol {
            Protocol::Ah(ah) => {
                hashes.push(ah.integrity.row());
                groups.extend(ah.pfs.map(DhGroup::row));
            }
            Protocol::Esp(esp) => {
                ciphers.push(esp.encryption.row());
                hashes.extend(Some(esp.integrity.row()).filter(|_| !esp.encryption.row().aead));
                groups.extend(esp.pfs.map(DhGroup::row));
            }
        }
        let prf = connection.prf();
        need(&["prf"], prf.prf_charon, prf.wire, prf.package);
        for cipher in ciphers {
            need(&["encryption", "aead"], cipher.charon, cipher.wire, cipher.package);
        }
        for hash in hashes {
            need(&["integrity"], hash.charon, hash.wire, hash.package);
        }
        for group in groups {
            need(&["dh", "ke"], group.charon, group.wire, group.package);
        }
        if connection.protocol.is_cut() && self.has_libipsec() {
            // It negotiates SHA-256, and has no SA then.
            let name = "sha256-96 with its plugin kernel-libipsec; kernel-netlink has it";
            missing.push((name.to_owned(), algorithm::BASE));
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
