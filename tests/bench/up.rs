//! How soon all tunnels are up after a restart of charon, where all peers answer.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use cygnet::strongswan::requests::Loadable;

use crate::options::Options;
use crate::race::{Runner, race};
use crate::report::Contest;
use crate::world::World;

/// The agent against a client that loads all connections and initiates 64 at a time, both from the moment at which the new
/// charon answers until the last IKE SA is established.
pub fn up(world: &mut World, options: &Options) -> Contest {
    let size = world.size;
    let bare = world.bare();
    let loadables: Vec<_> = (0..size).map(|n| bare.loadable(n)).collect();
    let shared = RefCell::new(&mut *world);
    let entries = race(
        "tunnels that come up",
        options.starts,
        vec![
            Runner::new("the agent, after charon's restart", 1, || by_the_agent(&mut shared.borrow_mut())),
            Runner::new("bare loader, then 64 negotiations at a time", 1, || {
                bare_loop(&mut shared.borrow_mut(), &loadables)
            }),
        ],
    );
    world.stop_responder();
    Contest {
        key: "up",
        title: "All tunnels up after a restart of charon; all peers answer".to_owned(),
        size,
        unit: "ms",
        entries,
    }
}

fn by_the_agent(world: &mut World) -> Duration {
    world.end_charon();
    world.start_responder();
    world.start_patient_charon();
    let bare = world.bare();
    let begun = Instant::now();
    bare.wait_until_up(world.size as usize);
    let took = begun.elapsed();
    assert!(bare.installed() >= world.size as usize, "each tunnel has its child");
    took
}

fn bare_loop(world: &mut World, loadables: &[Loadable]) -> Duration {
    world.agent.stop();
    world.lab.kill_charon(crate::world::SIDE);
    world.start_responder();
    world.start_patient_charon();
    let bare = world.bare();
    let begun = Instant::now();
    bare.load_all(loadables);
    bare.bring_up(loadables);
    let took = begun.elapsed();
    assert!(bare.installed() >= loadables.len(), "each tunnel has its child");
    world.start_agent();
    took
}
