//! What only a kernel with IPsec of its own shows (tier T2): ESP and AH, tunnel and transport mode, traps, NAT, and what
//! is left of the agent's files after a power cut. `make kernel` runs it.
//!
//! The tests of `boots` and `cuts` start User-Mode Linux, and this same program in it, with the tests whose names begin
//! with `on_`: there the whole lab runs as elsewhere, but for kernel-libipsec. A machine that cannot do that says SKIPPED
//! and why.

#[path = "kernel/bed.rs"]
mod bed;
#[path = "kernel/boots.rs"]
mod boots;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "kernel/cuts.rs"]
mod cuts;
#[path = "kernel/foreign.rs"]
mod foreign;
#[path = "kernel/foreign_bed.rs"]
mod foreign_bed;
#[path = "kernel/foreign_root.rs"]
mod foreign_root;
#[path = "kernel/foreign_texts.rs"]
mod foreign_texts;
#[path = "kernel/machine.rs"]
mod machine;
#[path = "kernel/on_corrections.rs"]
mod on_corrections;
#[path = "kernel/on_foreign.rs"]
mod on_foreign;
#[path = "kernel/on_foreign_algorithms.rs"]
mod on_foreign_algorithms;
#[path = "kernel/on_foreign_certificates.rs"]
mod on_foreign_certificates;
#[path = "kernel/on_foreign_changes.rs"]
mod on_foreign_changes;
#[path = "kernel/on_foreign_ikev1.rs"]
mod on_foreign_ikev1;
#[path = "kernel/on_foreign_nat.rs"]
mod on_foreign_nat;
#[path = "kernel/on_foreign_networks.rs"]
mod on_foreign_networks;
#[path = "kernel/on_foreign_reasons.rs"]
mod on_foreign_reasons;
#[path = "kernel/on_neighbours.rs"]
mod on_neighbours;
#[path = "kernel/on_options.rs"]
mod on_options;
#[path = "kernel/on_packets.rs"]
mod on_packets;
#[path = "kernel/on_power.rs"]
mod on_power;
#[path = "kernel/on_replaced.rs"]
mod on_replaced;
#[path = "kernel/on_sizes.rs"]
mod on_sizes;
#[path = "kernel/on_stored.rs"]
mod on_stored;
#[path = "kernel/on_traps.rs"]
mod on_traps;
#[path = "kernel/page.rs"]
mod page;
#[path = "lab/pair.rs"]
#[allow(dead_code, reason = "the lab's tests use all of it")]
mod pair;
#[path = "lab/plain.rs"]
mod plain;
mod support;
#[path = "kernel/writes.rs"]
mod writes;

use std::fmt::Display;

/// A line on stderr.
fn say(line: impl Display) {
    eprintln!("{line}");
}
