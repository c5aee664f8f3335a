//! The log of one connection: its lines of charon's log, and lines of the agent. It is in memory and bounded: the
//! fewer connections there are, the more lines each may keep.

use jiff::Timestamp;
use std::collections::VecDeque;

/// The most bytes of a line.
const WIDTH: usize = 400;
/// How many bytes the lines of all connections may have.
const ALL: usize = 2 << 20;
/// How many those of one connection may have at least.
const EACH_LEAST: usize = 2 << 10;
/// How many those of one connection may have at most.
const EACH_MOST: usize = 32 << 10;
/// By how much the memory grows: doubling would leave half of it empty.
const STEP: usize = 512;

/// The source of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// charon.
    Charon,
    /// This agent.
    Agent,
}

/// A line of a connection's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The line's number in this connection, from 1.
    pub number: u64,
    /// When it was received.
    pub at: Timestamp,
    /// Its source.
    pub speaker: Speaker,
    /// The text; never a key.
    pub text: String,
}

/// The bytes for the log of one of `count` connections.
#[must_use]
pub fn room(count: usize) -> usize {
    (ALL / count.max(1)).clamp(EACH_LEAST, EACH_MOST)
}

/// The last lines, with their texts in one buffer: thousands of small strings would take twice the memory.
#[derive(Debug, Default)]
pub struct Log {
    texts: String,
    marks: VecDeque<Mark>,
    /// The number of lines so far.
    count: u64,
}

/// A line without its text; its number follows from its position.
#[derive(Debug)]
struct Mark {
    at_us: i64,
    length: u16,
    speaker: Speaker,
}

impl Log {
    /// Adds a line, and removes the oldest ones beyond `room` bytes.
    pub fn add(&mut self, speaker: Speaker, text: &str, at: Timestamp, room: usize) {
        let text = &text[..text.floor_char_boundary(WIDTH)];
        let Ok(length) = u16::try_from(text.len()) else { return };
        self.make_room(text.len(), room);
        self.count += 1;
        if self.texts.capacity() - self.texts.len() < text.len() {
            self.texts.reserve_exact(text.len().max(STEP));
        }
        self.texts.push_str(text);
        if self.marks.len() == self.marks.capacity() {
            self.marks.reserve_exact(STEP / size_of::<Mark>());
        }
        self.marks.push_back(Mark { at_us: at.as_microsecond(), length, speaker });
    }

    fn make_room(&mut self, length: usize, room: usize) {
        let (mut bytes, mut lines) = (0, 0);
        let taken = |bytes: usize, lines: usize| {
            self.texts.len() - bytes + length + (self.marks.len() - lines + 1) * size_of::<Mark>()
        };
        while taken(bytes, lines) > room && lines < self.marks.len() {
            bytes += usize::from(self.marks[lines].length);
            lines += 1;
        }
        self.marks.drain(..lines);
        self.texts.drain(..bytes);
        if self.texts.capacity() > room {
            self.texts.shrink_to(room);
        }
    }

    /// The last `count` lines after the line `after`.
    #[must_use]
    pub fn lines(&self, count: usize, after: u64) -> Vec<Entry> {
        let first = self.count - self.marks.len() as u64 + 1;
        let skipped = usize::try_from((after + 1).saturating_sub(first)).unwrap_or(usize::MAX).min(self.marks.len());
        let skipped = skipped.max(self.marks.len().saturating_sub(count));
        let mut rest = self.texts.as_str();
        let entry = |(number, mark): (u64, &Mark)| {
            let (text, behind) = rest.split_at(mark.length.into());
            rest = behind;
            let at = Timestamp::from_microsecond(mark.at_us).unwrap_or_default();
            Entry { number, at, speaker: mark.speaker, text: text.to_owned() }
        };
        (first..).zip(&self.marks).map(entry).skip(skipped).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_keeps_its_numbers() {
        let mut log = Log::default();
        for n in 0..1000 {
            log.add(Speaker::Charon, &format!("{n}: {}", "é".repeat(n)), Timestamp::UNIX_EPOCH, 4096);
            assert!(log.texts.capacity() <= 4096, "{}", log.texts.capacity());
        }
        let all = log.lines(usize::MAX, 0);
        assert!(all.iter().map(|line| line.text.len()).sum::<usize>() <= 4096 && all.len() > 5);
        assert_eq!(all.last().map(|line| line.number), Some(1000));
        assert!(all.iter().all(|line| line.text.starts_with(&format!("{}: é", line.number - 1))));
        assert_eq!(log.lines(2, 0), all[all.len() - 2..]);
        assert_eq!(log.lines(usize::MAX, 999), all[all.len() - 1..]);
        assert!(log.lines(usize::MAX, 1000).is_empty() && log.lines(usize::MAX, 5000).is_empty());
        log.add(Speaker::Agent, "the last", Timestamp::UNIX_EPOCH, 1);
        assert_eq!(log.lines(usize::MAX, 0).len(), 1, "one is always kept");
    }

    #[test]
    fn few_connections_have_long_logs() {
        assert_eq!([0, 1, 1000, 10_000].map(room), [32 << 10, 32 << 10, 2097, 2 << 10]);
    }
}
