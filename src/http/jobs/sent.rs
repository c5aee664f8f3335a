//! When an answer has been sent: a web hook that comes before its 202 is lost on clients that do not wait for it yet.

use axum::{body::Body, response::Response};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::oneshot, time::sleep};

/// To be put into the answer.
pub struct Mark(oneshot::Sender<()>);

/// Knows when the answer has gone.
pub struct Sent(oneshot::Receiver<()>);

/// The two ends.
pub fn signal() -> (Mark, Sent) {
    let (mark, sent) = oneshot::channel();
    (Mark(mark), Sent(sent))
}

impl Mark {
    /// The answer, marked.
    pub fn with(self, answer: Response) -> Response {
        answer.map(|body| Body::new(Marked { body, _mark: self.0 }))
    }
}

impl Sent {
    /// Waits until the answer was handed to the connection, or given up, `delay` ago.
    pub async fn long_ago(self, delay: Duration) {
        // It is never sent: the mark goes when the server has done with the answer's body.
        let _ = self.0.await;
        sleep(delay).await;
    }
}

/// A body that the server drops when it has written it.
struct Marked {
    body: Body,
    _mark: oneshot::Sender<()>,
}

impl HttpBody for Marked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
