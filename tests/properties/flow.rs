//! Rows of looks at counters, and what is told of them.

use super::cases;
use cygnet::ipsec::{ChildSa, ChildState, Flow, InOut, Limits, Use};
use proptest::prelude::*;

const LIMITS: Limits = Limits { idle: 60, one_way: 10 };

fn sa(unique_id: u64, packets: (u64, u64), unused: (Option<u64>, Option<u64>), age: u64) -> ChildSa {
    ChildSa {
        name: "k".into(),
        unique_id,
        state: ChildState::Installed,
        packets: InOut { inbound: packets.0, outbound: packets.1 },
        unused: InOut { inbound: unused.0, outbound: unused.1 },
        age,
        ..ChildSa::default()
    }
}

/// Looks at one SA without use times: at each time, so many packets in and out.
fn flow(looks: &[(i64, u64, u64)]) -> Flow {
    let mut flow = Flow::default();
    for (now, received, sent) in looks {
        flow.look(&[sa(1, (*received, *sent), (None, None), now.unsigned_abs())], *now);
    }
    flow
}

#[test]
fn both_ways_is_both() {
    let flow = flow(&[(0, 0, 0), (10, 5, 5), (20, 9, 10), (30, 11, 12)]);
    assert_eq!(flow.now(30, LIMITS), (Use::Both, None));
    assert_eq!(flow.now(89, LIMITS), (Use::Both, None));
    assert_eq!(flow.now(90, LIMITS), (Use::Idle, Some(30)));
}

#[test]
fn one_way_is_told_with_its_beginning_and_ends_with_the_first_answer() {
    let mut one = flow(&[(0, 0, 0), (10, 5, 5), (20, 5, 6), (29, 5, 7)]);
    assert_eq!(one.now(29, LIMITS), (Use::Both, None), "not for long enough yet");
    one.look(&[sa(1, (5, 8), (None, None), 30)], 30);
    assert_eq!(one.now(30, LIMITS), (Use::NoInbound, Some(20)));
    one.look(&[sa(1, (6, 9), (None, None), 40)], 40);
    assert_eq!(one.now(40, LIMITS), (Use::Both, None));
    let other = flow(&[(0, 0, 0), (10, 1, 0), (15, 2, 0), (25, 3, 0)]);
    assert_eq!(other.now(25, LIMITS), (Use::NoOutbound, Some(10)));
}

#[test]
fn a_packet_after_a_long_silence_is_not_one_way() {
    let flow = flow(&[(0, 1, 1), (1000, 1, 2)]);
    assert_eq!(flow.now(1000, LIMITS), (Use::Both, None));
    assert_eq!(flow.now(1060, LIMITS), (Use::Idle, Some(1000)));
}

#[test]
fn what_was_never_used_is_idle_since_it_was_made() {
    let mut flow = Flow::default();
    flow.look(&[sa(1, (0, 0), (None, None), 100)], 130);
    assert_eq!(flow.now(89, LIMITS), (Use::Both, None));
    assert_eq!(flow.now(130, LIMITS), (Use::Idle, Some(30)));
}

#[test]
fn the_first_look_believes_the_times_that_charon_tells() {
    let mut flow = Flow::default();
    flow.look(&[sa(1, (9, 90), (Some(500), Some(1)), 600)], 0);
    assert_eq!(flow.now(0, LIMITS), (Use::Both, None), "since when it sends alone is not known yet");
    flow.look(&[sa(1, (9, 99), (Some(510), Some(0)), 610)], 10);
    assert_eq!(flow.now(10, LIMITS), (Use::NoInbound, Some(-1)));
}

#[test]
fn a_rekeying_changes_nothing_and_the_end_of_all_forgets_all() {
    let mut flow = flow(&[(0, 0, 0), (10, 0, 5), (20, 0, 9)]);
    assert_eq!(flow.now(20, LIMITS), (Use::NoInbound, Some(10)));
    flow.look(&[sa(1, (0, 9), (None, None), 21), sa(2, (0, 1), (None, None), 0)], 21);
    flow.look(&[sa(2, (0, 2), (None, None), 2)], 23);
    assert_eq!(flow.now(23, LIMITS), (Use::NoInbound, Some(10)));
    flow.look(&[], 24);
    assert_eq!(flow, Flow::default());
}

proptest! {
    #![proptest_config(cases(256))]

    /// Whatever the looks: traffic that answers within each look is never one-way, and one that never does is, once it
    /// has lasted. Time never makes it a panic.
    #[test]
    fn answered_traffic_is_never_one_way(steps in prop::collection::vec((1_i64..40, 0_u64..3), 1..40)) {
        let (mut answered, mut lonely) = (Flow::default(), Flow::default());
        let (mut now, mut packets, mut first) = (0, 0, None);
        for (pause, more) in steps {
            now += pause;
            packets += more;
            if more > 0 {
                first = first.or(Some(now));
            }
            answered.look(&[sa(1, (packets, packets), (None, None), 0)], now);
            lonely.look(&[sa(1, (0, packets), (None, None), 0)], now);
            prop_assert!(!matches!(answered.now(now, LIMITS).0, Use::NoInbound | Use::NoOutbound));
            prop_assert_ne!(lonely.now(now, LIMITS).0, Use::NoOutbound);
            if let Some(first) = first.filter(|first| more > 0 && now - first >= LIMITS.one_way) {
                prop_assert_eq!(lonely.now(now, LIMITS), (Use::NoInbound, Some(first)));
            }
        }
    }
}
