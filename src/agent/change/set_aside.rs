//! Stored connections that clash: an agent of an earlier version, a restored backup or a hand may have left two that no
//! write would have let stand beside each other. charon is never given both. Who was changed last is set aside by name:
//! it stays stored, is shown, and can be changed and deleted; it is loaded as soon as nothing is in its way any more.

use crate::{
    agent::{Agent, Companion, change::conflicts::UniquenessIndex},
    error::Result,
    ipsec::ConnectionId,
    store::Record,
};
use std::sync::Arc;
use tokio::time::Instant;

/// What `records` have taken, by the rules of a write, and those of them that are set aside for it.
pub(crate) fn compare(records: &[Arc<Record>]) -> (UniquenessIndex, Vec<Record>) {
    let (mut uniqueness, mut aside) = (UniquenessIndex::default(), Vec::new());
    let mut records: Vec<_> = records.iter().collect();
    records.sort_by_key(|record| (record.changed, record.id));
    let name_of = |id| records.iter().find(|record| record.id == id).map(|r| r.spec.names.name.clone());
    for record in &records {
        if let Err(error) = uniqueness.claim(&[record], |id| name_of(id).unwrap_or_default()) {
            uniqueness.aside.insert(record.id);
            aside.push(Record { aside: Some(error.to_string().into()), ..Record::clone(record) });
        }
    }
    (uniqueness, aside)
}

impl Agent {
    /// The connections that are set aside.
    pub fn set_aside(&self) -> Vec<Arc<Record>> {
        let ids: Vec<_> = self.lock_uniqueness().aside.iter().copied().collect();
        ids.into_iter().filter_map(|id| self.store.get(id)).filter(|record| record.aside.is_some()).collect()
    }

    /// Takes what `new` needs, beside what `old` has. What is set aside may be written as long as it asks for no more.
    pub(in crate::agent) fn claim(&self, old: Option<&Record>, new: &mut Record) -> Result<()> {
        // Of what a trial puts back, it says itself whether it was set aside.
        let was = new.aside.take();
        let mut uniqueness = self.lock_uniqueness();
        let claimed = uniqueness.claim(&[new], |id| self.name_of(id));
        let stays = |old: &Record| old.connection == new.connection && (old.state == new.state || !new.is_loaded());
        let was = match old {
            Some(old) if old.aside.is_some() => old.aside.clone().filter(|_| stays(old)),
            _ => was,
        };
        match (claimed, was) {
            (Err(_), Some(why)) => {
                uniqueness.aside.insert(new.id);
                new.aside = Some(why);
                // What is not loaded has nothing to prove, and nobody would end its trial.
                new.trial = None;
                Ok(())
            }
            (outcome, _) => outcome,
        }
    }

    /// Takes what all of `records` need, which follow `others` and the one that is written, or nothing. Those of `others`
    /// that are set aside are let in if nothing is in their way; the rest does not depend on it.
    pub(in crate::agent) fn claim_together(&self, others: &[Companion], records: &mut [Record]) -> Result<()> {
        let is_aside = |id| others.iter().any(|other| other.id() == id && other.before.aside.is_some());
        for record in &mut *records {
            record.aside = None;
        }
        let mut uniqueness = self.lock_uniqueness();
        let needed: Vec<_> = records.iter().rev().filter(|record| !is_aside(record.id)).collect();
        uniqueness.claim(&needed, |id| self.name_of(id))?;
        for record in records.iter_mut().filter(|record| is_aside(record.id)) {
            if let Err(error) = uniqueness.claim(&[record], |id| self.name_of(id)) {
                uniqueness.aside.insert(record.id);
                record.aside = Some(error.to_string().into());
            }
        }
        Ok(())
    }

    /// Gives back what `record` had, and looks whether that was in somebody's way.
    pub(in crate::agent) fn release(&self, record: Option<&Record>) {
        let Some(record) = record else { return };
        let mut uniqueness = self.lock_uniqueness();
        uniqueness.release(record);
        uniqueness.aside.iter().for_each(|id| self.queue.enqueue(*id, Instant::now()));
    }

    /// How messages name a connection.
    pub(in crate::agent) fn name_of(&self, id: ConnectionId) -> String {
        let Some(record) = self.store.get(id) else { return String::new() };
        let name = record.spec.names.name.clone();
        match &record.trial {
            Some(trial) => format!("{name}, with a change on trial until {}", trial.until),
            None => name,
        }
    }

    /// Lets `id` in again if it was set aside and nothing is in its way any more. Its lock is held.
    pub(in crate::agent) fn readmit(&self, id: ConnectionId) {
        let mut uniqueness = self.lock_uniqueness();
        if !uniqueness.aside.contains(&id) {
            return;
        }
        let record = self.store.get(id).filter(|record| record.aside.is_some());
        let Some(record) = record.map(|record| Record { aside: None, ..Record::clone(&record) }) else {
            // It was changed or deleted.
            uniqueness.aside.remove(&id);
            return;
        };
        if uniqueness.claim(&[&record], |id| self.name_of(id)).is_ok() {
            uniqueness.aside.remove(&id);
            tracing::info!(uuid = %id, "the connection clashes with no other any more, and is loaded");
            self.store.note(record);
        }
    }
}
