//! One change, with more and more connections loaded.

use std::fs;
use std::time::Duration;

use crate::bare::Bare;
use crate::options::Options;
use crate::race::{Entry, Runner, race, timed};
use crate::report::Contest;
use crate::world::{SIDE, Which, World, lifetime};

/// The name of the agent over TCP.
pub const TCP: &str = "change over TCP";
/// The same, of one connection again and again: what it takes more than the floor is the agent's.
pub const SAME: &str = "change of the same connection";
/// The name of the floor, for tables and the picture.
pub const FLOOR: &str = "bare vici pair + one durable file";
/// The floor of changes that each touch another connection: charon looks for its secret in a list.
pub const FLOOR_ANOTHER: &str = "bare vici pair of another connection + one durable file";
/// The name of the usual way.
pub const SWANCTL: &str = "swanctl --load-all";

/// About the bytes of a record.
const RECORD: usize = 1200;

/// A change over HTTP, by TCP and by the Unix socket, against the bare requests and against swanctl.
pub fn one_change(world: &World, options: &Options) -> Contest {
    let bare = world.bare();
    let (mut tcp, mut again, mut unix) = (world.agent.client_tcp(), world.agent.client_tcp(), world.agent.client());
    let laps = options.laps;
    let mut entries = race(
        &format!("one change of {}", world.size),
        options.rounds,
        vec![
            Runner::new(TCP, laps, || world.change_at_once(&mut tcp, true, Which::Another)),
            Runner::new(SAME, laps, || world.change_at_once(&mut again, true, Which::Same)),
            Runner::new("change over the Unix socket", laps, || world.change_at_once(&mut unix, false, Which::Another)),
            Runner::new(FLOOR, laps, || floor(world, &bare)),
            Runner::new(FLOOR_ANOTHER, laps, || floor_another(world, &bare)),
            Runner::new("one durable file alone", laps, || durable_file(world)),
            Runner::new(SWANCTL, 1, || load_all(world, &bare)),
        ],
    );
    entries.push(observing(world, &bare, options));
    Contest {
        key: "change",
        title: "One ChangeIPsecConnection over a kept-alive connection, until its answer".to_owned(),
        size: world.size,
        unit: "ms",
        entries,
    }
}

/// What charon alone takes to list the SAs of one connection, which a change does and the floor does not.
fn observing(world: &World, bare: &Bare, options: &Options) -> Entry {
    let name = cygnet::strongswan::names::connection(crate::seed::id(world.size - 1));
    let list = || timed(|| bare.list_sas(Some(&name))).0;
    let lone = race("listing one", options.rounds, vec![Runner::new("bare list-sas of one", options.laps, list)]);
    lone.into_iter().next().expect("one runner")
}

/// The least that a change can be.
pub fn floor(world: &World, bare: &Bare) -> Duration {
    let foreign = bare.foreign(lifetime(world.next()));
    timed(|| bare.change(&foreign, &world.spare_file())).0
}

/// The same for a connection that nobody touched for long, as in a change.
fn floor_another(world: &World, bare: &Bare) -> Duration {
    let number = world.next();
    let own = bare.own(number % world.size, lifetime(number));
    timed(|| bare.change(&own, &world.spare_file())).0
}

/// What of the floor is the disk's: a file as long as a record.
fn durable_file(world: &World) -> Duration {
    timed(|| cygnet::disk::replace(&world.spare_file(), &[b' '; RECORD], 0o600).expect("the disk takes it")).0
}

/// Edits one file and has swanctl load everything.
pub fn load_all(world: &World, bare: &Bare) -> Duration {
    let foreign = bare.foreign(lifetime(world.next()));
    let mut command = world.lab.swanctl_command(SIDE, &["--load-all", "--noprompt"]);
    let (time, output) = timed(|| {
        fs::write(world.foreign_file(), &foreign.text).expect("a file in conf.d");
        command.output().expect("swanctl runs")
    });
    let said = String::from_utf8_lossy(&output.stdout);
    let all = format!("successfully loaded {} connections, 0 unloaded", world.size + 1);
    assert!(output.status.success() && said.contains(&all), "not {all}: {}", &said[said.len().saturating_sub(300)..]);
    time
}
