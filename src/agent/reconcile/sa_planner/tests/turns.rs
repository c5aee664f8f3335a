//! Which version of IKE is tried, after each kind of failure; and what is no reason to try anew.

use super::*;
use crate::ipsec::{Carried, carried};

const V1: IkeVersion = IkeVersion::V1;
const V2: IkeVersion = IkeVersion::V2;

/// A connection that initiates with IKEv1, or with IKEv2.
fn both(initiates: IkeVersion) -> Connection {
    let mut any = wanted(V2);
    any.version = IkeVersion::Any;
    if initiates == V1 { any.falling_back(wanted(V1).children) } else { any }
}

fn known(worked: IkeVersion, is_proven: bool, answer: Answer) -> Known {
    Known { worked, is_proven, answer }
}

/// An IKE SA of this version whose negotiation goes on.
fn begun(connection: &Connection, version: u8, unique_id: u64) -> IkeSa {
    IkeSa { version, state: IkeState::Connecting, ..ike(connection, unique_id, Vec::new()) }
}

/// A memory after so many attempts, the last of them now.
fn attempted(connection: &Connection, times: u32) -> (SaPlanner, Instant) {
    let (mut planner, mut now) = (SaPlanner::default(), Instant::now());
    for _ in 0..times {
        now = planner.pace.not_before.unwrap_or(now);
        let (steps, _) = planner.steps(connection, &[], now);
        assert!(steps.iter().any(|step| matches!(step, Step::Initiate(_))), "{steps:?}");
    }
    (planner, now)
}

const TO_V1: fn(Vec<u64>) -> Turn = |ids| Turn::To(V1, ids);

#[tokio::test]
async fn who_refuses_ikev2_twice_is_asked_in_ikev1_at_once() {
    let any = both(V2);
    let refused = known(V2, false, Answer::Refused);
    let (planner, now) = attempted(&any, 1);
    assert_eq!(planner.turn(&any, &[], refused, now), Turn::Stays, "the peer's operator may be about to write it");
    let (mut planner, now) = attempted(&any, 2);
    assert_eq!(planner.turn(&any, &[], refused, now), TO_V1(Vec::new()), "without waiting");
    planner.begin_turn(now);
    let fallback = both(V1);
    let (steps, _) = planner.steps(&fallback, &[], now);
    assert_eq!(steps, [initiated(&fallback, 0)], "one child is enough to see");
    let mut seen = planner.clone();
    let up = IkeSa { version: 1, ..ike(&fallback, 1, vec![child(&fallback, 0, 4, 0)]) };
    let (steps, _) = seen.steps(&fallback, std::slice::from_ref(&up), now);
    assert_eq!(steps, [initiated(&fallback, 1)], "the others follow at once");
    let (steps, _) = seen.steps(&fallback, &[up], now);
    assert_eq!(steps, [], "and then with the usual waits");
    // Refused in both: from now on in turn, with the waits that grow.
    assert_eq!(planner.turn(&fallback, &[], refused, now), Turn::Stays);
    let due = planner.pace.not_before.expect("a wait");
    assert!(due > now + Duration::from_millis(500));
    assert_eq!(planner.turn(&fallback, &[], refused, due), Turn::To(V2, Vec::new()));
    planner.begin_turn(due);
    let (steps, _) = planner.steps(&any, &[], due);
    assert!(matches!(steps[..], [Step::Initiate(_), ..]), "{steps:?}");
    assert_eq!(planner.turn(&any, &[], refused, due), TO_V1(Vec::new()), "once is enough now");
}

#[tokio::test]
async fn who_answers_in_a_version_speaks_it() {
    for version in [V2, V1] {
        let connection = both(version);
        let (planner, now) = attempted(&connection, 9);
        for worked in [V2, V1] {
            let spoken = known(worked, false, Answer::Spoken);
            assert_eq!(planner.turn(&connection, &[], spoken, now + Duration::from_hours(1)), Turn::Stays);
        }
    }
}

#[tokio::test]
async fn a_silent_peer_is_asked_in_the_other_version_unless_it_was_up_with_ikev2() {
    let any = both(V2);
    let (planner, now) = attempted(&any, 1);
    let silent = known(V2, false, Answer::Nothing);
    let at_work = [begun(&any, 2, 5)];
    let given_up = now + Duration::from_secs(12);
    assert_eq!(planner.turn(&any, &at_work, silent, now), Turn::LookAt(given_up));
    assert_eq!(planner.turn(&any, &at_work, silent, given_up), TO_V1(vec![5]));
    let proven = known(V2, true, Answer::Nothing);
    assert_eq!(planner.turn(&any, &at_work, proven, given_up), Turn::Stays, "it is down");
    assert_eq!(planner.turn(&any, &[], proven, given_up), Turn::Stays);
    assert_eq!(planner.turn(&any, &[], silent, given_up), Turn::Stays, "what charon did not say, nobody knows");
    // One that was up with IKEv1 may have learnt IKEv2.
    let fallback = both(V1);
    let (planner, now) = attempted(&fallback, 1);
    let at_work = [begun(&fallback, 1, 6), begun(&fallback, 2, 7)];
    let silent = known(V1, true, Answer::Nothing);
    let given_up = now + Duration::from_secs(12);
    assert_eq!(planner.turn(&fallback, &at_work, silent, given_up), Turn::To(V2, vec![6]));
    assert_eq!(planner.turn(&fallback, &[], silent, now), Turn::Stays);
    assert_eq!(planner.turn(&fallback, &[], silent, given_up), Turn::To(V2, Vec::new()), "IKEv2 is never given up");
    let (planner, now) = attempted(&any, 1);
    let later = now + Duration::from_secs(5);
    assert_eq!(planner.turn(&any, &[], silent, later), TO_V1(Vec::new()), "nor is what worked");
}

#[tokio::test]
async fn what_runs_is_never_closed_for_a_try() {
    let any = both(V2);
    let (planner, now) = attempted(&any, 3);
    let later = now + Duration::from_hours(1);
    let part = child(&wanted(V1), 0, 4, 30);
    let up = |version| [IkeSa { version, ..ike(&any, 1, vec![part.clone()]) }];
    for answer in [Answer::Refused, Answer::Nothing] {
        assert_eq!(planner.turn(&any, &up(2), known(V2, false, answer), later), Turn::Stays);
        // The peer called with IKEv1 for a part: the rest is asked for in the same version.
        assert_eq!(planner.turn(&any, &up(1), known(V2, false, answer), later), TO_V1(Vec::new()));
    }
    let only = wanted(V2);
    let (planner, now) = attempted(&only, 9);
    assert_eq!(planner.turn(&only, &[], known(V2, false, Answer::Refused), now), Turn::Stays, "ikev2 means it");
}

#[tokio::test]
async fn what_carries_tells_the_version_if_all_does() {
    let (any, pairs) = (both(V2), wanted(V1));
    let sas = |ids: [u64; 2]| vec![child(&pairs, 0, ids[0], 30), child(&pairs, 1, ids[1], 30)];
    let mut planner = SaPlanner::default();
    let v1 = IkeSa { version: 1, ..ike(&any, 1, sas([4, 5])) };
    planner.steps(&any, std::slice::from_ref(&v1), Instant::now());
    assert_eq!(planner.carrying_version(&any, std::slice::from_ref(&v1)), Some(V1));
    let v2 = ike(&any, 2, vec![ChildSa { age: 1, ..child(&any, 0, 9, 1) }]);
    let running = [v1, v2];
    planner.steps(&any, &running, Instant::now());
    assert_eq!(planner.carrying_version(&any, &running), Some(V2), "the newest carries");
    // Also where the children of IKEv1 bear the names of those that are wanted.
    let fallback = both(V1);
    let mut planner = SaPlanner::default();
    let (steps, _) = planner.steps(&fallback, &running, Instant::now());
    assert_eq!((steps, planner.carrying_version(&fallback, &running)), (Vec::new(), Some(V2)));
    let part = [IkeSa { version: 1, ..ike(&any, 1, vec![child(&pairs, 0, 4, 30)]) }];
    planner.steps(&any, &part, Instant::now());
    assert_eq!(planner.carrying_version(&any, &part), None);
}

#[tokio::test]
async fn ikev1_is_begun_beside_what_a_trap_began_with_ikev2() {
    let fallback = both(V1);
    let (steps, _) = SaPlanner::default().steps(&fallback, &[begun(&fallback, 2, 3)], Instant::now());
    assert_eq!(steps, [initiated(&fallback, 0)]);
    let (steps, _) = SaPlanner::default().steps(&fallback, &[begun(&fallback, 1, 3)], Instant::now());
    assert_eq!(steps, []);
}

/// The peer calls in the version that is not tried, and takes a part: that is no earlier configuration.
#[test]
fn a_part_that_came_in_the_other_version_is_a_part() {
    let (any, pairs) = (both(V2), wanted(V1));
    let part = [IkeSa { version: 1, ..ike(&any, 1, vec![child(&pairs, 0, 4, 30)]) }];
    assert_eq!(carried(&any, &part), Carried::Part);
    let part = [ike(&any, 1, vec![narrowed(child(&any, 0, 4, 30))])];
    assert_eq!(carried(&both(V1), &part), Carried::Part);
    let stale = [IkeSa { stale: true, ..part[0].clone() }];
    assert_eq!(carried(&both(V1), &stale), Carried::Previous);
}

/// Who begins says nothing of what runs: nothing is negotiated anew for it, least of all where nobody would begin.
#[tokio::test]
async fn another_start_action_outdates_nothing() {
    use crate::strongswan::{
        conf::{Traps, parse, render},
        names,
    };
    let connection = wanted(V2);
    let section = |traps| {
        let conf = render(&connection, traps).expect("a file");
        let parsed = parse(conf.expose()).expect("sections");
        let all = parsed.section("connections").expect("connections");
        all.section(&names::connection(connection.id())).expect("the connection").clone()
    };
    let running = ike(&connection, 1, vec![child(&connection, 0, 11, 60)]);
    let mut planner = SaPlanner::default();
    planner.mark_stale(&[&running], &section(Traps::Supported), &section(Traps::Unsupported));
    let (steps, _) = planner.steps(&connection, std::slice::from_ref(&running), Instant::now());
    assert!(steps.is_empty(), "{steps:?}");
}
