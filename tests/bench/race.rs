//! Rivals that run in turns, and what their times say. The machine is noisy: who runs alone is measured together with
//! whatever else happened then, so rivals take turns lap by lap, and ratios are made within a round.

use std::time::{Duration, Instant};

/// One who runs.
pub struct Runner<'a> {
    name: String,
    laps: usize,
    lap: Box<dyn FnMut() -> Duration + 'a>,
}

impl<'a> Runner<'a> {
    /// `lap` does the work once and says how long the part of it took that counts.
    pub fn new(name: impl Into<String>, laps: usize, lap: impl FnMut() -> Duration + 'a) -> Self {
        Self { name: name.into(), laps, lap: Box::new(lap) }
    }
}

/// The times of one runner, round by round, in milliseconds.
pub struct Entry {
    /// Who.
    pub name: String,
    /// The laps of each round.
    pub rounds: Vec<Vec<f64>>,
}

/// A median with its quartiles.
#[derive(Clone, Copy)]
pub struct Spread {
    /// A quarter is below it.
    pub low: f64,
    /// The median.
    pub middle: f64,
    /// A quarter is above it.
    pub high: f64,
}

impl Entry {
    /// The spread of all laps.
    pub fn spread(&self) -> Spread {
        Spread::of(self.rounds.concat())
    }

    /// How many times as long as `other`: the spread over the rounds of the ratio of medians.
    pub fn against(&self, other: &Self) -> Spread {
        let middle = |laps: &Vec<f64>| Spread::of(laps.clone()).middle;
        Spread::of(self.rounds.iter().zip(&other.rounds).map(|(own, its)| middle(own) / middle(its)).collect())
    }
}

impl Spread {
    /// The spread of these values; panics if there are none.
    pub fn of(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "nothing was measured");
        values.sort_unstable_by(f64::total_cmp);
        let at = |quarter: usize| {
            // Between two values it is their mean, weighted by nearness.
            let (place, part) = ((values.len() - 1) * quarter / 4, (values.len() - 1) * quarter % 4);
            let next = values[(place + 1).min(values.len() - 1)];
            values[place] + (next - values[place]) * [0.0, 0.25, 0.5, 0.75][part]
        };
        Self { low: at(1), middle: at(2), high: at(3) }
    }
}

/// Lets the runners take turns. Who runs several laps a round has one before the first round that does not count.
pub fn race(what: &str, rounds: usize, mut runners: Vec<Runner<'_>>) -> Vec<Entry> {
    let began = Instant::now();
    for runner in runners.iter_mut().filter(|runner| runner.laps > 1) {
        (runner.lap)();
    }
    let mut entries: Vec<_> =
        runners.iter().map(|runner| Entry { name: runner.name.clone(), rounds: Vec::new() }).collect();
    for round in 0..rounds {
        crate::progress(&format!("{what}: round {} of {rounds}, {:.0} s", round + 1, began.elapsed().as_secs_f64()));
        for entry in &mut entries {
            entry.rounds.push(Vec::new());
        }
        let laps = runners.iter().map(|runner| runner.laps).max().unwrap_or(0);
        for lap in 0..laps {
            for turn in 0..runners.len() {
                // Nobody is always the one who comes after a certain other.
                let who = (turn + lap + round) % runners.len();
                if lap < runners[who].laps {
                    let time = (runners[who].lap)();
                    entries[who].rounds[round].push(time.as_secs_f64() * 1000.0);
                }
            }
        }
    }
    entries
}

/// How long `work` takes, and what came of it.
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed(), done)
}
