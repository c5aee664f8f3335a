//! One answer for callers at about the same time. A caller during the computation waits for its result, which is kept for
//! a second. The waiting callers drive the computation: it ends when the last of them leaves.

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::time::sleep;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(1);

type Flight<T, E> = BoxFuture<'static, Result<T, E>>;

/// A shared answer. A failure is not kept.
pub struct Moment<T, E>(Arc<Mutex<State<T, E>>>);

struct State<T, E> {
    /// The number of the answer.
    number: u64,
    flight: Option<WeakShared<Flight<T, E>>>,
    kept: Option<T>,
}

impl<T, E> Default for Moment<T, E> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { number: 0, flight: None, kept: None })))
    }
}

impl<T, E> Moment<T, E>
where
    T: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// The current answer; `make` computes it if none is kept or in progress.
    pub fn get(&self, make: impl FnOnce() -> Flight<T, E>) -> Shared<Flight<T, E>> {
        let mut state = lock(&self.0);
        if let Some(kept) = state.kept.clone() {
            return std::future::ready(Ok(kept)).boxed().shared();
        }
        if let Some(flight) = state.flight.as_ref().and_then(WeakShared::upgrade) {
            return flight;
        }
        state.number += 1;
        let (number, place, work) = (state.number, Arc::downgrade(&self.0), make());
        let flight = work.inspect(move |made| keep(&place, number, made.as_ref().ok())).boxed().shared();
        state.flight = flight.downgrade();
        flight
    }

    /// Whether an answer is kept or in progress.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let state = lock(&self.0);
        state.kept.is_some() || state.flight.as_ref().and_then(WeakShared::upgrade).is_some()
    }

    /// Drops the answer; callers that already wait still get it.
    pub fn forget(&self) {
        let mut state = lock(&self.0);
        state.number += 1;
        (state.flight, state.kept) = (None, None);
    }
}

/// Keeps the answer for a second, unless it was dropped meanwhile.
fn keep<T, E>(place: &Weak<Mutex<State<T, E>>>, number: u64, made: Option<&T>)
where
    T: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    let Some(state) = place.upgrade() else { return };
    let mut state = lock(&state);
    if state.number != number {
        return;
    }
    (state.flight, state.kept) = (None, made.cloned());
    if made.is_none() {
        return;
    }
    let place = Weak::clone(place);
    // The answer about thousands of connections is large: it must not stay until the next call.
    tokio::spawn(async move {
        sleep(KEPT).await;
        if let Some(state) = place.upgrade() {
            let mut state = lock(&state);
            if state.number == number {
                state.kept = None;
            }
        }
    });
}

/// Locks and ignores poison: a panic cannot leave the state half changed.
fn lock<T, E>(state: &Mutex<State<T, E>>) -> MutexGuard<'_, State<T, E>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn all_who_ask_share_one_and_the_last_to_leave_ends_it() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let moment = Moment::<usize, ()>::default();
        let make = |go: oneshot::Receiver<()>| {
            async move {
                go.await.map_err(drop)?;
                Ok(MADE.fetch_add(1, Ordering::Relaxed))
            }
            .boxed()
        };
        let (go, wait) = oneshot::channel();
        let first = moment.get(|| make(wait));
        let second = moment.get(|| panic!("one is being made"));
        drop(first);
        assert!(moment.is_wanted() && !go.is_closed(), "one still waits");
        drop(second);
        assert!(go.is_closed() && !moment.is_wanted(), "nobody waits");
        let (go, wait) = oneshot::channel();
        let third = moment.get(|| make(wait));
        go.send(()).expect("it is being made");
        assert_eq!(third.await, Ok(0));
        assert_eq!(moment.get(|| panic!("it is kept")).await, Ok(0));
        moment.forget();
        assert_eq!(moment.get(|| async { Err(()) }.boxed()).await, Err(()));
        assert_eq!(moment.get(|| async { Ok(7) }.boxed()).await, Ok(7), "what failed is not kept");
    }

    #[tokio::test]
    async fn it_is_not_kept_for_ever() {
        let moment = Moment::<Arc<u32>, ()>::default();
        let made = moment.get(|| async { Ok(Arc::new(1)) }.boxed()).await.expect("made");
        assert!(Arc::ptr_eq(&made, &moment.get(|| panic!("it is kept")).await.expect("kept")));
        while moment.is_wanted() {
            sleep(KEPT / 20).await;
        }
        assert_eq!(Arc::strong_count(&made), 1, "its memory is free");
        assert_eq!(*moment.get(|| async { Ok(Arc::new(2)) }.boxed()).await.expect("made"), 2);
    }
}
