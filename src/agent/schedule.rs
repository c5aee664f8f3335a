//! When to look at which connection again. One task, one queue, whatever the number of connections.

use super::{
    Agent,
    admission::{Admission, Claim},
    pulse::Pulse,
};
use crate::ipsec::ConnectionId;
use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    time::{Instant, interval, sleep_until},
};

/// How many connections are looked at side by side.
const PARALLEL: usize = 32;

/// How often the queue turns when there is nothing to do.
const BEAT: Duration = Duration::from_secs(1);

/// The way into the queue.
pub struct Schedule {
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
    turns: Mutex<Admission>,
    /// Somebody came, or the way is open earlier.
    changed: Notify,
}

impl WaitingRoom {
    fn turns(&self) -> MutexGuard<'_, Admission> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schedule {
    /// An empty schedule; [`run`] works it off.
    pub fn new() -> (Self, Queue) {
        let (queue, woken) = mpsc::unbounded_channel();
        let turns = Mutex::new(Admission::new(Instant::now()));
        let waiting = Arc::new(WaitingRoom { turns, changed: Notify::new() });
        (Self { queue, waiting: Arc::clone(&waiting) }, Queue { woken, waiting })
    }

    /// Looks at `id` at `when`, or earlier if that was planned already.
    pub fn wake(&self, id: ConnectionId, when: Instant) {
        // It fails only when the agent is going down.
        let _ = self.queue.send((id, when));
    }

    /// Whether `id` may begin to negotiate now. If not, it is looked at again when it may.
    pub fn may_begin(&self, id: ConnectionId, claim: Claim) -> bool {
        let may = self.waiting.turns().ask(id, claim, Instant::now());
        if !may {
            self.waiting.changed.notify_one();
        }
        may
    }

    /// `id` has nothing to negotiate.
    pub fn waive(&self, id: ConnectionId) {
        self.waiting.turns().waive(id);
    }

    /// An attempt came through after others had failed.
    pub fn succeeded(&self) {
        self.waiting.turns().succeeded(Instant::now());
        self.waiting.changed.notify_one();
    }

    /// Another charon: nobody waits.
    pub fn begin_anew(&self) {
        *self.waiting.turns() = Admission::new(Instant::now());
    }
}

/// When to look at which connection: each stands here once, at its earliest time.
#[derive(Default)]
struct Due {
    times: BTreeSet<(Instant, ConnectionId)>,
    planned: HashMap<ConnectionId, Instant>,
}

impl Due {
    fn plan(&mut self, id: ConnectionId, when: Instant) {
        match self.planned.get(&id) {
            Some(earlier) if *earlier <= when => return,
            Some(later) => self.times.remove(&(*later, id)),
            None => false,
        };
        self.planned.insert(id, when);
        self.times.insert((when, id));
    }

    fn next(&self) -> Option<Instant> {
        self.times.first().map(|(when, _)| *when)
    }

    fn take_first(&mut self, now: Instant) -> Option<ConnectionId> {
        let (when, _) = self.times.first()?;
        if *when > now {
            return None;
        }
        let (_, id) = self.times.pop_first()?;
        self.planned.remove(&id);
        Some(id)
    }
}

/// Works the queue off until the agent is gone.
pub async fn run(agent: Weak<Agent>, queue: Queue, pulse: Arc<Pulse>) {
    let Queue { mut woken, waiting } = queue;
    let mut due = Due::default();
    let slots = Arc::new(Semaphore::new(PARALLEL));
    let mut beat = interval(BEAT);
    let mut timer = pin!(sleep_until(Instant::now()));
    loop {
        pulse.queue_turned();
        let next = due.next();
        let turn = waiting.turns().next();
        let soonest = next.into_iter().chain(turn).min();
        if let Some(soonest) = soonest.filter(|soonest| timer.is_elapsed() || *soonest != timer.deadline()) {
            timer.as_mut().reset(soonest);
        }
        tokio::select! {
            _ = beat.tick() => {}
            woken = woken.recv() => {
                let Some((id, when)) = woken else { return };
                due.plan(id, when);
            }
            () = waiting.changed.notified() => {}
            () = &mut timer, if soonest.is_some() => {
                let now = Instant::now();
                let granted = waiting.turns().grant(now);
                if let Some(id) = granted {
                    due.plan(id, now);
                }
                let Some(id) = due.take_first(now) else { continue };
                let (Some(agent), Ok(slot)) = (agent.upgrade(), Arc::clone(&slots).acquire_owned().await) else { return };
                tokio::spawn(async move {
                    agent.reconcile(id).await;
                    drop(slot);
                });
            }
        }
    }
}
