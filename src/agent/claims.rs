//! Rules between connections: what one has taken, another may not have. Kept in maps, so that a
//! change costs the same however many connections there are.

use crate::{
    error::{Error, Result},
    ipsec::{Auth, Certs, Code, ConnectionId, Identity, Psk, State},
    store::Record,
};
use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

/// What the stored connections have taken. A change holds the old and the new until it is decided.
#[derive(Default)]
pub struct Claims {
    /// Who joins these two addresses.
    pairs: HashMap<(IpAddr, IpAddr), Vec<ConnectionId>>,
    /// The keys under a peer's identity, of enabled connections.
    keys: HashMap<Identity, Vec<(ConnectionId, Psk)>>,
    /// Who has a private key of this name.
    pub(super) private: HashMap<String, Vec<ConnectionId>>,
    /// Who is set aside, because others have what it needs.
    pub(super) aside: BTreeSet<ConnectionId>,
}

impl Claims {
    /// Adds what `record` needs if no other connection is in its way.
    ///
    /// # Errors
    /// When another connection joins the same two addresses, or has another key for the same peer
    /// identity: charon could not tell them apart (facts 3.3, 4.1).
    pub fn claim(&mut self, record: &Record, name_of: impl Fn(ConnectionId) -> String) -> Result<()> {
        self.check(record, name_of)?;
        self.add(record);
        Ok(())
    }

    /// The same without taking anything. What a trial would put back is as much in use as what it made.
    ///
    /// # Errors
    /// As [`Claims::claim`].
    pub fn check(&self, record: &Record, name_of: impl Fn(ConnectionId) -> String) -> Result<()> {
        held(record).try_for_each(|record| self.check_one(record, &name_of))
    }

    /// Adds what `record` has, without asking, and what its trial would put back.
    pub fn add(&mut self, record: &Record) {
        held(record).for_each(|record| self.add_one(record));
    }

    /// Takes away once what [`Claims::add`] added.
    pub fn release(&mut self, record: &Record) {
        held(record).for_each(|record| self.release_one(record));
    }

    fn check_one(&self, record: &Record, name_of: impl Fn(ConnectionId) -> String) -> Result<()> {
        let others = self.pairs.get(&pair(record)).into_iter().flatten();
        if let Some(other) = others.into_iter().find(|other| **other != record.id) {
            return Err(Error::argument(format!(
                "there already have ipsec connection[uuid:{other}, name:{}] with the same vrouter and peerAddress",
                name_of(*other)
            )));
        }
        let connection = &record.connection;
        let keys = self.keys.get(&connection.remote_id).into_iter().flatten();
        let own = key(record);
        let clash = |(id, psk): &&(ConnectionId, Psk)| *id != record.id && own.is_some_and(|own| own != psk);
        if let Some((other, _)) = keys.into_iter().find(clash) {
            let text = format!(
                "the ipsec connection[uuid:{other}, name:{}] has another authKey for the same remote identity[{}]: \
                 charon could not tell which key to use; give the peers different remoteIds, or the same authKey",
                name_of(*other),
                connection.remote_id
            );
            return Err(super::named(Code::KeyAmbiguous, text));
        }
        Ok(())
    }

    fn add_one(&mut self, record: &Record) {
        self.pairs.entry(pair(record)).or_default().push(record.id);
        if let Some(name) = private_key(record) {
            self.private.entry(name).or_default().push(record.id);
        }
        if let Some(psk) = key(record) {
            self.keys.entry(record.connection.remote_id.clone()).or_default().push((record.id, psk.clone()));
        }
    }

    fn release_one(&mut self, record: &Record) {
        remove(&mut self.pairs, &pair(record), |id| *id == record.id);
        if let Some(name) = private_key(record) {
            remove(&mut self.private, &name, |id| *id == record.id);
        }
        if let Some(own) = key(record) {
            let same = |(id, psk): &(ConnectionId, Psk)| *id == record.id && psk == own;
            remove(&mut self.keys, &record.connection.remote_id, same);
        }
    }
}

/// What takes something for `record`: itself, and what its trial would put back. One that is set aside has nothing.
fn held(record: &Record) -> impl Iterator<Item = &Record> {
    let before = record.trial.as_ref().and_then(|trial| trial.before.as_ref());
    std::iter::once(record).chain(before).filter(|record| record.aside.is_none())
}

/// The key that charon is to hold for the peer's identity. Certificates are found by what the peer proves, and several
/// for one identity are not in each other's way.
fn key(record: &Record) -> Option<&Psk> {
    match &record.connection.auth {
        Auth::Psk(psk) if record.state == State::Enabled => Some(psk),
        Auth::Psk(_) | Auth::Certs(_) => None,
    }
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
