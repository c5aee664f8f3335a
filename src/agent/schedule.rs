//! When to look at which connection again. One task, one queue, whatever the number of connections.

use super::{Agent, pulse::Pulse};
use crate::ipsec::ConnectionId;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, interval, sleep_until},
};

/// How many connections are looked at side by side.
const PARALLEL: usize = 32;

/// Negotiations begin at most this often, but for a first burst: charon computes keys for each, and
/// peers that do not answer keep it busy.
const PACE: Duration = Duration::from_millis(10);
/// How many may begin at once after a pause.
const BURST: u32 = 32;

/// How often the queue turns when there is nothing to do.
const BEAT: Duration = Duration::from_secs(1);

/// The way into the queue.
pub struct Schedule {
    queue: mpsc::UnboundedSender<(ConnectionId, Instant)>,
    /// When the next negotiation may begin: of a tunnel that was up before, and of any other.
    next: Mutex<[Instant; 2]>,
}

/// The other end of the queue.
pub type Queue = mpsc::UnboundedReceiver<(ConnectionId, Instant)>;

impl Schedule {
    /// An empty schedule; [`run`] works it off.
    pub fn new() -> (Self, Queue) {
        let (sender, queue) = mpsc::unbounded_channel();
        (Self { queue: sender, next: Mutex::new([Instant::now(); 2]) }, queue)
    }

    /// Looks at `id` at `when`, or earlier if that was planned already.
    pub fn wake(&self, id: ConnectionId, when: Instant) {
        // It fails only when the agent is going down.
        let _ = self.queue.send((id, when));
    }

    /// The moment in which one negotiation may begin: `now`, or a later one that is kept for it. A tunnel that was
    /// `up_before` does not queue behind those whose peers may never have answered.
    pub fn turn(&self, now: Instant, up_before: bool) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let [of_known, of_others] = &mut *next;
        let next = if up_before { of_known } else { of_others };
        let earliest = now.checked_sub(PACE * BURST).unwrap_or(now);
        let turn = (*next).max(earliest);
        *next = turn + PACE;
        turn.max(now)
    }
}

/// Works the queue off until the agent is gone.
pub async fn run(agent: Weak<Agent>, mut queue: Queue, pulse: Arc<Pulse>) {
    let mut due: BTreeSet<(Instant, ConnectionId)> = BTreeSet::new();
    let mut planned: HashMap<ConnectionId, Instant> = HashMap::new();
    let slots = Arc::new(Semaphore::new(PARALLEL));
    let mut beat = interval(BEAT);
    loop {
        pulse.queue_turned();
        let next = due.first().copied();
        tokio::select! {
            _ = beat.tick() => {}
            woken = queue.recv() => {
                let Some((id, when)) = woken else { return };
                match planned.get(&id) {
                    Some(earlier) if *earlier <= when => {}
                    later => {
                        if let Some(later) = later {
                            due.remove(&(*later, id));
                        }
                        planned.insert(id, when);
                        due.insert((when, id));
                    }
                }
            }
            () = sleep_until(next.map_or_else(Instant::now, |(when, _)| when)), if next.is_some() => {
                let Some((_, id)) = due.pop_first() else { continue };
                planned.remove(&id);
                let (Some(agent), Ok(slot)) = (agent.upgrade(), Arc::clone(&slots).acquire_owned().await) else { return };
                tokio::spawn(async move {
                    agent.reconcile(id).await;
                    drop(slot);
                });
            }
        }
    }
}
