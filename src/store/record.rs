//! What is stored of a connection: what the caller asked for, and the connection that it means.

use super::{accepted::Transition, history::History};
use crate::ipsec::{
    Auth, Conflict, Connection, ConnectionId, DhGroup, Encryption, Generation, IdKinds, IkeProposal, IkeVersion,
    Integrity, KeyOwner, Lifetime, Mode, NativeOptions, Peer, Psk, Remote, Split, State, TrafficSelector,
};
use jiff::Timestamp;
use std::{net::IpAddr, sync::Arc};

/// A stored connection. The connection in it follows from the wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The connection's uuid.
    pub id: ConnectionId,
    /// What the caller asked for.
    pub spec: Spec,
    /// What it means.
    pub connection: Connection,
    /// Whether it is wanted.
    pub state: State,
    /// How often anything of the IKE SA was changed; see [`Connection::ike_generation`].
    pub ike_generation: u32,
    /// Whether charon was not yet seen to run this connection and nothing older: what runs may have been made for an
    /// earlier one. Only the record knows that after a restart of the agent.
    pub unproven: bool,
    /// Whether a peer of a connection that speaks both versions of IKE was last up with IKEv1.
    pub ikev1_worked: bool,
    /// The address that the peer's name had last; see [`Peer::Name`].
    pub resolved: Option<IpAddr>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub changed: Timestamp,
    /// What it said before, and who said it.
    pub history: History,
    /// The change that nobody has confirmed yet, while there is one.
    pub trial: Option<Box<Trial>>,
    /// The proposals of before its last change, while they are still accepted.
    pub transition: Option<Box<Transition>>,
    /// Why it is set aside: it clashes with another stored connection. Never stored: each start compares anew.
    pub aside: Option<Arc<str>>,
}

/// A change that nobody has confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Tells it from the trials before and after it.
    pub id: ConnectionId,
    /// Who began it.
    pub caller: String,
    /// When it began.
    pub began: Timestamp,
    /// When it is decided at the latest.
    pub until: Timestamp,
    /// Whether others wrote a value that it changed: what comes up then is not what its caller asked for.
    pub overruled: bool,
    /// The connection as if there had been no trial: what was there before, with what others wrote since. `None`: it was
    /// created on trial.
    pub before: Option<Record>,
}

/// Everything that a caller can say of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Texts for people, and tags.
    pub names: Names,
    /// The gateway's address that the tunnel ends at.
    pub vip: Reference,
    /// Where the peer is: an address, a name, or anywhere.
    pub peer: Peer,
    /// The options of Create and Change.
    pub options: Options,
    /// Networks behind this gateway.
    pub local: Vec<Network>,
    /// Networks behind the peer.
    pub remote: Vec<RemoteCidr>,
}

/// Texts for people; charon never sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// A name; it need not be unique.
    pub name: String,
    /// A description.
    pub description: Option<String>,
    /// Tags that mean something to the management plane.
    pub system_tags: Vec<String>,
    /// Tags of the user's own.
    pub user_tags: Vec<String>,
}

/// An address of this gateway under the name that the settings give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Its uuid in the settings.
    pub uuid: String,
    /// Its address when the connection was created.
    pub address: IpAddr,
}

/// A local network, as it was in the settings when it was attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The uuid of the attachment.
    pub uuid: ConnectionId,
    /// The network's uuid in the settings.
    pub network: String,
    /// Its prefixes.
    pub cidrs: Vec<TrafficSelector>,
    /// When it was attached.
    pub created: Timestamp,
}

/// A network behind the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCidr {
    /// The uuid of this entry.
    pub uuid: ConnectionId,
    /// The network.
    pub cidr: TrafficSelector,
    /// When it was added.
    pub created: Timestamp,
}

/// The options that Create and Change share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The proof of identity.
    pub auth: Auth,
    /// How the identities are to be read.
    pub id_kind: IdKinds,
    /// Our identity as the caller wrote it.
    pub local_id: Option<String>,
    /// The peer's identity as the caller wrote it.
    pub remote_id: Option<String>,
    /// IKE version.
    pub version: IkeVersion,
    /// Protection of the IKE SA.
    pub ike: IkeProposal,
    /// Lifetime of the IKE SA.
    pub ike_lifetime: Lifetime,
    /// Whether packets go by AH rather than ESP.
    pub ah: bool,
    /// Encryption of ESP packets; kept, but without effect, with AH.
    pub encryption: Encryption,
    /// Integrity of packets; kept, but without effect, with ESP under an AEAD cipher.
    pub integrity: Integrity,
    /// Group of each CHILD_SA's own key exchange.
    pub pfs: Option<DhGroup>,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Lifetime of the CHILD_SAs.
    pub lifetime: Lifetime,
    /// The options of our own.
    pub native: NativeOptions,
}

/// What the journal calls the connection `id`, which has this name.
pub(super) fn label(name: &str, id: ConnectionId) -> String {
    let id = id.to_string();
    format!("{name} ({}…)", id.get(..8).unwrap_or_default())
}

impl Record {
    /// What the journal calls it: its name, and the first digits of its uuid.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.spec.names.name, self.id)
    }

    /// The record of a connection that is `spec`, made at `now`.
    ///
    /// # Errors
    /// When the values of `spec` cannot stand together.
    pub fn new(id: ConnectionId, spec: Spec, ike_generation: u32, now: Timestamp) -> Result<Self, Conflict> {
        Self::resolved(id, spec, None, ike_generation, now)
    }

    /// The same, whose peer's name has the address `resolved`.
    ///
    /// # Errors
    /// As [`Record::new`].
    pub fn resolved(
        id: ConnectionId,
        spec: Spec,
        resolved: Option<IpAddr>,
        ike_generation: u32,
        now: Timestamp,
    ) -> Result<Self, Conflict> {
        let connection = spec.connection(id, ike_generation, resolved)?;
        Ok(Self {
            id,
            spec,
            connection,
            state: State::Enabled,
            ike_generation,
            unproven: true,
            ikev1_worked: false,
            resolved,
            created: now,
            changed: now,
            history: History::begun(now),
            trial: None,
            transition: None,
            aside: None,
        })
    }

    /// The same connection with another wish, and no trial.
    ///
    /// # Errors
    /// When the values of `spec` cannot stand together.
    pub fn changed(&self, spec: Spec, now: Timestamp) -> Result<Self, Conflict> {
        // Another name has another address, and a VIP of the other family another kind of address.
        let is_kept = |address: &IpAddr| {
            spec.peer == self.spec.peer
                && address.is_ipv4() == spec.vip.address.is_ipv4()
                && *address != spec.vip.address
        };
        let resolved = self.resolved.filter(is_kept);
        self.changed_at(spec, resolved, now)
    }

    /// The same connection after the peer's name got the address `resolved`. Nobody changed it: a trial goes on.
    ///
    /// # Errors
    /// When that cannot be the peer's address.
    pub fn at(&self, resolved: Option<IpAddr>) -> Result<Self, Conflict> {
        let moved = self.changed_at(self.spec.clone(), resolved, self.changed)?;
        Ok(Self { trial: self.trial.clone(), aside: self.aside.clone(), ..moved })
    }

    /// The same, which a caller made of `before`, with the address of its peer's name.
    ///
    /// # Errors
    /// When that cannot be the peer's address.
    pub fn located(self, before: Option<&Self>, address: IpAddr) -> Result<Self, Conflict> {
        let (state, changed, address) = (self.state, self.changed, Some(address));
        let (created, history, transition) = (self.created, self.history, self.transition);
        let located = match before {
            Some(before) => before.changed_at(self.spec, address, changed)?,
            None => Self::resolved(self.id, self.spec, address, self.ike_generation, changed)?,
        };
        Ok(Self { state, created, history, transition, ..located })
    }

    fn changed_at(&self, spec: Spec, resolved: Option<IpAddr>, now: Timestamp) -> Result<Self, Conflict> {
        let mut new = Self::resolved(self.id, spec, resolved, self.ike_generation, now)?;
        if !new.connection.has_ike_of(&self.connection) {
            new.ike_generation = self.ike_generation.wrapping_add(1);
            new.connection.ike_generation = new.ike_generation;
        }
        new.connection.child_generation = self.connection.child_generation;
        new.connection.key_owner = self.connection.key_owner;
        let new = new.speaking_as(self);
        let unproven = self.unproven || new.connection != self.connection;
        let history = self.history.clone();
        // Other proposals end it.
        let goes_on = new.connection.protection() == self.connection.protection();
        let transition = self.transition.clone().filter(|_| goes_on);
        Ok(Self { state: self.state, unproven, created: self.created, history, transition, ..new })
    }

    /// The same connection with what a Change makes of its wish. One that was stored before there was a choice of the split
    /// gets today's with the first Change of its tunnel: until then, it keeps its children.
    ///
    /// # Errors
    /// When the values of `spec` cannot stand together.
    pub fn rewritten(&self, spec: Spec, now: Timestamp) -> Result<Self, Conflict> {
        let new = self.changed(spec, now)?;
        if new.spec.options.native.split != Split::Stored || new.connection == self.connection {
            return Ok(new);
        }
        let mut spec = new.spec.clone();
        spec.options.native.split = Split::Auto;
        // It may have too many networks for one child.
        Ok(self.changed(spec, now).unwrap_or(new))
    }

    /// The same connection with one child per pair of networks, as the peer has them. Nobody changed it: a trial goes on.
    ///
    /// # Errors
    /// When there are more pairs than a connection can have children.
    pub fn split(&self) -> Result<Self, Conflict> {
        let mut spec = self.spec.clone();
        spec.options.native.split = Split::Learned;
        Ok(Self { trial: self.trial.clone(), aside: self.aside.clone(), ..self.changed(spec, self.changed)? })
    }

    /// The same connection with all pairs of networks in one child, as the peer has them. Nobody changed it.
    ///
    /// # Errors
    /// When there are too many networks for one child.
    pub fn joined(&self) -> Result<Self, Conflict> {
        let mut spec = self.spec.clone();
        spec.options.native.split = Split::Auto;
        Ok(Self { aside: self.aside.clone(), ..self.changed(spec, self.changed)? })
    }

    /// The networks that another one of their side contains, each with that one: charon drops them from a child.
    #[must_use]
    pub fn left_out(&self) -> Vec<(TrafficSelector, TrafficSelector)> {
        if self.connection.initiates() == IkeVersion::V1 {
            return Vec::new();
        }
        let nets: Vec<_> = self.spec.local.iter().flat_map(|network| network.cidrs.iter().copied()).collect();
        let outer =
            |net: &TrafficSelector| nets.iter().copied().find(|other| other != net && other.net().contains(&net.net()));
        nets.iter().filter_map(|net| Some((*net, outer(net)?))).collect()
    }

    /// The same connection in a new generation: charon negotiates a new SA for it, though nothing differs.
    #[must_use]
    pub fn renewed(&self, now: Timestamp) -> Self {
        let mut new = Self { changed: now, unproven: true, ..self.clone() };
        new.ike_generation = self.ike_generation.wrapping_add(1);
        new.connection.ike_generation = new.ike_generation;
        new
    }

    /// The same connection with its children in a new generation: charon negotiates one beside another that runs.
    #[must_use]
    pub fn with_renewed_children(&self) -> Self {
        let mut new = self.clone();
        new.connection.child_generation = Generation(self.connection.child_generation.0.wrapping_add(1));
        new
    }

    /// The same with `key` in place of its pre-shared one and of its PPK: with a random key, what a change from `old` to a key means that
    /// must not be compared with that of `old`.
    ///
    /// # Errors
    /// None that [`Record::changed`] did not have.
    pub fn with_key(&self, key: &Psk, old: &Self) -> Result<Self, Conflict> {
        let mut spec = self.spec.clone();
        if let Auth::Psk(psk) = &mut spec.options.auth {
            *psk = key.clone();
        }
        if let Some(ppk) = &mut spec.options.native.ppk {
            *ppk = key.clone();
        }
        old.changed(spec, self.changed)
    }

    /// The same connection, whose key has another owner in charon; also the one that its trial would put back.
    #[must_use]
    pub fn owned(&self, key_owner: KeyOwner) -> Self {
        let mut new = self.clone();
        new.connection.key_owner = key_owner;
        if let Some(before) = new.trial.as_mut().and_then(|trial| trial.before.as_mut()) {
            before.connection.key_owner = key_owner;
        }
        new
    }

    /// Whether it says the same of the connection as `other`, whenever that was said and whatever was seen of it since.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let (unproven, changed, aside) = (other.unproven, other.changed, other.aside.clone());
        Self { unproven, changed, aside, history: other.history.clone(), ..self.clone() } == *other
    }

    /// Whether charon is to hold it: it is enabled, has something to carry and an address to carry it to, and clashes with
    /// no other.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.is_wanted() && !self.is_unresolved()
    }

    /// The same of one whose peer may have no address yet.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.state == State::Enabled && !self.connection.children.is_empty() && self.aside.is_none()
    }

    /// Whether it is enabled and has nothing to carry: a side is without networks.
    #[must_use]
    pub fn lacks_networks(&self) -> bool {
        self.state == State::Enabled && self.aside.is_none() && self.connection.children.is_empty()
    }

    /// Whether it is so since it was created: nobody has changed it.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.created == self.changed
    }

    /// Whether the peer has a name that had no address yet.
    #[must_use]
    pub fn is_unresolved(&self) -> bool {
        self.connection.remote_addr == Remote::Unresolved
    }
}
