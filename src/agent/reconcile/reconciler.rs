//! Reconciles one connection: compares the record with conf.d, charon's configuration and the SAs. A change, a start, a
//! restart of charon, a lost event and a drifted object all end here.

use crate::{
    agent::{
        Agent, CharonLink, Discount, Entry, View,
        entry::Moment,
        observe::{events::EventKind, failure_history::Report, view::carried_of},
        reconcile::{
            initiation_limiter::Priority,
            sa_planner::{Loaded, SaPlanner, Step},
            transition::behind,
        },
    },
    disk,
    error::{Error, Result},
    ipsec::{Carried, ChildSa, ChildState, ConnectionId, IkeSa, native::StartMode},
    store::Record,
    strongswan::{Asker, Charon, requests::Loadable},
};
use jiff::Timestamp;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    task::block_in_place,
    time::{Instant, timeout},
};

/// How long after its first answer charon has read all that waited in its sockets.
const SECOND_LOAD: Duration = Duration::from_secs(2);
/// How long a reconcile waits for a change of the connection, and when it retries after that.
const MOMENT: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_millis(200);
/// When to try again if charon did not answer.
pub(in crate::agent) const RETRY_SILENT: Duration = Duration::from_secs(1);
/// When to try again after any other failure.
const RETRY_FAILED: Duration = Duration::from_secs(10);

/// The steps that make charon's configuration and conf.d equal to the record. A change takes them, a plan shows them,
/// and the reconciler repairs with them.
#[must_use]
pub fn configure(wanted: Option<&Loadable>, written: Option<&[u8]>, loaded: &Loaded) -> Vec<Step> {
    let mut steps = Vec::new();
    match (wanted, loaded) {
        (Some(wanted), Loaded::These(digest)) if *digest == wanted.digest() => {}
        (Some(_), _) => steps.push(Step::Load),
        (None, Loaded::Nothing) => {}
        (None, _) => steps.push(Step::Unload),
    }
    match (wanted, written) {
        (Some(wanted), Some(bytes)) if bytes == wanted.conf.expose().as_bytes() => {}
        (Some(_), _) => steps.push(Step::Write),
        (None, None) => {}
        (None, Some(_)) => steps.push(Step::Erase),
    }
    steps
}

/// The priority of an initiation.
fn claim(record: &Record, planner: &SaPlanner) -> Priority {
    match (planner.has_failed(), record.unproven) {
        (true, _) => Priority::Again,
        // Also if charon ended before it was stored that nothing older runs.
        (false, _) if planner.was_alive => Priority::Alive,
        (false, true) => Priority::New,
        (false, false) => Priority::Known,
    }
}

/// Whether a missing child already runs, otherwise than wanted, in an IKE_SA that charon would use: charon would take
/// the new one for a duplicate (facts 20.3). This is not so under IKEv1.
fn needs_generation(record: &Record, planner: &SaPlanner, running: &[IkeSa], steps: &[Step]) -> bool {
    let begins = |sa: &ChildSa| steps.iter().any(|step| matches!(step, Step::Initiate(name) if *name == sa.name));
    let current = running.iter().filter(|ike| ike.version != 1 && !planner.stale.has_ike(ike.unique_id));
    // What was made for an earlier configuration differs already.
    let is_like = |sa: &&ChildSa| sa.state == ChildState::Installed && !planner.stale.has_child(sa.unique_id);
    record.is_loaded() && current.flat_map(|ike| &ike.children).filter(is_like).any(begins)
}

/// SAs, and the start of charon that their numbers belong to.
pub(in crate::agent) struct Listed {
    pub life: u64,
    pub sas: Vec<IkeSa>,
}

impl Agent {
    /// Reconciles `id`, and plans the next time. It does nothing while charon does not answer: its return reconciles
    /// everything.
    pub(in crate::agent) async fn reconcile(&self, id: ConnectionId) {
        let CharonLink::Up(charon) = self.link() else { return self.reconciler.defer(id) };
        let entry = self.entry(id);
        let Ok(mut planner) = timeout(MOMENT, entry.planner.lock()).await else {
            // A long change must not occupy a place of the reconciler.
            return self.reconciler.enqueue(id, Instant::now() + LATER);
        };
        self.readmit(id);
        let followed = match self.store.get(id) {
            Some(record) => self.follow_name(&record, &entry, &mut planner).await,
            None => Ok(()),
        };
        let outcome = match followed {
            Ok(()) => self.converge(id, &entry, &mut planner, &charon, None).await,
            failed => failed,
        };
        if let Err(error) = outcome {
            tracing::warn!(uuid = %id, %error, "{}: cannot be reconciled: {error}; it is tried again", self.store.label(id));
            self.reconciler.suspect(&error);
            let pause = if matches!(error, Error::Unreachable { .. }) { RETRY_SILENT } else { RETRY_FAILED };
            self.reconciler.enqueue(id, Instant::now() + pause);
        }
        let mut entries = self.lock_entries();
        // Two references: the map and this function. Another one waits for the lock, perhaps to create the connection.
        let is_done = !entry.unsaved.load(Ordering::Relaxed);
        if is_done && self.store.get(id).is_none() && Arc::strong_count(&entry) == 2 {
            entries.remove(&id);
        }
    }

    /// The same with the lock held, for any state of charon; `listed` are its SAs if they were just listed.
    pub(in crate::agent) async fn converge(
        &self,
        id: ConnectionId,
        entry: &Entry,
        planner: &mut SaPlanner,
        charon: &Charon,
        listed: Option<Listed>,
    ) -> Result<()> {
        let known = planner.loaded != Loaded::Unknown;
        let outcome = match self.configured(id, entry, planner, charon).await {
            Ok(repaired) => {
                if known && !repaired.is_empty() {
                    self.publish(id, EventKind::Drift(entry.record_drift(&repaired)));
                }
                self.advance(id, entry, planner, charon, listed).await
            }
            failed => failed.map(drop),
        };
        entry.share(planner);
        if outcome.is_ok() {
            self.announce(id, entry, planner, !known);
        }
        entry.happened.notify_waiters();
        outcome
    }

    /// Makes charon's configuration and conf.d follow the record; returns the steps of the repair.
    pub(in crate::agent) async fn configured(
        &self,
        id: ConnectionId,
        entry: &Entry,
        planner: &mut SaPlanner,
        charon: &Charon,
    ) -> Result<Vec<Step>> {
        let saved = self.save_again(id, entry);
        let record = self.store.get(id);
        let loaded = record.as_ref().filter(|record| record.is_loaded());
        let passes = loaded.map(|record| self.passes_of(&record.connection, charon)).unwrap_or_default();
        let is_held_back = loaded.is_some_and(|record| self.is_standby(record));
        let follows = passes == planner.passes && is_held_back == planner.is_held_back;
        if saved.is_ok() && follows && planner.is_configured(record.as_ref()) && !entry.files_changed(&self.paths(id)) {
            return Ok(Vec::new());
        }
        // Recorded before they are read: the next time finds an edit in between.
        let moment = Moment::of(&self.paths(id));
        let wanted = record.as_ref().map(|record| self.loadable(record, charon)).transpose()?.flatten();
        let written = block_in_place(|| self.written(id, wanted.as_ref()))?;
        let mut steps = configure(wanted.as_ref(), written.as_deref(), &planner.loaded);
        if planner.loaded != Loaded::Unknown && steps == [Step::Write] {
            // Whoever edited or removed a file may have loaded it too.
            steps.insert(0, Step::Load);
        }
        for step in &steps {
            self.take(id, step, wanted.as_ref(), planner).await?;
        }
        // Written files are compared the next time: they may have been edited already.
        if !steps.iter().any(|step| matches!(step, Step::Write | Step::Erase)) {
            entry.record_moment(moment);
        }
        planner.record_configured(record.filter(|_| saved.is_ok()));
        planner.passes = wanted.map(|wanted| wanted.passes).unwrap_or_default();
        planner.is_held_back = is_held_back;
        // A change of the host's networks or addresses is not drift.
        saved.map(|()| if follows { steps } else { Vec::new() })
    }

    /// Writes the record in force if a failure may have left another one on disk.
    fn save_again(&self, id: ConnectionId, entry: &Entry) -> Result<()> {
        if entry.unsaved.load(Ordering::Relaxed) {
            block_in_place(|| self.store.save(id))?;
            entry.unsaved.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn take(
        &self,
        id: ConnectionId,
        step: &Step,
        wanted: Option<&Loadable>,
        planner: &mut SaPlanner,
    ) -> Result<()> {
        let path = self.conf_path(id);
        match (step, wanted) {
            (Step::Load, Some(wanted)) => {
                if !wanted.files.is_empty() {
                    block_in_place(|| self.place_credentials(wanted))?;
                }
                self.strongswan.load(wanted, None, Asker::Reconciler).await?;
                self.record_loaded(id, planner, Loaded::These(wanted.digest()));
            }
            (Step::Write, Some(wanted)) => {
                block_in_place(|| {
                    self.place_credentials(wanted)?;
                    disk::replace(&path, wanted.conf.expose().as_bytes(), 0o600)
                })?;
            }
            (Step::Unload, _) => {
                self.strongswan.unload(id).await?;
                self.record_loaded(id, planner, Loaded::Nothing);
            }
            (Step::Erase, _) => block_in_place(|| disk::remove(&path))?,
            (step, _) => return Err(Error::Internal(format!("the step {step:?} has no connection"))),
        }
        Ok(())
    }

    pub(in crate::agent) fn record_loaded(&self, id: ConnectionId, planner: &mut SaPlanner, loaded: Loaded) {
        if planner.loaded(loaded) {
            self.reconciler.enqueue(id, Instant::now() + SECOND_LOAD);
        }
    }

    /// The steps on SAs.
    async fn advance(
        &self,
        id: ConnectionId,
        entry: &Entry,
        planner: &mut SaPlanner,
        charon: &Charon,
        listed: Option<Listed>,
    ) -> Result<()> {
        let stored = self.store.get(id);
        let Some(record) = stored.as_ref().filter(|record| record.is_loaded()).cloned() else {
            stored.map_or(Ok(()), |record| self.follow_idle_transition(&record))?;
            self.reconciler.queue().cancel(id);
            self.reconciler.queue().ended(id);
            return match listed {
                Some(listed) if listed.sas.is_empty() => Ok(()),
                _ => self.close_all(id).await,
            };
        };
        let Listed { life, sas: mut running } = match listed {
            Some(listed) => listed,
            None => self.looked(id, entry).await?,
        };
        entry.take_in_rekeyings(planner);
        if self.follow_address(&record, entry, planner, (&running, life)).await? {
            return Ok(());
        }
        let record = self.heal(record, entry, planner, charon, &running).await?;
        let record = self.follow_transition(record, entry, planner, charon, &running).await?;
        if self.follow_version(&record, entry, planner, charon, (&running, life)).await?
            || self.follow_split(&record, &running, planner).await?
            || self.follow_joined(&record, &running, planner).await?
        {
            return Ok(());
        }
        self.record_installed(&record, &running);
        self.record_totals(id, &running);
        let now = Instant::now();
        self.note_half_open(id, &running);
        if self.make_room(&record, entry, planner, (&running, life)).await? {
            return Ok(());
        }
        let was_complete = planner.is_complete();
        let (steps, again) = planner.steps(&record.accepting(), &running, now);
        entry.share(planner);
        entry.mark(&mut running);
        entry.record_carried(carried_of(&record, &running));
        if planner.is_complete() && !was_complete {
            planner.was_alive = true;
            self.reconciler.queue().succeeded(id);
        }
        if self.record_proven(&record, entry, planner, charon, &running).await? {
            return Ok(());
        }
        let offers = steps.is_empty() && self.offer_is_due(&record, planner, &running);
        if offers {
            if self.reconciler.queue().may_begin(id, &record.spec.peer, Priority::Again) {
                self.offer_wanted(&record, entry, planner, charon, (&running, life)).await?;
            }
        } else if !steps.iter().any(|step| matches!(step, Step::Initiate(_))) {
            self.reconciler.queue().cancel(id);
        } else if !self.reconciler.queue().may_begin(id, &record.spec.peer, claim(&record, planner)) {
            // The limiter bounds half-open SAs.
            planner.postpone(now);
            return Ok(());
        }
        if needs_generation(&record, planner, &running, &steps) {
            self.renew_children(id, entry, planner, charon, &record).await?;
        }
        self.walk(&record, entry, steps, life).await?;
        if let Some(again) = again {
            self.reconciler.enqueue(id, again);
        }
        Ok(())
    }

    /// Loads the children in a new generation. This changes no running SA.
    async fn renew_children(
        &self,
        id: ConnectionId,
        entry: &Entry,
        planner: &mut SaPlanner,
        charon: &Charon,
        record: &Record,
    ) -> Result<()> {
        block_in_place(|| self.store.commit(self.store.stage(record.with_renewed_children())?))?;
        self.configured(id, entry, planner, charon).await.map(drop)
    }

    /// The current SAs of the connection.
    pub(in crate::agent) async fn listed(&self, id: ConnectionId) -> Result<Listed> {
        Ok(Listed { life: self.strongswan.charon_epoch().await, sas: self.observed(id, Asker::Reconciler).await? })
    }

    /// The same; without asking if there were none at the last look and charon has told nothing of the connection since.
    async fn looked(&self, id: ConnectionId, entry: &Entry) -> Result<Listed> {
        let life = self.strongswan.charon_epoch().await;
        if self.strongswan.has_events() && entry.is_known_idle(life) {
            return Ok(Listed { life, sas: Vec::new() });
        }
        let told = entry.told();
        let listed = self.listed(id).await?;
        entry.record_idle(told, life, &listed.sas);
        Ok(listed)
    }

    /// Publishes an event if the tunnel came up or went down. A tunnel that is up at the start is not reported.
    fn announce(&self, id: ConnectionId, entry: &Entry, planner: &SaPlanner, quietly: bool) {
        let wanted = self.store.get(id).filter(|record| record.is_loaded());
        let Some(record) = wanted else { return self.announce_unwanted(id) };
        let discount = self.discount(&record);
        let mut history = entry.history();
        if discount == Some(Discount::Standby) {
            // The gateway that has the address tells of the tunnel.
            history.forget_told();
            return;
        }
        if self.reconciler.queue().is_waiting(id) && history.is_before_its_turn() {
            return;
        }
        // Earlier proposals are accepted, and are not what is wanted.
        let is_behind = record.open_transition().is_some_and(|transition| !transition.accept);
        let carried = match entry.carried() {
            _ if discount.is_some() => Carried::Nothing,
            _ if planner.is_complete() && !is_behind => Carried::AsWanted,
            // It is carried as wanted, but the planner does not know all of its SAs.
            Some(Carried::AsWanted) => Carried::Previous,
            Some(carried) => carried,
            None => Carried::Nothing,
        };
        let waits = record.connection.start_mode() != StartMode::Initiate;
        if waits && carried == Carried::Nothing && history.up_since.is_none() && history.cause(None).is_none() {
            // It waits for the peer or for traffic, and nothing went wrong: that is no news.
            return;
        }
        let told = history.observe(carried, quietly, Timestamp::now(), Instant::now());
        drop(history);
        match told {
            Report::Nothing => {}
            Report::Later(when) => self.reconciler.enqueue(id, when),
            Report::Up => self.publish(id, EventKind::Up),
            Report::Down => {
                let view = View { record, running: Some(Vec::new()), discount };
                let reason = if is_behind && planner.is_complete() {
                    behind(&view.record)
                } else {
                    self.cause(&view, &self.observer.local_addresses())
                };
                self.publish(
                    id,
                    match carried.note() {
                        Some(note) => EventKind::NotAsWanted(note, reason),
                        None => EventKind::Down(reason),
                    },
                );
            }
        }
    }
}
