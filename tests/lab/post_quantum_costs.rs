//! What protection against quantum computers costs when a tunnel is made: from vici's `initiate` until charon says that it
//! is established. One pair of charons without agents, and the kinds in turns, so that all have the same load beside them.
//! Nothing is asserted but that each kind is what it says.

use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use cygnet::ipsec::IkeSa;
use cygnet::strongswan::requests::Request;
use cygnet::strongswan::section::Section;

use crate::peer::Charon;
use crate::say;
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(20);
const ROUNDS: usize = 60;

/// The name, what its connection offers, what else it says, and what its IKE_SA shows then.
const KINDS: [(&str, &str, &str, &str); 4] = [
    ("none", "aes256-sha256-x25519", "", "none"),
    ("ppk", "aes256-sha256-x25519", "ppk_id = site-a\n ppk_required = yes", "PPK"),
    ("mlkem768", "aes256-sha256-x25519-ke1_mlkem768", "", "ML_KEM_768"),
    ("mlkem1024", "aes256-sha256-x25519-ke1_mlkem1024", "", "ML_KEM_1024"),
];

/// What swanctl loads on `side`: connections of these names.
fn conf(side: Side, connections: &[(&str, &str, &str)]) -> String {
    let mut text = String::from("connections {\n");
    for (name, proposals, more) in connections {
        let _ = writeln!(
            text,
            "{name} {{\n version = 2\n local_addrs = {here}\n remote_addrs = {there}\n proposals = {proposals}\n \
             unique = no\n {more}\n local {{\n auth = psk\n id = {here}\n }}\n remote {{\n auth = psk\n id = {there}\n }}\n \
             children {{\n k {{\n local_ts = {lan}\n remote_ts = {far}\n esp_proposals = aes256-sha256\n }} }} }}",
            here = side.wan(),
            there = side.other().wan(),
            lan = side.lan(),
            far = side.other().lan(),
        );
    }
    text + "}\nsecrets {\n ike-1 {\n secret = \"test-only-key-of-the-lab\"\n }\n \
            ppk-1 {\n id = site-a\n secret = test-only-ppk-of-thirty-two-bytes\n }\n}\n"
}

/// How long one negotiation takes. Its SAs are gone at both ends afterwards.
#[track_caller]
fn negotiated(charons: &[Charon; 2], (name, _, _, shown): (&str, &str, &str, &str)) -> Duration {
    let body = Section::new().with("child", "k").with("ike", name).with("timeout", "5000");
    let begun = Instant::now();
    charons[0].load(&Request { command: "initiate", body });
    let took = begun.elapsed();
    let running = charons[0].running();
    assert_eq!(running.iter().map(IkeSa::post_quantum).collect::<Vec<_>>(), [shown], "{name}");
    charons[0].close(&running[0]);
    let is_gone = || charons.iter().all(|charon| charon.running().is_empty());
    wait_until(PATIENCE, "the SAs are gone", || is_gone().then_some(()));
    took
}

/// The median and the quartiles, in milliseconds.
fn quartiles(mut all: Vec<f64>) -> String {
    all.sort_by(f64::total_cmp);
    let at = |quarter: usize| all[(all.len() - 1) * quarter / 4];
    format!("{:.1} ({:.1}–{:.1})", at(2), at(1), at(3))
}

#[test]
#[ignore = "measures: CYGNET_STRONGSWAN=sid, the only suite with ML-KEM"]
fn what_a_negotiation_costs() {
    let lab = Lab::of_suites(["sid", "sid"]).unwrap_or_else(|why| panic!("{why}"));
    let here = KINDS.map(|(name, proposals, more, _)| (name, proposals, more));
    // The peer takes each of them.
    let all = [KINDS[0].1, KINDS[2].1, KINDS[3].1].join(", ");
    let there = [("t", all.as_str(), "ppk_id = site-a\n ppk_required = no")];
    for (side, connections) in [(Side::A, &here[..]), (Side::B, &there[..])] {
        lab.start_charon(side);
        lab.load_conf(side, "t", &conf(side, connections));
    }
    let charons = Side::BOTH.map(|side| Charon::of(&lab, side));
    let load = || fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned();
    let before = load();
    let mut took = KINDS.map(|_| Vec::new());
    for round in 0..ROUNDS + 2 {
        // Each begins as often as the others.
        for place in 0..KINDS.len() {
            let kind = (round + place) % KINDS.len();
            let millis = negotiated(&charons, KINDS[kind]).as_secs_f64() * 1000.0;
            // The first ones warm up.
            if round >= 2 {
                took[kind].push(millis);
            }
        }
    }
    say(format!("{ROUNDS} negotiations each, in ms; load before: {before}; after: {}", load()));
    for (kind, (name, ..)) in KINDS.iter().enumerate() {
        let more = took[kind].iter().zip(&took[0]).map(|(own, none)| own - none).collect();
        say(format!("{name}: {}; more than none: {}", quartiles(took[kind].clone()), quartiles(more)));
    }
}
