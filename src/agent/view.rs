//! What is observed of a connection at the moment of asking.

use super::{Agent, Drift, Life, apply::not_found};
use crate::{
    error::Result,
    ipsec::{ConnectionId, IkeSa, IkeState, State, Status, status},
    store::Record,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// A connection with its observed SAs.
#[derive(Debug, Clone)]
pub struct View {
    /// What is stored.
    pub record: Arc<Record>,
    /// The SAs, or `None` if charon did not answer: unknown is not down.
    pub running: Option<Vec<IkeSa>>,
}

/// How often a waiting write looks if no event comes.
const LOOK: Duration = Duration::from_millis(250);
/// How long who asks for the status waits for charon, and how much longer for each connection that is listed: a charon
/// that hangs is not to hang its readers too.
const GLANCE: (Duration, Duration) = (Duration::from_millis(750), Duration::from_millis(1));

impl View {
    /// The status that the SAs show; `None` if they are unknown.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let running = self.running.as_ref()?;
        Some(match (self.record.state, self.record.connection.children.is_empty()) {
            // It waits for networks to join: nothing is wrong with it.
            (State::Enabled, true) => Status::Connecting,
            (State::Disabled, _) => Status::Disconnected,
            (State::Enabled, false) => status::status(&self.record.connection, running),
        })
    }
}

/// Whether there are SAs, and all on their way out.
fn all_closing(running: &[IkeSa]) -> bool {
    !running.is_empty() && running.iter().all(|ike| ike.state == IkeState::Closing)
}

impl Agent {
    /// The connection `id` as it is now.
    ///
    /// # Errors
    /// When there is none.
    pub async fn view(&self, id: ConnectionId) -> Result<View> {
        let record = self.store.get(id).ok_or_else(|| not_found(id))?;
        Ok(self.look(record).await)
    }

    /// All connections as they are now, by uuid.
    pub async fn views(&self) -> Vec<View> {
        let records = self.store.all();
        let mut running = self.running(None).await.map(|all| {
            let mut by_owner: HashMap<_, Vec<_>> = HashMap::new();
            for sa in all {
                by_owner.entry(crate::swan::names::owner(&sa.name)).or_default().push(sa);
            }
            by_owner
        });
        let view = |record: Arc<Record>| {
            let mut running = running.as_mut().map(|all| all.remove(&Some(record.id)).unwrap_or_default());
            self.mark(record.id, &mut running);
            View { record, running }
        };
        let mut views: Vec<_> = records.into_iter().map(view).collect();
        for view in views.iter_mut().filter(|view| view.running.as_deref().is_some_and(all_closing)) {
            *view = self.look(Arc::clone(&view.record)).await;
        }
        views
    }

    pub(super) async fn look(&self, record: Arc<Record>) -> View {
        let mut running = if record.is_loaded() { self.running(Some(record.id)).await } else { Some(Vec::new()) };
        self.mark(record.id, &mut running);
        View { record, running }
    }

    /// The SAs, if charon says them. Of a charon that is known to be away nobody waits for an answer.
    async fn running(&self, id: Option<ConnectionId>) -> Option<Vec<IkeSa>> {
        if matches!(self.life(), Life::Down { .. }) {
            return None;
        }
        let many = if id.is_some() { 1 } else { u32::try_from(self.store.all().len()).unwrap_or(u32::MAX) };
        let listed = async {
            match id {
                Some(id) => self.observed(id).await,
                None => self.swan.observe(None).await,
            }
        };
        match timeout(GLANCE.0 + GLANCE.1.saturating_mul(many), listed).await {
            Ok(Ok(running)) => return Some(running),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the status is unknown");
                self.suspect(&error);
            }
            Err(_) => {
                tracing::warn!("the status is unknown: charon does not answer soon");
                self.doubts.notify_one();
            }
        }
        None
    }

    /// The SAs of one connection. charon walks its table while SAs move in it: one that is rekeyed can be listed as
    /// replaced before its successor is listed at all. A second look sees that.
    pub(super) async fn observed(&self, id: ConnectionId) -> Result<Vec<IkeSa>> {
        let running = self.swan.observe(Some(id)).await?;
        if all_closing(&running) { self.swan.observe(Some(id)).await } else { Ok(running) }
    }

    /// The last time that the connection was not as we left it.
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

    /// The connection when it is up, or after the time that a write may wait, whichever is first.
    pub(super) async fn settled(&self, record: Arc<Record>) -> View {
        let entry = self.entry(record.id);
        let end = Instant::now() + self.wait;
        loop {
            let happened = entry.happened.notified();
            let mut view = self.look(Arc::clone(&record)).await;
            let left = end.saturating_duration_since(Instant::now());
            if self.is_overtaken(&record) {
                // What runs now is what another call wrote: of this connection no pair is carried.
                view.running.iter_mut().flatten().for_each(|ike| ike.children.clear());
                return view;
            }
            if !record.is_loaded() || view.status() == Some(Status::Ready) || left.is_zero() {
                return view;
            }
            // Woken by an event or not: the next round looks.
            let _ = timeout(LOOK.min(left), happened).await;
        }
    }
}
