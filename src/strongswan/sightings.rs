//! A short-lived cache of the SAs of all connections: charon makes one list at a time, however many callers there are.
//! Newer lists of single connections override it: no caller gets an older state than one observed before its request.

use crate::{error::Error, ipsec::ConnectionId, ipsec::IkeSa, moment::Moment};
use futures_util::future::BoxFuture;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// SAs by their owners. Connections that have none are not in it.
pub type Sas = HashMap<ConnectionId, Arc<Vec<IkeSa>>>;

/// SAs of single connections, and when they were asked for.
type Newer = HashMap<ConnectionId, (Instant, Arc<Vec<IkeSa>>)>;

/// A list of all.
pub struct Whole {
    /// The time of the request.
    pub begun: Instant,
    /// All that charon listed, the SAs of others among them.
    pub sas: Sas,
}

/// The number of SAs received of the list in progress; it only grows.
pub type Progress = Arc<AtomicU64>;

/// The cache.
#[derive(Default)]
pub struct Sightings {
    whole: Moment<Arc<Whole>, Arc<Error>>,
    progress: Progress,
    /// Newer lists of single connections, with the times of their requests.
    since: Mutex<Newer>,
}

impl Sightings {
    /// All SAs of cygnet; `list` fetches them if no list is in progress. The caller waits while the list grows within
    /// each `patience`; `None` when it does not.
    pub async fn all(
        &self,
        patience: Duration,
        list: impl FnOnce(Progress) -> BoxFuture<'static, Result<Arc<Whole>, Arc<Error>>>,
    ) -> Option<Result<Sas, Arc<Error>>> {
        let mut whole = self.whole.get(|| list(Arc::clone(&self.progress)));
        let mut before = self.progress.load(Ordering::Relaxed);
        loop {
            if let Ok(made) = timeout(patience, &mut whole).await {
                return Some(made.map(|whole| self.with_newer(&whole)));
            }
            let now = self.progress.load(Ordering::Relaxed);
            if now == before {
                return None;
            }
            before = now;
        }
    }

    /// The list, updated with newer lists of single connections.
    fn with_newer(&self, whole: &Whole) -> Sas {
        let mut all = whole.sas.clone();
        let mut since = self.lock();
        since.retain(|_, (at, _)| *at > whole.begun);
        for (id, (_, sas)) in &*since {
            if sas.is_empty() {
                all.remove(id);
            } else {
                all.insert(*id, Arc::clone(sas));
            }
        }
        all
    }

    /// Stores the SAs of one connection, which were requested at `begun`.
    pub fn record(&self, id: ConnectionId, begun: Instant, sas: &[IkeSa]) {
        // Under the lock: a list that starts in between would lose newer observations.
        let mut since = self.lock();
        if !self.whole.is_wanted() {
            // The next list will be newer.
            *since = Newer::new();
        } else if since.get(&id).is_none_or(|(at, _)| *at <= begun) {
            since.insert(id, (begun, Arc::new(sas.to_vec())));
        }
    }

    /// charon was restarted: drops the cache.
    pub fn forget(&self) {
        self.whole.forget();
        *self.lock() = Newer::new();
    }

    /// What was seen; a panic elsewhere cannot leave it half changed, so its poison is not passed on.
    fn lock(&self) -> MutexGuard<'_, Newer> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy of the error for another waiting caller.
pub(super) fn same(error: &Error) -> Error {
    match error {
        Error::Unreachable { doing, cause } => Error::Unreachable { doing: doing.clone(), cause: cause.clone() },
        Error::Refused { doing, words, is_absent } => {
            Error::Refused { doing: doing.clone(), words: words.clone(), is_absent: *is_absent }
        }
        other => Error::Internal(other.to_string()),
    }
}
