//! `make bench-ha`: how long the tunnels take after the address has moved, each time after a while of standby, and how long
//! they take where keepalived runs a script that restarts the daemon. Nothing of it is asserted but what is no time.

use std::env;
use std::time::{Duration, Instant};

use super::bed::{Bed, LONG, Plan};
use super::turn;
use crate::say;
use crate::standby::patient;
use crate::stream::Events;
use crate::support::lab::Side;
use crate::support::wait_until;

/// A number of the environment.
fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How long the standby of a round lasts: spread evenly from nothing to the longest, short and long ones in turns.
fn standby(round: usize, moves: usize) -> Duration {
    let most = number("CYGNET_HA_STANDBY", 180);
    let place = if round.is_multiple_of(2) { round / 2 } else { moves - 1 - round / 2 };
    Duration::from_millis(most * 1000 * place as u64 / (moves.max(2) - 1) as u64)
}

/// The median, the 95th percentile and the worst.
fn told(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |part: usize| took[(took.len() * part).div_ceil(100).clamp(1, took.len()) - 1];
    say(format!(
        "{what}: {} moves, median {:?}, p95 {:?}, worst {:?}; all {took:?}",
        took.len(),
        at(50),
        at(95),
        at(100)
    ));
}

/// How many events `down` a gateway has sent.
fn downs(events: &Events) -> usize {
    events.names().iter().filter(|name| *name == "down").count()
}

/// How often a gateway has asked its charon for lists and for negotiations, and how many seconds charon took for them.
fn asked(bed: &Bed, side: Side) -> [f64; 4] {
    let text = bed.agent(side).request("GET", "/metrics", None).expect(200).text();
    let of = |kind: &str, command: &str| {
        let name = format!("cygnet_charon_request_duration_seconds_{kind}{{command=\"{command}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(name.as_str())?.parse().ok()).unwrap_or(0.0)
    };
    [of("count", "list-sas"), of("sum", "list-sas"), of("count", "initiate"), of("sum", "initiate")]
}

/// The processor time so far of both agents, of both gateways' charons and of the peer's, in seconds. However busy the
/// machine is, it says how long a move takes at least.
fn processor(bed: &Bed) -> [f64; 5] {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    let ticks = ticks.and_then(|ticks| ticks.try_into().ok()).unwrap_or(100).max(1);
    let of = |pid: Option<i32>| {
        let stat = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()).unwrap_or_default();
        // The name of the program may have spaces; utime and stime are the fields 14 and 15.
        let fields: Vec<u64> = stat.rsplit(") ").next().map_or_else(Vec::new, |rest| {
            rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect()
        });
        Duration::from_millis(fields.iter().sum::<u64>() * 1000 / ticks).as_secs_f64()
    };
    let [a, b] = Side::BOTH.map(|side| of(bed.agent(side).pid()));
    let [c, d] = Side::BOTH.map(|side| of(bed.gateways.charon_pid(side)));
    [a, b, c, d, of(bed.peer.charon_pid(Side::B))]
}

/// The pause between two looks at how many tunnels are up. charon measures all its memory for each, and has work to do.
fn pause(bed: &Bed) -> Duration {
    Duration::from_millis(if bed.plan.tunnels > 100 { 100 } else { 0 })
}

/// Waits until all tunnels are up; how many were so at the end of each second.
fn all_up(bed: &Bed, side: Side, begun: Instant) -> Vec<usize> {
    let mut up = Vec::new();
    wait_until(LONG, "all are up", || {
        let [all, half_open] = bed.sas(side);
        if begun.elapsed() >= Duration::from_secs(up.len() as u64 + 1) {
            up.push(all - half_open);
        }
        let is_done = all - half_open >= bed.plan.tunnels;
        if !is_done {
            std::thread::sleep(pause(bed));
        }
        is_done.then_some(())
    });
    up
}

/// Waits for what is measured: the first reply through the first tunnel, and the last tunnel.
fn measure(bed: &Bed, to: Side, begun: Instant) -> ([Duration; 2], Vec<usize>) {
    let [here, there] = bed.plan.hosts(0);
    let ping = bed.gateways.ping_background(to, &here, &there, Duration::from_millis(20));
    let first = std::thread::scope(|scope| {
        let replied = scope.spawn(|| {
            wait_until(LONG, "the first reply", || (ping.received() > 0).then_some(()));
            begun.elapsed()
        });
        let up = all_up(bed, to, begun);
        let all = begun.elapsed();
        ([replied.join().expect("a reply"), all], up)
    });
    ping.stop();
    first
}

fn takeovers(tunnels: usize) {
    let Some(bed) = Bed::start(Plan { tunnels, ..Plan::default() }) else { return };
    let moves = usize::try_from(number("CYGNET_HA_MOVES", 20)).expect("a number");
    let events = Side::BOTH.map(|side| Events::open(&bed.agent(side).socket(), "/cygnet/v1/events", None));
    bed.give_address(Side::A, 0);
    bed.all_up(Side::A);
    let (mut replies, mut last) = (Vec::new(), Vec::new());
    for round in 0..moves {
        let (from, to) = turn(round);
        let before = Side::BOTH.map(|side| downs(&events[side as usize]));
        // Nobody has the address: both stand by, for as long as the round says.
        bed.take_address(from, 0);
        bed.stands_by(from);
        let capture = bed.gateways.capture();
        std::thread::sleep(standby(round, moves));
        let (requests, used) = (asked(&bed, to), processor(&bed));
        let begun = Instant::now();
        bed.give_address(to, 0);
        let ([reply, all], up) = measure(&bed, to, begun);
        replies.push(reply);
        last.push(all);
        let spent = processor(&bed);
        let spent: [f64; 5] = std::array::from_fn(|at| spent[at] - used[at]);
        let all_attempts = u32::try_from(bed.plan.tunnels).map_or(f64::MAX, f64::from);
        // The text of metrics is kept for a second.
        let after = wait_until(LONG, "all attempts are counted", || {
            Some(asked(&bed, to)).filter(|after| after[2] - requests[2] >= all_attempts)
        });
        let [lists, listed, attempts, begun] = std::array::from_fn(|at| after[at] - requests[at]);
        let down = downs(&events[to as usize]) - before[to as usize];
        say(format!(
            "move {round}: {reply:?} and {all:?}; {lists} lists in {listed:.1} s, {attempts} attempts in {begun:.1} s; {down} down; \
             processor, agents, charons and the peer's: {spent:.2?} s; up after each second: {up:?}"
        ));
        assert_eq!(capture.finish_each()[from as usize].ike, 0, "a standby sends nothing");
        assert_eq!(downs(&events[from as usize]), before[from as usize], "a standby says of nothing that it is down");
    }
    told(&format!("{tunnels} tunnels, to the first reply"), replies);
    told(&format!("{tunnels} tunnels, to the last IKE SA"), last);
}

/// keepalived's script: the daemon is restarted with what swanctl loads. `systemctl restart strongswan` does the same.
fn restarts(tunnels: usize) {
    let Some(bed) = Bed::plain(Plan { tunnels, ..Plan::default() }) else { return };
    let moves = usize::try_from(number("CYGNET_HA_MOVES", 20)).expect("a number");
    let load = |side: Side| {
        let said = bed.gateways.swanctl(side, &["--load-all", "--noprompt"]);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    };
    for side in Side::BOTH {
        bed.write_plain(side);
        bed.gateways.start_charon_with(side, patient());
    }
    bed.give_address(Side::A, 0);
    load(Side::A);
    bed.all_up(Side::A);
    let (mut replies, mut last) = (Vec::new(), Vec::new());
    for round in 0..moves {
        let (from, to) = turn(round);
        bed.take_address(from, 0);
        let begun = Instant::now();
        bed.give_address(to, 0);
        bed.gateways.stop_charon(to);
        bed.gateways.start_charon(to);
        load(to);
        let ([reply, all], _) = measure(&bed, to, begun);
        replies.push(reply);
        last.push(all);
        // The script of the one that lost the address.
        bed.gateways.kill_charon(from);
        bed.gateways.start_charon(from);
    }
    told(&format!("{tunnels} tunnels, a script that restarts the daemon, to the first reply"), replies);
    told(&format!("{tunnels} tunnels, a script that restarts the daemon, to the last IKE SA"), last);
}

#[test]
#[ignore = "measures for an hour and a half: make bench-ha"]
fn takeovers_of_1_tunnel() {
    takeovers(1);
}

#[test]
#[ignore = "measures: make bench-ha"]
fn takeovers_of_100_tunnels() {
    takeovers(100);
}

#[test]
#[ignore = "measures: make bench-ha"]
fn takeovers_of_1000_tunnels() {
    takeovers(1000);
}

#[test]
#[ignore = "measures: make bench-ha"]
fn restarts_with_1_tunnel() {
    restarts(1);
}

#[test]
#[ignore = "measures: make bench-ha"]
fn restarts_with_100_tunnels() {
    restarts(100);
}

#[test]
#[ignore = "measures: make bench-ha"]
fn restarts_with_1000_tunnels() {
    restarts(1000);
}
