//! The planner against lists of SAs.

use super::*;
use crate::ipsec::{
    Auth, DhGroup, Encryption, EspProposal, IkeProposal, IkeVersion, Integrity, Lifetime, Mode, Parts, Protocol, Psk,
    sa::Suite,
};

mod dice;
mod turns;

pub(super) fn wanted_with(version: IkeVersion, remote: &str) -> Connection {
    let (encryption, integrity, group) = (Encryption::Aes256, Integrity::Sha256, DhGroup::new(14).expect("a group"));
    let nets = |text: &str| text.split(' ').map(|net| net.parse().expect("a network")).collect();
    Connection::new(Parts {
        id: format!("{:032x}", 7).parse().expect("an id"),
        local_addr: [192, 0, 2, 1].into(),
        remote_addr: std::net::IpAddr::from([198, 51, 100, 2]).into(),
        version,
        ike: IkeProposal { encryption, integrity, group },
        ike_lifetime: Lifetime::ike(86_400).expect("in range"),
        local_id: None,
        remote_id: None,
        auth: Auth::Psk(Psk::new(b"test-only-key").expect("a key")),
        ike_generation: 0,
        mode: Mode::Tunnel,
        protocol: Protocol::Esp(EspProposal { encryption, integrity, pfs: None }),
        lifetime: Lifetime::child(3600).expect("in range"),
        local_nets: nets("10.1.0.0/24"),
        remote_nets: nets(remote),
        native: crate::ipsec::NativeOptions::default(),
    })
    .expect("the parts fit")
}

/// Two networks behind the peer: one child under IKEv2, two under IKEv1.
fn wanted(version: IkeVersion) -> Connection {
    wanted_with(version, "10.2.0.0/24 10.3.0.0/24")
}

fn suite(prf: bool) -> Suite {
    Suite {
        encryption: Some("AES_CBC".into()),
        key_bits: Some(256),
        integrity: Some("HMAC_SHA2_256_128".into()),
        prf: prf.then(|| "PRF_HMAC_SHA2_256".into()),
        group: prf.then(|| "MODP_2048".into()),
        additional: None,
    }
}

/// An SA as the child number `child` of `connection` wants it.
pub(super) fn child(connection: &Connection, child: usize, unique_id: u64, age: u64) -> ChildSa {
    let child = &connection.children[child];
    let texts = |nets: &[crate::ipsec::TrafficSelector]| nets.iter().map(ToString::to_string).collect();
    ChildSa {
        name: child.name.clone(),
        unique_id,
        state: ChildState::Installed,
        mode: Some(Mode::Tunnel),
        suite: suite(false),
        local: texts(&child.local),
        remote: texts(&child.remote),
        age,
        ..ChildSa::default()
    }
}

fn narrowed(sa: ChildSa) -> ChildSa {
    ChildSa { local: ["10.1.0.0/25".to_owned()].into(), ..sa }
}

pub(super) fn ike(connection: &Connection, unique_id: u64, children: Vec<ChildSa>) -> IkeSa {
    IkeSa {
        name: "x".into(),
        unique_id,
        version: if connection.version == IkeVersion::V1 { 1 } else { 2 },
        state: IkeState::Established,
        local_host: connection.local_addr.to_string(),
        remote_host: connection.remote_addr.to_string(),
        is_initiator: true,
        suite: suite(true),
        children,
        ..IkeSa::default()
    }
}

#[test]
fn what_went_while_it_was_looked_at_is_still_outdated() {
    let wanted = wanted(IkeVersion::V2);
    let mut planner = SaPlanner::default();
    let mut read_before = vec![ike(&wanted, 1, vec![child(&wanted, 0, 1, 60)]), ike(&wanted, 2, vec![])];
    planner.stale.ike.insert(1);
    planner.stale.children.insert(1, None);
    planner.steps(&wanted, &[], Instant::now());
    assert!(planner.stale.ike.is_empty() && planner.stale.children.is_empty(), "{:?}", planner.stale);
    planner.stale.mark(&mut read_before);
    assert!(read_before[0].stale && read_before[0].children[0].stale && !read_before[1].stale);
    planner.steps(&wanted, &read_before, Instant::now());
    assert!(!planner.is_complete(), "a list that left it out once makes it no other");
    // That it was rekeyed may be heard after it has gone.
    planner.stale.rekeyed(Rekeying { ike: true, old: 1, new: 3 });
    planner.stale.rekeyed(Rekeying { ike: false, old: 1, new: 2 });
    let mut read_now = vec![ike(&wanted, 3, vec![child(&wanted, 0, 2, 1)])];
    planner.steps(&wanted, &read_now, Instant::now());
    planner.stale.mark(&mut read_now);
    assert!(read_now[0].stale && read_now[0].children[0].stale);
}

/// All steps that are taken on a list that does not change, within a minute.
fn all_steps(planner: &mut SaPlanner, wanted: &Connection, running: &[IkeSa]) -> Vec<Step> {
    let mut now = Instant::now();
    let end = now + Duration::from_mins(1);
    let mut all: Vec<Step> = Vec::new();
    while now < end {
        let (steps, again) = planner.steps(wanted, running, now);
        for step in steps {
            if !all.contains(&step) {
                all.push(step);
            }
        }
        now = again.unwrap_or(end).max(now + Duration::from_millis(10));
    }
    all
}

fn initiated(connection: &Connection, child: usize) -> Step {
    Step::Initiate(connection.children[child].name.clone())
}

#[tokio::test]
async fn of_two_the_newest_stays() {
    let v2 = wanted(IkeVersion::V2);
    let two = ike(&v2, 1, vec![child(&v2, 0, 4, 30), child(&v2, 0, 9, 2)]);
    assert_eq!(all_steps(&mut SaPlanner::default(), &v2, &[two]), [Step::CloseChild(4)]);
    let old = ike(&v2, 1, vec![child(&v2, 0, 4, 30)]);
    let new = ike(&v2, 2, vec![child(&v2, 0, 5, 2)]);
    assert_eq!(all_steps(&mut SaPlanner::default(), &v2, &[new, old]), [Step::CloseIke(1)]);
}

#[tokio::test]
async fn under_ikev1_only_what_charon_replaced_is_closed() {
    let v1 = wanted(IkeVersion::V1);
    let old = ike(&v1, 1, vec![child(&v1, 0, 4, 30), child(&v1, 1, 5, 30)]);
    let new = ike(&v1, 2, vec![child(&v1, 0, 6, 2)]);
    assert_eq!(all_steps(&mut SaPlanner::default(), &v1, &[old.clone(), new, ike(&v1, 3, vec![])]), []);
    // What the peer narrowed before it was corrected has a policy of its own on both ends.
    let part = ike(&v1, 1, vec![narrowed(child(&v1, 0, 4, 30)), child(&v1, 0, 6, 2), child(&v1, 1, 5, 30)]);
    assert_eq!(all_steps(&mut SaPlanner::default(), &v1, &[part]), [Step::CloseChild(4)]);
    let mut replaced = old;
    replaced.children.push(ChildSa { state: ChildState::Replaced, ..child(&v1, 0, 3, 40) });
    assert_eq!(all_steps(&mut SaPlanner::default(), &v1, &[replaced]), [Step::CloseChild(3)]);
}

#[tokio::test]
async fn what_nobody_wants_goes_though_another_child_is_not_up() {
    let before = wanted(IkeVersion::V1);
    let after = wanted_with(IkeVersion::V1, "10.2.0.0/24 10.4.0.0/24");
    let running = [ike(&before, 1, vec![child(&before, 0, 4, 30), child(&before, 1, 5, 30)])];
    let mut planner = SaPlanner::default();
    let (steps, _) = planner.steps(&after, &running, Instant::now());
    assert_eq!(steps, [Step::CloseChild(5)], "at once");
    // One child for all networks: the old one carries what is still wanted, until the new one does.
    let (before, after) = (wanted(IkeVersion::V2), wanted_with(IkeVersion::V2, "10.2.0.0/24"));
    let old = ike(&before, 1, vec![child(&before, 0, 4, 30)]);
    assert_eq!(all_steps(&mut SaPlanner::default(), &after, std::slice::from_ref(&old)), [initiated(&after, 0)]);
    let both = IkeSa { children: vec![child(&before, 0, 4, 30), child(&after, 0, 5, 1)], ..old };
    assert_eq!(all_steps(&mut SaPlanner::default(), &after, &[both]), [Step::CloseChild(4)]);
}

#[tokio::test]
async fn no_third_sa_of_a_child_is_negotiated() {
    for version in [IkeVersion::V1, IkeVersion::V2] {
        let wanted = wanted_with(version, "10.2.0.0/24");
        let sas = |ages: [u64; 2]| [narrowed(child(&wanted, 0, 4, ages[0])), narrowed(child(&wanted, 0, 5, ages[1]))];
        let two = ike(&wanted, 1, sas([30, 0]).to_vec());
        assert_eq!(all_steps(&mut SaPlanner::default(), &wanted, &[two]), [], "the new one is too young");
        let two = ike(&wanted, 1, sas([30, 1]).to_vec());
        assert_eq!(all_steps(&mut SaPlanner::default(), &wanted, &[two]), [Step::CloseChild(4)]);
        let one = ike(&wanted, 1, sas([30, 1])[1..].to_vec());
        assert_eq!(all_steps(&mut SaPlanner::default(), &wanted, &[one]), [initiated(&wanted, 0)]);
    }
}

/// When negotiations begin if the peer closes each tunnel `life` after it came up, over `time`.
fn begun_when_closed_after(life: Duration, time: Duration) -> (SaPlanner, Vec<Duration>) {
    let wanted = wanted_with(IkeVersion::V2, "10.2.0.0/24");
    let (mut planner, start) = (SaPlanner::default(), Instant::now());
    let (mut now, mut begun, mut number) = (start, Vec::new(), 1);
    while now < start + time {
        let (steps, again) = planner.steps(&wanted, &[], now);
        if steps.contains(&initiated(&wanted, 0)) {
            begun.push(now - start);
            number += 1;
            let up = |age| [ike(&wanted, number, vec![child(&wanted, 0, number, age)])];
            planner.steps(&wanted, &up(0), now);
            now += life;
            planner.steps(&wanted, &up(life.as_secs()), now);
        }
        now = again.map_or(now, |again| again.max(now)) + Duration::from_millis(1);
    }
    planner.steps(&wanted, &[], now);
    (planner, begun)
}

#[tokio::test]
async fn a_tunnel_that_is_closed_at_once_is_tried_ever_more_rarely() {
    for life in [0, 20, 900] {
        let (planner, begun) = begun_when_closed_after(Duration::from_millis(life), Duration::from_hours(1));
        let early = begun.iter().filter(|at| **at < Duration::from_secs(20)).count();
        assert!((4..=10).contains(&early), "{life}: {begun:?}");
        let last: Vec<_> = begun.windows(2).rev().take(20).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        assert!(last.iter().all(|gap| *gap > Duration::from_secs(44)), "{life}: {last:?}");
        assert!(planner.flapping().is_some_and(|count| count > 20));
    }
    let (planner, begun) = begun_when_closed_after(Duration::from_mins(5), Duration::from_hours(1));
    assert_eq!((planner.flapping(), begun.len()), (None, 12), "each time at once");
}

#[tokio::test]
async fn what_stays_up_flaps_no_more() {
    let (mut planner, _) = begun_when_closed_after(Duration::from_millis(20), Duration::from_mins(3));
    let wanted = wanted_with(IkeVersion::V2, "10.2.0.0/24");
    let up = [ike(&wanted, 99, vec![child(&wanted, 0, 99, 0)])];
    let now = Instant::now() + Duration::from_mins(5);
    let (_, again) = planner.steps(&wanted, &up, now);
    assert!(planner.is_complete() && planner.flapping().is_some());
    planner.steps(&wanted, &up, again.expect("looked at again"));
    assert_eq!(planner.flapping(), None);
}

#[tokio::test]
async fn the_waits_begin_anew_when_the_peer_closes_what_was_up_for_long_or_is_of_the_past() {
    let wanted = wanted_with(IkeVersion::V2, "10.2.0.0/24");
    for (age, made_before) in [(600, false), (600, true), (5, true)] {
        let mut planner = SaPlanner::default();
        let mut now = Instant::now();
        let stale = [ike(&wanted, 1, vec![child(&wanted, 0, 1, age)])];
        planner.stale.ike.insert(1);
        planner.stale.children.extend(made_before.then_some((1, None)));
        for _ in 0..5 {
            let (_, again) = planner.steps(&wanted, &stale, now);
            now = again.expect("it is tried again");
        }
        let mut begun = Vec::new();
        for _ in 0..4 {
            let (steps, again) = planner.steps(&wanted, &[], now);
            assert_eq!(steps, [initiated(&wanted, 0)]);
            begun.push(now);
            now = again.expect("it is tried again");
        }
        let gaps: Vec<_> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let most = [500, 1000, 2000].map(Duration::from_millis);
        assert!(gaps.iter().zip(most).all(|(gap, most)| *gap <= most), "{age} {made_before}: {gaps:?}");
    }
}

#[tokio::test]
async fn what_hears_nothing_is_made_anew_beside_the_old_one_and_rarely() {
    let wanted = wanted_with(IkeVersion::V2, "10.2.0.0/24");
    let (mut planner, now) = (SaPlanner::default(), Instant::now());
    let old = ike(&wanted, 1, vec![child(&wanted, 0, 1, 600)]);
    planner.steps(&wanted, std::slice::from_ref(&old), now);
    assert!(planner.may_heal(now));
    planner.begin_healing(std::slice::from_ref(&old), now);
    let (steps, _) = planner.steps(&wanted, std::slice::from_ref(&old), now);
    assert_eq!(steps, [initiated(&wanted, 0)], "the old one stays");
    // The peer does not answer: charon's own packets come ever more rarely, so another attempt takes their place.
    let vain = IkeSa { state: IkeState::Connecting, ..ike(&wanted, 2, vec![]) };
    let both = [old.clone(), vain];
    let (steps, again) = planner.steps(&wanted, &both, now + Duration::from_secs(1));
    assert!(steps.is_empty() && again.is_some_and(|again| again <= now + Duration::from_secs(9)));
    let (steps, _) = planner.steps(&wanted, &both, now + Duration::from_secs(8));
    assert_eq!(steps, [Step::CloseIke(2)]);
    let new = ike(&wanted, 3, vec![child(&wanted, 0, 3, 1)]);
    assert_eq!(all_steps(&mut planner, &wanted, &[old, new]), [Step::CloseIke(1)]);
    assert!(planner.is_complete() && !planner.may_heal(now + Duration::from_mins(9)));
    assert!(planner.may_heal(now + Duration::from_mins(10)));
    planner.record_heard();
    assert!(planner.may_heal(now + Duration::from_mins(1)), "it was another silence");
}

#[tokio::test]
async fn a_peer_that_makes_our_children_is_let_go_on() {
    let nets = (0..9).map(|n| format!("10.2.{n}.0/24")).collect::<Vec<_>>().join(" ");
    let nine = wanted_with(IkeVersion::V1, &nets);
    let made = |count: usize, age| ike(&nine, 1, (0..count).map(|n| child(&nine, n, n as u64 + 10, age)).collect());
    let (mut planner, now) = (SaPlanner::default(), Instant::now());
    let (steps, again) = planner.steps(&nine, &[made(2, 0)], now);
    assert_eq!((steps, again), (vec![], Some(now + AT_WORK_EACH)));
    assert_eq!(planner.steps(&nine, &[made(7, 1)], now + AT_WORK_EACH).0, []);
    // It has stopped.
    let rest = [initiated(&nine, 7), initiated(&nine, 8)];
    assert_eq!(planner.steps(&nine, &[made(7, 2)], now + AT_WORK_EACH * 2).0, rest);
    // It never stops, and never makes the last one.
    let mut planner = SaPlanner::default();
    assert_eq!(planner.steps(&nine, &[made(8, 0)], now).0, []);
    assert_eq!(planner.steps(&nine, &[made(8, 0)], now + AT_WORK_MOST).0, rest[1..]);
    let mut vain = SaPlanner::default();
    assert_eq!(vain.steps(&nine, &[], now).0.len(), 9);
    assert_eq!(vain.steps(&nine, &[made(8, 0)], now + AT_WORK_EACH).0, [], "also after a vain attempt of ours");
}
