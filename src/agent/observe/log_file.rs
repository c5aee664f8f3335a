//! The file that keeps the logs of connections over a restart of the agent. New lines are appended. When it has grown, or
//! lines could not be written, it is replaced by what the logs hold.

use super::connection_log::{Entry, Speaker};
use crate::{disk, error::Result, ipsec::ConnectionId};
use jiff::Timestamp;
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The file in the state directory.
const FILE: &str = "connections.log";
/// A file of more bytes is replaced; the logs themselves are bounded (`connection_log.rs`).
const LARGE: u64 = 8 << 20;
/// How many bytes of new lines may wait: with more, the file is replaced.
const WAITING: usize = 256 << 10;

/// The file, and what is to be written to it.
pub struct LogFile {
    path: PathBuf,
    large: u64,
    waiting: Mutex<Waiting>,
    /// One writes at a time.
    turn: Semaphore,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// The file lacks lines or may end in a part of one.
    is_torn: bool,
    has_failed: bool,
}

impl LogFile {
    /// The file in `state_dir`.
    pub fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join(FILE), large: LARGE, waiting: Mutex::default(), turn: Semaphore::new(1) }
    }

    /// Has a line written with the next ones.
    pub fn push(&self, id: ConnectionId, entry: &Entry) {
        let mut waiting = self.lock();
        waiting.lines.extend(written(id, entry));
        if waiting.lines.len() > WAITING {
            *waiting = Waiting { is_torn: true, has_failed: waiting.has_failed, ..Waiting::default() };
        }
    }

    /// The lines in the file, the oldest first. What is no line is passed over.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> Result<Vec<(ConnectionId, Entry)>> {
        let bytes = disk::read(&self.path)?.unwrap_or_default();
        self.lock().is_torn |= bytes.last().is_some_and(|last| *last != b'\n');
        Ok(bytes.split(|byte| *byte == b'\n').filter_map(line).collect())
    }

    /// Waits until nobody else writes.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turn.acquire().await.ok()
    }

    /// Writes what waits, or all of `snapshot` in place of the file.
    ///
    /// # Errors
    /// When it cannot be written, and the write before did not fail: the next one is of `snapshot`.
    pub fn write(&self, snapshot: impl FnOnce() -> Vec<u8>) -> Result<()> {
        let waiting = std::mem::take(&mut *self.lock());
        if !waiting.is_torn && waiting.lines.is_empty() {
            return Ok(());
        }
        let outcome = if waiting.is_torn {
            disk::replace(&self.path, &snapshot(), 0o600)
        } else {
            disk::append(&self.path, &waiting.lines, 0o600).map(|length| self.lock().is_torn = length > self.large)
        };
        let mut now = self.lock();
        now.is_torn |= outcome.is_err();
        now.has_failed = outcome.is_err();
        // Said once: the next writes fail for the same reason.
        if waiting.has_failed { Ok(()) } else { outcome }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line of the file.
pub fn written(id: ConnectionId, entry: &Entry) -> Vec<u8> {
    let is_own = entry.speaker == Speaker::Agent;
    let line = serde_json::json!([id.to_string(), entry.number, entry.at.as_microsecond(), is_own, entry.text]);
    format!("{line}\n").into_bytes()
}

/// What a line of the file says.
fn line(bytes: &[u8]) -> Option<(ConnectionId, Entry)> {
    let (id, number, at, is_own, text): (String, u64, i64, bool, String) = serde_json::from_slice(bytes).ok()?;
    let speaker = if is_own { Speaker::Agent } else { Speaker::Charon };
    let at = Timestamp::from_microsecond(at).ok()?;
    Some((id.parse().ok()?, Entry { number, at, speaker, text }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::observe::connection_log::Log;

    fn entry(number: u64) -> Entry {
        let at = Timestamp::from_microsecond(i64::try_from(number).expect("small")).expect("a time");
        Entry { number, at, speaker: Speaker::Charon, text: format!("line\n{number} \"é\"") }
    }

    /// The lines of the file as a log of at most `room` bytes.
    fn restored(file: &LogFile, room: usize) -> Vec<Entry> {
        let mut log = Log::default();
        file.read().expect("read").iter().for_each(|(_, entry)| log.restore(entry, room));
        log.lines(usize::MAX, 0)
    }

    #[test]
    fn lines_come_back_once_and_a_large_file_is_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut file = LogFile::new(directory.path());
        file.large = 2000;
        let (id, mut log) = (ConnectionId::random(), Log::default());
        for number in 1..=200 {
            let entry = entry(number);
            log.restore(&entry, 1000);
            file.push(id, &entry);
            // What waits may be in the snapshot too.
            let all = || log.lines(usize::MAX, 0).iter().flat_map(|entry| written(id, entry)).collect();
            file.write(all).expect("written");
            if number % 7 == 0 {
                file.push(id, &entry);
            }
            assert_eq!(restored(&file, 1000), log.lines(usize::MAX, 0), "{number}");
        }
        assert!(std::fs::metadata(&file.path).expect("it is there").len() < 4000);
    }

    #[test]
    fn a_torn_line_is_passed_over_and_one_that_failed_comes_later() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = LogFile::new(&directory.path().join("later"));
        let id = ConnectionId::random();
        file.push(id, &entry(1));
        file.write(Vec::new).expect_err("there is no directory");
        file.push(id, &entry(2));
        file.write(Vec::new).expect("it is said once");
        std::fs::create_dir(directory.path().join("later")).expect("created");
        file.write(|| [written(id, &entry(1)), written(id, &entry(2))].concat()).expect("written");
        disk::append(&file.path, b"[\"torn", 0o600).expect("appended");
        assert_eq!(restored(&file, 1000), [entry(1), entry(2)]);
        file.push(id, &entry(3));
        file.write(|| [1, 2, 3].map(|number| written(id, &entry(number))).concat()).expect("written");
        assert_eq!(restored(&file, 1000), [entry(1), entry(2), entry(3)]);
    }
}
