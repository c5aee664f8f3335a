//! How what runs follows what is wanted: which SAs to negotiate and to close, and when.

pub(super) mod charon_link;
pub(super) mod charon_session;
pub(super) mod heal;
mod initiation_limiter;
mod proven;
mod queue;
pub(super) mod reconciler;
mod resync;
pub(super) mod sa_planner;
mod split;
mod versions;
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

/// What the loops share: whether charon is there, which connections are to be looked at and when, and that they turn.
pub(crate) struct Reconciler {
    link: watch::Sender<CharonLink>,
    /// Told when charon did not answer somebody.
    doubts: Notify,
    queue: ReconcileQueue,
    /// Connections to be looked at when charon is there.
    deferred: Mutex<BTreeSet<ConnectionId>>,
    heartbeat: Arc<Heartbeat>,
}

impl Reconciler {
    /// Before charon was asked; and the other end of its queue.
    pub fn new() -> (Self, QueueEnd) {
        let (queue, due) = ReconcileQueue::new();
        let link = watch::Sender::new(CharonLink::Starting);
        let (doubts, deferred, heartbeat) = (Notify::new(), Mutex::default(), Arc::default());
        (Self { link, doubts, queue, deferred, heartbeat }, due)
    }

    /// Whether charon is there, and since when not.
    pub fn link(&self) -> CharonLink {
        self.link.borrow().clone()
    }

    /// Waits until charon was asked for the first time.
    pub async fn first_answer(&self) {
        // It fails only when the task has ended, and then the state says so.
        let _ = self.link.subscribe().wait_for(|link| !matches!(link, CharonLink::Starting)).await;
    }

    /// charon answers, and holds what the store says.
    pub fn link_is_up(&self, charon: Arc<Charon>) {
        self.link.send_replace(CharonLink::Up(charon));
    }

    /// charon does not answer. Whether that is new.
    pub fn link_is_down(&self, why: String) -> bool {
        let known = match self.link() {
            CharonLink::Down { since, .. } => Some(since),
            CharonLink::Starting | CharonLink::Up(_) => None,
        };
        let since = known.unwrap_or_else(Timestamp::now);
        self.link.send_replace(CharonLink::Down { why, since });
        known.is_none()
    }

    /// Has charon looked after at once if `error` says that it did not answer.
    pub fn suspect(&self, error: &Error) {
        if matches!(error, Error::Unreachable { .. }) {
            self.suspect_charon();
        }
    }

    /// Has charon looked after at once.
    pub fn suspect_charon(&self) {
        self.doubts.notify_one();
    }

    /// Waits until somebody suspects charon.
    pub async fn suspected(&self) {
        self.doubts.notified().await;
    }

    /// Which connection is looked at when, and which may negotiate.
    pub fn queue(&self) -> &ReconcileQueue {
        &self.queue
    }

    /// Looks at `id` at `when`, or earlier if that was planned already.
    pub fn enqueue(&self, id: ConnectionId, when: Instant) {
        self.queue.enqueue(id, when);
    }

    /// Looks at `id` when charon is there.
    pub fn defer(&self, id: ConnectionId) {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        if matches!(self.link(), CharonLink::Up(_)) {
            // It came in between, perhaps without having seen this.
            self.enqueue_deferred();
        }
    }

    /// Looks at what was deferred.
    pub fn enqueue_deferred(&self) {
        let now = Instant::now();
        let deferred = std::mem::take(&mut *self.deferred.lock().unwrap_or_else(PoisonError::into_inner));
        for id in deferred {
            self.enqueue(id, now);
        }
    }

    /// Where the loops say that they turn.
    pub fn heartbeat(&self) -> &Arc<Heartbeat> {
        &self.heartbeat
    }
}
