//! The observed state of a connection.

use crate::{
    agent::{Agent, CharonLink, Drift, Presence, refusal::not_found},
    error::Result,
    ipsec::{Carried, ConnectionId, IkeSa, IkeState, State, Status, carried, native::StartMode, status},
    store::Record,
    strongswan::{Asker, observe::all_closing, section::Section},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// A connection with its observed SAs.
#[derive(Debug, Clone)]
pub struct View {
    /// The stored record.
    pub record: Arc<Record>,
    /// The SAs, or `None` if charon did not answer: unknown does not mean down.
    pub running: Option<Vec<IkeSa>>,
    /// Why the connection is not Ready although its SAs are as wanted.
    pub discount: Option<Discount>,
}

/// Why SAs that are as wanted do not make a connection Ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discount {
    /// The tunnel flaps: the number of closures soon after it came up.
    Flapping(u32),
    /// The local address has left this host: no packet arrives.
    AddressLeft,
    /// The local address is not here, and this gateway is its standby.
    Standby,
}

/// How often a waiting write observes without an event.
const LOOK: Duration = Duration::from_millis(250);
/// How long a reader of the status waits for charon's next message: a charon that hangs must not block readers, and a
/// long list is still read to its end.
const STATUS_DEADLINE: Duration = Duration::from_millis(750);

impl View {
    /// The status from the SAs; `None` if they are unknown.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let running = self.running.as_ref()?;
        Some(match (self.record.state, self.record.connection.children.is_empty()) {
            // It has no networks yet, which is no fault; or none any more, so nothing comes up.
            (State::Enabled, true) if self.record.is_new() => Status::Connecting,
            (State::Enabled, true) | (State::Disabled, _) => Status::Disconnected,
            (State::Enabled, false) if self.is_standby() => Status::Disconnected,
            (State::Enabled, false) => match status::status(&self.record.counting(), running) {
                Status::Ready if self.discount.is_some() || self.is_behind() => Status::Connecting,
                status => status,
            },
        })
    }
}

/// What `running` carries of `record`; what may run by proposals of before a change is not as wanted.
pub(in crate::agent) fn carried_of(record: &Record, running: &[IkeSa]) -> Carried {
    let is_behind = || record.connection.children.iter().any(|child| record.is_behind(child, running));
    match carried(&record.counting(), running) {
        Carried::AsWanted if is_behind() => Carried::Previous,
        other => other,
    }
}

impl View {
    /// Whether the tunnel may run by proposals of before a change, which its caller does not accept for Ready.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let running = self.running.as_deref().unwrap_or_default();
        self.record.connection.children.iter().any(|child| self.record.is_behind(child, running))
    }

    /// Whether nothing runs because another begins: the peer, or traffic.
    #[must_use]
    pub fn waits(&self) -> bool {
        let is_idle = self.running.as_ref().is_some_and(|all| all.iter().all(|ike| ike.state == IkeState::Closing));
        self.record.is_loaded() && is_idle && self.record.connection.start_mode() != StartMode::Initiate
    }

    /// Whether another gateway is to carry it, which has the local address.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.discount == Some(Discount::Standby)
    }

    /// What carries; `None` if that is unknown, or if nothing is to. SAs that do not count carry nothing, as in events.
    #[must_use]
    pub fn carried(&self) -> Option<Carried> {
        let running = self.running.as_ref()?;
        let carries = || if self.discount.is_some() { Carried::Nothing } else { carried_of(&self.record, running) };
        (self.record.is_wanted() && !self.waits() && !self.is_standby()).then(carries)
    }
}

impl Agent {
    /// The current state of the connection `id`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn view(&self, id: ConnectionId) -> Result<View> {
        let record = self.store.get(id).ok_or_else(|| not_found(id))?;
        Ok(self.seen(record, Asker::Reader).await)
    }

    /// charon's threads, queues and SAs; `None` if it does not say.
    pub async fn charon_stats(&self) -> Option<Section> {
        timeout(STATUS_DEADLINE, self.strongswan.stats()).await.ok().flatten()
    }

    /// All connections, at most a moment old, by uuid. Concurrent readers share one list of charon.
    pub async fn views(&self) -> Vec<View> {
        let all = self.answered(self.strongswan.all_within(STATUS_DEADLINE)).await;
        let view = |record: Arc<Record>| {
            let mut running = all.as_ref().map(|all| all.get(&record.id).map(|sas| sas.to_vec()).unwrap_or_default());
            self.mark(record.id, &mut running);
            View { discount: self.discount(&record), record, running }
        };
        self.store.all().into_iter().map(view).collect()
    }

    /// The current state of the connection, for a change.
    pub(in crate::agent) async fn view_of(&self, record: Arc<Record>) -> View {
        self.seen(record, Asker::Writer).await
    }

    async fn seen(&self, record: Arc<Record>, asker: Asker) -> View {
        let id = record.id;
        let list = async { timeout(STATUS_DEADLINE, self.observed(id, asker)).await.ok() };
        // A change has just listed them, before it loaded the connection, which changes none.
        let sighted = if asker == Asker::Writer { self.entry(id).take_sighting() } else { None };
        let mut running = match sighted {
            _ if !record.is_loaded() => Some(Vec::new()),
            None => self.answered(list).await,
            sighted => sighted,
        };
        self.mark(id, &mut running);
        View { discount: self.discount(&record), record, running }
    }

    /// The result of `asked`, if charon answers soon. Nobody waits for a charon that is known to be down.
    async fn answered<T>(&self, asked: impl Future<Output = Option<Result<T>>>) -> Option<T> {
        if matches!(self.link(), CharonLink::Down { .. }) {
            return None;
        }
        match asked.await {
            Some(Ok(running)) => return Some(running),
            Some(Err(error)) => {
                tracing::warn!(%error, "the status is unknown: {error}");
                self.reconciler.suspect(&error);
            }
            None => {
                tracing::warn!("the status is unknown: charon did not answer in time");
                self.reconciler.suspect_charon();
            }
        }
        None
    }

    /// The SAs of one connection; lists them twice where that is needed, see [`all_closing`].
    pub(in crate::agent) async fn observed(&self, id: ConnectionId, asker: Asker) -> Result<Vec<IkeSa>> {
        let list = async || match asker {
            Asker::Reconciler => self.strongswan.look(id).await,
            Asker::Writer | Asker::Reader => self.strongswan.observe(id, asker).await,
        };
        let running = list().await?;
        if all_closing(&running) { list().await } else { Ok(running) }
    }

    /// The SAs of one connection, which the answer to the same change can show if charon tells nothing of it until then.
    pub(in crate::agent) async fn sighted(&self, id: ConnectionId, asker: Asker) -> Result<Vec<IkeSa>> {
        let (entry, at) = (self.entry(id), Instant::now());
        let told = entry.told();
        let running = self.strongswan.observe(id, asker).await?;
        if self.strongswan.has_events() && !all_closing(&running) {
            entry.record_sighting(told, at, &running);
        }
        Ok(running)
    }

    /// Why the SAs do not make the connection Ready, if there is a reason.
    pub(in crate::agent) fn discount(&self, record: &Record) -> Option<Discount> {
        match self.observer.presence(record.connection.local_addr) {
            Presence::Standby => return Some(Discount::Standby),
            Presence::Left => return Some(Discount::AddressLeft),
            Presence::Here | Presence::Missing => {}
        }
        // A peer that begins may also end, as often as it likes.
        let flapping =
            self.entry(record.id).flapping().filter(|_| record.connection.start_mode() == StartMode::Initiate);
        flapping.map(Discount::Flapping)
    }

    /// The last drift of the connection.
    pub fn drift(&self, id: ConnectionId) -> Option<Drift> {
        self.entry(id).drift()
    }

    fn mark(&self, id: ConnectionId, running: &mut Option<Vec<IkeSa>>) {
        if let Some(running) = running.as_deref_mut().filter(|running| !running.is_empty()) {
            self.entry(id).mark(running);
        }
    }

    /// Whether another call has changed the tunnel since `record` was written, or deleted it.
    fn is_overtaken(&self, record: &Record) -> bool {
        let now = self.store.get(record.id);
        now.is_none_or(|now| now.connection != record.connection || now.state != record.state)
    }

    /// Waits until the connection is up, at most for the time that a write may wait.
    pub(in crate::agent) async fn settled(&self, record: Arc<Record>) -> View {
        let entry = self.entry(record.id);
        let end = Instant::now() + self.changes.wait();
        loop {
            let happened = entry.happened.notified();
            let mut view = self.view_of(Arc::clone(&record)).await;
            let left = end.saturating_duration_since(Instant::now());
            if self.is_overtaken(&record) {
                // Another call has changed the tunnel: what runs is not this connection.
                view.running.iter_mut().flatten().for_each(|ike| ike.children.clear());
                return view;
            }
            if !record.is_loaded()
                || view.waits()
                || view.is_standby()
                || view.status() == Some(Status::Ready)
                || left.is_zero()
            {
                return view;
            }
            // The next round observes, with or without an event.
            let _ = timeout(LOOK.min(left), happened).await;
        }
    }
}
