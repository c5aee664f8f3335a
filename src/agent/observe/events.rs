//! What happened, for those who listen: a bounded list of events, each with a cursor. Who is too slow, or comes back
//! after a restart, is told that something was missed and reads everything anew.

use crate::{
    agent::SettingDrift,
    ipsec::{ConnectionId, reason::Reason},
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// How many events are kept.
const KEPT: usize = 1024;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// Everything wanted is carried.
    Up,
    /// Something wanted is not carried, or the cause of that has become another one.
    Down(Reason),
    /// Something carries, but not as wanted, or the cause of that has become another one: what carries, and why.
    NotAsWanted(&'static str, Reason),
    /// The connection was created, changed, enabled or disabled.
    Changed,
    /// The connection was deleted.
    Deleted,
    /// Something was not as the agent left it, and was put back.
    Drift(Vec<&'static str>),
    /// The settings have changed under the connection.
    SettingsDrift(Vec<SettingDrift>),
    /// charon does not answer.
    CharonLost(String),
    /// charon answers, and holds what the store says.
    CharonBack,
}

impl EventKind {
    /// Its name for programs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down(_) => "down",
            Self::NotAsWanted(..) => "not_as_wanted",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Drift(_) => "drift",
            Self::SettingsDrift(_) => "settings_drift",
            Self::CharonLost(_) => "charon_lost",
            Self::CharonBack => "charon_back",
        }
    }
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Counts the events of this run, from 1.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// Whose event it is; charon's own is nobody's.
    pub id: Option<ConnectionId>,
    /// What happened.
    pub what: EventKind,
}

/// The list.
pub struct EventStream {
    /// Tells the runs of the agent apart: numbers begin anew in each.
    run: String,
    kept: Mutex<Kept>,
    latest: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    counts: BTreeMap<&'static str, u64>,
}

/// What is new to a reader.
#[derive(Debug, Clone)]
pub struct New {
    /// Events between the reader's cursor and the first of these are gone.
    pub missed: bool,
    /// The events, the oldest first.
    pub events: Vec<Arc<Event>>,
}

impl EventStream {
    /// An empty list of a run that began at `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        let run = format!("{:x}", start.as_microsecond());
        Self { run, kept: Mutex::default(), latest: watch::Sender::new(0) }
    }

    /// Adds an event.
    pub fn publish(&self, id: Option<ConnectionId>, what: EventKind) {
        let mut kept = self.lock();
        let number = *self.latest.borrow() + 1;
        if kept.events.len() == KEPT {
            kept.events.pop_front();
        }
        *kept.counts.entry(what.name()).or_default() += 1;
        kept.events.push_back(Arc::new(Event { number, at: Timestamp::now(), id, what }));
        self.latest.send_replace(number);
    }

    /// The events behind the event `after`.
    pub fn behind(&self, after: u64) -> New {
        let kept = self.lock();
        let events: Vec<_> = kept.events.iter().filter(|event| event.number > after).cloned().collect();
        let missed = events.first().is_some_and(|first| first.number > after + 1);
        New { missed, events }
    }

    /// How often each kind of thing happened, of those that did.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().counts.clone()
    }

    /// Tells of each new event.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// The cursor of the event `number`.
    #[must_use]
    pub fn cursor(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }

    /// The number in `cursor`, or `None` if it is not of this run.
    #[must_use]
    pub fn number(&self, cursor: &str) -> Option<u64> {
        let (run, number) = cursor.rsplit_once('-')?;
        let number = number.parse().ok().filter(|number| *number <= *self.latest.borrow());
        number.filter(|_| run == self.run)
    }

    /// The list; a panic elsewhere cannot leave it half changed, so its poison is not passed on.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
