//! `make bench`: how fast the agent is beside a real charon, with up to ten thousand connections, and how fast its
//! rivals are on the same machine in the same minutes. It asserts that the work was done, never a time.
#![expect(clippy::print_stdout, reason = "tables are what it prints")]

#[path = "../support/mod.rs"]
mod support;

mod bare;
mod change;
mod footprint;
mod machine;
mod many;
mod options;
mod picture;
mod race;
mod report;
mod seed;
mod starts;
mod storm;
mod up;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

use serde_json::json;

use machine::Machine;
use options::Options;
use report::Contest;
use storm::Peers;
use support::lab::Lab;
use world::World;

fn main() -> ExitCode {
    let options = match Options::read(env::args().skip(1)) {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    if let Err(why) = Lab::available() {
        println!("SKIPPED: {why}");
        return ExitCode::SUCCESS;
    }
    let start = Instant::now();
    let mut world = World::new();
    let machine = Machine::this(world.bare().version());
    println!("{}", machine.line());
    let mut results = Results { machine, contests: Vec::new() };
    if options.parts.iter().any(|part| part != "storm" && part != "up") {
        measure(&mut world, &options, &mut results);
    }
    drop(world);
    storms(&options, &mut results);
    ups(&options, &mut results);
    println!("\n{}", report::summary(&results.contests));
    println!("{:.0} s in all; the results lie in {}. {NOTE}", start.elapsed().as_secs_f64(), directory().display());
    ExitCode::SUCCESS
}

/// What has to be known to read the tables.
const NOTE: &str = "Calm: no peer answers, every one is tried once and given up after 4 s; then changes are \
                    measured, while they are tried again, five in two seconds, under all rivals alike. Rivals take \
                    turns, lap by lap; ratios are made within a round, and quartiles are shown.";

/// All parts that are wanted.
fn measure(world: &mut World, options: &Options, results: &mut Results) {
    for size in &options.sizes {
        world.grow(*size);
        if options.has("memory") {
            results.add(footprint::memory(world, footprint::STARTED));
        }
        if options.has("memory") || options.has("change") || options.has("idle") {
            world.settle();
        }
        if options.has("memory") {
            results.add(footprint::memory(world, footprint::TRIED));
        }
        if options.has("change") {
            results.add(change::one_change(world, options));
        }
    }
    calm(world, options, results);
}

/// What is measured while all connections are negotiated at once, on a gateway of its own.
fn storms(options: &Options, results: &mut Results) {
    if !options.has("storm") {
        return;
    }
    let world = &mut World::new();
    for size in &options.sizes {
        world.grow(*size);
        for peers in [Peers::Silent, Peers::Answering] {
            for contest in storm::storm(world, options, peers) {
                results.add(contest);
            }
        }
    }
}

/// How soon tunnels are up, on a gateway of its own.
fn ups(options: &Options, results: &mut Results) {
    if !options.has("up") {
        return;
    }
    let world = &mut World::new();
    for size in &options.sizes {
        world.grow(*size);
        results.add(up::up(world, options));
    }
}

/// What is measured with all connections while none is negotiated for the first time.
fn calm(world: &mut World, options: &Options, results: &mut Results) {
    if let Some(contest) = footprint::per_connection(&results.contests) {
        results.add(contest);
    }
    if options.has("idle") {
        results.add(footprint::idle(world, options));
    }
    if options.has("queries") {
        let [quiet, busy] = many::queries(world, options);
        results.add(quiet);
        results.add(busy);
    }
    if options.has("callers") {
        results.add(many::callers(world, options));
    }
    if options.has("starts") {
        results.add(starts::starts(world, options));
    }
}

/// What was measured so far.
struct Results {
    machine: Machine,
    contests: Vec<Contest>,
}

impl Results {
    /// Prints the contest and writes all results anew: what was measured stays if a later part fails.
    fn add(&mut self, contest: Contest) {
        contest.print();
        self.contests.push(contest);
        let directory = directory();
        fs::create_dir_all(&directory).expect("a directory for the results");
        let put = |name: &str, text: &str| fs::write(directory.join(name), text).expect("the results are written");
        let contests: Vec<_> = self.contests.iter().map(Contest::json).collect();
        let results = json!({ "machine": self.machine.json(), "note": NOTE, "contests": contests });
        put("gateway.json", &format!("{results:#}\n"));
        if let Some(svg) = picture::draw(&self.contests, &self.machine.line()) {
            put("gateway.svg", &svg);
        }
    }
}

/// `bench` in cargo's target directory, in which this program lies three levels deep.
fn directory() -> PathBuf {
    let own = env::current_exe().expect("own path");
    own.ancestors().nth(3).expect("target/release/deps").join("bench")
}

/// Tells on standard error how far it is: tables go to standard output.
pub fn progress(text: &str) {
    eprintln!("[bench] {text}");
}
