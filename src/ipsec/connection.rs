//! An IPsec connection: one IKE configuration with its CHILD_SA configurations.
//! [`Connection::new`] holds every rule that joins several values.

use super::{
    AhProposal, Certs, EspProposal, Identity, IkeProposal, Invalid, Lifetime, Psk, TrafficSelector, certs::Certificate,
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, fmt, net::IpAddr, str::FromStr, sync::Arc};

/// The uuid of a connection, printed as 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(uuid::Uuid);

impl ConnectionId {
    /// A fresh random id (UUID version 4).
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl FromStr for ConnectionId {
    type Err = Invalid;

    /// Takes exactly 32 lower-case hexadecimal digits, so that one id has one spelling.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let exact = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match uuid::Uuid::try_parse(text) {
            Ok(id) if exact => Ok(Self(id)),
            _ => Err(Invalid::new("must be 32 lower-case hexadecimal digits")),
        }
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

/// Which IKE is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IkeVersion {
    /// Initiates IKEv2 and answers both (strongSwan's `version = 0`).
    Any,
    /// IKEv1 (RFC 2409), main mode.
    V1,
    /// IKEv2 (RFC 7296).
    V2,
}

impl IkeVersion {
    /// Whether a peer that speaks `version` (1 or 2) is answered.
    #[must_use]
    pub fn accepts(self, version: u8) -> bool {
        match self {
            Self::Any => true,
            Self::V1 => version == 1,
            Self::V2 => version == 2,
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "IKEv2 or IKEv1",
            Self::V1 => "IKEv1",
            Self::V2 => "IKEv2",
        }
    }
}

/// How packets are wrapped (RFC 4301, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Whole packets between networks.
    Tunnel,
    /// Payloads between two hosts.
    Transport,
}

/// The protocol of a CHILD_SA with its transforms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Encapsulating Security Payload.
    Esp(EspProposal),
    /// Authentication Header.
    Ah(AhProposal),
}

/// How the two ends prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// By a key that both know.
    Psk(Psk),
    /// By certificates; shared, because a connection is copied often.
    Certs(Arc<Certs>),
}

impl Auth {
    /// The certificates, if that is the proof.
    #[must_use]
    pub fn certs(&self) -> Option<&Certs> {
        match self {
            Self::Psk(_) => None,
            Self::Certs(certs) => Some(certs),
        }
    }
}

/// What a connection is made of, before the rules that join the parts were checked.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The connection's uuid.
    pub id: ConnectionId,
    /// This gateway's public address.
    pub local_addr: IpAddr,
    /// The peer's public address.
    pub remote_addr: IpAddr,
    /// IKE version.
    pub version: IkeVersion,
    /// Protection of the IKE SA.
    pub ike: IkeProposal,
    /// Lifetime of the IKE SA.
    pub ike_lifetime: Lifetime,
    /// Who we are; by default the local address, with certificates the subject of ours.
    pub local_id: Option<Identity>,
    /// Who the peer is; by default its address.
    pub remote_id: Option<Identity>,
    /// The proof of identity.
    pub auth: Auth,
    /// See [`Connection::ike_generation`].
    pub ike_generation: u32,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Protection of the traffic.
    pub protocol: Protocol,
    /// Lifetime of the CHILD_SAs.
    pub lifetime: Lifetime,
    /// Networks behind this gateway.
    pub local_nets: Vec<TrafficSelector>,
    /// Networks behind the peer.
    pub remote_nets: Vec<TrafficSelector>,
}

/// One wanted CHILD_SA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// `cygnet-<uuid>-<8 digits made of the selectors>`: stable while other children come and go.
    pub name: String,
    /// Our side of the traffic.
    pub local: Vec<TrafficSelector>,
    /// The peer's side.
    pub remote: Vec<TrafficSelector>,
}

/// A valid connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    id: ConnectionId,
    /// This gateway's public address.
    pub local_addr: IpAddr,
    /// The peer's public address, of the same family.
    pub remote_addr: IpAddr,
    /// IKE version.
    pub version: IkeVersion,
    /// Protection of the IKE SA.
    pub ike: IkeProposal,
    /// Lifetime of the IKE SA.
    pub ike_lifetime: Lifetime,
    /// Who we are.
    pub local_id: Identity,
    /// Who the peer is.
    pub remote_id: Identity,
    /// The proof of identity.
    pub auth: Auth,
    /// How often anything of the IKE SA was changed, its key included. It shows in the file, so that
    /// charon never takes a new configuration for that of an SA which was made earlier: it does not
    /// compare keys, and would join an SA that keeps its old children for ever (facts 3.1, 3.2 c, 3.3).
    pub ike_generation: u32,
    /// Tunnel or transport, for all children.
    pub mode: Mode,
    /// Protection of the traffic, for all children.
    pub protocol: Protocol,
    /// Lifetime of the CHILD_SAs.
    pub lifetime: Lifetime,
    /// What is carried; empty while one side has no network.
    pub children: Vec<Child>,
}

/// The part of a connection that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The local address.
    LocalAddr,
    /// The peer's address.
    RemoteAddr,
    /// The encryption of the IKE SA.
    IkeEncryption,
    /// Who we are.
    LocalId,
    /// Who the peer is.
    RemoteId,
    /// The certificates.
    Certs,
    /// The networks behind this gateway.
    LocalNets,
    /// The networks behind the peer.
    RemoteNets,
}

impl Part {
    /// The name of the part in this model.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LocalAddr => "local_addr",
            Self::RemoteAddr => "remote_addr",
            Self::IkeEncryption => "ike.encryption",
            Self::LocalId => "local_id",
            Self::RemoteId => "remote_id",
            Self::Certs => "auth.certs",
            Self::LocalNets => "local_nets",
            Self::RemoteNets => "remote_nets",
        }
    }
}

/// Two values that cannot stand together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Conflict {
    /// The value to change.
    pub part: Part,
    /// The reason.
    pub why: Invalid,
}

/// Refuses `part` because of `why`.
fn conflict<T>(part: Part, why: impl Into<String>) -> Result<T, Conflict> {
    Err(Conflict { part, why: Invalid::new(why) })
}

impl Connection {
    /// The most children of one connection; one message to charon must hold them all.
    pub const MAX_CHILDREN: usize = 256;
    /// The most selectors of one child and side: their count is one octet (RFC 7296, section 3.13).
    pub const MAX_SELECTORS: usize = 255;

    /// Checks the rules that join the parts.
    ///
    /// # Errors
    /// The first rule that is broken, with the part to change.
    pub fn new(parts: Parts) -> Result<Self, Conflict> {
        addresses(&parts)?;
        if parts.version == IkeVersion::V1 && parts.ike.encryption.row().aead {
            return conflict(
                Part::IkeEncryption,
                format!(
                    "{} cannot protect an IKEv1 SA (RFC 5282 is for IKEv2 only): use ikev2 or an AES-CBC cipher",
                    parts.ike.encryption.row().wire
                ),
            );
        }
        let local_id = local_id(&parts)?;
        let (local, remote) = networks(&parts)?;
        let children = children(&parts, &local, &remote)?;
        Ok(Self {
            id: parts.id,
            local_addr: parts.local_addr,
            remote_addr: parts.remote_addr,
            version: parts.version,
            ike: parts.ike,
            ike_lifetime: parts.ike_lifetime,
            local_id,
            remote_id: parts.remote_id.unwrap_or(Identity::Ip(parts.remote_addr)),
            auth: parts.auth,
            ike_generation: parts.ike_generation,
            mode: parts.mode,
            protocol: parts.protocol,
            lifetime: parts.lifetime,
            children,
        })
    }

    /// The spread of the IKE SA's rekeying in seconds: its lifetime's, one less in every other generation.
    #[must_use]
    pub fn ike_rand(&self) -> u32 {
        self.ike_lifetime.rand() - self.ike_generation % 2
    }

    /// Seconds of silence before the peer is asked whether it lives: half a minute, and up to half of
    /// that more by generation. With [`Connection::ike_rand`], 32 generations differ from each other.
    #[must_use]
    pub fn dpd_delay(&self) -> u32 {
        30 + self.ike_generation / 2 % 16
    }

    /// Whether an IKE SA of `other` is one of this connection too.
    #[must_use]
    pub fn has_ike_of(&self, other: &Self) -> bool {
        let ike = |c: &Self| (c.local_addr, c.remote_addr, c.version, c.ike, c.ike_lifetime);
        let ends = |c: &Self| (c.local_id.clone(), c.remote_id.clone(), c.auth.clone());
        ike(self) == ike(other) && ends(self) == ends(other)
    }

    /// The connection's uuid.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }
}

/// Who we are. What a certificate does not say, charon would silently replace by its subject.
fn local_id(parts: &Parts) -> Result<Identity, Conflict> {
    let Some(certs) = parts.auth.certs() else {
        return Ok(parts.local_id.clone().unwrap_or(Identity::Ip(parts.local_addr)));
    };
    let certificate = &certs.certificate;
    if parts.version == IkeVersion::V1 && certificate.is_ed25519 {
        return conflict(Part::Certs, "has an Ed25519 key, which IKEv1 does not know (RFC 8420 is for IKEv2 only)");
    }
    match &parts.local_id {
        // An empty sequence: a name that would fit everybody.
        None if certificate.subject.der.len() <= 2 => conflict(
            Part::Certs,
            format!("has a certificate without a subject: give a localId that it has ({})", certificate.names()),
        ),
        None => subject_of(certificate),
        Some(id) if certificate.is_subject(id) => subject_of(certificate),
        Some(id) if certificate.is_for(id) => Ok(id.clone()),
        Some(id) => conflict(
            Part::LocalId,
            format!("{:?} is not in the gateway's certificate; it has {}", id.plain(), certificate.names()),
        ),
    }
}

/// The subject as the certificate has it.
fn subject_of(certificate: &Certificate) -> Result<Identity, Conflict> {
    Identity::subject(certificate.subject.clone()).map_err(|why| Conflict {
        part: Part::Certs,
        why: Invalid::new(format!("has a certificate whose subject {why}; give a localId that it has beside it")),
    })
}

/// Both addresses are those of single hosts, of one family, and differ.
fn addresses(parts: &Parts) -> Result<(), Conflict> {
    for (part, address) in [(Part::LocalAddr, parts.local_addr), (Part::RemoteAddr, parts.remote_addr)] {
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        if address.is_unspecified() || address.is_multicast() || broadcast || mapped {
            return conflict(part, format!("{address} is not the address of one host"));
        }
    }
    if parts.local_addr == parts.remote_addr {
        return conflict(
            Part::RemoteAddr,
            format!("the peerAddress[{}] cannot be the same to the VIP address", parts.remote_addr),
        );
    }
    if parts.local_addr.is_ipv4() != parts.remote_addr.is_ipv4() {
        return conflict(
            Part::RemoteAddr,
            format!(
                "the peerAddress[{}] and the VIP address[{}] are not of the same address family",
                parts.remote_addr, parts.local_addr
            ),
        );
    }
    Ok(())
}

/// The networks of both sides, checked against each other.
/// Transport mode protects what the gateways themselves send, and nothing else: a side without networks means that.
/// Of other hosts charon takes no account; two of them would never agree on a `CHILD_SA`.
fn networks(parts: &Parts) -> Result<(Vec<TrafficSelector>, Vec<TrafficSelector>), Conflict> {
    let (mut local, mut remote) = (parts.local_nets.clone(), parts.remote_nets.clone());
    if parts.mode == Mode::Transport {
        let sides =
            [(Part::LocalNets, &mut local, parts.local_addr), (Part::RemoteNets, &mut remote, parts.remote_addr)];
        for (part, nets, address) in sides {
            let gateway = TrafficSelector::host(address);
            if let Some(net) = nets.iter().find(|net| **net != gateway) {
                return conflict(
                    part,
                    format!(
                        "transport mode joins the gateways themselves, and {net} is not {gateway}: use tunnel mode, or \
                         leave the networks out"
                    ),
                );
            }
            if nets.is_empty() {
                nets.push(gateway);
            }
        }
    }
    disjoint(&remote, |a, b| format!("the remote CIDR[{a}] and remote CIDR[{b}] are overlaped"))?;
    for remote in &remote {
        if let Some(local) = local.iter().find(|local| local.overlaps(*remote) && (remote.net().prefix_len() != 0)) {
            return conflict(
                Part::RemoteNets,
                format!("the CIDR[{local}] of local router and remote CIDR[{remote}] are overlaped"),
            );
        }
    }
    let mut seen = BTreeSet::new();
    local.retain(|net| seen.insert(*net));
    Ok((local, remote))
}

fn disjoint(
    nets: &[TrafficSelector],
    text: impl Fn(TrafficSelector, TrafficSelector) -> String,
) -> Result<(), Conflict> {
    let mut sorted = nets.to_vec();
    sorted.sort_unstable();
    // Sorted by address, a network that overlaps any other overlaps its neighbour.
    match sorted.windows(2).find(|pair| pair[0].overlaps(pair[1])) {
        Some(pair) => conflict(Part::RemoteNets, text(pair[0], pair[1])),
        None => Ok(()),
    }
}

/// The children that carry `local` to `remote`, never two families in one.
fn children(parts: &Parts, local: &[TrafficSelector], remote: &[TrafficSelector]) -> Result<Vec<Child>, Conflict> {
    let mut pairs = Vec::new();
    for v4 in [true, false] {
        let of = |nets: &[TrafficSelector]| nets.iter().copied().filter(|net| net.is_v4() == v4).collect::<Vec<_>>();
        let (local_side, remote_side) = (of(local), of(remote));
        if local_side.is_empty() && !local.is_empty() && !remote_side.is_empty() {
            let family = if v4 { "IPv4" } else { "IPv6" };
            return conflict(
                Part::RemoteNets,
                format!("{} has no local network of its family ({family}) to be joined with", remote_side[0]),
            );
        }
        if local_side.is_empty() || remote_side.is_empty() {
            continue;
        }
        if parts.version == IkeVersion::V2 {
            pairs.push((local_side, remote_side));
        } else {
            // An IKEv1 quick mode carries one pair only, and `Any` may end in IKEv1.
            pairs.extend(local_side.iter().flat_map(|l| remote_side.iter().map(|r| (vec![*l], vec![*r]))));
        }
    }
    if pairs.len() > Connection::MAX_CHILDREN {
        return conflict(
            Part::RemoteNets,
            format!(
                "{} pairs of networks are too many for one connection: at most {}",
                pairs.len(),
                Connection::MAX_CHILDREN
            ),
        );
    }
    if let Some((l, r)) = pairs.iter().find(|(l, r)| l.len().max(r.len()) > Connection::MAX_SELECTORS) {
        return conflict(
            Part::RemoteNets,
            format!(
                "{} networks are too many for one child: at most {}",
                l.len().max(r.len()),
                Connection::MAX_SELECTORS
            ),
        );
    }
    Ok(named(parts.id, pairs))
}

/// The networks as text, which must never change: the children's names are made of it.
fn list(nets: &[TrafficSelector]) -> String {
    nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Names the children by a digest of their selectors; a collision moves to the next digest.
fn named(id: ConnectionId, pairs: Vec<(Vec<TrafficSelector>, Vec<TrafficSelector>)>) -> Vec<Child> {
    let mut taken = BTreeSet::new();
    let mut name = |local: &[TrafficSelector], remote: &[TrafficSelector]| {
        let mut salt = 0_u32;
        loop {
            let digest = Sha256::digest(format!("{} {} {salt}", list(local), list(remote)));
            let name = format!("cygnet-{id}-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3]);
            if taken.insert(name.clone()) {
                return name;
            }
            salt += 1;
        }
    };
    pairs.into_iter().map(|(local, remote)| Child { name: name(&local, &remote), local, remote }).collect()
}
