//! The events for subscribers: a bounded list, each event with a cursor. A subscriber that is too slow, or returns after
//! a restart, gets the event `missed` and must read the state anew.

use crate::{
    agent::SettingDrift,
    ipsec::{ConnectionId, reason::Reason},
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// The most events that are kept.
const KEPT: usize = 1024;

/// The kind of an event, with its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// All wanted traffic is carried.
    Up,
    /// Some wanted traffic is not carried, or the cause of that has changed.
    Down(Reason),
    /// Traffic is carried otherwise than wanted, or the cause of that has changed: what carries, and why.
    NotAsWanted(&'static str, Reason),
    /// The connection was created, changed, enabled or disabled.
    Changed,
    /// Earlier proposals are accepted until then, too.
    TransitionBegan(Timestamp),
    /// What runs has moved to the wanted proposals, and the earlier ones are gone.
    TransitionMoved,
    /// The time of the transition is over, and the earlier proposals are gone: what runs, and what becomes of it.
    TransitionOver(Reason),
    /// The connection was deleted.
    Deleted,
    /// A difference from the record was repaired.
    Drift(Vec<&'static str>),
    /// The connection differs from the new settings.
    SettingsDrift(Vec<SettingDrift>),
    /// The gateway has a local address of connections now, and works for it.
    TookOver(IpAddr),
    /// It has it no longer, and is its standby.
    GaveUp(IpAddr),
    /// charon does not answer.
    CharonLost(String),
    /// charon answers and has loaded the stored connections.
    CharonBack,
}

impl EventKind {
    /// The name in the API and in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down(_) => "down",
            Self::NotAsWanted(..) => "not_as_wanted",
            Self::Changed => "changed",
            Self::TransitionBegan(_) => "transition_began",
            Self::TransitionMoved => "transition_moved",
            Self::TransitionOver(_) => "transition_over",
            Self::Deleted => "deleted",
            Self::Drift(_) => "drift",
            Self::SettingsDrift(_) => "settings_drift",
            Self::TookOver(_) => "took_over",
            Self::GaveUp(_) => "gave_up",
            Self::CharonLost(_) => "charon_lost",
            Self::CharonBack => "charon_back",
        }
    }
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The number of the event in this run, from 1.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The connection, if the event is about one.
    pub id: Option<ConnectionId>,
    /// What happened.
    pub what: EventKind,
}

/// The list.
pub struct EventStream {
    /// Distinguishes runs of the agent: each numbers its events from 1.
    run: String,
    kept: Mutex<Kept>,
    latest: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    counts: BTreeMap<&'static str, u64>,
}

/// The events after a cursor.
#[derive(Debug, Clone)]
pub struct New {
    /// Whether events after the cursor are no longer kept.
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

    /// The events after the event `after`.
    pub fn behind(&self, after: u64) -> New {
        let kept = self.lock();
        let events: Vec<_> = kept.events.iter().filter(|event| event.number > after).cloned().collect();
        let missed = events.first().is_some_and(|first| first.number > after + 1);
        New { missed, events }
    }

    /// The number of events of each kind.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().counts.clone()
    }

    /// A receiver that wakes for each new event.
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

    /// Locks and ignores poison: a panic cannot leave the list half changed.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
