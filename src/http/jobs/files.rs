//! The files of jobs, written by threads of their own: no runtime worker waits for the disk, nobody holds a lock over
//! it, and orders that come while it is busy share one sync of the directory.

use crate::{
    disk,
    error::{Error, Result},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
};
use tokio::sync::oneshot;

/// Orders that share one sync of the directory.
const BATCH: usize = 64;
/// Threads: the file system's journal serves in one commit those who wait for it at the same time.
const THREADS: usize = 4;

/// A job as it lies on disk; `ended` and `outcome` are missing while it runs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stored {
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub ended: Option<Timestamp>,
    /// Whose it is; missing in the files of older agents.
    #[serde(default)]
    pub owner: Option<String>,
    /// The id that its caller chose, if another caller's job had it already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The name of its message; missing in the files of older agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The status and body that polling answers.
    pub outcome: Option<(u16, Value)>,
}

/// The way to the threads. Orders about one file go to one thread, which carries them out in the order in which they
/// were given.
pub struct Files(Vec<Sender<Order>>);

enum Order {
    Put { path: PathBuf, bytes: Vec<u8>, done: oneshot::Sender<Result<()>> },
    Remove(PathBuf),
}

impl Files {
    /// Starts the threads; they end when this is dropped.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn new() -> Result<Self> {
        let start = |_| {
            let (orders, given) = channel();
            let thread = std::thread::Builder::new().name("jobs".into()).spawn(move || serve(&given));
            thread.map_err(|e| Error::Internal(format!("cannot start a thread: {e}"))).map(|_| orders)
        };
        (0..THREADS).map(start).collect::<Result<_>>().map(Self)
    }

    fn order(&self, order: Order) -> Result<()> {
        let (Order::Put { path, .. } | Order::Remove(path)) = &order;
        let thread = path.as_os_str().as_encoded_bytes().iter().map(|byte| usize::from(*byte)).sum::<usize>() % THREADS;
        self.0[thread].send(order).map_err(|_| ended())
    }

    /// Orders the file `path` to hold `job`. The order counts when this returns; waiting for it to be durable is up to
    /// the caller, who may hold a lock only until then.
    pub fn put(&self, path: PathBuf, job: &Stored) -> impl Future<Output = Result<()>> + use<> {
        let (done, outcome) = oneshot::channel();
        let ordered = serde_json::to_vec(job)
            .map_err(|e| Error::Internal(e.to_string()))
            .and_then(|bytes| self.order(Order::Put { path, bytes, done }));
        async move {
            ordered?;
            outcome.await.map_err(|_| ended())?
        }
    }

    /// Orders the file `path` to be removed. That need not be durable: what comes back after a power cut is old.
    pub fn remove(&self, path: PathBuf) {
        if let Err(error) = self.order(Order::Remove(path)) {
            tracing::error!(%error, "the file of an old job stays: {error}");
        }
    }
}

fn ended() -> Error {
    Error::Internal("the thread that writes the files of jobs has ended".into())
}

fn serve(given: &Receiver<Order>) {
    while let Ok(first) = given.recv() {
        let batch = std::iter::once(first).chain(given.try_iter().take(BATCH - 1)).collect();
        work(batch);
    }
}

/// Carries the orders out, one sync of the directory for all.
fn work(batch: Vec<Order>) {
    let mut placed = Vec::new();
    for order in batch {
        match order {
            Order::Remove(path) => {
                if let Err(error) = disk::unlink(&path) {
                    tracing::error!(%error, "the file of an old job stays: {error}");
                }
            }
            Order::Put { path, bytes, done } => {
                placed.push((disk::stage(&path, &bytes, 0o600).and_then(disk::Staged::place), done));
            }
        }
    }
    let synced = placed.iter().find_map(|(file, _)| file.as_ref().ok()).map(disk::Placed::sync);
    let is_durable = synced.is_some_and(|synced| synced.is_ok());
    for (file, done) in placed {
        let outcome = file.and_then(|file| if is_durable { Ok(()) } else { file.sync() });
        // Whoever gave the order may have gone.
        let _ = done.send(outcome);
    }
}
