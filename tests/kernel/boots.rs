//! Boots machines and has them run the tests of `on_packets` and its kin. Machines boot side by side; each has one processor.

use std::time::{Duration, Instant};

use crate::machine::Machine;
use crate::say;
use crate::support::skipped;

/// How long the tests of one machine may take, on a busy host.
const PATIENCE: Duration = Duration::from_mins(8);

/// Runs the tests of this program whose names begin with one of `which` on a machine. At least `least` of them must have
/// run, and none may have failed.
fn on_a_machine(which: &[&str], least: usize) {
    if let Err(why) = Machine::available() {
        return skipped(&why);
    }
    let start = Instant::now();
    let program = std::env::current_exe().expect("this program has a path");
    let program = program.display();
    let work = format!("exec '{program}' --ignored --nocapture --test-threads 1 {}\n", which.join(" "));
    let ended = Machine::boot(&work, None).wait(PATIENCE);
    let summary = ended.output.lines().find_map(|line| line.strip_prefix("test result: ok. "));
    let passed: usize = summary.and_then(|line| line.split(' ').next()?.parse().ok()).unwrap_or_default();
    assert!(ended.code == Some(0) && passed >= least, "{which:?}: exit code {:?}\n{}", ended.code, ended.output);
    say(format!("{}: {passed} tests on a kernel of their own in {:?}", which.join(" "), start.elapsed()));
}

#[test]
#[ignore = "make kernel"]
fn packets() {
    on_a_machine(&["on_packets::esp"], 6);
}

#[test]
#[ignore = "make kernel"]
fn authenticated_packets() {
    on_a_machine(&["on_packets::ah"], 5);
}

#[test]
#[ignore = "make kernel"]
fn options() {
    on_a_machine(&["on_options"], 4);
}

#[test]
#[ignore = "make kernel"]
fn neighbours() {
    on_a_machine(&["on_neighbours"], 4);
}

#[test]
#[ignore = "make kernel"]
fn neighbours_of_stored_connections() {
    on_a_machine(&["on_stored"], 3);
}

#[test]
#[ignore = "make kernel"]
fn traps() {
    on_a_machine(&["on_traps", "on_replaced"], 3);
}

#[test]
#[ignore = "make kernel"]
fn corrected_networks() {
    on_a_machine(&["on_corrections::the_peer_had_a"], 2);
}

#[test]
#[ignore = "make kernel"]
fn corrected_children() {
    on_a_machine(&["on_corrections::the_peer_had_the"], 2);
}

#[test]
#[ignore = "make kernel"]
fn packet_sizes() {
    on_a_machine(&["on_sizes::esp"], 3);
}

#[test]
#[ignore = "make kernel"]
fn packet_sizes_of_other_modes() {
    on_a_machine(&["on_sizes::of"], 2);
}

/// With IKE daemons that are not strongSwan.
mod foreign {
    use super::on_a_machine;

    #[test]
    #[ignore = "make kernel"]
    fn libreswan() {
        on_a_machine(&["on_foreign::libreswan"], 7);
    }

    #[test]
    #[ignore = "make kernel"]
    fn changes_with_libreswan() {
        on_a_machine(
            &["on_foreign_changes::libreswan", "on_foreign_certificates::libreswan", "on_foreign_nat::libreswan"],
            10,
        );
    }

    #[test]
    #[ignore = "make kernel"]
    fn mistakes_of_libreswan() {
        on_a_machine(&["on_foreign_reasons::libreswan", "on_foreign_networks::libreswan", "on_foreign_ikev1"], 18);
    }

    #[test]
    #[ignore = "make kernel"]
    fn algorithms_of_libreswan() {
        on_a_machine(&["on_foreign_algorithms::libreswan"], 2);
    }

    #[test]
    #[ignore = "make kernel"]
    fn openiked() {
        on_a_machine(&["on_foreign::openiked", "on_foreign_networks::openiked"], 10);
    }

    #[test]
    #[ignore = "make kernel"]
    fn changes_with_openiked() {
        on_a_machine(
            &["on_foreign_changes::openiked", "on_foreign_certificates::openiked", "on_foreign_nat::openiked"],
            10,
        );
    }

    #[test]
    #[ignore = "make kernel"]
    fn mistakes_of_openiked() {
        on_a_machine(&["on_foreign_reasons::openiked", "on_foreign_algorithms::openiked"], 8);
    }
}
