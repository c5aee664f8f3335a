//! What a change does to files and to charon around its commit point, and how that is undone.

use super::write::{Laid, Prepared};
use crate::{
    agent::{
        Agent,
        observe::events::EventKind,
        reconcile::sa_planner::{Loaded, SaPlanner, Step},
    },
    disk,
    error::{Error, Result},
    ipsec::{ConnectionId, IkeSa},
    store::{self, Record},
    strongswan::{Asker, credentials::File, names, requests::Loadable, section::Section},
};
use std::sync::atomic::Ordering;
use tokio::{task::block_in_place, time::Instant};

impl Agent {
    /// Writes the files of `new` and loads it into charon; only the commit is left.
    pub(in crate::agent) async fn lay(
        &self,
        old: Option<&Record>,
        new: Record,
        planner: &mut SaPlanner,
    ) -> Result<Laid> {
        let prepared = self.prepare(old, &new, planner).await?;
        let id = new.id;
        // Listed before loading: all of these belong to the earlier configuration. SAs that the peer makes later are judged
        // by what they show. Marking a new SA as stale would never end: charon makes no second one.
        let loads = prepared.before.is_some() && prepared.steps.contains(&Step::Load);
        let listed = async { if loads { self.sighted(id, Asker::Writer).await } else { Ok(Vec::new()) } };
        let staged = async { block_in_place(|| self.stage(new, &prepared)) };
        let laid = match tokio::try_join!(listed, staged) {
            Ok(laid) => self.load(id, &prepared, planner).await.map(|()| laid),
            failed => failed,
        };
        match laid {
            Ok((running, (record, file))) => Ok(Laid { prepared, running, record, file }),
            Err(error) => {
                let (before, after) = (files(prepared.before.as_ref()), files(prepared.after.as_ref()));
                if !matches!(error, Error::Unreachable { .. }) {
                    self.discard(id, after, before).await;
                }
                Err(error)
            }
        }
    }

    /// The work after `record` is in force.
    pub(in crate::agent) async fn settle(
        &self,
        old: Option<&Record>,
        record: &Record,
        prepared: &Prepared,
        running: &[IkeSa],
        planner: &mut SaPlanner,
    ) {
        let (before, after) = (prepared.before.as_ref(), prepared.after.as_ref());
        self.discard(record.id, files(before), files(after)).await;
        // What runs by proposals that are still accepted goes on.
        let begins = old.is_some_and(|old| record.begins_transition(old));
        if let (Some(before), Some(after), false) = (before, after, begins) {
            self.entry(record.id).take_in_rekeyings(planner);
            mark_stale(running, before, after, planner);
        }
        planner.reset_attempts();
        planner.passes = prepared.after.as_ref().map(|after| after.passes.clone()).unwrap_or_default();
        // The old record must not be held longer than needed: its key is in it.
        planner.record_configured(None);
        if old.is_none_or(|old| old.connection != record.connection || old.state != record.state) {
            self.entry(record.id).forget_rekey_test();
            self.entry(record.id).history().begin_anew();
        }
        self.publish(record.id, EventKind::Changed);
        if let Some(transition) = record.transition.as_ref().filter(|_| begins) {
            planner.begin_transition();
            self.publish(record.id, EventKind::TransitionBegan(transition.until));
        }
        self.reconciler.enqueue(record.id, Instant::now());
    }

    /// Writes the record and the file beside those that they replace.
    fn stage(&self, new: Record, prepared: &Prepared) -> Result<(store::Staged, Option<disk::Staged>)> {
        let path = self.conf_path(new.id);
        let written = prepared.after.as_ref().filter(|_| prepared.steps.contains(&Step::Write));
        // Nothing refers to them yet, and an existing one has the same contents.
        written.map(|after| self.place_credentials(after)).transpose()?;
        let Some(after) = written else { return Ok((self.store.stage(new)?, None)) };
        let file = || disk::stage(&path, after.conf.expose().as_bytes(), 0o600);
        let (file, record) = disk::side_by_side(file, || self.store.stage(new))?;
        Ok((record?, Some(file?)))
    }

    /// Takes the steps on charon's configuration; waits until the SAs of an unloaded connection are gone.
    async fn load(&self, id: ConnectionId, prepared: &Prepared, planner: &mut SaPlanner) -> Result<()> {
        match &prepared.after {
            Some(after) if prepared.steps.contains(&Step::Load) => {
                self.strongswan.load(after, prepared.before.as_ref(), Asker::Writer).await?;
                self.record_loaded(id, planner, Loaded::These(after.digest()));
            }
            None if prepared.steps.contains(&Step::Unload) => {
                self.strongswan.unload(id).await?;
                self.record_loaded(id, planner, Loaded::Nothing);
                self.close_and_verify(id).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Undoes a change that could not be committed, on disk and in charon. A failure here is logged: the caller gets the
    /// first error, and the reconciler repairs the rest.
    pub(in crate::agent) async fn put_back(
        &self,
        id: ConnectionId,
        old: Option<&Record>,
        prepared: Prepared,
        planner: &mut SaPlanner,
    ) {
        let disk = block_in_place(|| {
            self.store.put_back(id, old).inspect_err(|_| self.entry(id).unsaved.store(true, Ordering::Relaxed))?;
            match &prepared.before {
                Some(before) => disk::replace(&self.conf_path(id), before.conf.expose().as_bytes(), 0o600),
                None => disk::remove(&self.conf_path(id)),
            }
        });
        let steps = vec![if prepared.before.is_some() { Step::Load } else { Step::Unload }];
        let back = Prepared { before: prepared.after, after: prepared.before, steps };
        let charon = self.load(id, &back, planner).await;
        self.discard(id, files(back.before.as_ref()), files(back.after.as_ref())).await;
        for error in [disk.err(), charon.err()].into_iter().flatten() {
            tracing::error!(uuid = %id, %error, "{}: a failed change could not be undone at once: {error}; the reconciler tries again", self.store.label(id));
            planner.invalidate_loaded();
        }
        self.reconciler.enqueue(id, Instant::now());
    }

    /// After a request without an answer, the record is loaded again when charon answers.
    pub(in crate::agent) fn invalidate_after(&self, id: ConnectionId, failed: Option<&Error>, planner: &mut SaPlanner) {
        if let Some(error @ Error::Unreachable { .. }) = failed {
            planner.invalidate_loaded();
            self.reconciler.suspect(error);
            self.reconciler.enqueue(id, Instant::now());
        }
    }
}

/// The files of certificates and keys.
fn files(loadable: Option<&Loadable>) -> &[File] {
    loadable.map_or(&[], |loadable| &loadable.files)
}

/// Marks running SAs as stale that belong to another configuration than the loaded one of their name.
fn mark_stale(running: &[IkeSa], before: &Loadable, after: &Loadable, planner: &mut SaPlanner) {
    // A child that is not loaded, before or after, matches nothing.
    let (unknown, nothing) = (Section::new().with("version", "unknown"), Section::new());
    for name in [names::connection(after.id), names::fallback(after.id)] {
        let of_name: Vec<_> = running.iter().filter(|ike| ike.name == name).collect();
        let before = before.section(&name).unwrap_or(&unknown);
        planner.mark_stale(&of_name, before, after.section(&name).unwrap_or(&nothing));
    }
}
