//! What the tests against a real charon, and the demo, stand on: a lab of two gateways, the agent in it, and an HTTP
//! client. It may panic (it is test code, and says which command failed and why); it may not use anything of the
//! library under test, and it sleeps in one place only: [`poll`].
#![allow(dead_code, unused_imports, reason = "each test binary and the demo use a part of it")]

use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

pub mod agent;
mod executables;
pub mod http;
pub mod lab;
mod skip;

pub use skip::skipped;

/// How often a condition is looked at while waiting for it.
const STEP: Duration = Duration::from_millis(20);

/// Asks `check` every 20 ms until it answers; `None` after `timeout`. It is asked at least once. One that takes longer has
/// as long a pause: what is waited for needs the processor too.
pub fn poll<T>(timeout: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + timeout;
    loop {
        let asked = Instant::now();
        if let Some(answer) = check() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(asked.elapsed().max(STEP));
    }
}

/// As [`poll`], but panics with `what` when the time is over: tests wait for a thing, never for a time.
#[track_caller]
pub fn wait_until<T>(timeout: Duration, what: &str, check: impl FnMut() -> Option<T>) -> T {
    let Some(answer) = poll(timeout, check) else { panic!("not seen within {timeout:?}: {what}") };
    answer
}

/// Runs a command that must succeed; panics with the command and its stderr when it does not.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs a command and returns what it did, success or not; panics only when it cannot be started.
#[track_caller]
pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
}
