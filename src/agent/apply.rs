//! The order of effects of a change: validate, render and read back, load into charon, commit the
//! record, replace the file, negotiate, observe. Before the commit point every failure leaves the old
//! connection as it was; after it, everything follows the new record.

use super::{
    Agent, View, check_abilities,
    feed::Happening,
    memory::{Loaded, Memory, Step},
    reconcile::configure,
};
use crate::{
    disk,
    error::{Error, Resource, Result},
    ipsec::ConnectionId,
    store::{self, Record},
    swan::{
        Asker,
        credentials::File,
        names,
        plan::{Loadable, Request},
        section::Section,
    },
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{task::block_in_place, time::Instant};

/// How a write is to be done.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// Put the old connection back if the new one is not up in this time.
    pub confirm: Option<Duration>,
    /// Close the SAs of the old configuration at once, whether the new one is up or not.
    pub immediate: bool,
    /// Rekey the new CHILD_SAs once when they are up; `None`: as the settings say.
    pub rehearse: Option<bool>,
}

/// A change that was checked, with what it needs.
pub(super) struct Prepared {
    pub before: Option<Loadable>,
    pub after: Option<Loadable>,
    /// The steps that make charon's configuration and conf.d follow.
    pub steps: Vec<Step>,
}

impl Agent {
    /// Makes the connection `record` and waits a while for it to be up.
    ///
    /// # Errors
    /// When it clashes with another connection, charon refuses it, or it cannot be stored: then
    /// nothing of it exists.
    pub async fn create(self: &Arc<Self>, record: Record, how: How) -> Result<View> {
        let id = record.id;
        if self.is_left_alone(id) {
            return Err(Error::argument(format!(
                "the resourceUuid[{id}] is that of a stored connection whose file is damaged (GET /readyz names it): \
                 repair or remove the file and restart cygnet"
            )));
        }
        let edit = move |old: Option<&Record>| match old {
            Some(_) => Err(Error::argument(format!("the resourceUuid[{id}] is in use"))),
            None => Ok(record),
        };
        self.write(id, how, edit).await
    }

    /// Changes the connection `id` by `edit` and waits a while for it to be up.
    ///
    /// # Errors
    /// As [`Agent::create`], and when there is no such connection: then the old one lives on.
    pub async fn change(
        self: &Arc<Self>,
        id: ConnectionId,
        how: How,
        edit: impl FnOnce(&Record) -> Result<Record> + Send + 'static,
    ) -> Result<View> {
        self.refuse_damaged(id)?;
        self.write(id, how, move |old| edit(old.ok_or_else(|| not_found(id))?)).await
    }

    async fn write(
        self: &Arc<Self>,
        id: ConnectionId,
        how: How,
        edit: impl FnOnce(Option<&Record>) -> Result<Record> + Send + 'static,
    ) -> Result<View> {
        let (agent, judge) = (Arc::clone(self), Arc::clone(self));
        let rehearse = self.is_rehearsed(how);
        let edit = move |old: Option<&Record>| {
            let new = edit(old)?;
            judge.judge(old, &new, rehearse)?;
            Ok(new)
        };
        // A task of its own: a caller who hangs up must not stop a change half way.
        if let Some(within) = how.confirm {
            let view = uncancelled(async move { agent.on_trial(id, how, within, edit).await }).await?;
            return Ok(self.rehearsed(view, rehearse).await);
        }
        let before = self.store.get(id);
        let changed = async move {
            let record = agent.put(id, how.immediate, edit).await?;
            // If an earlier change is on trial, that is over: this one counts, also after a crash.
            block_in_place(|| agent.store.end_trial(id)).unwrap_or_else(|error| {
                tracing::error!(uuid = %id, %error, "the next start will put back what was there before a trial");
            });
            Ok(record)
        };
        let record = uncancelled(changed).await?;
        // For what changes no tunnel, nobody waits for a tunnel.
        if before.is_some_and(|before| before.connection == record.connection && before.state == record.state) {
            return Ok(self.rehearsed(self.look(record).await, how.rehearse == Some(true)).await);
        }
        Ok(self.rehearsed(self.settled(record).await, rehearse).await)
    }

    /// Puts what `edit` makes of the connection in force, everywhere or nowhere; waits for no tunnel.
    pub(super) async fn put(
        &self,
        id: ConnectionId,
        immediate: bool,
        edit: impl FnOnce(Option<&Record>) -> Result<Record>,
    ) -> Result<Arc<Record>> {
        let entry = self.entry(id);
        let mut memory = entry.memory.lock().await;
        let old = self.store.get(id);
        let new = edit(old.as_deref())?;
        let outcome = self.apply(old, new, &mut memory).await;
        if immediate && outcome.is_ok() {
            memory.hurry();
        }
        entry.note_files(&self.paths(id));
        entry.publish(&memory);
        self.note_doubt(id, outcome, &mut memory)
    }

    async fn apply(&self, old: Option<Arc<Record>>, new: Record, memory: &mut Memory) -> Result<Arc<Record>> {
        if let Some(same) = old.as_ref().filter(|old| new.says_the_same(old)) {
            self.schedule.wake(new.id, Instant::now());
            return Ok(Arc::clone(same));
        }
        let name_of = |id| self.store.get(id).map(|r| r.wish.names.name.clone()).unwrap_or_default();
        self.lock_claims().claim(&new, name_of)?;
        let claimed = new.clone();
        let outcome = self.replace(old.as_deref(), new, memory).await;
        let released = if outcome.is_ok() { old.as_deref() } else { Some(&claimed) };
        if let Some(released) = released {
            self.lock_claims().release(released);
        }
        outcome
    }

    /// Checks `new` as far as that is possible without an effect, and says what it needs.
    pub(super) async fn prepare(&self, old: Option<&Record>, new: &Record, memory: &Memory) -> Result<Prepared> {
        let charon = self.charon().await?;
        // What stood so before was not refused either, and charon may have been another: it must be possible to disable.
        let stood = |old: &Record| old.connection == new.connection && (old.is_loaded() || !new.is_loaded());
        if !old.is_some_and(stood) {
            check_abilities(&new.connection, &charon)?;
        }
        let before = old.map(|old| self.loadable(old, &charon)).transpose()?.flatten();
        let after = self.loadable(new, &charon)?;
        let written = block_in_place(|| self.written(new.id, after.as_ref()))?;
        // Of a connection that is new nothing can be loaded.
        let loaded = if old.is_none() { &Loaded::Nothing } else { &memory.loaded };
        let steps = configure(after.as_ref(), written.as_deref(), loaded);
        Ok(Prepared { before, after, steps })
    }

    /// Puts `new` in the place of `old`, everywhere or nowhere.
    async fn replace(&self, old: Option<&Record>, new: Record, memory: &mut Memory) -> Result<Arc<Record>> {
        let prepared = self.prepare(old, &new, memory).await?;
        let id = new.id;
        // Listed before loading: all of these were made for the earlier configuration. Of what the peer makes after the
        // list nothing is known but what it shows; to call a new SA old would never end: charon makes no second one.
        let loads = prepared.before.is_some() && prepared.steps.contains(&Step::Load);
        let listed = async { if loads { self.swan.observe(id, Asker::Writer).await } else { Ok(Vec::new()) } };
        let staged = async { block_in_place(|| self.stage(new, &prepared)) };
        let laid = match tokio::try_join!(listed, staged) {
            Ok(laid) => self.load(id, &prepared, memory).await.map(|()| laid),
            failed => failed,
        };
        let (before, after) = (files(prepared.before.as_ref()), files(prepared.after.as_ref()));
        let (running, (staged, file)) = match laid {
            Ok(laid) => laid,
            Err(error) => {
                if !matches!(error, Error::Unreachable { .. }) {
                    self.discard(id, after, before).await;
                }
                return Err(error);
            }
        };
        let committed = block_in_place(|| {
            let record = staged.place()?;
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
        let record = match committed {
            Ok(record) => record,
            Err(error) => {
                self.put_back(id, old, prepared, memory).await;
                return Err(error);
            }
        };
        self.discard(id, before, after).await;
        if let (Some(before), Some(after)) = (connection(prepared.before.as_ref()), connection(prepared.after.as_ref()))
        {
            self.entry(id).take_in_rekeyings(memory);
            memory.outdate(&running, before, after);
        }
        memory.restart();
        memory.passes = prepared.after.map(|after| after.passes).unwrap_or_default();
        // The old record must not be held longer than it counts: its key is in it.
        memory.note_configured(None);
        if old.is_none_or(|old| old.connection != record.connection || old.state != record.state) {
            self.entry(id).forget_rehearsal();
            self.entry(id).story().begin_anew();
        }
        self.tell(id, Happening::Changed);
        self.schedule.wake(id, Instant::now());
        Ok(record)
    }

    /// Lays the record and the file down beside those that they will replace.
    fn stage(&self, new: Record, prepared: &Prepared) -> Result<(store::Staged, Option<disk::Staged>)> {
        let path = self.conf_path(new.id);
        let written = prepared.after.as_ref().filter(|_| prepared.steps.contains(&Step::Write));
        // Nothing points at them yet, and one that lies there already is the same.
        written.map(|after| self.place_credentials(after)).transpose()?;
        let Some(after) = written else { return Ok((self.store.stage(new)?, None)) };
        let file = || disk::stage(&path, after.conf.expose().as_bytes(), 0o600);
        let (file, record) = disk::side_by_side(file, || self.store.stage(new))?;
        Ok((record?, Some(file?)))
    }

    /// Takes the steps on charon's configuration; an unloaded connection's SAs are seen gone.
    async fn load(&self, id: ConnectionId, prepared: &Prepared, memory: &mut Memory) -> Result<()> {
        match &prepared.after {
            Some(after) if prepared.steps.contains(&Step::Load) => {
                self.swan.load(after, prepared.before.as_ref()).await?;
                self.note_loaded(id, memory, Loaded::These(after.digest()));
            }
            None if prepared.steps.contains(&Step::Unload) => {
                self.swan.unload(id).await?;
                self.note_loaded(id, memory, Loaded::Nothing);
                self.close_and_verify(id).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Undoes a change that could not be committed, on disk and in charon. What fails here is logged:
    /// the caller gets the first reason, and the reconciler goes on repairing.
    async fn put_back(&self, id: ConnectionId, old: Option<&Record>, prepared: Prepared, memory: &mut Memory) {
        let disk = block_in_place(|| {
            self.store.put_back(id, old).inspect_err(|_| self.entry(id).unsaved.store(true, Ordering::Relaxed))?;
            match &prepared.before {
                Some(before) => disk::replace(&self.conf_path(id), before.conf.expose().as_bytes(), 0o600),
                None => disk::remove(&self.conf_path(id)),
            }
        });
        let steps = vec![if prepared.before.is_some() { Step::Load } else { Step::Unload }];
        let back = Prepared { before: prepared.after, after: prepared.before, steps };
        let charon = self.load(id, &back, memory).await;
        self.discard(id, files(back.before.as_ref()), files(back.after.as_ref())).await;
        for error in [disk.err(), charon.err()].into_iter().flatten() {
            tracing::error!(uuid = %id, %error, "a failed change could not be undone at once");
            memory.doubt();
        }
        self.schedule.wake(id, Instant::now());
    }

    /// After a request that charon did not answer, the record is loaded anew when it answers again.
    pub(super) fn note_doubt<T>(&self, id: ConnectionId, outcome: Result<T>, memory: &mut Memory) -> Result<T> {
        if let Err(error @ Error::Unreachable { .. }) = &outcome {
            memory.doubt();
            self.suspect(error);
            self.schedule.wake(id, Instant::now());
        }
        outcome
    }

    /// A connection whose file is damaged is not "not found": it may be carrying traffic.
    pub(super) fn refuse_damaged(&self, id: ConnectionId) -> Result<()> {
        match self.store.damaged().iter().find(|damaged| damaged.id == Some(id)) {
            Some(damaged) => Err(Error::Damaged { path: damaged.path.clone(), why: damaged.why.clone() }),
            None => Ok(()),
        }
    }
}

/// Runs `work` to its end even if the caller is gone.
pub(super) async fn uncancelled<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(work).await.unwrap_or_else(|e| Err(Error::Internal(format!("the task of the change ended: {e}"))))
}

/// The error for a connection that does not exist.
pub(super) fn not_found(id: ConnectionId) -> Error {
    Error::NotFound { field: "uuid", uuid: id.to_string(), resource: Resource::Connection }
}

/// The files of certificates and keys.
fn files(loadable: Option<&Loadable>) -> &[File] {
    loadable.map_or(&[], |loadable| &loadable.files)
}

/// The body of the `load-conn` request.
fn connection(loadable: Option<&Loadable>) -> Option<&Section> {
    let load = |request: &&Request| request.command == "load-conn";
    let loadable = loadable?;
    loadable.requests.iter().find(load)?.body.section(&names::connection(loadable.id))
}
