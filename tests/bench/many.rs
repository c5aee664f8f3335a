//! Many changes by several callers, and reads beside them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::change::{FLOOR, floor, load_all};
use crate::options::Options;
use crate::race::{Runner, race, timed};
use crate::report::Contest;
use crate::seed;
use crate::support::http::Client;
use crate::world::{SIDE, World, request};

/// How many callers change at once.
const CALLERS: [usize; 3] = [1, 8, 64];
/// How many of them change while others read.
const WRITERS: usize = 4;

/// Many changes, by 1, 8 and 64 callers.
pub fn callers(world: &World, options: &Options) -> Contest {
    let bare = world.bare();
    let mut runners: Vec<_> = CALLERS
        .into_iter()
        .map(|callers| {
            let mut clients: Vec<_> = (0..callers).map(|_| world.agent.client_tcp()).collect();
            let name = format!("over TCP, callers: {callers}");
            Runner::new(name, 1, move || together(world, &mut clients, options.changes))
        })
        .collect();
    let one_by_one = || (0..options.changes).map(|_| floor(world, &bare)).sum();
    runners.push(Runner::new(format!("{FLOOR}, one after another"), 1, one_by_one));
    runners.push(Runner::new("one swanctl --load-all for all of them", 1, || load_all(world, &bare)));
    Contest {
        key: "callers",
        title: format!("{} ChangeIPsecConnection, until the last answer", options.changes),
        size: world.size,
        unit: "ms",
        entries: race("callers", options.rounds.min(3), runners),
    }
}

/// The clients make `changes` changes together.
fn together(world: &World, clients: &mut [Client], changes: u32) -> Duration {
    let left = AtomicU32::new(changes);
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let take = &take;
    timed(|| {
        thread::scope(|scope| {
            for client in clients {
                scope.spawn(move || {
                    while take() {
                        world.change(client, true);
                    }
                });
            }
        });
    })
    .0
}

/// Reads of all connections and of one, with nobody else at work and while others change.
pub fn queries(world: &World, options: &Options) -> [Contest; 2] {
    let quiet = reads(world, options, "nobody changes");
    let stop = AtomicBool::new(false);
    let busy = thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut client = world.agent.client_tcp();
                while !stop.load(Ordering::Relaxed) {
                    world.change(&mut client, true);
                }
            });
        }
        let _stop = StopOnDrop(&stop);
        reads(world, options, &format!("{WRITERS} callers change as fast as they can"))
    });
    [quiet, busy]
}

/// Ends the writers also if a reader panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn reads(world: &World, options: &Options, beside: &str) -> Contest {
    let (bare, n) = (world.bare(), world.size - 1);
    let mut client = world.agent.client();
    let mut get = |path: String, wanted: u32| read(&mut client, &path, wanted);
    let get = std::cell::RefCell::new(&mut get);
    let read = |path: String, wanted| (get.borrow_mut())(path, wanted);
    let (all, uuid) = (format!("limit={}", world.size + 1), format!("q=uuid={}", seed::id(n)));
    let name = format!("q=name={}", seed::name(n));
    let of_one = cygnet::strongswan::names::connection(seed::id(n));
    let runners = vec![
        Runner::new("query of all, with their status", 2, || read(format!("?{all}"), world.size)),
        Runner::new("query of all, names alone", 2, || read(format!("?{all}&fields=name"), world.size)),
        Runner::new("query by q=uuid=", options.laps, || read(format!("?{uuid}"), 1)),
        Runner::new("query by q=name=", options.laps, || read(format!("?{name}"), 1)),
        Runner::new("GET by uuid", options.laps, || read(format!("/{}", seed::id(n)), 1)),
        Runner::new("bare list-sas of all", 2, || timed(|| bare.list_sas(None)).0),
        Runner::new("bare list-sas of one", options.laps, || timed(|| bare.list_sas(Some(&of_one))).0),
        Runner::new("swanctl --list-conns", 1, || swanctl(world, &["--list-conns"], world.size)),
        Runner::new("swanctl --list-sas", 1, || swanctl(world, &["--list-sas"], 0)),
    ];
    Contest {
        key: if beside.starts_with("nobody") { "queries" } else { "queries_beside_changes" },
        title: format!("Reads; {beside}"),
        size: world.size,
        unit: "ms",
        entries: race(&format!("reads, {beside}"), options.rounds, runners),
    }
}

/// A query that must find so many.
pub fn read(client: &mut Client, path: &str, wanted: u32) -> Duration {
    let (time, answer) = timed(|| request(client, "GET", &format!("/zstack/v1/ipsec{path}"), &[], false));
    let found = answer["inventories"].as_array().map_or(0, Vec::len);
    assert_eq!(found, wanted as usize, "{path} finds them");
    time
}

/// What an operator runs instead; each connection takes a line at least.
fn swanctl(world: &World, arguments: &[&str], lines: u32) -> Duration {
    let mut command = world.lab.swanctl_command(SIDE, arguments);
    let (time, output) = timed(|| command.output().expect("swanctl runs"));
    let said = String::from_utf8_lossy(&output.stdout).lines().count();
    assert!(output.status.success() && said >= lines as usize, "{arguments:?}: {said} lines");
    time
}
