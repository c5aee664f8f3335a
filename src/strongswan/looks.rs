//! Lists for the reconciler. charon walks all IKE SAs for each list, whatever its filter (facts 20.1), so there is one list
//! at a time, which all share who wait when it begins. Nobody gets a list that began before it was asked for.

use super::sightings::same;
use crate::{
    error::Result,
    ipsec::{ConnectionId, IkeSa},
};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// For more connections than these, charon describes all in less time than it takes to walk all again for each.
pub const FEW: usize = 8;
/// The longest rest after a list.
const REST: Duration = Duration::from_secs(1);
/// A list that takes less is one of few SAs, of which somebody may wait to hear.
const QUICK: Duration = Duration::from_millis(10);

/// The rest after a list that took so long.
pub fn rest(took: Duration) -> Duration {
    (took * if took < QUICK { 3 } else { 9 }).min(REST)
}

/// Where an answer goes.
pub type Answer = oneshot::Sender<Result<Vec<IkeSa>>>;

/// Who waits for a list.
#[derive(Default)]
pub struct Looks {
    /// Held by the one who lists; when the next list may begin.
    pub turn: tokio::sync::Mutex<Option<Instant>>,
    waiting: Mutex<HashMap<ConnectionId, Vec<Answer>>>,
}

impl Looks {
    /// Those who are in the list that begins now.
    pub fn begin(&self) -> HashMap<ConnectionId, Vec<Answer>> {
        std::mem::take(&mut *self.waiting())
    }

    /// Those who wait for the next one.
    pub fn waiting(&self) -> MutexGuard<'_, HashMap<ConnectionId, Vec<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives all who wait for one connection what was found.
pub fn tell(answers: Vec<Answer>, found: &Result<Vec<IkeSa>>) {
    for answer in answers {
        let found = match found {
            Ok(found) => Ok(found.clone()),
            Err(error) => Err(same(error)),
        };
        // Who left needs no answer.
        let _ = answer.send(found);
    }
}
