//! An IPsec connection: one IKE configuration with its CHILD_SA configurations.

mod id;
mod initiation;
mod networks;
mod proposals;
mod rules;
mod split;
mod version;

pub use id::ConnectionId;
pub use proposals::{ChildOffer, IkeOffer, Protection};
pub use split::Split;
pub use version::IkeVersion;

use super::{
    AhProposal, ByteLifetime, Certs, DhGroup, Dpd, EspProposal, Identity, IkeProposal, Integrity, Lifetime,
    NativeOptions, NextLayer, Psk, Remote, TrafficSelector, native::StartMode,
};
use std::{fmt, net::IpAddr, sync::Arc};

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

impl Protocol {
    /// What its packets are authenticated with, if not by an AEAD cipher.
    #[must_use]
    pub fn integrity(self) -> Option<Integrity> {
        match self {
            Self::Esp(esp) => Some(esp.integrity).filter(|_| !esp.encryption.row().aead),
            Self::Ah(ah) => Some(ah.integrity),
        }
    }

    /// The group of its own key exchange.
    #[must_use]
    pub fn pfs(self) -> Option<DhGroup> {
        match self {
            Self::Esp(esp) => esp.pfs,
            Self::Ah(ah) => ah.pfs,
        }
    }

    /// Whether both ends cut the hash of packets without a word about it in the negotiation.
    #[must_use]
    pub fn is_cut(self) -> bool {
        self.integrity().is_some_and(Integrity::is_cut)
    }
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

/// Under which identity charon finds the pre-shared key. It tries each key whose owner is either end of the negotiation,
/// and takes a peer's proof by any of them (facts 4.1): so a key has one owner, which no connection with another key has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyOwner {
    /// The peer's.
    #[default]
    Remote,
    /// Ours: other connections have this peer identity too, with other keys.
    Local,
}

/// What a connection is made of, before the rules that join the parts were checked.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The connection's uuid.
    pub id: ConnectionId,
    /// This gateway's public address.
    pub local_addr: IpAddr,
    /// Where the peer is.
    pub remote_addr: Remote,
    /// IKE version.
    pub version: IkeVersion,
    /// Protection of the IKE SA.
    pub ike: IkeProposal,
    /// Lifetime of the IKE SA.
    pub ike_lifetime: Lifetime,
    /// Who we are; by default the local address, with certificates the subject of ours.
    pub local_id: Option<Identity>,
    /// Who the peer is; by default its address. Of one that calls from anywhere it must be said.
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
    /// The options of our own.
    pub native: NativeOptions,
}

/// How often something was made anew without being wanted otherwise. Connections that differ in it alone are equal: nobody
/// has changed anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Generation(pub u32);

impl PartialEq for Generation {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Generation {}

/// One wanted CHILD_SA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// `cygnet-<uuid>-<8 digits made of the selectors>`: stable while other children come and go.
    pub name: String,
    /// Our side of the traffic.
    pub local: Vec<TrafficSelector>,
    /// The peer's side.
    pub remote: Vec<TrafficSelector>,
    /// Which packets between them.
    pub next_layer: NextLayer,
}

impl Child {
    /// Our side's selectors as an SA has them.
    pub fn local_texts(&self) -> impl Iterator<Item = String> {
        self.local.iter().map(|net| format!("{net}{}", self.next_layer.local()))
    }

    /// The peer's side's selectors.
    pub fn remote_texts(&self) -> impl Iterator<Item = String> {
        self.remote.iter().map(|net| format!("{net}{}", self.next_layer.remote()))
    }
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |texts: &mut dyn Iterator<Item = String>| texts.collect::<Vec<_>>().join(",");
        write!(f, "{} === {}", list(&mut self.local_texts()), list(&mut self.remote_texts()))
    }
}

/// A valid connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    id: ConnectionId,
    /// This gateway's public address.
    pub local_addr: IpAddr,
    /// Where the peer is; an address is of the same family.
    pub remote_addr: Remote,
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
    /// Whose the pre-shared key is to charon.
    pub key_owner: KeyOwner,
    /// How often anything of the IKE SA was changed, its key included. It shows in the file, so that
    /// charon never takes a new configuration for that of an SA which was made earlier: it does not
    /// compare keys, and would join an SA that keeps its old children for ever (facts 3.1, 3.2 c, 3.3).
    pub ike_generation: u32,
    /// How often a child that ran otherwise than wanted was to be negotiated anew. It shows in the file, because charon
    /// negotiates no second child like one that runs, also if the peer gave less than was asked for (facts 20.3).
    pub child_generation: Generation,
    /// The options of our own, without those that the children show.
    pub native: NativeOptions,
    /// Tunnel or transport, for all children.
    pub mode: Mode,
    /// Protection of the traffic, for all children.
    pub protocol: Protocol,
    /// What else is accepted, after that: earlier proposals, while the peer may still have them. Empty in a record.
    pub accepted: Vec<Protection>,
    /// Lifetime of the CHILD_SAs.
    pub lifetime: Lifetime,
    /// What is carried; empty while one side has no network.
    pub children: Vec<Child>,
    /// Not empty: IKEv1 is initiated, and these are the children for a peer that calls with IKEv2 nevertheless.
    pub answered: Vec<Child>,
}

/// So many generations differ from each other in charon's eyes.
const GENERATIONS: u32 = 32;

impl Connection {
    /// The most children of one connection; one message to charon must hold them all.
    pub(super) const MAX_CHILDREN: usize = 256;
    /// The most selectors of one child and side: their count is one octet (RFC 7296, section 3.13).
    pub(super) const MAX_SELECTORS: usize = 255;

    /// The spread of the IKE SA's rekeying in seconds: its lifetime's, less by generation. Of connections whose dead
    /// peer detection was not chosen, one less in every other generation.
    #[must_use]
    pub fn ike_rand(&self) -> u32 {
        self.ike_lifetime.rand() - self.ike_generation % self.rands()
    }

    /// The spread of the CHILD_SAs' rekeying in seconds: their lifetime's, up to 15 less by generation.
    #[must_use]
    pub fn child_rand(&self) -> u32 {
        let rand = self.lifetime.rand();
        rand - self.child_generation.0 % rand.clamp(1, CHILD_GENERATIONS)
    }

    /// Whether packets come to the tunnel by routes into an interface, and not by the networks of its policies alone.
    #[must_use]
    pub fn is_route_based(&self) -> bool {
        self.native.if_id != 0
    }

    /// How many bytes a CHILD_SA carries, if that is limited.
    #[must_use]
    pub fn child_bytes(&self) -> Option<ByteLifetime> {
        ByteLifetime::new(self.native.child_rekey_bytes)
    }

    /// How many generations the spread of the rekeying tells apart. All 32, unless the lifetime is below 363 s.
    fn rands(&self) -> u32 {
        if self.native.dpd.is_some() { self.ike_lifetime.rand().min(GENERATIONS) } else { 2 }
    }

    /// Seconds of silence before the peer is asked whether it lives, and more by generation where the spread of the
    /// rekeying has no room: up to 6 s, and up to 15 s of connections whose dead peer detection was not chosen. With
    /// [`Connection::ike_rand`], 32 generations differ from each other.
    #[must_use]
    pub fn dpd_delay(&self) -> u32 {
        let delay = self.native.dpd.unwrap_or(Dpd::STORED).delay();
        delay + self.ike_generation / self.rands() % GENERATIONS.div_ceil(self.rands())
    }

    /// Seconds after its last packet until a silent peer is dead, under IKEv1.
    #[must_use]
    pub fn dpd_timeout(&self) -> u32 {
        self.native.dpd.unwrap_or(Dpd::STORED).timeout()
    }

    /// Whether an IKE SA of `other` is one of this connection too.
    #[must_use]
    pub fn has_ike_of(&self, other: &Self) -> bool {
        // Without a rest: whoever adds a value says here whether the IKE SA has it.
        let Self {
            local_addr,
            remote_addr,
            version,
            ike,
            ike_lifetime,
            local_id,
            remote_id,
            auth,
            native,
            id: _,
            key_owner: _,
            ike_generation: _,
            child_generation: _,
            mode: _,
            protocol: _,
            accepted: _,
            lifetime: _,
            children: _,
            answered: _,
        } = self;
        (local_addr, remote_addr, version) == (&other.local_addr, &other.remote_addr, &other.version)
            && (ike, ike_lifetime) == (&other.ike, &other.ike_lifetime)
            && native.has_ike_of(&other.native)
            && (local_id, remote_id, auth) == (&other.local_id, &other.remote_id, &other.auth)
    }

    /// Who begins to negotiate: a peer that may be anywhere cannot be called.
    #[must_use]
    pub fn start_mode(&self) -> StartMode {
        if self.remote_addr == Remote::Anywhere { StartMode::Respond } else { self.native.start_mode }
    }

    /// The identity under which charon finds the pre-shared key.
    #[must_use]
    pub fn key_identity(&self) -> &Identity {
        match self.key_owner {
            KeyOwner::Remote => &self.remote_id,
            KeyOwner::Local => &self.local_id,
        }
    }

    /// The connection's uuid.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }
}

/// So many generations of children differ from each other, if their lifetime leaves room for it.
const CHILD_GENERATIONS: u32 = 16;

#[cfg(test)]
mod tests;
