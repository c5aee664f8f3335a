//! The sockets for requests of one kind, connected on demand and kept. Each is lent for one exchange: an unanswered
//! request delays no other, and a caller that is dropped cancels its own request.

use super::socket::{Failure, Socket};
use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Sockets of one kind.
pub struct Pool {
    path: PathBuf,
    deadline: Duration,
    places: Semaphore,
    idle: Mutex<Vec<Socket>>,
    /// How often one was connected.
    lives: AtomicU64,
}

/// A socket that is lent. Unless it is given back, it is closed: an answer may still be on its way.
pub struct Lent<'a> {
    /// Nobody else uses it meanwhile.
    pub socket: Socket,
    pool: &'a Pool,
    _place: SemaphorePermit<'a>,
}

impl Pool {
    /// Up to `places` sockets to `path`.
    #[must_use]
    pub fn new(path: &Path, deadline: Duration, places: usize) -> Self {
        let (places, idle, lives) = (Semaphore::new(places), Mutex::default(), AtomicU64::default());
        Self { path: path.into(), deadline, places, idle, lives }
    }

    /// Lends a socket as soon as one is free.
    ///
    /// # Errors
    /// When none is free within the deadline, or none can be connected.
    pub async fn lend(&self) -> Result<Lent<'_>, Failure> {
        let busy = || Failure::Busy(self.deadline);
        let place = timeout(self.deadline, self.places.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())?;
        let kept = self.kept();
        let socket = match kept {
            Some(socket) => socket,
            None => self.connect().await?,
        };
        Ok(Lent { socket, pool: self, _place: place })
    }

    /// An idle socket, if charon has not closed it.
    fn kept(&self) -> Option<Socket> {
        let mut idle = self.lock();
        idle.retain(Socket::is_idle);
        idle.pop()
    }

    async fn connect(&self) -> Result<Socket, Failure> {
        let socket = Socket::connect(&self.path, self.deadline).await?;
        self.lives.fetch_add(1, Ordering::Relaxed);
        Ok(socket)
    }

    /// How often a socket was connected.
    #[must_use]
    pub fn lives(&self) -> u64 {
        self.lives.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Socket>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent<'_> {
    /// Gives the socket back if it was answered by `outcome`.
    ///
    /// # Errors
    /// That of `outcome`.
    pub fn returned<T>(self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        if outcome.as_ref().err().is_none_or(Failure::spares_the_socket) {
            self.give_back();
        }
        outcome
    }

    /// Returns it to the pool after its request was answered.
    pub fn give_back(self) {
        self.pool.lock().push(self.socket);
    }
}
