//! Rules between connections: what one has taken, another may not have. Kept in maps, so that a
//! change costs the same however many connections there are.

use super::overlaps::{self, Overlaps};
use crate::{
    error::{Error, Result},
    ipsec::{Auth, Certs, Code, Connection, ConnectionId, Identity, IdentityKey, Psk, State},
    store::Record,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

/// What the stored connections have taken. A change holds the old and the new until it is decided.
#[derive(Default)]
pub struct UniquenessIndex {
    /// Who joins these two addresses.
    pairs: HashMap<(IpAddr, IpAddr), Vec<ConnectionId>>,
    /// The keys of enabled connections.
    keys: HashMap<ConnectionId, Vec<Key>>,
    /// Whose key charon finds under an identity, and how often it is claimed.
    owners: Index,
    /// Which connection with a key has an identity, at either end.
    ends: Index,
    /// Who has a private key of this name.
    pub(in crate::agent) private: HashMap<String, Vec<ConnectionId>>,
    /// Which networks are joined.
    pub(in crate::agent) networks: Overlaps,
    /// Who is set aside, because others have what it needs.
    pub(in crate::agent) aside: BTreeSet<ConnectionId>,
}

/// A key, and the identities by which charon finds it.
#[derive(PartialEq)]
struct Key {
    psk: Psk,
    owner: Identity,
    ends: [Identity; 2],
}

impl Key {
    /// The key that charon is to hold. Certificates are found by what the peer proves, and several for one identity are
    /// not in each other's way.
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

    /// Whether charon tries this key in a negotiation of `other`, or the other way round, and they differ.
    fn clashes(&self, other: &Self) -> bool {
        let tries = |key: &Self, of: &Self| of.ends.iter().any(|end| end.matches(&key.owner));
        self.psk != other.psk && (tries(self, other) || tries(other, self))
    }
}

fn ends(connection: &Connection) -> [&Identity; 2] {
    [&connection.local_id, &connection.remote_id]
}

impl UniquenessIndex {
    /// Adds what `records` need if no other connection is in their way.
    ///
    /// # Errors
    /// When another connection joins the same two addresses, or charon would try another key than theirs, or theirs for
    /// another connection: it could not tell them apart (facts 3.3, 4.1).
    pub fn claim(&mut self, records: &[&Record], name_of: impl Fn(ConnectionId) -> String) -> Result<()> {
        self.check(records, name_of)?;
        for record in records {
            self.add(record);
        }
        Ok(())
    }

    /// The same without taking anything. What a trial would put back is as much in use as what it made.
    ///
    /// # Errors
    /// As [`UniquenessIndex::claim`].
    pub fn check(&self, records: &[&Record], name_of: impl Fn(ConnectionId) -> String) -> Result<()> {
        let records: Vec<_> = records.iter().copied().flat_map(held).collect();
        let records = records.as_slice();
        self.check_pairs(records, &name_of)?;
        let Some(record) = records.first() else { return Ok(()) };
        let clashes: Vec<_> =
            self.clashing_keys(records).into_iter().map(|id| self.clash(record, id, &name_of)).collect();
        if clashes.is_empty() {
            return Ok(());
        }
        let text = format!(
            "{}: charon could not tell which key to use; give the peers different remoteIds, or the same authKey (with the \
             query parameter together=true, all of these connections get it in one step)",
            clashes.join("; ")
        );
        Err(crate::agent::named(Code::KeyAmbiguous, text))
    }

    /// The part of [`UniquenessIndex::check`] that compares no keys.
    ///
    /// # Errors
    /// When another connection joins the same two addresses.
    pub fn check_pairs(&self, records: &[&Record], name_of: impl Fn(ConnectionId) -> String) -> Result<()> {
        for record in records {
            let others = self.pairs.get(&pair(record)).into_iter().flatten();
            if let Some(other) = others.into_iter().find(|other| **other != record.id) {
                return Err(Error::argument(format!(
                    "there already have ipsec connection[uuid:{other}, name:{}] with the same vrouter and peerAddress",
                    name_of(*other)
                )));
            }
        }
        Ok(())
    }

    /// What is in the way of `record` in the connection `id`.
    fn clash(&self, record: &Record, id: ConnectionId, name_of: impl Fn(ConnectionId) -> String) -> String {
        let [local, remote] = ends(&record.connection);
        let is = |end: usize, identity: &Identity| {
            self.keys.get(&id).into_iter().flatten().any(|key| key.ends[end].matches(identity))
        };
        let what = if is(1, remote) {
            format!(" for the same remote identity[{remote}]")
        } else if is(1, local) {
            format!(", and its remote identity[{local}] is the local identity here")
        } else if is(0, remote) {
            format!(", and its local identity[{remote}] is the remote identity here")
        } else {
            format!(" for the same local identity[{local}]")
        };
        format!("the ipsec connection[uuid:{id}, name:{}] has another authKey{what}", name_of(id))
    }

    /// The other connections whose keys charon could not tell from those of `records` and of what their trials would put
    /// back; and those of `records` that it could not tell from each other.
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

    /// Adds what `record` has, without asking, and what its trial would put back.
    pub fn add(&mut self, record: &Record) {
        held(record).for_each(|record| self.add_one(record));
    }

    /// Takes away once what [`UniquenessIndex::add`] added.
    pub fn release(&mut self, record: &Record) {
        held(record).for_each(|record| self.release_one(record));
    }

    fn add_one(&mut self, record: &Record) {
        self.pairs.entry(pair(record)).or_default().push(record.id);
        if record.state == State::Enabled {
            self.networks.add(record.id, overlaps::pairs(&record.connection));
        }
        if let Some(name) = private_key(record) {
            self.private.entry(name).or_default().push(record.id);
        }
        if let Some(key) = Key::of(record) {
            self.owners.add(&key.owner, record.id);
            key.ends.iter().for_each(|end| self.ends.add(end, record.id));
            self.keys.entry(record.id).or_default().push(key);
        }
    }

    fn release_one(&mut self, record: &Record) {
        remove(&mut self.pairs, &pair(record), |id| *id == record.id);
        if record.state == State::Enabled {
            self.networks.remove(record.id, overlaps::pairs(&record.connection));
        }
        if let Some(name) = private_key(record) {
            remove(&mut self.private, &name, |id| *id == record.id);
        }
        if let Some(key) = Key::of(record) {
            self.owners.remove(&key.owner, record.id);
            key.ends.iter().for_each(|end| self.ends.remove(end, record.id));
            remove(&mut self.keys, &record.id, |taken| *taken == key);
        }
    }
}

/// Which connections have an identity, by what charon compares. A connection may be there several times.
#[derive(Default)]
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

/// What takes something for `record`: itself, and what its trial would put back. One that is set aside has nothing.
fn held(record: &Record) -> impl Iterator<Item = &Record> {
    std::iter::once(record).filter(|record| record.aside.is_none()).chain(put_back(record))
}

/// What the trial of `record` would put back, unless that is set aside.
fn put_back(record: &Record) -> Option<&Record> {
    record.trial.as_ref().and_then(|trial| trial.before.as_ref()).filter(|before| before.aside.is_none())
}

/// charon's name of the private key that it is to hold.
fn private_key(record: &Record) -> Option<String> {
    record.connection.auth.certs().filter(|_| record.state == State::Enabled).map(Certs::key_id)
}

fn pair(record: &Record) -> (IpAddr, IpAddr) {
    (record.connection.local_addr, record.connection.remote_addr)
}

/// Takes the first item that is `wanted` out of the list under `key`, and the list when it is empty.
fn remove<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, Vec<V>>, key: &K, wanted: impl Fn(&V) -> bool) {
    let Some(list) = map.get_mut(key) else { return };
    if let Some(index) = list.iter().position(wanted) {
        list.swap_remove(index);
    }
    if list.is_empty() {
        map.remove(key);
    }
}
