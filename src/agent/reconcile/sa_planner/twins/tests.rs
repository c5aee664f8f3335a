//! Two planners at the two ends of a tunnel, which both began at once.

use super::super::{
    SaPlanner, Step,
    tests::{child, ike, wanted_with},
};
use crate::ipsec::{ChildSa, Connection, IkeSa, IkeVersion, InOut};
use std::time::Duration;
use tokio::time::Instant;

/// How long news takes from one end to the other, and how often the ends may look, in ms.
const LATENCY: u64 = 50;
const TICK: u64 = 50;

/// One end of two SAs. Times are in ms.
struct End {
    wanted: Connection,
    planner: SaPlanner,
    /// Where its clock is within a second.
    phase: u64,
    /// When each SA was installed here.
    installed: [u64; 2],
    /// In which of them alone the peer is heard, and since when.
    heard: Option<usize>,
    heard_at: u64,
    /// When each SA is gone here.
    gone_at: [Option<u64>; 2],
}

impl End {
    fn new(is_mirrored: bool, phase: u64, installed: [u64; 2]) -> Self {
        let mut wanted = wanted_with(IkeVersion::V2, "10.2.0.0/24");
        if is_mirrored {
            let local = wanted.local_addr;
            wanted.local_addr = wanted.remote_addr.ip().expect("an address");
            wanted.remote_addr = local.into();
            for child in &mut wanted.children {
                std::mem::swap(&mut child.local, &mut child.remote);
            }
        }
        let planner = SaPlanner::default();
        Self { wanted, planner, phase, installed, heard: None, heard_at: 0, gone_at: [None; 2] }
    }

    fn runs(&self, sa: usize, now: u64) -> bool {
        self.installed[sa] <= now && self.gone_at[sa].is_none_or(|at| now < at)
    }

    /// charon's list: its numbers are in the order in which the SAs were installed here.
    fn list(&self, now: u64) -> Vec<IkeSa> {
        let order = |sa: usize| (self.installed[sa], sa);
        let number = |sa: usize| if order(sa) < order(1 - sa) { 1 } else { 2 };
        let age = |sa: usize| (now + self.phase) / 1000 - (self.installed[sa] + self.phase) / 1000;
        let one = |sa: usize| {
            let child = ChildSa {
                unused: InOut {
                    inbound: (self.heard == Some(sa) && now >= self.heard_at).then_some(0),
                    outbound: None,
                },
                ..child(&self.wanted, 0, number(sa), age(sa))
            };
            IkeSa { initiator_spi: format!("a{sa}"), ..ike(&self.wanted, number(sa), vec![child]) }
        };
        (0..2).filter(|sa| self.runs(*sa, now)).map(one).collect()
    }

    /// The SA that this end keeps.
    fn choice(&self, now: u64) -> usize {
        let list = self.list(now);
        let kept = self.planner.carriers(&self.wanted, &list, &self.wanted.children[0]);
        let [(ike, _)] = kept[..] else { panic!("one carries it: {kept:?}") };
        let spi = list.iter().find(|sa| sa.unique_id == ike).map(|sa| sa.initiator_spi.as_str());
        usize::from(spi == Some("a1"))
    }

    /// Closes what is due; which ones, and when to look again.
    fn look(&mut self, start: Instant, now: u64) -> (Vec<usize>, Option<u64>) {
        let list = self.list(now);
        let (steps, again) = self.planner.steps(&self.wanted, &list, start + Duration::from_millis(now));
        let closed = |step: &Step| match step {
            Step::CloseIke(number) => {
                let sa = list.iter().find(|sa| sa.unique_id == *number).expect("of the list");
                usize::from(sa.initiator_spi == "a1")
            }
            other => panic!("{other:?}"),
        };
        let again = again.and_then(|again| u64::try_from(again.duration_since(start).as_millis()).ok());
        (steps.iter().map(closed).collect(), again)
    }
}

/// Both ends, where the second SA comes so much later (or earlier) than the first, with the clocks' phases.
fn ends(apart: i64, phases: [u64; 2]) -> [End; 2] {
    // Each end has its own SA a little earlier.
    let installed = |sa: usize, end: usize| {
        let at = 10_000 + if sa == 1 { apart } else { 0 };
        u64::try_from(at).expect("positive") + if sa == end { 0 } else { LATENCY }
    };
    [0, 1].map(|end| End::new(end == 1, phases[end], [installed(0, end), installed(1, end)]))
}

const PHASES: [u64; 4] = [0, 240, 510, 990];

fn phases() -> impl Iterator<Item = [u64; 2]> {
    PHASES.into_iter().flat_map(|one| PHASES.map(|other| [one, other]))
}

#[test]
fn further_apart_both_ends_keep_the_newest_one() {
    for phases in phases() {
        for apart in (2_050..5_000).step_by(90) {
            for (apart, newest) in [(apart, 1), (-apart, 0)] {
                let ends = ends(apart, phases);
                assert_eq!(ends.each_ref().map(|end| end.choice(16_000)), [newest; 2], "{apart} {phases:?}");
            }
        }
    }
}

#[test]
fn what_the_peer_sends_into_is_kept_if_it_sends_into_one_alone() {
    for (heard, kept) in [(None, 1), (Some(0), 0), (Some(1), 1)] {
        let [mut end, _] = ends(300, [0, 0]);
        end.heard = heard;
        assert_eq!(end.choice(13_000), kept);
        // Not against one that is newer: there the peer may only not have sent yet.
        let [mut end, _] = ends(4_000, [0, 0]);
        end.heard = heard;
        assert_eq!(end.choice(16_000), 1);
    }
}

/// Lets both ends work until nothing is due; each stands still for a while after its first look. What is left?
fn left(mut ends: [End; 2], stalls: [u64; 2]) -> Vec<usize> {
    let start = Instant::now();
    let first = ends.iter().flat_map(|end| end.installed).max().unwrap_or_default();
    let mut due = [Some(first); 2];
    for now in (first..first + 60_000).step_by(usize::try_from(TICK).expect("small")) {
        for (this, other) in [(0, 1), (1, 0)] {
            let is_news = ends[this].gone_at.contains(&Some(now));
            let stands = now > first && now < first + stalls[this];
            if stands {
                due[this] = due[this].or(is_news.then_some(now));
                continue;
            }
            if !is_news && due[this].is_none_or(|at| now < at) {
                continue;
            }
            let (closed, again) = ends[this].look(start, now);
            due[this] = again;
            for sa in closed {
                ends[this].gone_at[sa].get_or_insert(now);
                ends[other].gone_at[sa].get_or_insert(now + LATENCY);
            }
        }
    }
    let end = first + 60_000;
    let left = ends.each_ref().map(|end_| (0..2).filter(|sa| end_.runs(*sa, end)).collect::<Vec<_>>());
    assert_eq!(left[0], left[1], "both ends have the same");
    left[0].clone()
}

#[test]
fn whatever_the_ends_see_one_is_left() {
    const STALLS: [u64; 4] = [0, 5_000, 7_000, 20_000];
    const HEARD: [Option<usize>; 3] = [None, Some(0), Some(1)];
    let stalls = || STALLS.into_iter().flat_map(|one| STALLS.map(|other| [one, other]));
    let heard = || HEARD.into_iter().flat_map(|one| HEARD.map(|other| [one, other]));
    for apart in [-1_900, -1_400, -600, 0, 1_100, 1_900, 3_000] {
        for (stalls, heard) in stalls().flat_map(|stalls| heard().map(move |heard| (stalls, heard))) {
            for (phases, heard_at) in [([0, 0], 0), ([0, 510], 14_000), ([510, 0], 22_000)] {
                let mut ends = ends(apart, phases);
                for (end, heard) in ends.iter_mut().zip(heard) {
                    (end.heard, end.heard_at) = (heard, heard_at);
                }
                let left = left(ends, stalls);
                assert_eq!(left.len(), 1, "{apart} ms apart, {stalls:?}, {heard:?}, {phases:?}: {left:?}");
            }
        }
    }
}
