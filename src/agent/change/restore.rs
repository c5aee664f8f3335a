//! Connections of a backup: each comes back by a transaction of its own, by the rules of every write. One that is stored
//! with the same values is not touched.

use super::write::Group;
use crate::{
    agent::{Agent, Impact, Plan, WriteOptions, change::transaction::uncancelled},
    error::Result,
    ipsec::Clash,
    store::Record,
};
use jiff::Timestamp;
use std::sync::Arc;

/// What is there in the place of a connection of a backup.
pub enum Found {
    /// Nothing.
    Missing,
    /// A connection that says the same.
    Same,
    /// One that says something else: what taking the backup's would do.
    Differs(Box<Plan>),
}

impl Agent {
    /// What restoring `record` would do, without effects.
    ///
    /// # Errors
    /// Those of the restore before its first effect.
    pub async fn plan_restore(&self, record: &Record) -> Result<Found> {
        let id = record.id;
        if self.is_left_alone(id) {
            return Err(Clash::UuidOfDamaged(id).into());
        }
        let how = WriteOptions::default();
        match self.store.get(id) {
            Some(there) if record.wishes_as(&there) => Ok(Found::Same),
            Some(_) => {
                let plan = self.plan(id, &how, false, |old| in_place_of(old, record)).await?;
                Ok(if plan.impact == Impact::None && plan.after.wishes_as(&plan.before) {
                    Found::Same
                } else {
                    Found::Differs(Box::new(plan))
                })
            }
            None => {
                self.look_up_peer(Ok(record.clone())).await;
                let planner = self.entry(id).planner.lock().await.clone();
                let new = self.located(None, record.clone())?;
                self.judge(None, &new, self.tests_rekey(&how))?;
                let Group { new, others } = self.group(None, new, false)?;
                let all: Vec<_> = std::iter::once(&new).chain(others.iter().map(|other| &other.after)).collect();
                self.changes.uniqueness().check(&all, |id| self.stored(id))?;
                self.prepare(None, &new, &planner).await?;
                Ok(Found::Missing)
            }
        }
    }

    /// Puts `record` in force for `caller`, also in place of one that says something else if it `replaces`. It waits for no
    /// tunnel.
    ///
    /// # Errors
    /// As [`Agent::create`] and [`Agent::change`]. What was there then stays in force.
    pub async fn restore_record(
        self: &Arc<Self>,
        record: Record,
        replaces: bool,
        caller: Arc<str>,
    ) -> Result<Arc<Record>> {
        let id = record.id;
        if self.is_left_alone(id) {
            return Err(Clash::UuidOfDamaged(id).into());
        }
        let edit = move |old: Option<&Record>| match old {
            None => Ok(record.clone()),
            Some(old) if record.wishes_as(old) => Ok(old.clone()),
            Some(old) if replaces => in_place_of(old, &record),
            Some(_) => Err(Clash::UuidInUse(id).into()),
        };
        let how = WriteOptions { says_all: replaces, caller: Some(caller), ..WriteOptions::default() };
        let agent = Arc::clone(self);
        Box::pin(uncancelled(async move { agent.put(id, &how, edit).await })).await.map(|done| done.record)
    }
}

/// `old` with what the backup says. What the agent learnt of the peer stays learnt.
fn in_place_of(old: &Record, backup: &Record) -> Result<Record> {
    let mut spec = backup.spec.clone();
    let learnt = old.spec.options.native.split;
    if learnt.is_learned_from(spec.options.native.split) {
        spec.options.native.split = learnt;
    }
    let transition = backup.transition.clone();
    Ok(Record { state: backup.state, transition, ..old.changed(spec, Timestamp::now())? })
}
