//! The PPKs of enabled connections. charon looks for one by its name alone and takes the first that it finds, so a name has
//! one PPK.

use crate::{
    ipsec::{ConnectionId, Psk, State},
    store::Record,
};
use std::collections::HashMap;

/// The PPKs, by their names as charon compares them, and whose they are.
#[derive(Default, Clone)]
pub(super) struct Ppks(HashMap<String, Vec<(ConnectionId, Psk)>>);

/// The name and the PPK of a record that is to be loaded.
fn named(record: &Record) -> Option<(String, &Psk)> {
    let native = &record.connection.native;
    let (id, ppk) = native.ppk_id.as_ref().zip(native.ppk.as_ref()).filter(|_| record.state == State::Enabled)?;
    Some((id.to_ascii_lowercase(), ppk))
}

impl Ppks {
    /// The connection that has another PPK under the name of one of `records`, stored or among them; and that name.
    pub fn clash(&self, records: &[&Record]) -> Option<(ConnectionId, String)> {
        let all: Vec<_> = records.iter().filter_map(|record| Some((record.id, named(record)?))).collect();
        let is_inside = |id: &ConnectionId| records.iter().any(|record| record.id == *id);
        all.iter().find_map(|(id, (name, ppk))| {
            let mut stored = self.0.get(name).into_iter().flatten().filter(|(other, _)| !is_inside(other));
            let stored = stored.find(|(_, other)| other != *ppk).map(|(other, _)| *other);
            let mut inside = all.iter().filter(|(other, (named, _))| other != id && named == name);
            let inside = || inside.find(|(_, (_, other))| other != ppk).map(|(other, _)| *other);
            Some((stored.or_else(inside)?, name.clone()))
        })
    }

    /// Adds that of `record`.
    pub fn add(&mut self, record: &Record) {
        if let Some((name, ppk)) = named(record) {
            self.0.entry(name).or_default().push((record.id, ppk.clone()));
        }
    }

    /// Removes what one [`Ppks::add`] added.
    pub fn release(&mut self, record: &Record) {
        let Some((name, ppk)) = named(record) else { return };
        let Some(taken) = self.0.get_mut(&name) else { return };
        let is_it = |(id, other): &(ConnectionId, Psk)| *id == record.id && other == ppk;
        taken.iter().position(is_it).map(|place| taken.swap_remove(place));
        if taken.is_empty() {
            self.0.remove(&name);
        }
    }
}
