//! The worker of the queue: one task for any number of connections.

use super::{
    queue::{Due, QueueEnd},
    watchdog::Heartbeat,
};
use crate::{agent::Agent, ipsec::ConnectionId};
use std::{
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, interval, sleep_until},
};

/// How often the queue turns when there is nothing to do.
const BEAT: Duration = Duration::from_secs(1);

/// A place of the reconciler; dropping it frees the place, also after a panic.
struct Place {
    id: ConnectionId,
    done: mpsc::UnboundedSender<ConnectionId>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // It fails only while the agent ends.
        let _ = self.done.send(self.id);
    }
}

/// Reconciles due connections until the end of the agent.
pub async fn run(agent: Weak<Agent>, end: QueueEnd, heartbeat: Arc<Heartbeat>) {
    let QueueEnd { mut woken, waiting } = end;
    let mut due = Due::default();
    let (done, mut finished) = mpsc::unbounded_channel();
    let mut beat = interval(BEAT);
    let mut timer = pin!(sleep_until(Instant::now()));
    loop {
        if !due.is_full() {
            heartbeat.queue_ticked();
        }
        let turn = waiting.limiter().next(Instant::now());
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
                // The timer is a millisecond late: what happened to a connection until then, one reconcile serves.
                while let Ok((id, when)) = woken.try_recv() {
                    due.plan(id, when);
                }
                for id in due.take_all(&waiting, Instant::now()) {
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
}
