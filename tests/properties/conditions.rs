//! The condition for each state of a child's SAs. Ready means that every condition is one of those as wanted.

use super::cases;
use crate::connections::{connection, nets, parts};
use cygnet::ipsec::{
    ChildSa, ChildState, Condition, Connection, DhGroup, Former, IkeSa, IkeState, IkeVersion, Mode, Parts, Protocol,
    Status, Use, condition, sa::Suite, status::status, transition::has_moved,
};
use proptest::prelude::*;

/// Two networks behind us: IKEv2 carries both in one child, IKEv1 in two.
fn wanted(version: IkeVersion) -> Connection {
    connection(Parts { version, local_nets: nets("10.1.0.0/24 10.5.0.0/16"), ..parts(1) })
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

/// An SA of the child number `child` that is as wanted.
pub fn child_sa(connection: &Connection, child: usize, unique_id: u64) -> ChildSa {
    let child = &connection.children[child];
    ChildSa {
        name: child.name.clone(),
        unique_id,
        state: ChildState::Installed,
        mode: Some(Mode::Tunnel),
        suite: suite(false),
        local: child.local_texts().collect(),
        remote: child.remote_texts().collect(),
        age: 1,
        if_id: connection.native.if_id,
        ..ChildSa::default()
    }
}

pub fn ike_sa(connection: &Connection, children: Vec<ChildSa>) -> IkeSa {
    IkeSa {
        name: "x".into(),
        unique_id: 1,
        version: if connection.version == IkeVersion::V1 { 1 } else { 2 },
        state: IkeState::Established,
        local_host: connection.local_addr.to_string(),
        remote_host: connection.remote_addr.ip().expect("an address").to_string(),
        suite: suite(true),
        children,
        ..IkeSa::default()
    }
}

/// The condition of the first child when the SAs are these.
fn word(change: impl FnOnce(&mut IkeSa)) -> &'static str {
    let wanted = wanted(IkeVersion::V2);
    let mut ike = ike_sa(&wanted, vec![child_sa(&wanted, 0, 1)]);
    change(&mut ike);
    condition(&wanted, &wanted.children[0], Some(&[ike]), Use::Both).name()
}

#[test]
fn each_state_has_its_word() {
    assert_eq!(word(|_| ()), "up");
    assert_eq!(word(|ike| ike.children.push(ChildSa { unique_id: 2, ..ike.children[0].clone() })), "duplicate");
    assert_eq!(word(|ike| ike.children[0].local = ["10.1.0.0/24".into()].into()), "narrowed");
    assert_eq!(word(|ike| ike.children[0].remote = ["10.2.0.128/25".into()].into()), "narrowed");
    assert_eq!(word(|ike| ike.children[0].remote = ["10.2.0.5..10.2.0.9".into()].into()), "narrowed");
    assert_eq!(word(|ike| ike.children[0].remote = ["10.2.0.0/24[tcp/443]".into()].into()), "narrowed");
    assert_eq!(word(|ike| ike.children[0].remote = ["10.2.0.0/23".into()].into()), "other_selectors");
    assert_eq!(word(|ike| ike.children[0].remote = ["10.2.0.5..10.2.1.9".into()].into()), "other_selectors");
    assert_eq!(word(|ike| ike.children[0].remote = ["dynamic".into()].into()), "other_selectors");
    assert_eq!(word(|ike| ike.children[0].suite.key_bits = Some(128)), "other_algorithms");
    assert_eq!(word(|ike| ike.suite.group = Some("MODP_1024".into())), "other_algorithms");
    assert_eq!(word(|ike| ike.children[0].mode = None), "other_algorithms");
    assert_eq!(word(|ike| ike.children[0].stale = true), "outdated");
    assert_eq!(word(|ike| ike.stale = true), "outdated");
    assert_eq!(word(|ike| ike.children[0].state = ChildState::Pending), "connecting");
    assert_eq!(word(|ike| ike.children[0].state = ChildState::Closing), "down");
    assert_eq!(word(|ike| ike.state = IkeState::Connecting), "connecting");
    assert_eq!(word(|ike| ike.state = IkeState::Closing), "down");
    assert_eq!(word(|ike| ike.children.clear()), "down");
    assert_eq!(
        word(|ike| {
            ike.children.clear();
            ike.busy = true;
        }),
        "connecting"
    );
}

#[test]
fn traffic_counts_only_where_the_right_thing_runs() {
    let wanted = wanted(IkeVersion::V2);
    let ike = ike_sa(&wanted, vec![child_sa(&wanted, 0, 1)]);
    let word = |running: Option<&[IkeSa]>, traffic| condition(&wanted, &wanted.children[0], running, traffic).name();
    for (traffic, name) in
        [(Use::Both, "up"), (Use::Idle, "up_idle"), (Use::NoInbound, "no_inbound"), (Use::NoOutbound, "no_outbound")]
    {
        assert_eq!(word(Some(std::slice::from_ref(&ike)), traffic), name);
        assert_eq!(word(Some(&[]), traffic), "down");
        assert_eq!(word(None, traffic), "unknown");
    }
}

#[test]
fn what_is_of_now_counts_before_what_is_of_the_past() {
    let wanted = wanted(IkeVersion::V2);
    let narrow = ChildSa { local: ["10.1.0.0/24".into()].into(), ..child_sa(&wanted, 0, 1) };
    let old = ChildSa { stale: true, ..child_sa(&wanted, 0, 2) };
    let ike = ike_sa(&wanted, vec![narrow, old]);
    assert_eq!(condition(&wanted, &wanted.children[0], Some(&[ike]), Use::Both), Condition::Narrowed);
}

/// An SA of one of the two IKEv1 children, in any state.
fn any_sa() -> impl Strategy<Value = (usize, u64, u8, u8)> {
    (0..2_usize, 1..9_u64, 0..4_u8, 0..6_u8)
}

proptest! {
    #![proptest_config(cases(512))]

    /// Whatever runs: the connection is Ready exactly when each child has exactly what is wanted, and a narrowed one is
    /// never among those.
    #[test]
    fn ready_is_that_every_child_runs_as_wanted(sas in prop::collection::vec(any_sa(), 0..6), established: bool) {
        let wanted = wanted(IkeVersion::V1);
        let children = sas.into_iter().map(|(child, id, state, fault)| {
            let mut sa = child_sa(&wanted, child, id);
            sa.state = [ChildState::Installed, ChildState::Pending, ChildState::Replaced, ChildState::Closing][usize::from(state)];
            match fault {
                0 => sa.stale = true,
                1 => sa.remote = ["10.2.0.0/25".into()].into(),
                2 => sa.suite.encryption = None,
                _ => {}
            }
            sa
        });
        let mut ike = ike_sa(&wanted, children.collect());
        if !established {
            ike.state = IkeState::Connecting;
        }
        let running = [ike];
        let words: Vec<_> =
            wanted.children.iter().map(|child| condition(&wanted, child, Some(&running), Use::Both)).collect();
        let ready = status(&wanted, &running) == Status::Ready;
        prop_assert_eq!(ready, words.iter().all(|word| word.is_as_wanted()), "{:?}", words);
        prop_assert!(!words.contains(&Condition::Unknown));
    }
}

/// What is said of a CHILD_SA after a change of proposals: it moved, or it may be of before.
#[test]
fn what_may_be_of_before_has_not_moved() {
    let old = connection(parts(1));
    let with = |change: &dyn Fn(&mut Parts)| {
        let mut parts = parts(1);
        change(&mut parts);
        connection(parts)
    };
    let pfs = |number: Option<i64>| {
        with(&|parts| {
            if let Protocol::Esp(esp) = &mut parts.protocol {
                esp.pfs = number.and_then(DhGroup::new);
            }
        })
    };
    let group = |name: &str| Some(name.to_owned());
    // What is wanted, the group that the CHILD_SA shows, its age and that of its IKE SA, the version, and whether it moved.
    let cases = [
        (pfs(Some(19)), group("ECP_256"), 5, 50, 2, true),
        (pfs(Some(19)), None, 5, 50, 2, false),
        (pfs(None), None, 5, 50, 2, true),
        (pfs(None), None, 5, 5, 2, false),
        (pfs(None), None, 50, 90, 2, false),
        (with(&|parts| parts.ike.group = DhGroup::new(19).expect("19")), None, 5, 5, 2, true),
    ];
    for (at, (new, shown, age, ike_age, version, is_moved)) in cases.into_iter().enumerate() {
        let mut child = child_sa(&new, 0, 1);
        (child.suite.group, child.age) = (shown, age);
        let mut ike = ike_sa(&new, vec![child]);
        ike.suite.group = Some(new.ike.group.row().charon.to_owned());
        (ike.times.age, ike.version) = (Some(ike_age), version);
        let former = Former { accepted: &[old.protection()], age: 20 };
        let is_new = new.protection() != old.protection();
        assert!(is_new && status(&new, std::slice::from_ref(&ike)) == Status::Ready, "{at}");
        assert_eq!(has_moved(&new, std::slice::from_ref(&ike), former), is_moved, "{at}");
    }
}
