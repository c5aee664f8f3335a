//! What all messages share: memory while they come and while they are answered.

use crate::http::{
    budget::{Bodies, Reserved, SMALL},
    error::Failure,
};
use axum::extract::Request;
use std::time::Duration;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// What large messages may take together while they come, in bytes: nobody knows yet whose they are.
const BODIES: u64 = 8 << 20;
/// How many answers are put into their envelopes at once: each is held whole, and more than once.
const ANSWERS: usize = 8;
/// How long an answer may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// What all messages share.
pub struct Messages {
    bodies: Bodies,
    turns: Semaphore,
}

impl Default for Messages {
    fn default() -> Self {
        Self { bodies: Bodies::new(BODIES), turns: Semaphore::new(ANSWERS) }
    }
}

impl Messages {
    /// Memory for the body of a message.
    ///
    /// # Errors
    /// 503 when there is none for a while.
    pub async fn reserve(&self, request: &mut Request) -> Result<Reserved, Failure> {
        self.bodies.reserve(request).await
    }

    /// The turn to put an answer of `size` bytes, if that is known, into its envelope; what is small needs none.
    ///
    /// # Errors
    /// 503 when others take theirs for too long.
    pub async fn turn(&self, size: Option<u64>) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        if size.is_some_and(|size| size <= SMALL) {
            return Ok(None);
        }
        let turn = timeout(PATIENCE, self.turns.acquire()).await.ok().and_then(Result::ok);
        turn.map(Some).ok_or_else(|| Failure::busy("too many large answers are made at this moment"))
    }
}
