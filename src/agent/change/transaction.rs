//! The order of effects of a change: validate, render and read back, load into charon, commit the record, replace the
//! file, negotiate, observe. Before the commit point every failure leaves the old connection as it was; after it,
//! everything follows the new record.

use super::{
    transition::transited,
    write::{Companion, Group, InForce, Laid, Planners, Prepared, WriteOptions, Written, not_locked},
};
use crate::{
    agent::{
        Agent, Entry,
        reconcile::{
            reconciler::configure,
            sa_planner::{Loaded, SaPlanner, Step},
        },
        refusal::{check_abilities, not_found},
    },
    disk,
    error::{Error, Result},
    ipsec::{
        Clash, ConnectionId,
        clash::{OnTrial, Stored},
    },
    store::{Record, Timestamp, Trial},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::{task::block_in_place, time::Instant};

impl Agent {
    /// Creates the connection `record` and waits until it is up, at most as long as a write may wait.
    ///
    /// # Errors
    /// When it conflicts with another connection, charon refuses it, or it cannot be stored: then nothing of it exists.
    pub async fn create(self: &Arc<Self>, record: Record, how: WriteOptions) -> Result<Written> {
        let (id, record) = (record.id, Box::new(record));
        if self.is_left_alone(id) {
            return Err(Clash::UuidOfDamaged(id).into());
        }
        let edit = move |old: Option<&Record>| match old {
            Some(_) => Err(Clash::UuidInUse(id).into()),
            None => Ok((*record).clone()),
        };
        Box::pin(self.write(id, how, edit)).await
    }

    /// Changes the connection `id` by `edit` and waits until it is up, at most as long as a write may wait.
    ///
    /// # Errors
    /// As [`Agent::create`], and when there is no such connection. The old connection then stays in force.
    pub async fn change(
        self: &Arc<Self>,
        id: ConnectionId,
        how: WriteOptions,
        edit: impl Fn(&Record) -> Result<Record> + Send + 'static,
    ) -> Result<Written> {
        self.refuse_damaged(id)?;
        Box::pin(self.write(id, how, move |old| edit(old.ok_or_else(|| not_found(id))?))).await
    }

    async fn write(
        self: &Arc<Self>,
        id: ConnectionId,
        how: WriteOptions,
        edit: impl Fn(Option<&Record>) -> Result<Record> + Send + 'static,
    ) -> Result<Written> {
        let (agent, rehearse, asked) = (Arc::clone(self), self.tests_rekey(&how), how.rehearse == Some(true));
        // A task of its own: a caller that disconnects must not stop a change half way.
        if let Some(within) = how.confirm {
            let (view, others) = uncancelled(async move { agent.on_trial(id, how, within, edit).await }).await?;
            return Ok(Written { view: self.with_rekey_test(view, rehearse).await, others });
        }
        let begins_transition = how.transition.is_some();
        let InForce { before, record, others } = uncancelled(async move { agent.put(id, &how, edit).await }).await?;
        // A change without effect on the tunnel waits for no tunnel, nor does one that waits for the other end.
        let is_waiting = record.open_transition().is_some_and(|transition| !transition.accept);
        let is_same = before.is_some_and(|b| b.connection == record.connection && b.state == record.state);
        let view = if is_same || (is_waiting && begins_transition) {
            self.with_rekey_test(self.view_of(record).await, asked).await
        } else {
            self.with_rekey_test(self.settled(record).await, rehearse).await
        };
        Ok(Written { view, others })
    }

    /// Puts the result of `edit` in force, with all that must change in the same step, everywhere or nowhere. It waits for
    /// no tunnel. With `confirm` the change is on trial from then on. The locks of several connections are taken in the
    /// order of their uuids: `edit` runs again when it needs more locks than are held.
    pub(in crate::agent) async fn put(
        &self,
        id: ConnectionId,
        how: &WriteOptions,
        edit: impl Fn(Option<&Record>) -> Result<Record>,
    ) -> Result<InForce> {
        self.look_up_peer(edit(self.store.get(id).as_deref())).await;
        let mut ids = BTreeSet::from([id]);
        loop {
            let entries: Vec<_> = ids.iter().map(|id| (*id, self.entry(*id))).collect();
            let mut planners = BTreeMap::new();
            for (id, entry) in &entries {
                planners.insert(*id, entry.planner.lock().await);
            }
            // Decisions about the present state come after the locks: until then others may write.
            let before = self.store.get(id);
            let group = self.decided(before.as_deref(), how, &edit)?;
            if group.others.iter().all(|other| ids.contains(&other.id())) {
                let entries: BTreeMap<_, _> = entries.iter().map(|(id, entry)| (*id, &**entry)).collect();
                let others = group.others.clone();
                let record = self.group_in_force(before.clone(), group, how.immediate, &entries, &mut planners).await?;
                return Ok(InForce { before, record, others });
            }
            ids.extend(group.others.iter().map(Companion::id));
        }
    }

    /// The result of `edit` on `before`, on trial if requested, and the others that must change with it.
    fn decided(
        &self,
        before: Option<&Record>,
        how: &WriteOptions,
        edit: impl Fn(Option<&Record>) -> Result<Record>,
    ) -> Result<Group> {
        if how.confirm.is_some() {
            refuse_second(before)?;
        }
        let new = transited(before, self.located(before, edit(before)?)?, how)?;
        self.judge(before, &new, self.tests_rekey(how))?;
        let mut group = self.group(before, new, how.together)?;
        group.new.trial = trial(before, &group.new, how, edit).map(Box::new);
        group.revised(before, how.caller.as_ref())
    }

    /// Puts all of `group` in force, or none; their locks are held.
    async fn group_in_force(
        &self,
        old: Option<Arc<Record>>,
        group: Group,
        immediate: bool,
        entries: &BTreeMap<ConnectionId, &Entry>,
        planners: &mut Planners<'_>,
    ) -> Result<Arc<Record>> {
        let id = group.new.id;
        // The SAs of others whose key does not change stay.
        let hurried: BTreeSet<_> = group.with_new_keys().chain([id]).collect();
        let written: Vec<_> = group.others.iter().map(Companion::id).chain([id]).collect();
        let outcome = match planners.get_mut(&id) {
            Some(planner) if group.others.is_empty() => self.apply(old, group.new, planner).await,
            Some(_) => self.apply_together(old, group, planners).await,
            None => Err(not_locked(id)),
        };
        for id in written {
            if let (Some(entry), Some(planner)) = (entries.get(&id), planners.get_mut(&id)) {
                self.wind_up(id, entry, outcome.as_ref().err(), immediate && hurried.contains(&id), planner);
            }
        }
        outcome
    }

    /// Puts `new` in force in place of `old`, everywhere or nowhere, with the lock held.
    pub(in crate::agent) async fn in_force(
        &self,
        entry: &Entry,
        old: Option<Arc<Record>>,
        new: Record,
        planner: &mut SaPlanner,
    ) -> Result<Arc<Record>> {
        let id = new.id;
        let outcome = self.apply(old, new, planner).await;
        self.wind_up(id, entry, outcome.as_ref().err(), false, planner);
        outcome
    }

    /// The work after every write, successful or not.
    fn wind_up(
        &self,
        id: ConnectionId,
        entry: &Entry,
        error: Option<&Error>,
        immediate: bool,
        planner: &mut SaPlanner,
    ) {
        if immediate && error.is_none() {
            planner.close_stale_now();
        }
        entry.record_files(&self.paths(id));
        entry.share(planner);
        self.invalidate_after(id, error, planner);
    }

    async fn apply(&self, old: Option<Arc<Record>>, mut new: Record, planner: &mut SaPlanner) -> Result<Arc<Record>> {
        if let Some(same) = old.as_ref().filter(|old| new.says_the_same(old)) {
            self.reconciler.enqueue(new.id, Instant::now());
            return Ok(Arc::clone(same));
        }
        self.claim(old.as_deref(), &mut new)?;
        let claimed = new.clone();
        let outcome = self.replace(old.as_deref(), new, planner).await;
        self.decided_on(old.as_deref(), &claimed, outcome.is_ok()).await;
        outcome
    }

    async fn apply_together(
        &self,
        old: Option<Arc<Record>>,
        group: Group,
        planners: &mut Planners<'_>,
    ) -> Result<Arc<Record>> {
        let Group { new, others } = group;
        let mut claimed: Vec<_> = others.iter().map(|other| other.after.clone()).chain([new]).collect();
        self.claim_together(old.as_deref(), &others, &mut claimed)?;
        let replaced: Vec<_> = others.iter().map(|other| Arc::clone(&other.before)).chain(old.clone()).collect();
        let outcome = self.replace_together(old, &others, &claimed, planners).await;
        match &outcome {
            Ok(_) => replaced.iter().for_each(|record| self.release(Some(record))),
            Err(_) => claimed.iter().for_each(|record| self.release(Some(record))),
        }
        outcome
    }

    /// Checks `new` without effects, and returns what it needs.
    pub(in crate::agent) async fn prepare(
        &self,
        old: Option<&Record>,
        new: &Record,
        planner: &SaPlanner,
    ) -> Result<Prepared> {
        let charon = self.charon().await?;
        // An unchanged part is not refused, even if charon was replaced: disabling must work.
        let stood = |old: &Record| old.connection == new.connection && (old.is_loaded() || !new.is_loaded());
        if !old.is_some_and(stood) {
            check_abilities(&new.connection, &charon)?;
        }
        let before = old.map(|old| self.loadable(old, &charon)).transpose()?.flatten();
        let after = self.loadable(new, &charon)?;
        let written = block_in_place(|| self.written(new.id, after.as_ref()))?;
        // Nothing of a new connection is loaded.
        let loaded = if old.is_none() { &Loaded::Nothing } else { &planner.loaded };
        let steps = configure(after.as_ref(), written.as_deref(), loaded);
        Ok(Prepared { before, after, steps })
    }

    /// Replaces `old` with `new`, everywhere or nowhere.
    async fn replace(&self, old: Option<&Record>, new: Record, planner: &mut SaPlanner) -> Result<Arc<Record>> {
        let id = new.id;
        let Laid { prepared, running, record, file } = self.lay(old, new, planner).await?;
        let committed = block_in_place(|| {
            let record = record.place()?;
            let Some(file) = file.map(disk::Staged::place).transpose()? else {
                record.sync()?;
                if prepared.steps.contains(&Step::Erase) {
                    disk::remove(&self.conf_path(id))?;
                }
                return Ok(self.store.adopt(record));
            };
            let (file, synced) = disk::side_by_side(|| file.sync(), || record.sync())?;
            synced.and(file)?;
            Ok(self.store.adopt(record))
        });
        match committed {
            Ok(record) => {
                self.settle(old, &record, &prepared, &running, planner).await;
                Ok(record)
            }
            Err(error) => {
                self.put_back(id, old, prepared, planner).await;
                Err(error)
            }
        }
    }

    /// A connection whose file is damaged is not "not found": it may be carrying traffic.
    pub(in crate::agent) fn refuse_damaged(&self, id: ConnectionId) -> Result<()> {
        match self.store.damaged().iter().find(|damaged| damaged.id == Some(id)) {
            Some(damaged) => Err(Error::Damaged { path: damaged.path.clone(), why: damaged.why.clone() }),
            None => Ok(()),
        }
    }
}

/// The trial of `new` after this write: the one that it starts, or the one that continues beside it.
fn trial(
    before: Option<&Record>,
    new: &Record,
    how: &WriteOptions,
    edit: impl Fn(Option<&Record>) -> Result<Record>,
) -> Option<Trial> {
    if let Some(within) = how.confirm {
        let now = Timestamp::now();
        let caller = how.caller.as_deref().unwrap_or("this gateway").to_owned();
        // A trial lasts a few minutes at most.
        let until = jiff::SignedDuration::try_from(within).ok().and_then(|within| now.checked_add(within).ok());
        return Trial::of(before, new, caller, now, until.unwrap_or(now));
    }
    let before = before.filter(|_| !how.says_all)?;
    // If the key got another owner, the restored connection gets it too.
    let owner = Some(new.connection.key_owner).filter(|owner| *owner != before.connection.key_owner);
    let edit = |record: &Record| edit(Some(record)).map(|new| owner.map_or_else(|| new.clone(), |o| new.owned(o)));
    before.trial.as_ref()?.beside(edit, before, new)
}

/// Refuses a second trial: it would be undefined what to restore if the first fails after the second.
pub(in crate::agent) fn refuse_second(record: Option<&Record>) -> Result<()> {
    let Some((record, trial)) = record.and_then(|record| record.trial.as_ref().map(|trial| (record, trial))) else {
        return Ok(());
    };
    let connection = Stored { id: record.id, name: record.spec.names.name.clone(), trial_until: None };
    let (is_new, caller) = (trial.before.is_none(), trial.caller.clone());
    let (began, until) = (trial.began, trial.until);
    Err(Clash::OnTrial(Box::new(OnTrial { connection, is_new, caller, began, until })).into())
}

/// Runs `work` to its end even if the caller disconnects.
pub(in crate::agent) async fn uncancelled<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(work).await.unwrap_or_else(|e| Err(Error::Internal(format!("the task of the change ended: {e}"))))
}
