//! One request and its answer on a connection: who waits for whom, and how much memory the answer holds until the peer
//! has taken it.

use super::room::{Room, Seat};
use crate::http::{
    auth::Origin,
    budget::Budget,
    error::Failure,
    framing::{Ambiguous, Grown},
};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, Response},
    response::IntoResponse,
};
use hyper::{
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    service::Service,
};
use hyper_util::service::TowerToHyperService;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::OwnedSemaphorePermit;

/// How long an answer may wait for memory, when those that nobody takes have been dropped for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The memory for answers that are on their way: that for callers, and a small part for all others.
#[derive(Clone)]
pub struct Answers {
    callers: Budget,
    strangers: Budget,
}

impl Default for Answers {
    fn default() -> Self {
        Self { callers: Budget::new(64 << 20), strangers: Budget::new(16 << 20) }
    }
}

/// What the requests of one connection share.
#[derive(Clone)]
pub struct Connection {
    /// Who answers.
    pub router: Router,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether a head with two lengths came by.
    pub ambiguous: Ambiguous,
    /// Whether the buffer for its requests grew.
    pub grown: Grown,
    /// What is known of it.
    pub seat: Arc<Seat>,
    /// Where it sits.
    pub room: Arc<Room>,
    /// The memory for answers.
    pub answers: Answers,
}

impl Connection {
    /// Answers one request.
    pub async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        self.seat.works();
        let at_work = Arc::new(AtWork(Arc::clone(&self.seat)));
        let fed = Arc::downgrade(&at_work);
        let mut request = request.map(|body| Body::new(Fed { body, at_work: fed }));
        request.extensions_mut().insert(self.origin);
        request.extensions_mut().insert(self.ambiguous.clone());
        request.extensions_mut().insert(self.grown.clone());
        request.extensions_mut().insert(Arc::clone(&self.seat));
        let response = TowerToHyperService::new(self.router.clone()).call(request).await?;
        let size = response.body().size_hint().exact().unwrap_or_default();
        match self.memory(size).await {
            Some(memory) => Ok(response.map(|body| Body::new(Told { body, memory, _at_work: at_work }))),
            None => Ok(Failure::busy("answers that nobody takes fill the memory for them").into_response()),
        }
    }

    /// Memory for an answer of `size` bytes. Where there is none, answers that nobody takes make room.
    async fn memory(&self, size: u64) -> Option<Option<Arc<OwnedSemaphorePermit>>> {
        let budget = if self.seat.knows() { &self.answers.callers } else { &self.answers.strangers };
        if budget.is_short_of(size) {
            self.room.close_stuck();
        }
        budget.take(size, PATIENCE).await
    }
}

/// A request that is worked on, until this is dropped.
struct AtWork(Arc<Seat>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.rests();
    }
}

/// The body of a request: while its rest is waited for, nobody works for the connection. Nor does anybody when the
/// request was answered already, and what still comes of its body is dropped.
struct Fed<B> {
    body: B,
    at_work: Weak<AtWork>,
}

impl<B: HttpBody + Unpin> HttpBody for Fed<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match self.at_work.upgrade() {
            Some(at_work) if frame.is_pending() => at_work.0.rests(),
            Some(at_work) => at_work.0.works(),
            None => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. Its memory is held by its bytes, which live on in the connection's queue.
struct Told {
    body: Body,
    memory: Option<Arc<OwnedSemaphorePermit>>,
    _at_work: Arc<AtWork>,
}

/// Bytes of an answer, with the memory that they take.
struct Held(Bytes, #[expect(dead_code, reason = "held, and given back with the bytes")] Arc<OwnedSemaphorePermit>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl HttpBody for Told {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let Some(memory) = &self.memory else { return frame };
        let hold = |data| Bytes::from_owner(Held(data, Arc::clone(memory)));
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(hold))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::serve::room::{Most, Room};
    use futures_util::FutureExt;
    use http_body_util::BodyExt;

    fn connection(budget: u64) -> (Connection, crate::http::serve::room::Place) {
        let room = Room::new(Most { all: 4, per_peer: 4 });
        let origin = Origin::Network([192, 0, 2, 1].into(), false);
        let place = room.enter(origin).expect("room");
        let answers = Answers { callers: Budget::new(budget), strangers: Budget::new(budget) };
        let (ambiguous, grown) = (Ambiguous::default(), Grown::default());
        let (router, seat) = (Router::new(), place.seat());
        (Connection { router, origin, ambiguous, grown, seat, room, answers }, place)
    }

    #[tokio::test]
    async fn an_answer_holds_its_memory_until_its_bytes_are_gone() {
        const SIZE: u64 = 1 << 20;
        let (connection, _place) = connection(SIZE);
        let memory = connection.memory(SIZE).await.expect("room");
        let told = |memory| Told {
            body: Body::from(vec![b'x'; 1 << 20]),
            memory,
            _at_work: Arc::new(AtWork(Arc::clone(&connection.seat))),
        };
        let bytes = told(memory).collect().await.expect("a body").to_bytes();
        assert_eq!(bytes.len() as u64, SIZE);
        assert!(connection.memory(SIZE).await.is_none(), "the body is gone, its bytes wait in a queue");
        assert!(connection.memory(100).await.is_some_and(|memory| memory.is_none()), "a small one needs none");
        connection.seat.is_known();
        assert!(connection.memory(SIZE).await.is_some(), "strangers have taken nothing of what callers have");
        drop(bytes);
        assert!(connection.memory(2 * SIZE).await.is_some(), "one that is larger than all of it gets all of it");
    }

    #[test]
    fn what_comes_of_a_body_after_the_answer_is_no_work() {
        let (connection, _place) = connection(1);
        let seat = &connection.seat;
        let at_work = Arc::new(AtWork(Arc::clone(seat)));
        let body = http_body_util::Full::new(Bytes::from_static(b"all of it"));
        let mut fed = Fed { body: body.clone(), at_work: Arc::downgrade(&at_work) };
        let next = |fed: &mut Fed<_>| fed.frame().now_or_never().expect("it is here");
        assert!(next(&mut fed).is_some() && !seat.is_idle(), "a request that has come is worked on");
        let mut late = Fed { body, at_work: Arc::downgrade(&at_work) };
        drop(at_work);
        assert!(seat.is_idle(), "it was answered");
        assert!(next(&mut late).is_some() && next(&mut late).is_none() && seat.is_idle());
    }
}
