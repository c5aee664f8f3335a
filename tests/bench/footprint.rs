//! The agent's memory and processor time while it is mostly idle, with charon's beside it.

use std::fs;
use std::time::Instant;

use crate::options::Options;
use crate::race::Entry;
use crate::report::Contest;
use crate::world::{SIDE, World};

/// Times in `/proc/PID/stat` are in hundredths of a second on every Linux that Debian runs on.
const TICKS: f64 = 100.0;

/// When memory is looked at: for `Contest::key`, and for people.
pub type Moment = (&'static str, &'static str);
/// The agent is ready, and no peer was tried.
pub const STARTED: Moment = ("memory", "Resident memory after the start");
/// All that is kept of a connection is there, the lines of charon's log too.
pub const TRIED: Moment = ("memory_tried", "Resident memory when every peer was tried");

/// The resident memory of both programs.
pub fn memory(world: &World, (key, title): Moment) -> Contest {
    let entry = |name: &str, pid| Entry { name: name.to_owned(), rounds: vec![vec![resident(pid)]] };
    Contest {
        key,
        title: title.to_owned(),
        size: world.size,
        unit: "KiB",
        entries: pids(world).map(|(name, pid)| entry(name, pid)).into(),
    }
}

/// What each connection adds to the memory of both: from the smallest to the largest number that was measured.
pub fn per_connection(contests: &[Contest]) -> Option<Contest> {
    let mut measured = contests.iter().filter(|contest| contest.key == TRIED.0);
    let few = measured.next()?;
    let many = measured.next_back()?;
    let added = f64::from(many.size - few.size);
    let entry = |(more, less): (&Entry, &Entry)| Entry {
        name: more.name.clone(),
        rounds: vec![vec![(more.spread().middle - less.spread().middle) / added]],
    };
    Some(Contest {
        key: "memory_per_connection",
        title: format!("Resident memory per connection, from {} connections on", few.size),
        size: many.size,
        unit: "KiB",
        entries: many.entries.iter().zip(&few.entries).map(entry).collect(),
    })
}

/// The processor time of both programs while nobody calls; in percent of one core.
pub fn idle(world: &World, options: &Options) -> Contest {
    crate::progress(&format!("watching for {} s", options.idle.as_secs()));
    let before = pids(world).map(|(_, pid)| processor_time(pid));
    let start = Instant::now();
    world.idle(options.idle);
    let elapsed = start.elapsed().as_secs_f64();
    let share = |(i, (name, pid)): (usize, (&str, i32))| {
        let percent = 100.0 * (processor_time(pid) - before[i]) / elapsed;
        Entry { name: name.to_owned(), rounds: vec![vec![percent]] }
    };
    Contest {
        key: "idle",
        title: format!("Processor time over {} s in which nobody calls", options.idle.as_secs()),
        size: world.size,
        unit: "% of a core",
        entries: pids(world).into_iter().enumerate().map(share).collect(),
    }
}

/// The processor time of the programs at one moment.
pub struct Spent {
    at: Instant,
    seconds: Vec<(&'static str, i32, f64)>,
}

impl Spent {
    /// Now.
    pub fn now(world: &World) -> Self {
        let of = |(name, pid)| (name, pid, processor_time(pid));
        Self { at: Instant::now(), seconds: all(world).into_iter().map(of).collect() }
    }

    /// What was spent since, in percent of a core.
    pub fn until_now(self) -> Vec<Entry> {
        let elapsed = self.at.elapsed().as_secs_f64();
        let share = |(name, pid, before): (&str, i32, f64)| {
            let percent = 100.0 * (processor_time(pid) - before) / elapsed;
            Entry { name: name.to_owned(), rounds: vec![vec![percent]] }
        };
        self.seconds.into_iter().map(share).collect()
    }
}

/// Forgets the most memory so far.
pub fn reset_peak(world: &World) {
    for (_, pid) in all(world) {
        fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the kernel takes it");
    }
}

/// The most resident memory since then.
pub fn peak(world: &World) -> Vec<Entry> {
    let entry = |(name, pid): (&str, i32)| Entry { name: name.to_owned(), rounds: vec![vec![status(pid, "VmHWM:")]] };
    all(world).into_iter().map(entry).collect()
}

/// Both programs, and what answers for the peers if it runs.
fn all(world: &World) -> Vec<(&'static str, i32)> {
    let responder = world.lab.charon_pid(SIDE.other()).map(|pid| ("what answers for the peers", pid));
    pids(world).into_iter().chain(responder).collect()
}

fn pids(world: &World) -> [(&'static str, i32); 2] {
    let agent = world.agent.pid().expect("the agent runs");
    [("cygnet", agent), ("charon", world.lab.charon_pid(SIDE).expect("charon runs"))]
}

/// `VmRSS` in KiB.
fn resident(pid: i32) -> f64 {
    status(pid, "VmRSS:")
}

/// A size of `/proc/PID/status` in KiB.
fn status(pid: i32, name: &str) -> f64 {
    let status = read(&format!("/proc/{pid}/status"));
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Seconds of user and system time of all its threads.
fn processor_time(pid: i32) -> f64 {
    let stat = read(&format!("/proc/{pid}/stat"));
    // Behind the name, which may hold anything, the third member on: utime and stime are the 14th and the 15th.
    let members: Vec<_> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks = |place: usize| members[place - 3].parse::<f64>().expect("a number");
    (ticks(14) + ticks(15)) / TICKS
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
