//! Memory that all callers share: for the bodies that they send, and for the answers that they have not yet taken. What
//! is small is not counted; the number of connections bounds it.

use super::{
    envelope::{MAX_BODY, MAX_SET},
    error::Failure,
};
use axum::{
    body::HttpBody,
    http::{Extensions, Request},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// What is counted together, in bytes.
const UNIT: u64 = 1024;
/// Bodies and answers up to this size are not counted, in bytes.
pub const SMALL: u64 = 16 * UNIT;
/// How long a body may wait until there is room for it. Bodies that stop before their end are given up sooner.
const PATIENCE: Duration = Duration::from_secs(8);

/// So many bytes.
#[derive(Debug, Clone)]
pub struct Budget {
    free: Arc<Semaphore>,
    units: u32,
}

impl Budget {
    /// A budget of `bytes`.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let units = units(bytes);
        Self { free: Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(usize::MAX))), units }
    }

    /// Takes `bytes`, all at once, so that nobody holds a part and waits for the rest; what is larger than the budget
    /// takes all of it. None is needed for what is small; `None` if there is no room within `patience`.
    pub async fn take(&self, bytes: u64, patience: Duration) -> Option<Option<Arc<OwnedSemaphorePermit>>> {
        if bytes <= SMALL {
            return Some(None);
        }
        let permit = Arc::clone(&self.free).acquire_many_owned(self.units.min(units(bytes)));
        let permit = timeout(patience, permit).await.ok()?.ok()?;
        Some(Some(Arc::new(permit)))
    }

    /// Whether it has not so many bytes left.
    #[must_use]
    pub fn is_short_of(&self, bytes: u64) -> bool {
        let wanted = usize::try_from(self.units.min(units(bytes))).unwrap_or(usize::MAX);
        bytes > SMALL && self.free.available_permits() < wanted
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// The memory for the bodies of callers; those of strangers are not read.
#[derive(Debug)]
pub struct Bodies(Budget);

/// That a request has its memory; it lives as long as the request is worked on.
#[derive(Clone)]
pub struct Reserved {
    _memory: Option<Arc<OwnedSemaphorePermit>>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self::new(32 << 20)
    }
}

impl Bodies {
    /// Memory of so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(Budget::new(bytes))
    }

    /// Memory for the body of `request`, before any of it is read: for the length that it announces, and for the longest
    /// if it announces none. A request that has some already needs no more.
    ///
    /// # Errors
    /// 503 when there is none for a while.
    pub async fn reserve<B: HttpBody>(&self, request: &mut Request<B>) -> Result<Reserved, Failure> {
        // What is longer is not read.
        let length = request.body().size_hint().exact().unwrap_or(MAX_BODY as u64);
        self.reserve_for(request.extensions_mut(), length.min(MAX_SET as u64)).await
    }

    async fn reserve_for(&self, extensions: &mut Extensions, length: u64) -> Result<Reserved, Failure> {
        if let Some(reserved) = extensions.get::<Reserved>() {
            return Ok(reserved.clone());
        }
        let memory = self.0.take(length, PATIENCE).await;
        let memory = memory.ok_or_else(|| Failure::busy("too many large bodies are read at this moment"))?;
        let reserved = Reserved { _memory: memory };
        extensions.insert(reserved.clone());
        Ok(reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    /// A request with a body of so many bytes.
    fn request(length: usize) -> Request<Body> {
        Request::new(Body::from(vec![b' '; length]))
    }

    #[tokio::test]
    async fn bodies_of_all_share_one_room_and_small_ones_need_none() {
        let bodies = Bodies(Budget::new(2 * MAX_BODY as u64));
        let mut requests = [request(MAX_BODY), request(MAX_BODY)];
        let mut held = Vec::new();
        for request in &mut requests {
            held.push(bodies.reserve(request).await.expect("room"));
            held.push(bodies.reserve(request).await.expect("it has some already"));
        }
        assert!(bodies.0.is_short_of(SMALL + 1) && !bodies.0.is_short_of(SMALL));
        assert!(bodies.reserve(&mut request(9)).await.is_ok(), "a small one");
        assert!(bodies.0.take(SMALL + 1, Duration::ZERO).await.is_none(), "a large one");
        drop(requests);
        assert!(bodies.0.is_short_of(SMALL + 1), "who works on it holds it");
        drop(held);
        assert!(bodies.0.take(u64::MAX, Duration::ZERO).await.is_some(), "all of it, and no more");
    }
}
