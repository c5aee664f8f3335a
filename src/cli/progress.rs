//! A progress line on a terminal, which is cleared at the end.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};
use tokio::time::{Instant, sleep};

use super::look::safe;

/// How often the line is written anew.
const TICK: Duration = Duration::from_secs(1);
/// Back to the start of the line, and clear it (ECMA-48).
const CLEAR: &str = "\r\u{1b}[K";
/// The longest line in characters: a longer one would wrap and could not be cleared.
const LONGEST: usize = 70;

/// The line.
pub struct Progress {
    is_shown: bool,
    start: Instant,
    is_dirty: bool,
}

impl Progress {
    /// Without a line yet.
    pub fn new() -> Self {
        Self { is_shown: std::io::stderr().is_terminal(), start: Instant::now(), is_dirty: false }
    }

    /// The start of the wait.
    pub fn waited(&self) -> Duration {
        self.start.elapsed()
    }

    /// Waits until the line is to be written anew.
    pub async fn tick(&self) {
        sleep(TICK).await;
    }

    /// Shows what is waited for.
    pub fn say(&mut self, what: &str) {
        if self.is_shown {
            let what: String = safe(what).chars().take(LONGEST).collect();
            self.is_dirty = true;
            write(&format!("{CLEAR}{what} ... {} s", self.start.elapsed().as_secs()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_dirty {
            write(CLEAR);
        }
    }
}

fn write(text: &str) {
    let mut out = std::io::stderr();
    // A terminal that is gone needs no progress.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
