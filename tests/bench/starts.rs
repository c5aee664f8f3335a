//! Starts: the agent's with thousands of stored connections, and charon's under a running agent.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use cygnet::strongswan::requests::Loadable;

use crate::options::Options;
use crate::race::{Runner, race, timed};
use crate::report::Contest;
use crate::support::wait_until;
use crate::world::{SIDE, World};

/// How long the agent may take to notice that charon is gone.
const NOTICE: Duration = Duration::from_secs(20);

/// Cold starts of the agent and of charon, against a loader that sends the same requests over one socket.
pub fn starts(world: &mut World, options: &Options) -> Contest {
    let size = world.size;
    let bare = world.bare();
    let loadables: Vec<_> = (0..size).map(|n| bare.loadable(n)).collect();
    let world = RefCell::new(world);
    let entries = race(
        "starts",
        options.starts,
        vec![
            Runner::new("agent's start, charon is empty, until ready", 1, || on_empty(&mut world.borrow_mut())),
            Runner::new("agent's start, charon has all, until ready", 1, || on_full(&mut world.borrow_mut())),
            Runner::new("charon's restart, until the agent is ready", 1, || recovery(&mut world.borrow_mut())),
            Runner::new("bare loader, 64 requests under way", 1, || loader(&mut world.borrow_mut(), &loadables)),
            Runner::new("bare loader, charon has all", 1, || loader_again(&mut world.borrow_mut(), &loadables)),
        ],
    );
    Contest {
        key: "starts",
        title: "Starts, with the files of all connections in place".to_owned(),
        size,
        unit: "ms",
        entries,
    }
}

/// Ends the agent, and starts a charon without connections.
fn anew(world: &mut World) {
    world.agent.stop();
    world.lab.kill_charon(SIDE);
    world.lab.start_charon(SIDE);
}

fn on_empty(world: &mut World) -> Duration {
    anew(world);
    let time = world.start_agent();
    has_all(world);
    time
}

fn on_full(world: &mut World) -> Duration {
    world.agent.stop();
    assert!(world.bare().connections() >= world.size as usize, "charon has all connections");
    world.start_agent()
}

/// From the moment at which the new charon answers.
fn recovery(world: &mut World) -> Duration {
    world.lab.kill_charon(SIDE);
    wait_until(NOTICE, "503 of /readyz", || {
        let answer = world.agent.request("GET", "/readyz", None);
        (answer.status == 503).then_some(())
    });
    world.lab.start_charon(SIDE);
    let start = Instant::now();
    world.wait_until_ready();
    let time = start.elapsed();
    has_all(world);
    time
}

/// One that was being reconciled when charon went comes a moment after the others.
fn has_all(world: &World) {
    let bare = world.bare();
    wait_until(NOTICE, "charon has all connections", || (bare.connections() == world.size as usize).then_some(()));
}

fn loader(world: &mut World, loadables: &[Loadable]) -> Duration {
    anew(world);
    load(world, loadables)
}

fn loader_again(world: &mut World, loadables: &[Loadable]) -> Duration {
    world.agent.stop();
    load(world, loadables)
}

fn load(world: &mut World, loadables: &[Loadable]) -> Duration {
    let bare = world.bare();
    let time = timed(|| bare.load_all(loadables)).0;
    assert_eq!(bare.connections(), loadables.len(), "charon has all connections");
    world.start_agent();
    time
}
