//! When to reconcile which connection. One task and one queue serve any number of connections.

use super::initiation_limiter::{InitiationLimiter, Priority};
use crate::ipsec::ConnectionId;
use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, Hash, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

/// How many connections are reconciled concurrently.
const PARALLEL: usize = 128;

/// The sending end of the queue.
pub struct ReconcileQueue {
    queue: mpsc::UnboundedSender<(ConnectionId, Instant)>,
    waiting: Arc<WaitingRoom>,
    /// Makes the hashes of peers.
    peers: RandomState,
}

/// The receiving end of the queue.
pub struct QueueEnd {
    pub(super) woken: mpsc::UnboundedReceiver<(ConnectionId, Instant)>,
    pub(super) waiting: Arc<WaitingRoom>,
}

/// The connections that wait until they may initiate.
pub(super) struct WaitingRoom {
    limiter: Mutex<InitiationLimiter>,
    /// Notified when a connection is added, or may start earlier.
    pub(super) changed: Notify,
}

impl WaitingRoom {
    pub(super) fn limiter(&self) -> MutexGuard<'_, InitiationLimiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReconcileQueue {
    /// An empty queue, and its receiving end for the worker.
    pub(super) fn new() -> (Self, QueueEnd) {
        let (queue, woken) = mpsc::unbounded_channel();
        let limiter = Mutex::new(InitiationLimiter::new(Instant::now()));
        let waiting = Arc::new(WaitingRoom { limiter, changed: Notify::new() });
        (Self { queue, waiting: Arc::clone(&waiting), peers: RandomState::new() }, QueueEnd { woken, waiting })
    }

    /// Reconciles `id` at `when`, or earlier if that is already planned.
    pub fn enqueue(&self, id: ConnectionId, when: Instant) {
        // It fails only while the agent ends.
        let _ = self.queue.send((id, when));
    }

    /// Whether `id` may initiate to its `peer` now. If not, it is reconciled again when it may.
    pub fn may_begin(&self, id: ConnectionId, peer: &impl Hash, priority: Priority) -> bool {
        let peer = self.peers.hash_one(peer);
        let may = self.waiting.limiter().ask(id, peer, priority, Instant::now());
        if !may {
            self.waiting.changed.notify_one();
        }
        may
    }

    /// `id` has nothing to negotiate.
    pub fn cancel(&self, id: ConnectionId) {
        self.waiting.limiter().cancel(id);
    }

    /// The tunnel of `id` came up.
    pub fn succeeded(&self, id: ConnectionId) {
        self.waiting.limiter().succeeded(id, Instant::now());
        self.waiting.changed.notify_one();
    }

    /// Nothing of `id` is half open.
    pub fn ended(&self, id: ConnectionId) {
        if self.waiting.limiter().ended(id) {
            self.waiting.changed.notify_one();
        }
    }

    /// Whether `id` waits until it may initiate.
    pub fn is_waiting(&self, id: ConnectionId) -> bool {
        self.waiting.limiter().is_waiting(id)
    }

    /// charon took so long to begin a negotiation.
    pub fn answered(&self, took: Duration) {
        self.waiting.limiter().answered(took, Instant::now());
    }

    /// Whether the half-open SA of `id` is to make room for others; once.
    pub fn take_vain(&self, id: ConnectionId) -> bool {
        self.waiting.limiter().take_vain(id)
    }

    /// charon was restarted: nothing waits any more.
    pub fn begin_anew(&self) {
        *self.waiting.limiter() = InitiationLimiter::new(Instant::now());
    }
}

/// The due times: each connection has one entry, with its earliest time. A connection that is being reconciled is due
/// again after that: it never takes more than one place.
#[derive(Default)]
pub(super) struct Due {
    times: BTreeSet<(Instant, ConnectionId)>,
    planned: HashMap<ConnectionId, Instant>,
    /// The connections that are being reconciled, and when they are due again.
    under_way: HashMap<ConnectionId, Option<Instant>>,
}

impl Due {
    pub(super) fn plan(&mut self, id: ConnectionId, when: Instant) {
        if let Some(again) = self.under_way.get_mut(&id) {
            *again = Some(again.map_or(when, |earlier| earlier.min(when)));
            return;
        }
        match self.planned.get(&id) {
            Some(earlier) if *earlier <= when => return,
            Some(later) => self.times.remove(&(*later, id)),
            None => false,
        };
        self.planned.insert(id, when);
        self.times.insert((when, id));
    }

    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() >= PARALLEL
    }

    /// When the next can be reconciled; `None` while no place is free.
    pub(super) fn next(&self) -> Option<Instant> {
        self.times.first().map(|(when, _)| *when).filter(|_| !self.is_full())
    }

    /// All that can be reconciled at `now`. Those whose turn it is to initiate wait for no place: all places may be taken by
    /// others that wait for a list, which charon makes the more slowly the more it negotiates.
    pub(super) fn take_all(&mut self, waiting: &WaitingRoom, now: Instant) -> Vec<ConnectionId> {
        let mut taken = Vec::new();
        while let Some(id) = waiting.limiter().grant(now) {
            if self.under_way.contains_key(&id) {
                self.plan(id, now);
                continue;
            }
            if let Some(when) = self.planned.remove(&id) {
                self.times.remove(&(when, id));
            }
            self.under_way.insert(id, None);
            taken.push(id);
        }
        taken.extend(std::iter::from_fn(|| self.take_first(now)));
        taken
    }

    fn take_first(&mut self, now: Instant) -> Option<ConnectionId> {
        self.next().filter(|when| *when <= now)?;
        let (_, id) = self.times.pop_first()?;
        self.planned.remove(&id);
        self.under_way.insert(id, None);
        Some(id)
    }

    /// The reconcile of `id` has ended.
    pub(super) fn finish(&mut self, id: ConnectionId) {
        if let Some(when) = self.under_way.remove(&id).flatten() {
            self.plan(id, when);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> ConnectionId {
        format!("{n:032x}").parse().expect("an id")
    }

    #[tokio::test]
    async fn one_connection_holds_one_place() {
        let (mut due, now) = (Due::default(), Instant::now());
        for _ in 0..40 {
            due.plan(id(1), now);
            let taken = due.take_first(now);
            assert!(taken.is_none_or(|taken| taken == id(1)));
        }
        assert_eq!(due.under_way.len(), 1, "it does not end");
        (2..3 * PARALLEL as u128).for_each(|n| due.plan(id(n), now));
        let others = std::iter::from_fn(|| due.take_first(now)).count();
        assert_eq!((others, due.next()), (PARALLEL - 1, None), "the others have all other places");
        due.finish(id(2));
        assert_eq!(due.take_first(now), Some(id(PARALLEL as u128 + 1)), "the next in the queue");
        due.finish(id(3));
        due.finish(id(1));
        let left: Vec<_> = std::iter::from_fn(|| due.take_first(now)).collect();
        assert_eq!(left.len(), 2);
        assert!(left.contains(&id(1)), "what came meanwhile is not lost: {left:?}");
    }

    #[tokio::test]
    async fn whose_turn_it_is_waits_for_no_place() {
        let (queue, end) = ReconcileQueue::new();
        let (mut due, now) = (Due::default(), Instant::now());
        let window = (1..1000).take_while(|n| queue.may_begin(id(*n), n, Priority::Known)).count() as u128;
        let waiting = window + 1;
        assert!(queue.is_waiting(id(waiting)));
        (1000..1000 + 2 * PARALLEL as u128).for_each(|n| due.plan(id(n), now));
        // All that is due begins in one turn of the loop.
        assert_eq!((due.take_all(&end.waiting, now).len(), due.is_full()), (PARALLEL, true));
        due.plan(id(waiting), now);
        assert!(due.take_all(&end.waiting, now).is_empty(), "no place, and not its turn");
        queue.succeeded(id(1));
        assert_eq!(due.take_all(&end.waiting, now), [id(waiting)]);
        assert!(!queue.is_waiting(id(waiting)) && queue.may_begin(id(waiting), &waiting, Priority::Known));
    }
}
