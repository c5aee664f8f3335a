//! The file that keeps the logs of connections over a restart of the agent. New lines are appended. When it has grown, or
//! lines could not be written, it is replaced by what the logs hold.

use super::connection_log::{Entry, Speaker};
use crate::{
    disk::{
        self,
        open::{self, Kind},
    },
    error::{Error, Result},
    ipsec::ConnectionId,
};
use jiff::Timestamp;
use std::{
    io::{BufRead, BufReader, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// The file in the state directory.
const FILE: &str = "connections.log";
/// A file of more bytes is replaced, unless the logs themselves have nearly as many.
const LARGE: u64 = 8 << 20;
/// How many bytes the logs of all connections may have in the file: it is read again only if it has less than 32 MiB.
const WHOLE: usize = 20 << 20;
/// How many bytes of new lines wait for their time, and how many at most: with more, the file is replaced.
const FULL: usize = 64 << 10;
const WAITING: usize = 256 << 10;

/// The file, and what is to be written to it.
pub struct LogFile {
    path: PathBuf,
    large: u64,
    waiting: Mutex<Waiting>,
    /// Notified when so much waits that it is to be written at once.
    full: Arc<Notify>,
    /// One writes at a time.
    turn: Semaphore,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// The file lacks lines or may end in a part of one.
    is_torn: bool,
    has_failed: bool,
    /// How long the file was when it was replaced; 0 if it was not yet.
    whole: u64,
}

impl LogFile {
    /// The file in `state_dir`.
    pub fn new(state_dir: &Path) -> Self {
        let (waiting, full, turn) = (Mutex::default(), Arc::default(), Semaphore::new(1));
        Self { path: state_dir.join(FILE), large: LARGE, waiting, full, turn }
    }

    /// Has a line written with the next ones.
    pub fn push(&self, id: ConnectionId, entry: &Entry) {
        let mut waiting = self.lock();
        let before = waiting.lines.len();
        put(&mut waiting.lines, id, entry);
        if waiting.lines.len() > WAITING {
            *waiting = Waiting { lines: Vec::new(), is_torn: true, ..*waiting };
        } else if before < FULL && waiting.lines.len() >= FULL {
            self.full.notify_one();
        }
    }

    /// Is notified when lines are to be written before their time.
    pub fn full(&self) -> Arc<Notify> {
        Arc::clone(&self.full)
    }

    /// Gives `take` the lines in the file, the oldest first. What is no line is passed over.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, mut take: impl FnMut(ConnectionId, Entry)) -> Result<()> {
        let fail = |e| Error::storage("read", &self.path, e);
        let mut file = match open::open(&self.path, Kind::State) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => BufReader::new(opened.map_err(fail)?.0),
        };
        let mut bytes = Vec::new();
        while file.read_until(b'\n', &mut bytes).map_err(fail)? > 0 {
            self.lock().is_torn |= bytes.last() != Some(&b'\n');
            if let Some((id, entry)) = line(&bytes) {
                take(id, entry);
            }
            bytes.clear();
        }
        Ok(())
    }

    /// Waits until nobody else writes.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turn.acquire().await.ok()
    }

    /// Writes what waits, or all pieces of `snapshot` in place of the file.
    ///
    /// # Errors
    /// When it cannot be written, and the write before did not fail: the next one is of `snapshot`.
    pub fn write<I: Iterator<Item = Vec<u8>>>(&self, snapshot: impl FnOnce() -> I) -> Result<()> {
        let waiting = {
            let mut now = self.lock();
            let whole = now.whole;
            std::mem::replace(&mut *now, Waiting { whole, ..Waiting::default() })
        };
        if !waiting.is_torn && waiting.lines.is_empty() {
            return Ok(());
        }
        let outcome = if waiting.is_torn {
            disk::replace_by(&self.path, snapshot(), 0o600).map(|length| self.lock().whole = length)
        } else {
            disk::append(&self.path, &waiting.lines, 0o600).map(|length| {
                let most = self.large.max(waiting.whole + self.large / 2);
                self.lock().is_torn |= length > most;
            })
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

/// The lines of one of `count` connections for the file, all or the newest: with thousands, each has a share of it.
pub fn piece(id: ConnectionId, lines: &[Entry], count: usize) -> Vec<u8> {
    let (mut piece, share) = (Vec::new(), WHOLE / count.max(1));
    for line in lines {
        put(&mut piece, id, line);
    }
    if let Some(over) = piece.len().checked_sub(share).filter(|over| *over > 0) {
        let end = piece[over - 1..].iter().position(|byte| *byte == b'\n');
        piece.drain(..end.map_or(piece.len(), |end| over + end));
    }
    piece
}

/// Appends a line of the file.
fn put(lines: &mut Vec<u8>, id: ConnectionId, entry: &Entry) {
    let is_own = entry.speaker == Speaker::Agent;
    let line = (id.to_string(), entry.number, entry.at.as_microsecond(), is_own, &entry.text);
    // Texts and numbers have JSON, and memory takes it.
    let _ = serde_json::to_writer(&mut *lines, &line);
    lines.push(b'\n');
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
        file.read(|_, entry| log.restore(&entry, room)).expect("read");
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
            let all = || std::iter::once(piece(id, &log.lines(usize::MAX, 0), 1));
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
        let of = |numbers: &[u64]| {
            let lines: Vec<_> = numbers.iter().map(|number| entry(*number)).collect();
            std::iter::once(piece(id, &lines, 1))
        };
        file.push(id, &entry(1));
        file.write(|| of(&[])).expect_err("there is no directory");
        file.push(id, &entry(2));
        file.write(|| of(&[])).expect("it is said once");
        std::fs::create_dir(directory.path().join("later")).expect("created");
        file.write(|| of(&[1, 2])).expect("written");
        disk::append(&file.path, b"[\"torn", 0o600).expect("appended");
        assert_eq!(restored(&file, 1000), [entry(1), entry(2)]);
        file.push(id, &entry(3));
        file.write(|| of(&[1, 2, 3])).expect("written");
        assert_eq!(restored(&file, 1000), [entry(1), entry(2), entry(3)]);
    }

    #[test]
    fn logs_that_are_large_themselves_are_not_written_anew_for_each_line() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut file = LogFile::new(directory.path());
        file.large = 2000;
        let (id, lines, mut whole) = (ConnectionId::random(), (1..=100).map(entry).collect::<Vec<_>>(), 0);
        for _ in 0..100 {
            file.push(id, &entry(101));
            let snapshot = || {
                whole += 1;
                std::iter::once(piece(id, &lines, 1))
            };
            file.write(snapshot).expect("written");
        }
        assert!((1..20).contains(&whole), "{whole} times");
    }

    #[tokio::test]
    async fn many_lines_are_written_before_their_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, id, full) = (LogFile::new(directory.path()), ConnectionId::random(), FULL as u64);
        (1..full / 40).for_each(|number| file.push(id, &entry(number)));
        file.full().notified().await;
        file.write(|| -> std::iter::Empty<_> { panic!("nothing is lost") }).expect("appended");
    }

    #[test]
    fn each_of_many_has_a_share_of_the_file() {
        let (id, lines) = (ConnectionId::random(), (1..=100).map(entry).collect::<Vec<_>>());
        let whole = piece(id, &lines, 1);
        for count in (1..30_000).step_by(321) {
            let part = piece(id, &lines, count);
            assert!(part.len() <= WHOLE / count && whole.ends_with(&part), "{count}");
            assert!(part.is_empty() || part.starts_with(b"["), "{count}: whole lines");
            assert!(part.len() + 100 > whole.len().min(WHOLE / count), "{count}: as many as there is room for");
        }
    }
}
