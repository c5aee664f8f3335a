//! A fleet on real programs: three members of etcd, two gateways with charon, agent and follower, and planes that write.
//! etcd is asked by its own client, so that ours is no witness of itself.

#[path = "fleet/bed.rs"]
mod bed;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "fleet/following.rs"]
mod following;
#[path = "fleet/outages.rs"]
mod outages;
#[path = "fleet/pair.rs"]
mod pair;
#[path = "fleet/planes.rs"]
mod planes;
#[path = "fleet/rights.rs"]
mod rights;
#[path = "fleet/scale.rs"]
mod scale;
mod support;

use std::fmt::Display;
use std::io::{self, Write};

/// A line on stderr, also when the harness captures output: skips, and what was measured.
fn say(line: impl Display) {
    // Nothing depends on it.
    let _ = writeln!(io::stderr(), "{line}");
}
