//! A change on trial: the new connection comes up in time, or the old one is restored.
//!
//! The trial is part of the record, and starts and ends under the connection's lock. If the agent dies meanwhile, its next
//! start restores the old connection: the new one was not confirmed.

use crate::{
    agent::{
        Agent, Companion, Entry, LocalAddresses, View, WriteOptions, change::write::InForce,
        observe::events::EventKind, reconcile::sa_planner::SaPlanner, refusal::not_found,
    },
    error::{Error, Result},
    ipsec::{ChildState, ConnectionId, State, Status, status},
    store::Record,
    strongswan::Asker,
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

/// How long the old connection may take to come up again before the answer is sent.
const BACK: Duration = Duration::from_secs(30);
/// How often the tunnel is observed.
const LOOK: Duration = Duration::from_millis(100);

/// Observations while waiting for a tunnel.
struct Seen {
    view: View,
    /// How long some wanted pair of networks had no SA at all, old or new.
    out: Duration,
}

/// The result of a trial.
enum Ended {
    /// The tunnel is up, and that is stored.
    Confirmed(View),
    /// The same, for the connection as others changed it meanwhile.
    Overruled,
    /// The tunnel is up, but that cannot be stored.
    Unstored(Seen, Error),
    /// The time is over.
    Late(Seen),
    /// Another call decided.
    Taken,
}

/// The result of restoring.
enum Back {
    /// The former connection is in force everywhere.
    Old(Arc<Record>),
    /// There was no connection before, and there is none now.
    Nothing,
    /// The former connection is in force; charon or the disk follow later.
    Later(String),
    /// Another call came first.
    Taken,
}

impl Agent {
    pub(in crate::agent) async fn on_trial(
        self: Arc<Self>,
        id: ConnectionId,
        how: WriteOptions,
        within: Duration,
        edit: impl Fn(Option<&Record>) -> Result<Record> + Send,
    ) -> Result<(View, Vec<Companion>)> {
        let InForce { record: begun, others, .. } = self.put(id, &how, edit).await?;
        // A connection that should not be up, such as a disabled one, needs no proof.
        if !begun.is_loaded() {
            return Ok((self.view_of(begun).await, others));
        }
        let (seen, down, why) = match self.proven(&begun, within).await {
            Ended::Confirmed(view) => return Ok((view, others)),
            Ended::Taken => return Err(Error::not_confirmed(self.taken(id))),
            Ended::Overruled => {
                let why =
                    "another call changed the connection during its trial; what is in force now is up, and is kept";
                return Err(Error::not_confirmed(why));
            }
            Ended::Unstored(seen, error) => {
                (seen, None, format!("the tunnel came up, but that cannot be stored ({error})"))
            }
            Ended::Late(seen) => {
                let (within, what) = (within.as_secs(), describe(&seen.view));
                (seen, Some(id), format!("not up within {within} s ({what})"))
            }
        };
        let elaboration = self.reason(&seen.view, &LocalAddresses::read_host()).map(|reason| reason.to_string());
        let back = self.back_to(&begun).await;
        if matches!(back, Back::Old(_) | Back::Nothing) {
            self.owners_back(&others).await;
        }
        let became = match back {
            Back::Taken => self.taken(id),
            Back::Nothing => "it was removed again".into(),
            Back::Later(text) => text,
            Back::Old(old) if begun.trial.is_none() => {
                format!("this call changes no value of it, so {}", state(&old, None))
            }
            Back::Old(old) => {
                let back = self.waited(&old).await;
                let out = (seen.out + back.out).as_secs_f64();
                format!(
                    "the old connection was put back and {}; the tunnel was out for {out:.1} s",
                    state(&old, back.view.status())
                )
            }
        };
        Err(Error::NotConfirmed { down, text: format!("{why}; {became}"), elaboration })
    }

    /// The current record, if the trial of `begun` still runs; nothing if another call decided.
    fn still(&self, begun: &Record) -> Option<Arc<Record>> {
        let now = self.store.get(begun.id)?;
        let is_same = match (&begun.trial, &now.trial) {
            (Some(begun), Some(now)) => begun.id == now.id,
            // What the agent learnt of the peer since, and whose the key is to charon, is no word of a caller's.
            (None, None) => begun.wishes_as(&now),
            _ => false,
        };
        is_same.then_some(now)
    }

    /// The text about a trial that another call ended.
    fn taken(&self, id: ConnectionId) -> String {
        match self.store.get(id) {
            None => "the connection was deleted during its trial".into(),
            Some(_) => "another call changed the connection during its trial; it is as that call left it".into(),
        }
    }

    /// Waits until the tunnel is up as wanted and confirms it, or until the time is over.
    async fn proven(&self, begun: &Record, within: Duration) -> Ended {
        let entry = self.entry(begun.id);
        let (end, mut last) = (Instant::now() + within, Instant::now());
        let mut out = Duration::ZERO;
        loop {
            let happened = entry.happened.notified();
            let Some(record) = self.still(begun) else { return Ended::Taken };
            let view = self.view_of(record).await;
            let now = Instant::now();
            if !is_carried(&view) {
                out += now - last;
            }
            last = now;
            // A standby can prove nothing, and must take what the gateway takes that has the address.
            if view.record.is_loaded() && (view.is_standby() || view.status() == Some(Status::Ready)) {
                match self.confirm(&entry, begun, &view).await {
                    Ok(Some(_)) if overruled(&view.record) => return Ended::Overruled,
                    Ok(Some(record)) => return Ended::Confirmed(View { record, ..view }),
                    // Another call came between: the observation does not apply.
                    Ok(None) => continue,
                    Err(error) => return Ended::Unstored(Seen { view, out }, error),
                }
            }
            if now >= end {
                return Ended::Late(Seen { view, out });
            }
            // The next round observes, with or without an event.
            let _ = timeout(LOOK.min(end - now), happened).await;
        }
    }

    /// Ends the trial of `begun` if the connection is unchanged since `view`.
    async fn confirm(&self, entry: &Entry, begun: &Record, view: &View) -> Result<Option<Arc<Record>>> {
        let _memory = entry.planner.lock().await;
        let is_seen = |now: &Arc<Record>| {
            let seen = &view.record;
            now.connection == seen.connection && now.state == seen.state && overruled(now) == overruled(seen)
        };
        let Some(record) = self.still(begun).filter(is_seen) else { return Ok(None) };
        if record.trial.is_none() {
            return Ok(Some(record));
        }
        let proven = Record { trial: None, ..Record::clone(&record) };
        self.record_dropped_cas(Some(&record), Some(&proven));
        let proven = block_in_place(|| self.store.commit(self.store.stage(proven)?))?;
        self.changes.uniqueness().add(&proven);
        self.release(Some(&record));
        Ok(Some(proven))
    }

    /// Reverts the changes of the trial of `begun`, and nothing else.
    async fn back_to(&self, begun: &Record) -> Back {
        let entry = self.entry(begun.id);
        let mut planner = entry.planner.lock().await;
        let Some(record) = self.still(begun) else { return Back::Taken };
        if record.trial.is_none() {
            return Back::Old(record);
        }
        let old = match record.without_trial(Timestamp::now()) {
            Ok(old) => old,
            Err(conflict) => {
                // It was stored as it is: it stood together then.
                let why = format!("{} {conflict}", conflict.part());
                tracing::error!(uuid = %begun.id, why, "{}: what was there before a trial cannot be read any more: {why}", begun.label());
                return Back::Later(format!("the old connection cannot be put back: {why}"));
            }
        };
        let outcome = match old.clone() {
            Some(old) => {
                let back = self.in_force(&entry, Some(Arc::clone(&record)), old, &mut planner).await;
                back.map(Back::Old)
            }
            None => self.erase(&entry, &record, true, &mut planner).await.map(|()| Back::Nothing),
        };
        match outcome {
            Ok(back) => back,
            Err(error) => {
                self.force_back(&entry, &record, old, &mut planner).await;
                Back::Later(format!(
                    "what was there before counts again, and is put in force as soon as that is possible ({error})"
                ))
            }
        }
    }

    /// Restores the owners of the keys of `others` from before a trial, unless another call changed them since or charon
    /// could not tell the keys apart. No tunnel depends on it.
    async fn owners_back(&self, others: &[Companion]) {
        for Companion { before, after } in others {
            let (made, back) = (after.connection.key_owner, before.connection.key_owner);
            let edit = |now: Option<&Record>| {
                let now = now.ok_or_else(|| not_found(before.id))?;
                Ok(if now.connection.key_owner == made { now.owned(back) } else { now.clone() })
            };
            match self.put(before.id, &WriteOptions::default(), edit).await {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => {
                    tracing::warn!(uuid = %before.id, %error, "{}: the key keeps the owner from a trial: {error}", before.label());
                }
            }
        }
    }

    /// Makes the former connection the stored one although it could not be loaded: the reconciler follows the record. If
    /// the file still has the trial, the next start does the same.
    async fn force_back(&self, entry: &Entry, record: &Record, mut old: Option<Record>, planner: &mut SaPlanner) {
        let id = record.id;
        // Its values are still claimed, so nothing conflicts, unless it was set aside before the trial.
        let claimed = old.as_mut().map_or(Ok(()), |old| self.claim(Some(record), old));
        if let (Err(error), Some(old)) = (claimed, &mut old) {
            self.changes.uniqueness().aside.insert(id);
            old.aside = Some(error.to_string().into());
        }
        self.record_dropped_cas(Some(record), old.as_ref());
        if let Err(error) = block_in_place(|| self.store.put_back(id, old.as_ref())) {
            tracing::error!(uuid = %id, %error, "{}: the record from before a trial is not on disk yet: {error}; the reconciler tries again", record.label());
            entry.unsaved.store(true, Ordering::Relaxed);
        }
        self.release(Some(record));
        self.publish(id, if old.is_some() { EventKind::Changed } else { EventKind::Deleted });
        planner.invalidate_loaded();
        planner.reset_attempts();
        // SAs of the trial are stale, even if they look as wanted.
        if let Ok(running) = self.strongswan.observe(id, Asker::Writer).await {
            entry.take_in_rekeyings(planner);
            self.mark_all_stale(id, &running, planner);
        }
        entry.share(planner);
        entry.happened.notify_waiters();
        self.reconciler.enqueue(id, Instant::now());
    }

    /// Waits until the restored connection is up, the time is over, or another call changes it.
    async fn waited(&self, old: &Arc<Record>) -> Seen {
        let entry = self.entry(old.id);
        let (end, mut last) = (Instant::now() + BACK, Instant::now());
        let mut out = Duration::ZERO;
        loop {
            let happened = entry.happened.notified();
            let still = self.still(old);
            let is_taken = still.is_none();
            let view = self.view_of(still.unwrap_or_else(|| Arc::clone(old))).await;
            let now = Instant::now();
            if !is_carried(&view) {
                out += now - last;
            }
            last = now;
            let is_over = !old.is_loaded() || view.status() == Some(Status::Ready) || is_taken;
            if is_over || now >= end {
                return Seen { view, out };
            }
            let _ = timeout(LOOK.min(end - now), happened).await;
        }
    }
}

/// Whether another call wrote a value that is on trial.
fn overruled(record: &Record) -> bool {
    record.trial.as_ref().is_some_and(|trial| trial.overruled)
}

/// The state of the restored connection, as text.
fn state(old: &Record, status: Option<Status>) -> &'static str {
    match (old.state, status) {
        _ if old.aside.is_some() => "is set aside",
        (State::Disabled, _) => "is disabled",
        (State::Enabled, Some(Status::Ready)) => "is up",
        (State::Enabled, _) => "is not up either",
    }
}
/// Whether each wanted child has an SA, of any configuration.
fn is_carried(view: &View) -> bool {
    let installed = |name: &str| {
        let children = view.running.iter().flatten().flat_map(|ike| &ike.children);
        children.into_iter().any(|sa| sa.name == name && sa.state == ChildState::Installed)
    };
    view.record.connection.children.iter().all(|child| installed(&child.name))
}

/// What is not up, as text.
fn describe(view: &View) -> String {
    let Some(running) = &view.running else { return "charon does not answer".into() };
    if running.is_empty() {
        return "there is no IKE SA: the peer does not answer, or refuses".into();
    }
    let connection = &view.record.connection;
    let missing: Vec<_> = connection
        .children
        .iter()
        .filter(|child| !status::carries(connection, child, running))
        .map(|child| {
            let (local, remote): (Vec<_>, Vec<_>) = (child.local_texts().collect(), child.remote_texts().collect());
            format!("{} to {}", local.join(","), remote.join(","))
        })
        .collect();
    format!("not carried as wanted: {}", missing.join("; "))
}
