//! What the follower knows of each connection: what is wanted, and what came of it. One worker at a time brings a
//! connection to the agent, so its writes stay in order; other connections do not wait.

use super::names;
use cygnet::ipsec::ConnectionId;
use etcd_client::KeyValue;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// A spec in etcd.
#[derive(Debug)]
pub struct Wish {
    /// The revision of etcd that wrote it.
    pub revision: i64,
    /// How often its key was written since it was created.
    pub generation: i64,
    /// Its bytes, with what is sealed in them.
    pub bytes: Vec<u8>,
}

/// What a connection is to be.
#[derive(Debug, Clone)]
pub enum Goal {
    /// As this spec says.
    Be(Arc<Wish>),
    /// No more; the revision of etcd in which it was gone.
    Gone(i64),
}

impl Goal {
    /// The revision of etcd that says so.
    pub fn revision(&self) -> i64 {
        match self {
            Self::Be(wish) => wish.revision,
            Self::Gone(revision) => *revision,
        }
    }
}

/// What came of the last goal that was brought to the agent.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Of the spec.
    pub revision: i64,
    /// Of the spec.
    pub generation: i64,
    /// Why it is not in force.
    pub error: Option<Value>,
}

#[derive(Default)]
struct Slot {
    goal: Option<Goal>,
    /// Whether a worker has it.
    is_busy: bool,
    /// Whether the goal was reached.
    is_done: bool,
    outcome: Option<Outcome>,
    news: Arc<Notify>,
}

#[derive(Default)]
struct Kept {
    slots: BTreeMap<ConnectionId, Slot>,
    /// Keys that name no connection.
    strays: BTreeMap<String, i64>,
    dirty: BTreeSet<ConnectionId>,
    all_dirty: bool,
    /// The revision of the last complete list.
    listed: Option<i64>,
}

/// The board.
#[derive(Default)]
pub struct Board {
    kept: Mutex<Kept>,
    /// Wakes the publisher.
    pub changed: Notify,
    /// Wakes workers whose goal was refused: what was in the way may be gone.
    pub freed: Notify,
}

/// What the publisher has to look at.
pub enum Dirty {
    /// All.
    All,
    /// These.
    Some(BTreeSet<ConnectionId>),
}

impl Board {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a complete list of the specs of `revision`; the connections that need a worker.
    pub fn replace(&self, gateway: &str, keys: Vec<KeyValue>, revision: i64) -> Vec<ConnectionId> {
        let mut kept = self.kept();
        let (mut seen, mut fresh) = (BTreeSet::new(), Vec::new());
        kept.strays.clear();
        for key in keys {
            fresh.extend(kept.put(gateway, key, &mut seen));
        }
        let vanished: Vec<_> = kept.slots.keys().filter(|id| !seen.contains(id)).copied().collect();
        for id in vanished {
            fresh.extend(kept.aim(id, Goal::Gone(revision)));
        }
        kept.listed = Some(revision);
        kept.all_dirty = true;
        drop(kept);
        self.changed.notify_one();
        fresh
    }

    /// Takes a spec that was written; the connection, if it needs a worker.
    pub fn put(&self, gateway: &str, key: KeyValue) -> Option<ConnectionId> {
        let fresh = self.kept().put(gateway, key, &mut BTreeSet::new());
        self.changed.notify_one();
        fresh
    }

    /// Takes a spec that was deleted, likewise.
    pub fn delete(&self, gateway: &str, key: &KeyValue) -> Option<ConnectionId> {
        let part = part_of(gateway, key)?;
        let mut kept = self.kept();
        let fresh = match part.parse() {
            Ok(id) => kept.aim(id, Goal::Gone(key.mod_revision())),
            Err(_) => kept.strays.remove(&part).and(None),
        };
        kept.all_dirty |= fresh.is_none();
        drop(kept);
        self.changed.notify_one();
        fresh
    }

    /// Has a connection deleted that the agent has and no spec names; whether it needs a worker.
    pub fn sweep(&self, id: ConnectionId) -> bool {
        let mut kept = self.kept();
        let Some(revision) = kept.listed else { return false };
        let is_known = kept.slots.get(&id).is_some_and(|slot| slot.goal.is_some());
        !is_known && kept.aim(id, Goal::Gone(revision)).is_some()
    }

    /// The goal of a connection and what wakes its worker; none when it is reached, and the worker ends.
    pub fn next(&self, id: ConnectionId) -> Option<(Goal, Arc<Notify>)> {
        let mut kept = self.kept();
        let slot = kept.slots.get_mut(&id)?;
        match &slot.goal {
            Some(goal) if !slot.is_done => Some((goal.clone(), Arc::clone(&slot.news))),
            _ => {
                slot.is_busy = false;
                None
            }
        }
    }

    /// Says what came of a goal.
    pub fn done(&self, id: ConnectionId, goal: &Goal, error: Option<Value>) {
        let mut kept = self.kept();
        kept.dirty.insert(id);
        let Some(slot) = kept.slots.get_mut(&id) else { return };
        let is_latest = slot.goal.as_ref().is_some_and(|latest| latest.revision() == goal.revision());
        match goal {
            Goal::Gone(_) if error.is_none() && is_latest => {
                kept.slots.remove(&id);
            }
            Goal::Gone(_) => {
                if let Some(outcome) = &mut slot.outcome {
                    outcome.error = error;
                }
            }
            Goal::Be(wish) => {
                slot.is_done = is_latest && error.is_none();
                slot.outcome = Some(Outcome { revision: wish.revision, generation: wish.generation, error });
            }
        }
        drop(kept);
        self.changed.notify_one();
    }

    /// What came of the connection's spec.
    pub fn outcome(&self, id: ConnectionId) -> Option<Outcome> {
        self.kept().slots.get(&id)?.outcome.clone()
    }

    /// Whether there is a goal for the connection.
    pub fn knows(&self, id: ConnectionId) -> bool {
        self.kept().slots.contains_key(&id)
    }

    /// The connections that specs name, and the keys that name none with their revisions.
    pub fn all(&self) -> (BTreeSet<ConnectionId>, BTreeMap<String, i64>) {
        let kept = self.kept();
        (kept.slots.keys().copied().collect(), kept.strays.clone())
    }

    /// Has the publisher look at a connection, or at all.
    pub fn mark(&self, id: Option<ConnectionId>) {
        let mut kept = self.kept();
        match id {
            Some(id) => drop(kept.dirty.insert(id)),
            None => kept.all_dirty = true,
        }
        drop(kept);
        self.changed.notify_one();
    }

    /// What the publisher has to look at; it is clean afterwards.
    pub fn dirty(&self) -> Dirty {
        let mut kept = self.kept();
        let some = std::mem::take(&mut kept.dirty);
        if std::mem::take(&mut kept.all_dirty) { Dirty::All } else { Dirty::Some(some) }
    }
}

impl Kept {
    fn put(&mut self, gateway: &str, key: KeyValue, seen: &mut BTreeSet<ConnectionId>) -> Option<ConnectionId> {
        let part = part_of(gateway, &key)?;
        let (revision, generation) = (key.mod_revision(), key.version());
        let Ok(id) = part.parse::<ConnectionId>() else {
            self.strays.insert(part, revision);
            self.all_dirty = true;
            return None;
        };
        seen.insert(id);
        let (_, bytes) = key.into_key_value();
        self.aim(id, Goal::Be(Arc::new(Wish { revision, generation, bytes })))
    }

    /// Sets the goal, unless it is the one that is set; the connection, if it needs a worker.
    fn aim(&mut self, id: ConnectionId, goal: Goal) -> Option<ConnectionId> {
        let slot = self.slots.entry(id).or_default();
        let is_same = match (&slot.goal, &goal) {
            (Some(Goal::Be(old)), Goal::Be(new)) => old.revision == new.revision,
            _ => false,
        };
        if is_same {
            return None;
        }
        slot.goal = Some(goal);
        slot.is_done = false;
        slot.news.notify_one();
        (!std::mem::replace(&mut slot.is_busy, true)).then_some(id)
    }
}

fn part_of(gateway: &str, key: &KeyValue) -> Option<String> {
    let (of, kind, part) = names::split(key.key())?;
    (of == gateway && kind == "spec").then(|| part.to_owned())
}

/// The error of a key that names no connection.
pub fn stray(part: &str) -> Value {
    json!({ "details": format!("the key's last part must be 32 lower-case hexadecimal digits, and {part:?} is not") })
}
