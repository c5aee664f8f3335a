//! Which choices of a connection are weak.

use super::{Finding, GROUPS, Weakness, key};
use crate::ipsec::{
    Auth, Certs, Child, Connection, DhGroup, Encryption, IkeVersion, Integrity, Part, Protocol, certs::Certificate,
};
use std::{collections::BTreeSet, net::IpAddr};

/// What is weak in `connection` itself.
#[must_use]
pub fn weaknesses(connection: &Connection) -> Vec<Finding> {
    let ike = connection.ike;
    let (cipher, pfs) = match connection.protocol {
        Protocol::Esp(esp) => (Some(esp.encryption), esp.pfs),
        Protocol::Ah(ah) => (None, ah.pfs),
    };
    let hash = connection.protocol.integrity();
    let mut found = Vec::new();
    found.extend(weak_cipher(ike.encryption, Part::IkeEncryption));
    // With an AEAD cipher, the hash of the integrity is that of the PRF, if no other is chosen.
    let (prf, is_aead) = (connection.native.ike_prf, ike.encryption.row().aead);
    let used = Some(ike.integrity).filter(|_| !is_aead || prf.is_none());
    found.extend(used.and_then(|hash| weak_hash(hash, Part::IkeIntegrity)));
    found.extend(prf.and_then(|hash| weak_hash(hash, Part::Native("ikePrf"))));
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
    found.extend(short_ppk(connection));
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
        Integrity::Sha256 | Integrity::Sha384 | Integrity::Sha512 | Integrity::Sha256Cut => None,
    }
}

fn weak_group(group: DhGroup, part: Part) -> Option<Finding> {
    let place = GROUPS.iter().position(|row| row.0 == group.row().number)?;
    let (number, _, _, why) = GROUPS[place];
    Some(
        Weakness::Group(place).at(part, format!("is group {number}: {why}; choose group 19, 20 or 31, or at least 14")),
    )
}

/// The local selectors in which none of `host`'s addresses is. In transport mode a missing address is another fault; where
/// there is an interface, it has the routes and an address.
#[must_use]
pub fn without_local_address(connection: &Connection, host: &BTreeSet<IpAddr>) -> Vec<Finding> {
    let lonely = |child: &&Child| !child.local.iter().any(|net| host.iter().any(|address| net.net().contains(address)));
    let mut nets: Vec<_> =
        connection.children.iter().filter(lonely).flat_map(|child| &child.local).map(ToString::to_string).collect();
    nets.sort();
    nets.dedup();
    if nets.is_empty() || connection.is_route_based() {
        return Vec::new();
    }
    let advice = format!(
        "has {}, in which this gateway has no address: it cannot use the tunnel itself, strongSwan installs no route \
         for it, and hosts there need a route to this gateway; attach a network that this gateway is in",
        nets.join(", ")
    );
    vec![Weakness::NoLocalAddress.at(Part::LocalNets, advice)]
}

/// That nothing protects `connection` against who records its traffic today and has a quantum computer later.
#[must_use]
pub fn without_post_quantum(connection: &Connection) -> Option<Finding> {
    let native = &connection.native;
    let advice = "is none, and there is no PPK: traffic that is recorded today is read by who has a quantum computer later; \
                  set postQuantum, or ppkId and ppk, which every strongSwan has, with ikev2";
    let has_none = native.post_quantum.is_none() && native.ppk_id.is_none();
    has_none.then(|| Weakness::NoPostQuantum.at(Part::Native("postQuantum"), advice))
}

/// A PPK with fewer bytes has less than the 256 bits that RFC 8784 (section 6) asks for.
const SHORT_PPK: usize = 32;

fn short_ppk(connection: &Connection) -> Option<Finding> {
    let length = connection.native.ppk.as_ref().map(|ppk| ppk.expose().len()).filter(|length| *length < SHORT_PPK)?;
    let advice = format!(
        "has {length} bytes: a quantum computer halves the bits of a key, so it needs at least {SHORT_PPK} random ones \
         (RFC 8784)"
    );
    Some(Weakness::ShortKey.at(Part::Native("ppk"), advice))
}

/// That PFS is untested until the first rekeying: an IKEv2 peer takes the first CHILD_SA's keys from its IKE SA
/// (RFC 7296, section 1.2) and may have another group, or none. IKEv1 tests it with the first quick mode.
#[must_use]
pub fn untested_pfs(connection: &Connection) -> Option<Finding> {
    let pfs = connection.protocol.pfs();
    let advice = "is first used at the first rekeying: only then it shows whether the peer has the same group";
    (pfs.is_some() && connection.version != IkeVersion::V1 && !connection.children.is_empty())
        .then(|| Weakness::UntestedPfs.at(Part::Pfs, advice))
}
