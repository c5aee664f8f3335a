//! Rules between connections: address pairs, identities and keys that must be unique. Maps keep the cost of a change
//! independent of the number of connections.

use super::{
    overlaps::{self, Overlaps, Owner},
    ppks::Ppks,
};
use crate::{
    error::Result,
    ipsec::{
        Auth, Certs, Clash, Connection, ConnectionId, HostName, Identity, IdentityKey, Peer, PeerAddr, Psk, State,
        clash::{OtherKey, Shared, Stored},
    },
    store::{Record, dropped::cas},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

/// The unique values of the stored connections. A change holds the old and the new ones until it is decided.
#[derive(Default, Clone)]
pub struct UniquenessIndex {
    /// The owners of pairs of ends.
    pairs: HashMap<(IpAddr, End), Vec<ConnectionId>>,
    /// The keys of enabled connections.
    keys: HashMap<ConnectionId, Vec<Key>>,
    /// The keys that charon finds under an identity, and how often each is claimed.
    owners: Index,
    /// The connections with a key, by their identities at either end.
    ends: Index,
    /// The owners of private keys, by key id.
    pub(in crate::agent) private: HashMap<String, Vec<ConnectionId>>,
    /// The owners of CAs and intermediates, by SHA-256.
    pub(in crate::agent) cas: HashMap<String, Vec<ConnectionId>>,
    /// The PPKs.
    ppks: Ppks,
    /// The joined networks.
    pub(in crate::agent) networks: Overlaps,
    /// The connections that are set aside because of a conflict.
    pub(in crate::agent) aside: BTreeSet<ConnectionId>,
}

/// What tells peers of one VIP apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum End {
    /// The address of a peer without an identity.
    Address(PeerAddr),
    /// Its name, whatever its address is: peers behind one address have identities.
    Name(HostName),
    /// Of those that call from anywhere, their identity.
    Anywhere(IdentityKey),
}

/// A key, and the identities by which charon finds it.
#[derive(Clone, PartialEq)]
struct Key {
    psk: Psk,
    owner: Identity,
    ends: [Identity; 2],
}

impl Key {
    /// The pre-shared key of a loaded connection. Certificates need no rule: charon finds them by the peer's proof, and
    /// several for one identity do not conflict.
    fn of(record: &Record) -> Option<Self> {
        let connection = &record.connection;
        match &connection.auth {
            Auth::Psk(psk) if record.state == State::Enabled => Some(Self {
                psk: psk.clone(),
                owner: connection.key_identity().clone(),
                ends: ends(connection).map(Clone::clone),
            }),
            Auth::Psk(_) | Auth::Certs(_) => None,
        }
    }

    /// Whether charon would try this key for `other`, or the reverse, and the keys differ.
    fn clashes(&self, other: &Self) -> bool {
        let tries = |key: &Self, of: &Self| of.ends.iter().any(|end| end.matches(&key.owner));
        self.psk != other.psk && (tries(self, other) || tries(other, self))
    }
}

fn ends(connection: &Connection) -> [&Identity; 2] {
    [&connection.local_id, &connection.remote_id]
}

impl UniquenessIndex {
    /// Adds the values of `records` if they conflict with no other connection.
    ///
    /// # Errors
    /// When another connection has the same two ends, or charon could not tell which key to use (facts 3.3, 4.1).
    pub fn claim(&mut self, records: &[&Record], named: impl Fn(ConnectionId) -> Stored) -> Result<()> {
        self.check(records, named)?;
        for record in records {
            self.add(record);
        }
        Ok(())
    }

    /// The same check without adding anything. The connection that a trial would restore counts as in use.
    ///
    /// # Errors
    /// As [`UniquenessIndex::claim`].
    pub fn check(&self, records: &[&Record], named: impl Fn(ConnectionId) -> Stored) -> Result<()> {
        let records: Vec<_> = records.iter().copied().flat_map(held).collect();
        let records = records.as_slice();
        self.check_pairs(records, &named)?;
        let Some(record) = records.first() else { return Ok(()) };
        if let Some((other, id)) = self.ppks.clash(records) {
            return Err(Clash::Ppk { other: named(other), id }.into());
        }
        let keys: Vec<_> =
            self.clashing_keys(records).into_iter().map(|id| self.other_key(record, named(id))).collect();
        if keys.is_empty() { Ok(()) } else { Err(Clash::Keys(keys).into()) }
    }

    /// The part of [`UniquenessIndex::check`] that compares no keys.
    ///
    /// # Errors
    /// When another connection has the same two ends.
    pub fn check_pairs(&self, records: &[&Record], named: impl Fn(ConnectionId) -> Stored) -> Result<()> {
        for record in records {
            let others = self.pairs.get(&pair(record)).into_iter().flatten();
            if let Some(other) = others.into_iter().find(|other| **other != record.id) {
                let is_anywhere = record.spec.peer == Peer::Any;
                return Err(Clash::SameEnds { other: named(*other), is_anywhere }.into());
            }
        }
        Ok(())
    }

    /// What `record` shares with the connection `other`, which has another key.
    fn other_key(&self, record: &Record, other: Stored) -> OtherKey {
        let [local, remote] = ends(&record.connection);
        let is = |end: usize, identity: &Identity| {
            self.keys.get(&other.id).into_iter().flatten().any(|key| key.ends[end].matches(identity))
        };
        let (shared, identity) = if is(1, remote) {
            (Shared::Remote, remote)
        } else if is(1, local) {
            (Shared::RemoteIsLocal, local)
        } else if is(0, remote) {
            (Shared::LocalIsRemote, remote)
        } else {
            (Shared::Local, local)
        };
        OtherKey { other, shared, identity: identity.to_string() }
    }

    /// The other connections whose keys conflict with those of `records` or of the connections that their trials would
    /// restore; and the conflicts within `records`.
    pub fn clashing(&self, records: &[&Record]) -> BTreeSet<ConnectionId> {
        let with_trials = records.iter().flat_map(|record| std::iter::once(*record).chain(put_back(record)));
        self.clashing_keys(&with_trials.collect::<Vec<_>>())
    }

    fn clashing_keys(&self, records: &[&Record]) -> BTreeSet<ConnectionId> {
        let inside: BTreeSet<_> = records.iter().map(|record| record.id).collect();
        let keys: Vec<_> = records.iter().filter_map(|record| Some((record.id, Key::of(record)?))).collect();
        let mut found = BTreeSet::new();
        for (id, key) in &keys {
            let mut near = self.ends.ids(&key.owner);
            near.extend(key.ends.iter().flat_map(|end| self.owners.ids(end)));
            near.retain(|other| !inside.contains(other));
            near.retain(|other| self.keys.get(other).into_iter().flatten().any(|taken| taken.clashes(key)));
            found.extend(near);
            let within = keys.iter().filter(|(other, of_other)| other != id && key.clashes(of_other));
            found.extend(within.map(|(other, _)| *other));
        }
        found
    }

    /// Adds the values of `record` and of the connection that its trial would restore, without a check.
    pub fn add(&mut self, record: &Record) {
        held(record).for_each(|record| self.add_one(record));
    }

    /// Removes what one [`UniquenessIndex::add`] added.
    pub fn release(&mut self, record: &Record) {
        held(record).for_each(|record| self.release_one(record));
    }

    fn add_one(&mut self, record: &Record) {
        self.pairs.entry(pair(record)).or_default().push(record.id);
        if record.state == State::Enabled {
            self.networks.add(Owner::of(&record.connection), overlaps::pairs(&record.connection));
        }
        if let Some(name) = private_key(record) {
            self.private.entry(name).or_default().push(record.id);
        }
        cas(record).for_each(|(sha256, _)| self.cas.entry(sha256).or_default().push(record.id));
        self.ppks.add(record);
        if let Some(key) = Key::of(record) {
            self.owners.add(&key.owner, record.id);
            key.ends.iter().for_each(|end| self.ends.add(end, record.id));
            self.keys.entry(record.id).or_default().push(key);
        }
    }

    fn release_one(&mut self, record: &Record) {
        remove(&mut self.pairs, &pair(record), |id| *id == record.id);
        if record.state == State::Enabled {
            self.networks.remove(Owner::of(&record.connection), overlaps::pairs(&record.connection));
        }
        if let Some(name) = private_key(record) {
            remove(&mut self.private, &name, |id| *id == record.id);
        }
        cas(record).for_each(|(sha256, _)| remove(&mut self.cas, &sha256, |id| *id == record.id));
        self.ppks.release(record);
        if let Some(key) = Key::of(record) {
            self.owners.remove(&key.owner, record.id);
            key.ends.iter().for_each(|end| self.ends.remove(end, record.id));
            remove(&mut self.keys, &record.id, |taken| *taken == key);
        }
    }
}

/// Connections by identity, as charon compares identities. A connection may occur several times.
#[derive(Default, Clone)]
struct Index(BTreeMap<IdentityKey, BTreeMap<ConnectionId, usize>>);

impl Index {
    fn ids(&self, identity: &Identity) -> BTreeSet<ConnectionId> {
        self.0.get(&identity.key()).into_iter().flat_map(BTreeMap::keys).copied().collect()
    }

    fn add(&mut self, identity: &Identity, id: ConnectionId) {
        *self.0.entry(identity.key()).or_default().entry(id).or_default() += 1;
    }

    fn remove(&mut self, identity: &Identity, id: ConnectionId) {
        let key = identity.key();
        let Some(ids) = self.0.get_mut(&key) else { return };
        if let Some(count) = ids.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                ids.remove(&id);
            }
        }
        if ids.is_empty() {
            self.0.remove(&key);
        }
    }
}

/// The owners of values for `record`: itself, and the connection that its trial would restore; none if set aside.
pub(in crate::agent) fn held(record: &Record) -> impl Iterator<Item = &Record> {
    std::iter::once(record).filter(|record| record.aside.is_none()).chain(put_back(record))
}

/// The connection that the trial of `record` would restore, unless that is set aside.
fn put_back(record: &Record) -> Option<&Record> {
    record.trial.as_ref().and_then(|trial| trial.before.as_ref()).filter(|before| before.aside.is_none())
}

/// charon's id of its private key.
fn private_key(record: &Record) -> Option<String> {
    record.connection.auth.certs().filter(|_| record.state == State::Enabled).map(Certs::key_id)
}

fn pair(record: &Record) -> (IpAddr, End) {
    let end = match &record.spec.peer {
        Peer::Address(address) => End::Address(*address),
        Peer::Name(name) => End::Name(name.clone()),
        Peer::Any => End::Anywhere(record.connection.remote_id.key()),
    };
    (record.connection.local_addr, end)
}

/// Removes the first item that is `wanted` from the list under `key`, and an empty list.
fn remove<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, Vec<V>>, key: &K, wanted: impl Fn(&V) -> bool) {
    let Some(list) = map.get_mut(key) else { return };
    if let Some(index) = list.iter().position(wanted) {
        list.swap_remove(index);
    }
    if list.is_empty() {
        map.remove(key);
    }
}
