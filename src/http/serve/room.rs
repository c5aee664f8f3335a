//! The places for connections. Whoever comes when all are taken gets the place of the one that has been idle for the
//! longest, strangers' first: so the time that a connection may idle shrinks as room gets short. A caller's connection
//! whose request is worked on is never closed for another one; a stranger's is when nobody idles, for strangers can keep
//! the agent at work for them as long as they like, by reading slowly. Everybody begins as a stranger: a few are left the
//! time to show credentials.

use crate::http::auth::{Origin, Peer};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long a connection may wait for a place when all others are worked for: as long as a write on trial may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// While it waits, it looks again this often, and at once when a place becomes free.
const LOOK: Duration = Duration::from_millis(250);
/// Connections that may wait for a place.
const WAITING: usize = 128;
/// Up to this part of the places, strangers may be callers who have not said so yet.
const NEW: usize = 4;
/// A reader that takes nothing for so long may lose its place to another connection; so may a stranger who is worked for
/// and came so long ago, when nobody idles.
const STUCK: Duration = Duration::from_secs(1);

/// The places of one kind of listener.
pub struct Room {
    /// Places in all, and those of one peer.
    most: Most,
    seats: Mutex<BTreeMap<u64, Arc<Seat>>>,
    freed: Notify,
    waiting: Semaphore,
}

/// What is known of a connection.
pub struct Seat {
    peer: Peer,
    entered: Instant,
    out: CancellationToken,
    pose: Mutex<Pose>,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy)]
struct Pose {
    /// Credentials were shown that were right.
    known: bool,
    /// A request of it is worked on, or answered without an end.
    at_work: bool,
    /// It has not taken what was sent to it.
    stuck: bool,
    /// When its peer last sent or took something.
    moved: Instant,
}

/// How many connections there may be at once.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Of all peers together.
    pub all: usize,
    /// Of one peer.
    pub per_peer: usize,
}

/// A place that is given back when it is dropped.
pub struct Place {
    room: Arc<Room>,
    number: u64,
    seat: Arc<Seat>,
}

impl Room {
    /// Room for so many connections.
    #[must_use]
    pub fn new(most: Most) -> Arc<Self> {
        Arc::new(Self { most, seats: Mutex::default(), freed: Notify::new(), waiting: Semaphore::new(WAITING) })
    }

    /// A place for a connection of `origin`: a free one, or that of one that idles. `None` if there is neither.
    pub(in crate::http) fn enter(self: &Arc<Self>, origin: Origin) -> Option<Place> {
        let (peer, now) = (Peer::from(origin), Instant::now());
        let mut seats = self.lock();
        let own = seats.values().filter(|seat| seat.peer == peer).count();
        let is_free = if own >= self.most.per_peer {
            close_one(&mut seats, now, self.most.per_peer, Some(peer))
        } else {
            seats.len() < self.most.all || close_one(&mut seats, now, self.most.all, None)
        };
        if !is_free {
            return None;
        }
        let known = matches!(peer, Peer::User(_));
        let pose = Pose { known, at_work: false, stuck: false, moved: now };
        let seat = Arc::new(Seat { peer, entered: now, out: CancellationToken::new(), pose: Mutex::new(pose) });
        let number = seats.last_key_value().map_or(0, |(last, _)| last + 1);
        seats.insert(number, Arc::clone(&seat));
        Some(Place { room: Arc::clone(self), number, seat })
    }

    /// Waits for a place, within bounds of time and number.
    pub async fn wait(self: &Arc<Self>, origin: Origin) -> Option<Place> {
        let _turn = self.waiting.try_acquire().ok()?;
        let place = async {
            loop {
                let _ = timeout(LOOK, self.freed.notified()).await;
                if let Some(place) = self.enter(origin) {
                    return place;
                }
            }
        };
        timeout(PATIENCE, place).await.ok()
    }

    /// Closes all connections whose readers take nothing: what is kept for them is needed.
    pub(in crate::http) fn close_stuck(&self) {
        let now = Instant::now();
        self.lock().retain(|_, seat| {
            let stays = !seat.is_stuck(now);
            if !stays {
                seat.out.cancel();
            }
            stays
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the connection (of `peer`, if that is given) that can best be missed of `most`; whether there is one.
fn close_one(seats: &mut BTreeMap<u64, Arc<Seat>>, now: Instant, most: usize, peer: Option<Peer>) -> bool {
    let is_one = |seat: &Seat| peer.is_none_or(|peer| seat.peer == peer);
    let those = seats.iter().filter(|(_, seat)| is_one(seat));
    let idle = those.filter_map(|(number, seat)| seat.idle_since(now).map(|(known, since)| (known, since, *number)));
    let (callers, strangers): (Vec<_>, Vec<_>) = idle.partition(|(known, ..)| *known);
    let is_crowd = strangers.len() > most / NEW || callers.is_empty();
    let oldest = if is_crowd { strangers } else { callers }.into_iter().min().map(|(.., number)| number);
    let at_work = || Some(*seats.iter().find(|(_, seat)| is_one(seat) && seat.had_its_turn(now))?.0);
    let closed = oldest.or_else(at_work).and_then(|number| seats.remove(&number));
    closed.inspect(|seat| seat.out.cancel()).is_some()
}

impl Seat {
    /// A request has come, or more of its body.
    pub fn works(&self) {
        self.change(|pose| pose.at_work = true);
    }

    /// The next move is the peer's: it was answered, or the rest of its body is waited for.
    pub(in crate::http) fn rests(&self) {
        let mut pose = self.lock();
        pose.at_work = false;
    }

    /// The peer sent or took something.
    pub fn moves(&self) {
        self.change(|pose| pose.stuck = false);
    }

    /// The peer does not take what is sent to it.
    pub(in crate::http) fn sticks(&self) {
        self.lock().stuck = true;
    }

    /// Right credentials were shown: it is closed behind all strangers.
    pub fn is_known(&self) {
        self.lock().known = true;
    }

    /// Whether right credentials were shown.
    #[must_use]
    pub fn knows(&self) -> bool {
        self.lock().known
    }

    /// Whether it can be closed for another one.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.idle_since(Instant::now()).is_some()
    }

    fn is_stuck(&self, now: Instant) -> bool {
        let pose = *self.lock();
        pose.stuck && now.saturating_duration_since(pose.moved) >= STUCK
    }

    /// Whether it is known, and since when nothing moved; `None` if it cannot be closed for another one.
    fn idle_since(&self, now: Instant) -> Option<(bool, Instant)> {
        let pose = *self.lock();
        let idle = if pose.stuck { self.is_stuck(now) } else { !pose.at_work };
        idle.then_some((pose.known, pose.moved))
    }

    /// Whether it is a stranger's, and none that has just come.
    fn had_its_turn(&self, now: Instant) -> bool {
        !self.knows() && now.saturating_duration_since(self.entered) >= STUCK
    }

    fn change(&self, change: impl FnOnce(&mut Pose)) {
        let mut pose = self.lock();
        change(&mut pose);
        pose.moved = Instant::now();
    }

    fn lock(&self) -> MutexGuard<'_, Pose> {
        self.pose.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What is known of the connection here.
    #[must_use]
    pub(in crate::http) fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }

    /// Serves the connection until it ends, or until its place is needed.
    pub async fn keep(self, connection: impl Future<Output = ()>) {
        if self.seat.out.run_until_cancelled(connection).await.is_none() {
            tracing::debug!(peer = %self.seat.peer, "an idle connection from {} was closed, because its place was needed", self.seat.peer);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.lock().remove(&self.number);
        self.room.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
