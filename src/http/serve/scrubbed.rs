//! A future whose calls leave nothing on the stack. What parses a head and compares a token moves them through the
//! registers of the processor and through locals, and what returns does not wipe them: until another call needs that
//! place, a session or a key would lie in it, and a thread's stack lives as long as the agent.

use std::{
    hint::black_box,
    pin::Pin,
    task::{Context, Poll},
};

/// How deep the calls of a request go, in bytes; a thread's stack has 2 MiB.
const DEPTH: usize = 128 * 1024;

/// The future, with the stack below it wiped whenever it pauses.
pub struct Scrubbed<'a, F>(pub Pin<&'a mut F>);

impl<F: Future> Future for Scrubbed<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = self.0.as_mut().poll(cx);
        wipe();
        polled
    }
}

/// Zeros where the calls before had their locals. In a frame of its own, which begins where theirs did.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "the stack is what is wiped")]
fn wipe() {
    black_box(&mut [0_u8; DEPTH]);
}
