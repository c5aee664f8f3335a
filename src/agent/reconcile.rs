//! Makes what runs follow the records: which SAs to negotiate and to close, and when.

pub(super) mod address_news;
pub(super) mod charon_link;
pub(super) mod charon_session;
pub(super) mod heal;
mod initiation_limiter;
mod moves;
mod proven;
mod queue;
pub(super) mod reconciler;
mod resync;
pub(super) mod sa_planner;
mod split;
mod standby;
pub(super) mod transition;
mod versions;
mod walk;
pub(super) mod watchdog;
pub(super) mod worker;

use crate::{error::Error, ipsec::ConnectionId, strongswan::Charon};
use charon_link::CharonLink;
use jiff::Timestamp;
use queue::{QueueEnd, ReconcileQueue};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use watchdog::Heartbeat;

/// The state that the loops share: the link to charon, the queue of connections, and the watchdog's heartbeat.
pub(crate) struct Reconciler {
    link: watch::Sender<CharonLink>,
    /// Notified when charon did not answer a request.
    suspicion: Notify,
    queue: ReconcileQueue,
    /// Connections that are reconciled when charon answers again.
    deferred: Mutex<BTreeSet<ConnectionId>>,
    heartbeat: Arc<Heartbeat>,
}

impl Reconciler {
    /// The state before charon was asked, and the receiving end of the queue.
    pub fn new() -> (Self, QueueEnd) {
        let (queue, due) = ReconcileQueue::new();
        let link = watch::Sender::new(CharonLink::Starting);
        let (suspicion, deferred, heartbeat) = (Notify::new(), Mutex::default(), Arc::default());
        (Self { link, suspicion, queue, deferred, heartbeat }, due)
    }

    /// Whether charon answers, and since when it does not.
    pub fn link(&self) -> CharonLink {
        self.link.borrow().clone()
    }

    /// Waits until the first attempt to reach charon ended.
    pub async fn first_answer(&self) {
        // It fails only after the end of the task; the state then says so.
        let _ = self.link.subscribe().wait_for(|link| !matches!(link, CharonLink::Starting)).await;
    }

    /// charon answers and has loaded the stored connections.
    pub fn link_is_up(&self, charon: Arc<Charon>) {
        self.link.send_replace(CharonLink::Up(charon));
    }

    /// charon does not answer. Returns whether it answered before.
    pub fn link_is_down(&self, why: String) -> bool {
        let known = match self.link() {
            CharonLink::Down { since, .. } => Some(since),
            CharonLink::Starting | CharonLink::Up(_) => None,
        };
        let since = known.unwrap_or_else(Timestamp::now);
        self.link.send_replace(CharonLink::Down { why, since });
        known.is_none()
    }

    /// Probes charon at once if `error` says that it did not answer.
    pub fn suspect(&self, error: &Error) {
        if matches!(error, Error::Unreachable { .. }) {
            self.suspect_charon();
        }
    }

    /// Probes charon at once.
    pub fn suspect_charon(&self) {
        self.suspicion.notify_one();
    }

    /// Waits until a request to charon had no answer.
    pub async fn suspected(&self) {
        self.suspicion.notified().await;
    }

    /// The queue of connections to reconcile.
    pub fn queue(&self) -> &ReconcileQueue {
        &self.queue
    }

    /// Reconciles `id` at `when`, or earlier if that is already planned.
    pub fn enqueue(&self, id: ConnectionId, when: Instant) {
        self.queue.enqueue(id, when);
    }

    /// Reconciles `id` when charon answers again.
    pub fn defer(&self, id: ConnectionId) {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        if matches!(self.link(), CharonLink::Up(_)) {
            // charon came back meanwhile, perhaps before this entry.
            self.enqueue_deferred();
        }
    }

    /// Reconciles the deferred connections.
    pub fn enqueue_deferred(&self) {
        let now = Instant::now();
        let deferred = std::mem::take(&mut *self.deferred.lock().unwrap_or_else(PoisonError::into_inner));
        for id in deferred {
            self.enqueue(id, now);
        }
    }

    /// The heartbeat of the loops.
    pub fn heartbeat(&self) -> &Arc<Heartbeat> {
        &self.heartbeat
    }
}
