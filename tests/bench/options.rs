//! The options of the benchmark's command line.

use std::time::Duration;

/// The parts of the benchmark, in the order in which they run.
pub const PARTS: [&str; 8] = ["memory", "change", "callers", "queries", "idle", "starts", "storm", "up"];

/// What is measured, and how long.
pub struct Options {
    /// The parts, of [`PARTS`].
    pub parts: Vec<String>,
    /// How many connections are loaded, growing.
    pub sizes: Vec<u32>,
    /// How often each rival has its turn.
    pub rounds: usize,
    /// Changes of each rival in one turn.
    pub laps: usize,
    /// Changes that all callers make together in one turn.
    pub changes: u32,
    /// How long an agent is watched that has nothing to do.
    pub idle: Duration,
    /// How often the agent is started, for each kind of start.
    pub starts: usize,
    /// How long a storm is measured.
    pub storm: Duration,
}

impl Options {
    /// Reads the arguments; `cargo bench` adds `--bench`.
    ///
    /// # Errors
    /// With what is wrong with them, and what there is.
    pub fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let arguments: Vec<_> = arguments.filter(|argument| argument != "--bench").collect();
        let small = arguments.iter().any(|argument| argument == "--small");
        let mut options = if small { Self::small() } else { Self::whole() };
        let mut rest = arguments.iter().filter(|argument| *argument != "--small");
        while let Some(argument) = rest.next() {
            let value = rest.next().ok_or_else(usage)?;
            match argument.as_str() {
                "--only" => options.parts = value.split(',').map(Into::into).collect(),
                "--sizes" => options.sizes = numbers(value)?,
                "--rounds" => options.rounds = number(value)?,
                "--laps" => options.laps = number(value)?,
                "--starts" => options.starts = number(value)?,
                _ => return Err(usage()),
            }
        }
        options.sizes.sort_unstable();
        options.sizes.dedup();
        let known = options.parts.iter().all(|part| PARTS.contains(&part.as_str()));
        let sound = known && !options.sizes.is_empty() && options.sizes.iter().all(|size| (1..=10_000).contains(size));
        if sound && options.rounds > 0 && options.laps > 0 { Ok(options) } else { Err(usage()) }
    }

    fn whole() -> Self {
        Self {
            parts: PARTS.map(Into::into).to_vec(),
            sizes: vec![1, 100, 1000, 5000, 10_000],
            rounds: 5,
            laps: 20,
            changes: 1000,
            idle: Duration::from_mins(1),
            starts: 3,
            storm: Duration::from_mins(1),
        }
    }

    /// A look whether everything still runs; its figures say little.
    fn small() -> Self {
        let (sizes, idle, storm) = (vec![1, 100], Duration::from_secs(3), Duration::from_secs(2));
        Self { sizes, rounds: 2, laps: 4, changes: 64, idle, starts: 1, storm, ..Self::whole() }
    }

    /// Whether `part` is wanted.
    pub fn has(&self, part: &str) -> bool {
        self.parts.iter().any(|wanted| wanted == part)
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| usage())
}

fn numbers(text: &str) -> Result<Vec<u32>, String> {
    text.split(',').map(|number| number.parse().map_err(|_| usage())).collect()
}

fn usage() -> String {
    format!(
        "cargo bench --bench gateway -- [--small] [--only {}] [--sizes 1,100,.. (up to 10000)] [--rounds N] [--laps N] [--starts N]",
        PARTS.join(",")
    )
}
