//! When to look at which connection again. One task, one queue, whatever the number of connections.

use crate::{
    agent::{
        Agent,
        reconcile::{
            initiation_limiter::{InitiationLimiter, Priority},
            watchdog::Heartbeat,
        },
    },
    ipsec::ConnectionId,
};
use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, interval, sleep_until},
};

/// How many connections are looked at side by side.
const PARALLEL: usize = 32;

/// How often the queue turns when there is nothing to do.
const BEAT: Duration = Duration::from_secs(1);

/// The way into the queue.
pub struct ReconcileQueue {
    queue: mpsc::UnboundedSender<(ConnectionId, Instant)>,
    waiting: Arc<WaitingRoom>,
}

/// The other end of the queue.
pub struct Queue {
    woken: mpsc::UnboundedReceiver<(ConnectionId, Instant)>,
    waiting: Arc<WaitingRoom>,
}

/// Those who wait until they may negotiate.
struct WaitingRoom {
    turns: Mutex<InitiationLimiter>,
    /// Somebody came, or the way is open earlier.
    changed: Notify,
}

impl WaitingRoom {
    fn turns(&self) -> MutexGuard<'_, InitiationLimiter> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReconcileQueue {
    /// An empty schedule; [`run`] works it off.
    pub fn new() -> (Self, Queue) {
        let (queue, woken) = mpsc::unbounded_channel();
        let turns = Mutex::new(InitiationLimiter::new(Instant::now()));
        let waiting = Arc::new(WaitingRoom { turns, changed: Notify::new() });
        (Self { queue, waiting: Arc::clone(&waiting) }, Queue { woken, waiting })
    }

    /// Looks at `id` at `when`, or earlier if that was planned already.
    pub fn enqueue(&self, id: ConnectionId, when: Instant) {
        // It fails only when the agent is going down.
        let _ = self.queue.send((id, when));
    }

    /// Whether `id` may begin to negotiate now. If not, it is looked at again when it may.
    pub fn may_begin(&self, id: ConnectionId, claim: Priority) -> bool {
        let may = self.waiting.turns().ask(id, claim, Instant::now());
        if !may {
            self.waiting.changed.notify_one();
        }
        may
    }

    /// `id` has nothing to negotiate.
    pub fn cancel(&self, id: ConnectionId) {
        self.waiting.turns().cancel(id);
    }

    /// An attempt came through after others had failed.
    pub fn succeeded(&self) {
        self.waiting.turns().succeeded(Instant::now());
        self.waiting.changed.notify_one();
    }

    /// Another charon: nobody waits.
    pub fn begin_anew(&self) {
        *self.waiting.turns() = InitiationLimiter::new(Instant::now());
    }
}

/// When to look at which connection: each stands here once, at its earliest time. One that is being looked at comes again
/// when that is over: however often it is woken, it holds one place.
#[derive(Default)]
struct Due {
    times: BTreeSet<(Instant, ConnectionId)>,
    planned: HashMap<ConnectionId, Instant>,
    /// Those that are being looked at, and when they are to be looked at again.
    under_way: HashMap<ConnectionId, Option<Instant>>,
}

impl Due {
    fn plan(&mut self, id: ConnectionId, when: Instant) {
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

    fn is_full(&self) -> bool {
        self.under_way.len() >= PARALLEL
    }

    /// When the next can be looked at; `None` until then if no place is free.
    fn next(&self) -> Option<Instant> {
        self.times.first().map(|(when, _)| *when).filter(|_| !self.is_full())
    }

    fn take_first(&mut self, now: Instant) -> Option<ConnectionId> {
        self.next().filter(|when| *when <= now)?;
        let (_, id) = self.times.pop_first()?;
        self.planned.remove(&id);
        self.under_way.insert(id, None);
        Some(id)
    }

    /// `id` was looked at.
    fn finish(&mut self, id: ConnectionId) {
        if let Some(when) = self.under_way.remove(&id).flatten() {
            self.plan(id, when);
        }
    }
}

/// A place among those that are looked at; it is free when this is dropped, also by a panic.
struct Place {
    id: ConnectionId,
    done: mpsc::UnboundedSender<ConnectionId>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // It fails only when the agent is going down.
        let _ = self.done.send(self.id);
    }
}

/// Works the queue off until the agent is gone.
pub async fn run(agent: Weak<Agent>, queue: Queue, heartbeat: Arc<Heartbeat>) {
    let Queue { mut woken, waiting } = queue;
    let mut due = Due::default();
    let (done, mut finished) = mpsc::unbounded_channel();
    let mut beat = interval(BEAT);
    let mut timer = pin!(sleep_until(Instant::now()));
    loop {
        if !due.is_full() {
            heartbeat.queue_ticked();
        }
        let turn = waiting.turns().next();
        let soonest = due.next().into_iter().chain(turn).min();
        if let Some(soonest) = soonest.filter(|soonest| timer.is_elapsed() || *soonest != timer.deadline()) {
            timer.as_mut().reset(soonest);
        }
        tokio::select! {
            _ = beat.tick() => {}
            woken = woken.recv() => {
                let Some((id, when)) = woken else { return };
                due.plan(id, when);
            }
            Some(id) = finished.recv() => due.finish(id),
            () = waiting.changed.notified() => {}
            () = &mut timer, if soonest.is_some() => {
                let now = Instant::now();
                let granted = waiting.turns().grant(now);
                if let Some(id) = granted {
                    due.plan(id, now);
                }
                let Some(id) = due.take_first(now) else { continue };
                let Some(agent) = agent.upgrade() else { return };
                let place = Place { id, done: done.clone() };
                tokio::spawn(async move {
                    agent.reconcile(id).await;
                    drop(place);
                });
            }
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
        (2..100).for_each(|n| due.plan(id(n), now));
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
}
