//! Stored connections that conflict: an earlier version, a restored backup or an edit may have stored two that no write
//! accepts together. The agent never loads both. The one that was changed last is set aside: it stays stored and visible,
//! and can be changed or deleted. It is loaded as soon as the conflict ends.

use crate::{
    agent::{Agent, Companion, change::conflicts::UniquenessIndex},
    error::Result,
    ipsec::{ConnectionId, clash::Stored},
    store::Record,
};
use std::sync::Arc;
use tokio::time::Instant;

/// The index of `records`, by the rules of a write, and the records that are set aside.
pub(crate) fn compare(records: &[Arc<Record>]) -> (UniquenessIndex, Vec<Record>) {
    let (mut uniqueness, mut aside) = (UniquenessIndex::default(), Vec::new());
    let mut records: Vec<_> = records.iter().collect();
    records.sort_by_key(|record| (record.changed, record.id));
    let name_of = |id| records.iter().find(|record| record.id == id).map(|r| r.spec.names.name.clone());
    let stored = |id| Stored { id, name: name_of(id).unwrap_or_default(), trial_until: None };
    for record in &records {
        if let Err(error) = uniqueness.claim(&[record], stored) {
            uniqueness.aside.insert(record.id);
            aside.push(Record { aside: Some(error.to_string().into()), ..Record::clone(record) });
        }
    }
    (uniqueness, aside)
}

impl Agent {
    /// The connections that are set aside.
    pub fn set_aside(&self) -> Vec<Arc<Record>> {
        let ids: Vec<_> = self.changes.uniqueness().aside.iter().copied().collect();
        ids.into_iter().filter_map(|id| self.store.get(id)).filter(|record| record.aside.is_some()).collect()
    }

    /// Claims the values of `new` beside those of `old`, and records dropped CAs. A connection that is set aside may be
    /// written if it claims nothing more.
    pub(in crate::agent) fn claim(&self, old: Option<&Record>, new: &mut Record) -> Result<()> {
        self.record_dropped_cas(old, Some(new));
        // The record before a trial says itself whether it was set aside.
        let was = new.aside.take();
        let mut uniqueness = self.changes.uniqueness();
        let claimed = self.refuse_same(&uniqueness.networks, old, new, |id| self.stored(id));
        let claimed = claimed.and_then(|()| uniqueness.claim(&[new], |id| self.stored(id)));
        let stays = |old: &Record| old.connection == new.connection && (old.state == new.state || !new.is_loaded());
        let was = match old {
            Some(old) if old.aside.is_some() => old.aside.clone().filter(|_| stays(old)),
            _ => was,
        };
        match (claimed, was) {
            (Err(_), Some(why)) => {
                uniqueness.aside.insert(new.id);
                new.aside = Some(why);
                // A connection that is not loaded has nothing to prove, and its trial would never end.
                new.trial = None;
                Ok(())
            }
            (outcome, _) => outcome,
        }
    }

    /// Claims the values of all `records`, which follow `others` and the written one, or of none. Those of `others` that
    /// are set aside are admitted if they conflict with nothing; the rest does not depend on that.
    pub(in crate::agent) fn claim_together(
        &self,
        old: Option<&Record>,
        others: &[Companion],
        records: &mut [Record],
    ) -> Result<()> {
        let is_aside = |id| others.iter().any(|other| other.id() == id && other.before.aside.is_some());
        for record in &mut *records {
            record.aside = None;
        }
        let mut uniqueness = self.changes.uniqueness();
        // The networks of the others do not change.
        let refuse = |new: &Record| self.refuse_same(&uniqueness.networks, old, new, |id| self.stored(id));
        records.last().map_or(Ok(()), refuse)?;
        let needed: Vec<_> = records.iter().rev().filter(|record| !is_aside(record.id)).collect();
        uniqueness.claim(&needed, |id| self.stored(id))?;
        for record in records.iter_mut().filter(|record| is_aside(record.id)) {
            if let Err(error) = uniqueness.claim(&[record], |id| self.stored(id)) {
                uniqueness.aside.insert(record.id);
                record.aside = Some(error.to_string().into());
            }
        }
        Ok(())
    }

    /// Releases the values of one of the two: of `old` if `new` is in force, else of `new`.
    pub(in crate::agent) async fn decided_on(&self, old: Option<&Record>, new: &Record, counts: bool) {
        self.release(if counts { old } else { Some(new) });
        if !counts {
            self.record_failed_cas(new, old).await;
        }
    }

    /// Releases the values of `record`, and admits connections that were set aside because of them.
    pub(in crate::agent) fn release(&self, record: Option<&Record>) {
        let Some(record) = record else { return };
        let mut uniqueness = self.changes.uniqueness();
        uniqueness.release(record);
        uniqueness.aside.iter().for_each(|id| self.reconciler.enqueue(*id, Instant::now()));
    }

    /// How messages name a connection.
    pub(in crate::agent) fn stored(&self, id: ConnectionId) -> Stored {
        let record = self.store.get(id);
        let name = record.as_ref().map_or_else(String::new, |record| record.spec.names.name.clone());
        let trial_until = record.and_then(|record| record.trial.as_ref().map(|trial| trial.until));
        Stored { id, name, trial_until }
    }

    /// Admits `id` again if it was set aside and its conflict has ended. Its lock is held.
    pub(in crate::agent) fn readmit(&self, id: ConnectionId) {
        let mut uniqueness = self.changes.uniqueness();
        if !uniqueness.aside.contains(&id) {
            return;
        }
        let record = self.store.get(id).filter(|record| record.aside.is_some());
        let Some(record) = record.map(|record| Record { aside: None, ..Record::clone(&record) }) else {
            // It was changed or deleted.
            uniqueness.aside.remove(&id);
            return;
        };
        if uniqueness.claim(&[&record], |id| self.stored(id)).is_ok() {
            uniqueness.aside.remove(&id);
            tracing::info!(uuid = %id, "{}: the connection conflicts with no other any more; loading it", record.label());
            self.store.note(record);
        }
    }
}
