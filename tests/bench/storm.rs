//! The first minute after a restart of charon, while all connections are being negotiated: changes and reads, each beside
//! its floor of the same seconds.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::change::floor;
use crate::footprint::{Spent, peak, reset_peak};
use crate::many::read;
use crate::options::Options;
use crate::race::{Entry, timed};
use crate::report::Contest;
use crate::seed;
use crate::support::http::Client;
use crate::world::World;

/// How long a slice is: ratios are made within one.
const SLICE: Duration = Duration::from_secs(5);
/// The pause between two rounds of requests: what is measured is the storm, not the load of its observer.
const PAUSE: Duration = Duration::from_millis(40);
/// In how many laps the long reads have a turn.
const SELDOM: usize = 10;

/// Whether peers answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Peers {
    /// Nobody answers, and charon sends again as long as it does by default.
    Silent,
    /// A charon answers for all of them.
    Answering,
}

impl Peers {
    fn name(self) -> &'static str {
        match self {
            Self::Silent => "no peer answers",
            Self::Answering => "all peers answer",
        }
    }
}

/// The names of the requests, in the order in which they are shown.
pub const CHANGE: &str = "change over TCP";
pub const FLOOR: &str = "bare vici pair + one durable file";
const REQUESTS: [&str; 7] =
    [CHANGE, FLOOR, "GET by uuid", "/healthz", "query of all, with their status", "/metrics", "bare list-sas of one"];

/// Measures the storm.
pub fn storm(world: &mut World, options: &Options, peers: Peers) -> Vec<Contest> {
    crate::progress(&format!("a storm of {}: {}", world.size, peers.name()));
    world.restart_charon(peers == Peers::Answering);
    reset_peak(world);
    let (before, spent) = (world.requests(), Spent::now(world));
    let (requests, half_open) = slices(world, options);
    let (spent, peak) = (spent.until_now(), peak(world));
    let counted = counts(world, &before, half_open);
    let (key, work) = match peers {
        Peers::Silent => ("storm_silent", "storm_silent_work"),
        Peers::Answering => ("storm_answering", "storm_answering_work"),
    };
    let title = format!("The first {} s after a restart of charon; {}", options.storm.as_secs(), peers.name());
    let contest = |key, what: &str, unit, entries| Contest {
        key,
        title: format!("{title}{what}"),
        size: world.size,
        unit,
        entries,
    };
    vec![
        contest(key, "", "ms", requests),
        contest(work, ": work of charon", "", counted),
        contest("storm_cpu", ": processor time", "% of a core", spent),
        contest("storm_memory", ": the most resident memory", "KiB", peak),
    ]
}

/// The requests of each slice, and the half-open SAs at its end.
fn slices(world: &World, options: &Options) -> (Vec<Entry>, Vec<f64>) {
    let bare = world.bare();
    let (mut tcp, client) = (world.agent.client_tcp(), RefCell::new(world.agent.client()));
    let of_one = cygnet::strongswan::names::connection(seed::id(world.size - 1));
    let (uuid, all) = (format!("/{}", seed::id(world.size - 1)), format!("?limit={}", world.size + 1));
    let mut entries = REQUESTS.map(|name| Entry { name: name.to_owned(), rounds: Vec::new() });
    let (start, mut half_open, mut lap) = (Instant::now(), Vec::new(), 0);
    while start.elapsed() < options.storm {
        for entry in &mut entries {
            entry.rounds.push(Vec::new());
        }
        let begun = Instant::now();
        while begun.elapsed() < SLICE.min(options.storm) || lap % SELDOM != 0 {
            for turn in 0..REQUESTS.len() {
                let who = (turn + lap) % REQUESTS.len();
                let time = match who {
                    0 => world.change(&mut tcp, true),
                    1 => floor(world, &bare),
                    2 => read(&mut client.borrow_mut(), &uuid, 1),
                    3 => get(&mut client.borrow_mut(), "/healthz"),
                    4 | 5 if lap % SELDOM != 0 => continue,
                    4 => read(&mut client.borrow_mut(), &all, world.size),
                    5 => get(&mut client.borrow_mut(), "/metrics"),
                    _ => timed(|| bare.list_sas(Some(&of_one))).0,
                };
                let round = entries[who].rounds.last_mut().expect("it was begun");
                round.push(time.as_secs_f64() * 1000.0);
            }
            lap += 1;
            std::thread::sleep(PAUSE);
        }
        half_open.push(f64::from(u32::try_from(bare.half_open()).unwrap_or(u32::MAX)));
    }
    (entries.into(), half_open)
}

fn get(client: &mut Client, path: &str) -> Duration {
    timed(|| client.request("GET", path, &[], &[]).expect("an answer").expect(200)).0
}

/// What the agent asked of charon, for each negotiation that it began.
fn counts(world: &World, before: &[(String, f64)], half_open: Vec<f64>) -> Vec<Entry> {
    let after = world.requests();
    let count =
        |all: &[(String, f64)], command: &str| all.iter().find(|(name, _)| name == command).map_or(0.0, |c| c.1);
    let of = |command: &str| count(&after, command) - count(before, command);
    let entry = |name: &str, values: Vec<f64>| Entry { name: name.to_owned(), rounds: vec![values] };
    let begun = of("initiate").max(1.0);
    let mut entries = vec![entry("negotiations begun by the agent", vec![begun])];
    for command in ["list-sas", "load-conn", "terminate"] {
        entries.push(entry(&format!("{command}, for each of them"), vec![of(command) / begun]));
    }
    entries.push(entry("half-open IKE SAs at the end of a slice", half_open));
    entries
}
