//! What the operator of a peer that is not strongSwan writes: the texts of libreswan and openiked for one connection named
//! `net`. Pure; it may not know the agent, nor what is right.

use crate::pair::KEY;
use crate::support::lab::Side;

/// Which daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// libreswan: pluto, told by `whack` and `addconn`.
    Libreswan,
    /// openiked: iked, told by `ikectl`. It speaks IKEv2 only.
    Openiked,
}

/// A cipher, a hash and a group in the API's words. An AEAD cipher has no use for the hash in ESP; without a group there
/// is no PFS.
#[derive(Clone, Copy, Debug)]
pub struct Proposal(pub &'static str, pub &'static str, pub Option<u16>);

/// What the operator of the peer has configured, under the name `net`.
#[derive(Clone, Copy)]
pub struct Configuration<'a> {
    /// `ikev1` or `ikev2`.
    pub version: &'a str,
    pub key: &'a str,
    /// Both ends prove themselves by certificates instead: the kind of the keys, as [`super::foreign_root`] names them.
    pub certificates: Option<&'a str>,
    /// For the IKE SA, and for ESP.
    pub ike: Proposal,
    pub esp: Proposal,
    /// Another cipher that it takes for ESP too, with the same hash.
    pub also: Option<&'a str>,
    /// Its own networks, and those of A. Of several, libreswan has a connection for each pair, openiked one for all.
    pub local: &'a [&'a str],
    pub remote: &'a [&'a str],
    /// What it is, and what it takes A to be: an address or a name.
    pub id: &'a str,
    pub id_of_a: &'a str,
    /// Where it sees A: at another address behind NAT.
    pub address_of_a: &'a str,
    /// Seconds after which it begins to make the IKE SA and the CHILD_SA anew.
    pub lifetimes: [u32; 2],
}

impl Configuration<'_> {
    /// What mirrors the options of the connection on A.
    pub const RIGHT: Self = Self {
        version: "ikev2",
        key: KEY,
        certificates: None,
        ike: Proposal("aes-256", "sha256", Some(14)),
        esp: Proposal("aes-256", "sha512", None),
        also: None,
        local: &["10.2.0.0/24"],
        remote: &["10.1.0.0/24"],
        id: "192.0.2.2",
        id_of_a: "192.0.2.1",
        address_of_a: "192.0.2.1",
        lifetimes: [14_400, 3_600],
    };

    /// The keys, as libreswan has them in a file.
    pub fn secrets(&self) -> String {
        match self.certificates {
            None => format!("{} {} : PSK \"{}\"\n", signed(self.id), signed(self.id_of_a), self.key),
            Some(_) => String::new(),
        }
    }
}

/// What the program is given for a connection; openiked is told there whether it begins.
pub fn text(kind: Kind, configuration: &Configuration<'_>, begins: bool) -> String {
    match kind {
        Kind::Libreswan => libreswan(configuration),
        Kind::Openiked => openiked(configuration, begins),
    }
}

fn libreswan(it: &Configuration<'_>) -> String {
    let list = |networks: &[&str]| match networks {
        [one] => format!("subnet={one}"),
        all => format!("subnets={}", all.join(",")),
    };
    let version = if it.version == "ikev1" { "no" } else { "insist" };
    let auth = match it.certificates {
        None => "authby=secret".to_owned(),
        Some(kind) => {
            let by = if kind == "rsa" { "rsasig" } else { "ecdsa" };
            format!("authby={by}\n\tleftcert={kind}\n\tleftsendcert=always\n\trightca=%same")
        }
    };
    let esp: Vec<_> = [Some(it.esp.0), it.also]
        .into_iter()
        .flatten()
        .map(|cipher| libreswan_names(cipher, it.esp.1, false))
        .collect();
    let [ike_lifetime, lifetime] = it.lifetimes;
    let margin = (ike_lifetime.min(lifetime) / 2).min(540);
    format!(
        "conn net\n\tleft={}\n\tright={}\n\tleftid={}\n\trightid={}\n\tikev2={version}\n\t{auth}\n\tleft{}\n\tright{}\n\
         \tike={};{}\n\tesp={}\n\tpfs={}\n\tikelifetime={ike_lifetime}s\n\tsalifetime={lifetime}s\n\
         \trekeymargin={margin}s\n\tsha2-truncbug={}\n\tauto=ignore\n",
        Side::B.wan(),
        it.address_of_a,
        signed(it.id),
        signed(it.id_of_a),
        list(it.local),
        list(it.remote),
        libreswan_names(it.ike.0, it.ike.1, true),
        libreswan_group(it.ike.2),
        // Its version 4.10 takes IKE's group for PFS, whatever stands here.
        esp.join(","),
        yes(it.esp.2.is_some()),
        yes(it.esp.1 == "sha256-96")
    )
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// An identity; libreswan would look a name up without its sign.
fn signed(id: &str) -> String {
    if id.parse::<std::net::IpAddr>().is_ok() { id.to_owned() } else { format!("@{id}") }
}

fn openiked(it: &Configuration<'_>, begins: bool) -> String {
    let pairs =
        it.local.iter().flat_map(|local| it.remote.iter().map(move |remote| format!("from {local} to {remote}")));
    let pairs = pairs.collect::<Vec<_>>().join(" ");
    let mode = if begins { "active" } else { "passive" };
    let hash = |proposal: Proposal| format!("hmac-{}", hash_named(proposal.1, "sha2-"));
    let (ike, esp) = (it.ike, it.esp);
    let also = it.also.map(|cipher| format!(" enc {cipher}")).unwrap_or_default();
    let [ike_lifetime, lifetime] = it.lifetimes;
    let key = if it.certificates.is_some() { String::new() } else { format!(" psk \"{}\"", it.key) };
    format!(
        "set {mode}\nset nomobike\nikev2 \"net\" {mode} tunnel esp {pairs} local {} peer {} \
         ikesa auth {} enc {} prf {} group {} childsa auth {} enc {}{also} group {} \
         srcid {} dstid {} ikelifetime {ike_lifetime} lifetime {lifetime}{key}\n",
        Side::B.wan(),
        it.address_of_a,
        hash(ike),
        ike.0,
        hash(ike),
        openiked_group(ike.2),
        hash(esp),
        esp.0,
        openiked_group(esp.2),
        it.id,
        it.id_of_a,
    )
}

fn openiked_group(group: Option<u16>) -> &'static str {
    match group {
        None => "none",
        Some(2) => "modp1024",
        Some(5) => "modp1536",
        Some(14) => "modp2048",
        Some(15) => "modp3072",
        Some(19) => "ecp256",
        Some(20) => "ecp384",
        Some(31) => "curve25519",
        other => panic!("no name for {other:?}"),
    }
}

/// Cipher and hash: `aes256-sha2_512`, `aes_gcm256`, and `aes_gcm256-sha2_256` for the IKE SA, where the PRF needs it.
fn libreswan_names(cipher: &str, hash: &str, ike: bool) -> String {
    let (name, aead) = match cipher {
        "aes-128-gcm" => ("aes_gcm128".to_owned(), true),
        "aes-192-gcm" => ("aes_gcm192".to_owned(), true),
        "aes-256-gcm" => ("aes_gcm256".to_owned(), true),
        "chacha20-poly1305" => ("chacha20_poly1305".to_owned(), true),
        other => (other.replace('-', ""), false),
    };
    let hash = hash_named(hash, "sha2_");
    if aead && !ike { name } else { format!("{name}-{hash}") }
}

/// `sha1` and `md5` are called alike everywhere; the others have the name of their family before their bits. One that is
/// cut is negotiated as what it is cut from.
fn hash_named(hash: &str, family: &str) -> String {
    let hash = hash.strip_suffix("-96").unwrap_or(hash);
    if hash == "sha1" { hash.to_owned() } else { hash.replacen("sha", family, 1) }
}

fn libreswan_group(group: Option<u16>) -> String {
    match group.expect("IKE has a group") {
        5 => "modp1536".to_owned(),
        14 => "modp2048".to_owned(),
        15 => "modp3072".to_owned(),
        other => format!("dh{other}"),
    }
}
