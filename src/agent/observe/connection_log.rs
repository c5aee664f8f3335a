//! The log of one connection: its lines of charon's log, and lines of the agent. It is in memory and bounded: the
//! fewer connections there are, the more lines each may keep. `log_file.rs` keeps it over a restart.

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
const STEP: usize = 128;

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
    /// Adds a line, and removes the oldest ones beyond `room` bytes. Returns the line as it is kept.
    pub fn add(&mut self, speaker: Speaker, text: &str, at: Timestamp, room: usize) -> Option<Entry> {
        let text = &text[..text.floor_char_boundary(WIDTH)];
        let length = u16::try_from(text.len()).ok()?;
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
        Some(Entry { number: self.count, at, speaker, text: text.to_owned() })
    }

    /// Adds a line of before with its number. One that is there already changes nothing. One behind a gap, or of a
    /// connection that was created again, begins the log anew.
    pub fn restore(&mut self, line: &Entry, room: usize) {
        let last = self.marks.back().map(|mark| mark.at_us);
        if line.number <= self.count && last.is_some_and(|last| line.at.as_microsecond() <= last) {
            return;
        }
        if line.number != self.count + 1 {
            *self = Self { count: line.number.saturating_sub(1), ..Self::default() };
        }
        self.add(line.speaker, &line.text, line.at, room);
    }

    /// The number of the last line that a reader has who read up to the line `number` of the time `at`. Where that line is
    /// lost, the time decides.
    #[must_use]
    pub fn known(&self, number: u64, at: Timestamp) -> u64 {
        let (before, at) = (self.count - self.marks.len() as u64, at.as_microsecond());
        let place = number.checked_sub(before + 1).and_then(|place| usize::try_from(place).ok());
        if place.and_then(|place| self.marks.get(place)).is_some_and(|mark| mark.at_us == at) {
            return number;
        }
        before + self.marks.iter().take_while(|mark| mark.at_us <= at).count() as u64
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
    fn a_reader_goes_on_where_it_was() {
        let (mut log, at) = (Log::default(), |us| Timestamp::from_microsecond(us).expect("a time"));
        assert_eq!(log.known(5, at(5)), 0);
        for (number, us) in (3..=8).zip((30..).step_by(10)) {
            let line = Entry { number, at: at(us), speaker: Speaker::Agent, text: "x".into() };
            log.restore(&line, 4096);
            log.restore(&line, 4096);
        }
        assert_eq!(log.lines(usize::MAX, 0).iter().map(|line| line.number).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8]);
        assert_eq!([log.known(5, at(50)), log.known(8, at(80)), log.known(1, at(10))], [5, 8, 2]);
        assert_eq!(log.known(8, at(65)), 6, "another line 8 was lost with the agent that had it");
        assert_eq!(log.known(u64::MAX, at(65)), 6);
        let again = Entry { number: 1, at: at(200), speaker: Speaker::Agent, text: "created again".into() };
        log.restore(&again, 4096);
        assert_eq!(log.lines(usize::MAX, 0), [again]);
    }

    #[test]
    fn few_connections_have_long_logs() {
        assert_eq!([0, 1, 1000, 10_000].map(room), [32 << 10, 32 << 10, 2097, 2 << 10]);
    }
}
