//! The whole way on real charons (tier T1): two gateways in network namespaces, an agent on each, packets on the wire.
//!
//! Each test makes a lab of its own, so they run side by side. What a test waits for it polls; a machine that cannot
//! hold a lab says SKIPPED and why. The data plane is kernel-libipsec: ESP in UDP, tunnel mode only.

#[path = "lab/algorithms.rs"]
mod algorithms;
#[path = "lab/anywhere.rs"]
mod anywhere;
#[path = "lab/applied.rs"]
mod applied;
#[path = "lab/behind_nat.rs"]
mod behind_nat;
#[path = "lab/bounds.rs"]
mod bounds;
#[path = "support/browser.rs"]
mod browser;
#[path = "lab/calls.rs"]
mod calls;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "lab/certs.rs"]
mod certs;
#[path = "lab/conditions.rs"]
mod conditions;
#[path = "support/connections.rs"]
mod connections;
#[path = "lab/counters.rs"]
mod counters;
#[path = "lab/create.rs"]
mod create;
#[path = "lab/dead_peer.rs"]
mod dead_peer;
#[path = "lab/dice.rs"]
mod dice;
#[path = "lab/doctor.rs"]
mod doctor;
#[path = "lab/drift.rs"]
mod drift;
#[path = "lab/dropped_cas.rs"]
mod dropped_cas;
#[path = "lab/identities.rs"]
mod every_identity;
#[path = "lab/fallback.rs"]
mod fallback;
#[path = "lab/fragments.rs"]
mod fragments;
#[path = "lab/half.rs"]
mod half;
#[path = "lab/heal.rs"]
mod heal;
#[path = "support/identities.rs"]
mod identities;
#[path = "lab/keep_up.rs"]
mod keep_up;
#[path = "lab/keys.rs"]
mod keys;
#[path = "lab/link_local.rs"]
mod link_local;
#[path = "lab/loss.rs"]
mod loss;
#[path = "lab/many.rs"]
mod many;
#[path = "lab/matching.rs"]
mod matching;
#[path = "lab/names.rs"]
mod names;
#[path = "lab/native_options.rs"]
mod native_options;
#[path = "lab/networks.rs"]
mod networks;
#[path = "support/odd_cas.rs"]
mod odd_cas;
#[path = "lab/odd_certificates.rs"]
mod odd_certificates;
#[path = "lab/odd_peers.rs"]
mod odd_peers;
#[path = "lab/operator.rs"]
mod operator;
#[path = "lab/own_certificates.rs"]
mod own_certificates;
#[path = "lab/page.rs"]
mod page;
#[path = "lab/page_rows.rs"]
mod page_rows;
#[path = "lab/pair.rs"]
mod pair;
#[path = "lab/parts.rs"]
mod parts;
#[path = "lab/peer.rs"]
mod peer;
#[path = "lab/ping.rs"]
mod ping;
#[path = "lab/plain.rs"]
mod plain;
#[path = "lab/planner.rs"]
mod planner;
#[path = "lab/policies.rs"]
mod policies;
#[path = "lab/post_quantum.rs"]
mod post_quantum;
#[path = "lab/post_quantum_costs.rs"]
mod post_quantum_costs;
#[path = "lab/proxy.rs"]
mod proxy;
#[path = "lab/reasons.rs"]
mod reasons;
#[path = "lab/refusals.rs"]
mod refusals;
#[path = "lab/rehearse.rs"]
mod rehearse;
#[path = "lab/rekeys.rs"]
mod rekeys;
#[path = "lab/reloads.rs"]
mod reloads;
#[path = "lab/restarts.rs"]
mod restarts;
#[path = "lab/shared_keys.rs"]
mod shared_keys;
#[path = "lab/side_by_side.rs"]
mod side_by_side;
#[path = "lab/simultaneous.rs"]
mod simultaneous;
#[path = "lab/splits.rs"]
mod splits;
#[path = "lab/standby.rs"]
mod standby;
#[path = "lab/storm.rs"]
mod storm;
#[path = "lab/storm_of_trials.rs"]
mod storm_of_trials;
#[path = "support/stream.rs"]
mod stream;
mod support;
mod swanctl;
#[path = "lab/takeover.rs"]
mod takeover;
#[path = "lab/thousand.rs"]
mod thousand;
#[path = "lab/traffic.rs"]
mod traffic;
#[path = "lab/transition.rs"]
mod transition;
#[path = "lab/trial.rs"]
mod trial;
#[path = "lab/vendors/case.rs"]
mod vendor_case;
#[path = "support/vendors.rs"]
mod vendor_rows;
#[path = "lab/vendors.rs"]
mod vendors;
#[path = "lab/versions.rs"]
mod versions;
#[path = "lab/zstack.rs"]
mod zstack;
#[path = "lab/zstack/router.rs"]
mod zstack_router;

use std::fmt::Display;
use std::io::{self, Write};

use support::http as client;
use support::lab::Lab;

/// A lab, or `None` on a machine that cannot hold one; that is said where no test harness swallows it.
fn lab() -> Option<Lab> {
    match Lab::available() {
        Ok(()) => Some(Lab::new()),
        Err(why) => {
            say(format!("SKIPPED: {why}"));
            None
        }
    }
}

/// A lab whose strongSwan speaks this version of IKE (`ikeVersion`), or `None`.
fn lab_for(version: &str) -> Option<Lab> {
    let lab = lab()?;
    if version == "ike" || Lab::ike_versions().contains(&version) {
        return Some(lab);
    }
    say(format!("SKIPPED: strongSwan {:?} has no {version}", Lab::strongswan()));
    None
}

/// A line on stderr, also when the harness captures output: skips, and what was measured.
fn say(line: impl Display) {
    // Nothing depends on it.
    let _ = writeln!(io::stderr(), "{line}");
}
