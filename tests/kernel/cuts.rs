//! Power cuts while the agent writes: what it has acknowledged is there afterwards, and nothing that was not asked for.
//! The same with an agent whose fsync does nothing must fail, or the test would prove nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::machine::{Machine, disk, preloaded};
use crate::say;
use crate::support::{skipped, wait_until};
use crate::writes::{State, after, write};

/// How long a machine may take until it has written, on a busy host.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a life of the machine has left: what it found, and how far it came.
struct CharonLink {
    found: State,
    torn: Vec<Value>,
    /// The number of the first write that was begun, and of those begun and of those acknowledged.
    first: u32,
    begun: u32,
    done: u32,
}

impl CharonLink {
    /// What may be found after it: all that was acknowledged, and perhaps the write that was on its way.
    fn leaves(&self) -> [State; 2] {
        let until = |count: u32| {
            let numbers = self.first..self.first + count;
            numbers.fold(self.found.clone(), |state, n| after(write(n, &state), state))
        };
        [until(self.done), until(self.begun)]
    }
}

/// Boots, and cuts the power after so many writes were acknowledged; with a library preloaded into the agent.
#[track_caller]
fn life(disk: &Path, first: u32, writes: u32, preload: Option<&Path>) -> CharonLink {
    let program = std::env::current_exe().expect("this program has a path");
    let preload = preload.map(|path| format!("CYGNET_PRELOAD='{}'", path.display())).unwrap_or_default();
    let work = format!(
        "{preload} CYGNET_FIRST={first} exec '{}' --ignored --nocapture --exact on_power::until_the_power_goes\n",
        program.display()
    );
    let machine = Machine::boot(&work, Some(disk));
    let read = |name: &str| fs::read_to_string(machine.share().join(name)).unwrap_or_default();
    let count = |what: &str| -> u32 {
        let lines = read("journal").lines().filter(|line| line.starts_with(what)).count();
        u32::try_from(lines).expect("a few")
    };
    wait_until(PATIENCE, "the agent has written", || {
        assert!(machine.runs(), "{:?}", machine.ended());
        (count("done ") >= writes && !read("found").is_empty()).then_some(())
    });
    machine.cut();
    let found: Value = serde_json::from_str(&read("found")).unwrap_or_else(|error| panic!("found: {error}"));
    CharonLink {
        found: serde_json::from_value(found["state"].clone()).unwrap_or_else(|error| panic!("{found}: {error}")),
        torn: found["torn"].as_array().cloned().unwrap_or_default(),
        first,
        begun: count("begin "),
        done: count("done "),
    }
}

#[test]
#[ignore = "make kernel"]
fn what_was_acknowledged_survives() {
    if let Err(why) = Machine::available() {
        return skipped(&why);
    }
    let directory = tempfile::tempdir().expect("a directory");
    let disk = disk(directory.path());
    let mut before = life(&disk, 0, 6, None);
    assert!(before.found.is_empty(), "the disk was new");
    let mut writes = before.done;
    // Cut after one write more each time, so that each kind of them is the last.
    for lives in 1..5 {
        let now = life(&disk, before.first + before.begun, 6 + lives, None);
        assert!(now.torn.is_empty(), "{:?}", now.torn);
        let leaves = before.leaves();
        assert!(leaves.contains(&now.found), "found {:?}, acknowledged or attempted {leaves:?}", now.found);
        writes += now.done;
        before = now;
    }
    say(format!("5 power cuts in {writes} writes, nothing lost"));
}

/// The check sees a loss where there is one.
#[test]
#[ignore = "make kernel"]
fn what_was_not_synced_is_lost() {
    if let Err(why) = Machine::available() {
        return skipped(&why);
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (disk, library) = (disk(directory.path()), preloaded("nofsync.c", directory.path()));
    let before = life(&disk, 0, 7, Some(&library));
    let now = life(&disk, before.first + before.begun, 1, None);
    let leaves = before.leaves();
    assert!(!leaves.contains(&now.found) || !now.torn.is_empty(), "found {:?} of {leaves:?}", now.found);
}
