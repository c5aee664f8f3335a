//! The order of effects of a change: validate, render and read back, load into charon, commit the
//! record, replace the file, negotiate, observe. Before the commit point every failure leaves the old
//! connection as it was; after it, everything follows the new record.

use super::{Agent, View, check_algorithms, loadable, reconcile::Memory};
use crate::{
    disk,
    error::{Error, Resource, Result},
    ipsec::ConnectionId,
    store::Record,
    swan::{
        Charon, names,
        plan::{Loadable, Request},
        section::Section,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::{task::block_in_place, time::Instant};

/// How long closing SAs may take before the peer is no longer waited for.
const CLOSING: Duration = Duration::from_secs(2);

impl Agent {
    /// Makes the connection `record` and waits a while for it to be up.
    ///
    /// # Errors
    /// When it clashes with another connection, charon refuses it, or it cannot be stored: then
    /// nothing of it exists.
    pub async fn create(self: &Arc<Self>, record: Record) -> Result<View> {
        let id = record.id;
        if self.is_left_alone(id) {
            return Err(Error::argument(format!(
                "the resourceUuid[{id}] is that of a stored connection whose file is damaged (GET /readyz names it): \
                 repair or remove the file and restart cygnet"
            )));
        }
        self.change_with(id, move |old| match old {
            Some(_) => Err(Error::argument(format!("the resourceUuid[{id}] is in use"))),
            None => Ok(record),
        })
        .await
    }

    /// Changes the connection `id` by `edit` and waits a while for it to be up.
    ///
    /// # Errors
    /// As [`Agent::create`], and when there is no such connection: then the old one lives on.
    pub async fn change(
        self: &Arc<Self>,
        id: ConnectionId,
        edit: impl FnOnce(&Record) -> Result<Record> + Send + 'static,
    ) -> Result<View> {
        self.refuse_damaged(id)?;
        self.change_with(id, move |old| edit(old.ok_or_else(|| not_found(id))?)).await
    }

    async fn change_with(
        self: &Arc<Self>,
        id: ConnectionId,
        edit: impl FnOnce(Option<&Record>) -> Result<Record> + Send + 'static,
    ) -> Result<View> {
        let agent = Arc::clone(self);
        // A task of its own: a caller who hangs up must not stop a change half way.
        let record = uncancelled(async move {
            let entry = agent.entry(id);
            let mut memory = entry.memory.lock().await;
            let old = agent.store.get(id);
            let new = edit(old.as_deref())?;
            let outcome = agent.apply(old, new, &mut memory).await;
            entry.publish(&memory);
            agent.note_doubt(id, outcome, &mut memory)
        })
        .await?;
        Ok(self.settled(record).await)
    }

    async fn apply(&self, old: Option<Arc<Record>>, new: Record, memory: &mut Memory) -> Result<Arc<Record>> {
        if let Some(same) = old.as_ref().filter(|old| Record { changed: old.changed, ..new.clone() } == ***old) {
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

    /// Puts `new` in the place of `old`, everywhere or nowhere.
    async fn replace(&self, old: Option<&Record>, new: Record, memory: &mut Memory) -> Result<Arc<Record>> {
        let charon = self.charon().await?;
        check_algorithms(&new.connection, &charon)?;
        let before = old.map(|old| loadable(old, &charon)).transpose()?.flatten();
        let after = loadable(&new, &charon)?;
        let id = new.id;
        let staged = block_in_place(|| self.store.stage(new))?;
        let file = after
            .as_ref()
            .map(|a| block_in_place(|| disk::stage(&self.conf_path(id), a.conf.expose().as_bytes(), 0o600)));
        let file = file.transpose()?;
        // Listed before loading: all of these were made for the earlier configuration. Of what the peer makes after the
        // list nothing is known but what it shows; to call a new SA old would never end: charon makes no second one.
        let running = match (&before, &after) {
            (Some(before), Some(after)) if before.requests != after.requests => self.swan.observe(Some(id)).await?,
            _ => Vec::new(),
        };
        self.load(id, before.as_ref(), after.as_ref()).await?;
        let committed = block_in_place(|| {
            let record = self.store.commit(staged)?;
            match file {
                Some(file) => file.commit()?,
                None => disk::remove(&self.conf_path(id))?,
            }
            Ok(record)
        });
        let record = match committed {
            Ok(record) => record,
            Err(error) => {
                self.put_back(id, old, before.as_ref(), after.as_ref()).await;
                return Err(error);
            }
        };
        if let (Some(before), Some(after)) = (before.as_ref().and_then(connection), after.as_ref().and_then(connection))
        {
            memory.outdate(&running, before, after);
        }
        memory.restart();
        self.schedule.wake(id, Instant::now());
        Ok(record)
    }

    /// Makes charon hold `after` instead of `before`; nothing is sent if they are the same.
    async fn load(&self, id: ConnectionId, before: Option<&Loadable>, after: Option<&Loadable>) -> Result<()> {
        match (before, after) {
            (None, None) => Ok(()),
            (Some(before), Some(after)) if before.requests == after.requests => Ok(()),
            (before, Some(after)) => self.swan.load(after, before).await,
            (Some(_), None) => self.swan.unload(id).await,
        }
    }

    /// Undoes a change that could not be committed, on disk and in charon. What fails here is logged:
    /// the caller gets the first reason, and the next start repairs the rest.
    async fn put_back(
        &self,
        id: ConnectionId,
        old: Option<&Record>,
        before: Option<&Loadable>,
        after: Option<&Loadable>,
    ) {
        let disk = block_in_place(|| {
            match old {
                Some(old) => drop(self.store.commit(self.store.stage(old.clone())?)?),
                None => self.store.remove(id)?,
            }
            match before {
                Some(before) => disk::replace(&self.conf_path(id), before.conf.expose().as_bytes(), 0o600),
                None => disk::remove(&self.conf_path(id)),
            }
        });
        let charon = self.load(id, after, before).await;
        for error in [disk.err(), charon.err()].into_iter().flatten() {
            tracing::error!(uuid = %id, %error, "a failed change could not be undone completely");
        }
    }

    /// Deletes the connection `id`: unloads it, closes its SAs, forgets it.
    ///
    /// # Errors
    /// When there is none, charon does not answer (unless the caller will `enforce` it), or the store
    /// cannot be written: then it stays.
    pub async fn remove(self: &Arc<Self>, id: ConnectionId, enforce: bool) -> Result<()> {
        let agent = Arc::clone(self);
        uncancelled(async move {
            let entry = agent.entry(id);
            let mut memory = entry.memory.lock().await;
            agent.refuse_damaged(id)?;
            let record = agent.store.get(id).ok_or_else(|| not_found(id))?;
            let gone = match agent.swan.unload(id).await {
                Ok(()) => agent.close_and_verify(id).await,
                failed => failed,
            };
            match agent.note_doubt(id, gone, &mut memory) {
                Err(error) if enforce => tracing::warn!(uuid = %id, %error, "deleting although charon does not answer"),
                other => other?,
            }
            if let Err(error) = block_in_place(|| agent.store.remove(id)) {
                let charon = agent.charon().await?;
                agent.restore(&record, &charon).await;
                return Err(error);
            }
            block_in_place(|| disk::remove(&agent.conf_path(id))).unwrap_or_else(|error| {
                // The record is gone, which counts; the next start removes the file.
                tracing::error!(uuid = %id, %error, "the file of a deleted connection remains");
            });
            agent.lock_claims().release(&record);
            agent.lock_entries().remove(&id);
            Ok(())
        })
        .await
    }

    /// After a request that charon did not answer, the record is loaded anew when it answers again.
    fn note_doubt<T>(&self, id: ConnectionId, outcome: Result<T>, memory: &mut Memory) -> Result<T> {
        if matches!(outcome, Err(Error::Unreachable { .. })) {
            memory.doubt();
            self.schedule.wake(id, Instant::now());
        }
        outcome
    }

    /// A connection whose file is damaged is not "not found": it may be carrying traffic.
    fn refuse_damaged(&self, id: ConnectionId) -> Result<()> {
        match self.store.damaged().iter().find(|damaged| damaged.id == Some(id)) {
            Some(damaged) => Err(Error::Damaged { path: damaged.path.clone(), why: damaged.why.clone() }),
            None => Ok(()),
        }
    }

    async fn restore(&self, record: &Record, charon: &Charon) {
        let loaded = match loadable(record, charon) {
            Ok(before) => self.load(record.id, None, before.as_ref()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = loaded {
            tracing::error!(uuid = %record.id, %error, "charon could not be given the connection again");
        }
        self.schedule.wake(record.id, Instant::now());
    }

    /// Closes all SAs of `id` and sees them gone.
    pub(super) async fn close_and_verify(&self, id: ConnectionId) -> Result<()> {
        self.close_all(id).await?;
        let end = Instant::now() + CLOSING;
        let mut pause = Duration::from_millis(5);
        while !self.swan.observe(Some(id)).await?.is_empty() {
            if Instant::now() >= end {
                // The peer does not confirm. charon goes on telling it, and drops the SA by itself.
                tracing::warn!(uuid = %id, "the peer does not confirm that the tunnel is closed");
                return self.swan.drop_all(id).await;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// Runs `work` to its end even if the caller is gone.
async fn uncancelled<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work).await.unwrap_or_else(|e| Err(Error::Internal(format!("the task of the change ended: {e}"))))
}

/// The error for a connection that does not exist.
pub(super) fn not_found(id: ConnectionId) -> Error {
    Error::NotFound { field: "uuid", uuid: id.to_string(), resource: Resource::Connection }
}

/// The body of the `load-conn` request.
fn connection(loadable: &Loadable) -> Option<&Section> {
    let load = |request: &&Request| request.command == "load-conn";
    loadable.requests.iter().find(load)?.body.section(&names::connection(loadable.id))
}
