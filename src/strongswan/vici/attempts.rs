//! Initiations that wait for the socket. Many go in one exchange: charon answers each when it has begun it, which takes no
//! time; but on a busy gateway each round trip waits for the processor several times, and a thousand of them, one after the
//! other, take longer than the negotiations.

use super::socket::Failure;
use crate::strongswan::{packet::Packet, section::Section};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// The most in one exchange: whatever holds up one of them holds up those behind it.
const TOGETHER: usize = 16;

/// How long charon took, and its answer.
pub type Outcome = Result<(Duration, Section), Failure>;

/// Those that wait for the socket, the first one first.
#[derive(Default)]
pub struct Attempts(Mutex<Vec<(Packet, oneshot::Sender<Outcome>)>>);

impl Attempts {
    /// Adds one; where its outcome comes.
    pub fn add(&self, request: Packet) -> oneshot::Receiver<Outcome> {
        let (answer, answered) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((request, answer));
        answered
    }

    /// The next ones. Those that nobody waits for any more are not begun.
    pub fn take(&self) -> (Vec<Packet>, Vec<oneshot::Sender<Outcome>>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, answer)| !answer.is_closed());
        let count = all.len().min(TOGETHER);
        all.drain(..count).unzip()
    }
}

#[cfg(test)]
#[test]
fn those_that_wait_go_together_and_in_their_order() {
    let attempts = Attempts::default();
    let request = |n: usize| Packet::Register(n.to_string());
    let mut waiting: Vec<_> = (0..TOGETHER + 3).map(|n| attempts.add(request(n))).collect();
    drop(waiting.remove(1));
    let (first, answers) = attempts.take();
    let wanted: Vec<_> = (0..=TOGETHER).filter(|n| *n != 1).map(request).collect();
    assert_eq!((first, answers.len()), (wanted, TOGETHER));
    assert_eq!(attempts.take().0, [request(TOGETHER + 1), request(TOGETHER + 2)]);
    assert!(attempts.take().0.is_empty());
}
