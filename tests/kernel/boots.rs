//! Boots machines and has them run the tests of `on_packets` and its kin. Machines boot side by side; each has one processor.

use std::time::{Duration, Instant};

use crate::machine::Machine;
use crate::say;
use crate::support::skipped;

/// How long the tests of one machine may take, on a busy host.
const PATIENCE: Duration = Duration::from_mins(4);

/// Runs the tests of this program whose names begin with `which` on a machine. At least `least` of them must have run,
/// and none may have failed.
fn on_a_machine(which: &str, least: usize) {
    if let Err(why) = Machine::available() {
        return skipped(&why);
    }
    let start = Instant::now();
    let program = std::env::current_exe().expect("this program has a path");
    let work = format!("exec '{}' --ignored --nocapture --test-threads 1 '{which}'\n", program.display());
    let ended = Machine::boot(&work, None).wait(PATIENCE);
    let summary = ended.output.lines().find_map(|line| line.strip_prefix("test result: ok. "));
    let passed: usize = summary.and_then(|line| line.split(' ').next()?.parse().ok()).unwrap_or_default();
    assert!(ended.code == Some(0) && passed >= least, "{which}: exit code {:?}\n{}", ended.code, ended.output);
    say(format!("{which}: {passed} tests on a kernel of their own in {:?}", start.elapsed()));
}

#[test]
#[ignore = "make kernel"]
fn packets() {
    on_a_machine("on_packets::esp", 6);
}

#[test]
#[ignore = "make kernel"]
fn authenticated_packets() {
    on_a_machine("on_packets::ah", 5);
}

#[test]
#[ignore = "make kernel"]
fn options() {
    on_a_machine("on_options", 3);
}

#[test]
#[ignore = "make kernel"]
fn neighbours() {
    on_a_machine("on_neighbours", 4);
}

#[test]
#[ignore = "make kernel"]
fn neighbours_of_stored_connections() {
    on_a_machine("on_stored", 3);
}

#[test]
#[ignore = "make kernel"]
fn traps() {
    on_a_machine("on_traps", 1);
}

#[test]
#[ignore = "make kernel"]
fn corrected_networks() {
    on_a_machine("on_corrections::the_peer_had_a", 2);
}

#[test]
#[ignore = "make kernel"]
fn corrected_children() {
    on_a_machine("on_corrections::the_peer_had_the", 2);
}

#[test]
#[ignore = "make kernel"]
fn packet_sizes() {
    on_a_machine("on_sizes::esp", 3);
}

#[test]
#[ignore = "make kernel"]
fn packet_sizes_of_other_modes() {
    on_a_machine("on_sizes::of", 2);
}

#[test]
#[ignore = "make kernel"]
fn libreswan() {
    on_a_machine("on_foreign::libreswan", 8);
}

#[test]
#[ignore = "make kernel"]
fn openiked() {
    on_a_machine("on_foreign::openiked", 8);
}

#[test]
#[ignore = "make kernel"]
fn ikev1_of_libreswan() {
    on_a_machine("on_foreign_ikev1", 3);
}

#[test]
#[ignore = "make kernel"]
fn networks_of_other_peers() {
    on_a_machine("on_foreign_networks", 5);
}

#[test]
#[ignore = "make kernel"]
fn mistakes_of_libreswan() {
    on_a_machine("on_foreign_reasons::libreswan", 6);
}

#[test]
#[ignore = "make kernel"]
fn mistakes_of_openiked() {
    on_a_machine("on_foreign_reasons::openiked", 5);
}

#[test]
#[ignore = "make kernel"]
fn algorithms_of_other_peers() {
    on_a_machine("on_foreign_algorithms", 2);
}
