//! Which pairs of networks several SAs carry together: compared with counting each pair of addresses.

use super::{
    cases,
    conditions::{child_sa, ike_sa},
};
use crate::connections::{address, connection, nets, parts};
use cygnet::ipsec::{
    Child, ChildSa, Condition, Connection, IkeVersion, Mode, NextLayer, Parts, Status, Use, condition, coverage,
    status::status,
};
use proptest::prelude::*;

/// Two by two networks in one child.
fn wanted() -> Connection {
    let (local_nets, remote_nets) = (nets("10.1.0.0/24 10.5.0.0/16"), nets("10.2.0.0/24 10.6.0.0/16"));
    connection(Parts { version: IkeVersion::V2, local_nets, remote_nets, ..parts(1) })
}

fn list(text: &str) -> std::collections::BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Our side's selectors of an SA, and the peer's.
type Selectors = (&'static str, &'static str);

/// The connection's status and the condition of its first child, when SAs with these selectors run.
fn seen(wanted: &Connection, pairs: &[(&str, &str)]) -> (Status, Condition) {
    let sas = pairs.iter().zip(1..).map(|((local, remote), number)| ChildSa {
        local: list(local),
        remote: list(remote),
        ..child_sa(wanted, 0, number)
    });
    let running = [ike_sa(wanted, sas.collect())];
    (status(wanted, &running), condition(wanted, &wanted.children[0], Some(&running), Use::Both))
}

#[test]
fn several_sas_together_are_ready() {
    let wanted = wanted();
    let pairs = [
        ("10.1.0.0/24", "10.2.0.0/24"),
        ("10.1.0.0/24", "10.6.0.0/16"),
        ("10.5.0.0/16", "10.2.0.0/24"),
        ("10.5.0.0/16", "10.6.0.0/16"),
    ];
    assert_eq!(seen(&wanted, &pairs), (Status::Ready, Condition::Up));
    for missing in 0..4 {
        let mut three = pairs.to_vec();
        three.remove(missing);
        assert_eq!(seen(&wanted, &three), (Status::Connecting, Condition::Narrowed), "without {missing}");
    }
    // Cut otherwise than into networks.
    let rows = [("10.1.0.0/24 10.5.0.0/17", "10.2.0.0/24 10.6.0.0/16"), ("10.5.128.0/17", "10.2.0.0/24 10.6.0.0/16")];
    assert_eq!(seen(&wanted, &rows).0, Status::Ready);
    let ranges = [("10.1.0.0..10.5.255.255", "10.2.0.0/24")];
    assert_eq!(seen(&wanted, &ranges), (Status::Connecting, Condition::OtherSelectors), "more than is wanted");
    assert_eq!(seen(&wanted, &[&pairs[..], &pairs[..1]].concat()).1, Condition::Duplicate);
}

#[test]
fn a_part_of_a_protocol_or_port_carries_no_network() {
    let wanted = connection(parts(1));
    for part in ["10.2.0.0/24[gre]", "10.2.0.0/24[tcp/443]", "10.2.0.0/24[47]", "10.2.0.0..10.2.0.254", "10.2.0.0/25"] {
        assert_eq!(seen(&wanted, &[("10.1.0.0/24", part)]), (Status::Connecting, Condition::Narrowed), "{part}");
    }
    for whole in ["10.2.0.0/24", "10.2.0.0..10.2.0.255", "10.2.0.0/25 10.2.0.128/25"] {
        assert_eq!(seen(&wanted, &[("10.1.0.0/24", whole)]), (Status::Ready, Condition::Up), "{whole}");
    }
    assert_eq!(seen(&wanted, &[("10.1.0.0/24", "10.2.0.0/25"), ("10.1.0.0/24", "10.2.0.128/25")]).0, Status::Ready);
}

#[test]
fn addresses_are_compared_as_values() {
    let wanted = connection(Parts {
        local_addr: address("::192.0.2.1"),
        remote_addr: address("2001:db8::2").into(),
        local_nets: nets("::192.0.2.0/120"),
        remote_nets: nets("fd00:2::/64"),
        ..parts(1)
    });
    for (host, net) in [("::192.0.2.1", "::192.0.2.0/120"), ("::c000:201", "0:0:0:0:0:0:c000:200/120")] {
        let sa = ChildSa { local: list(net), remote: list("fd00:2:0::0/64"), ..child_sa(&wanted, 0, 1) };
        let mut ike = ike_sa(&wanted, vec![sa]);
        (ike.local_host, ike.remote_host) = (host.into(), "2001:DB8:0::2".into());
        assert_eq!(status(&wanted, &[ike]), Status::Ready, "{host} {net}");
    }
}

#[test]
fn what_charon_drops_because_another_contains_it_is_not_missed() {
    let local_nets = nets("10.1.0.0/16 10.1.1.0/24");
    let wanted = connection(Parts { local_nets, ..parts(1) });
    assert_eq!(seen(&wanted, &[("10.1.0.0/16", "10.2.0.0/24")]), (Status::Ready, Condition::Up));
    assert_eq!(seen(&wanted, &[("10.1.1.0/24", "10.2.0.0/24")]), (Status::Connecting, Condition::Narrowed));
}

#[test]
fn neither_a_part_twice_nor_more_than_is_wanted_is_ready() {
    let wanted = connection(parts(1));
    let (ours, theirs) = ("10.1.0.0/24", "10.2.0.0/24");
    let table: [(&[Selectors], Status, Condition); 9] = [
        (&[(ours, "10.2.0.0/25"), (ours, "10.2.0.0/25")], Status::Connecting, Condition::Narrowed),
        (&[(ours, "10.2.0.0/25"), ("10.1.0.0/25", "10.2.0.128/25")], Status::Connecting, Condition::Narrowed),
        (&[(ours, "10.2.0.0/25"), (ours, theirs)], Status::Ready, Condition::Duplicate),
        (&[(ours, "10.2.0.0/23")], Status::Connecting, Condition::OtherSelectors),
        (&[("10.0.0.0/8", theirs)], Status::Connecting, Condition::OtherSelectors),
        (&[("10.1.0.0/24 10.9.0.0/24", theirs)], Status::Connecting, Condition::OtherSelectors),
        (&[(theirs, ours)], Status::Connecting, Condition::OtherSelectors),
        (&[("10.0.0.0/8", theirs), (ours, theirs)], Status::Ready, Condition::Up),
        (&[(ours, "what nobody can read")], Status::Connecting, Condition::OtherSelectors),
    ];
    for (pairs, status, condition) in table {
        assert_eq!(seen(&wanted, pairs), (status, condition), "{pairs:?}");
    }
}

#[test]
fn both_families_must_be_carried() {
    for version in [IkeVersion::V1, IkeVersion::V2, IkeVersion::Any] {
        let (local_nets, remote_nets) = (nets("fd00:1::/64 10.1.0.0/24"), nets("10.2.0.0/24 fd00:2::/64"));
        let wanted = connection(Parts { version, local_nets, remote_nets, ..parts(1) });
        assert_eq!(wanted.children.len(), 2, "one for each family: charon mixes none");
        let all: Vec<_> = (0..2).map(|n| child_sa(&wanted, n, n as u64 + 1)).collect();
        assert_eq!(status(&wanted, &[ike_sa(&wanted, all.clone())]), Status::Ready);
        for missing in 0..2 {
            let one = ike_sa(&wanted, vec![all[1 - missing].clone()]);
            assert_eq!(status(&wanted, std::slice::from_ref(&one)), Status::Connecting, "{version:?}");
            let of =
                |child: usize| condition(&wanted, &wanted.children[child], Some(std::slice::from_ref(&one)), Use::Both);
            assert_eq!((of(missing), of(1 - missing)), (Condition::Down, Condition::Up));
        }
        // The other half of a family is no substitute for its whole.
        let half = ChildSa {
            remote: list("fd00:2::/65"),
            ..all.iter().find(|sa| sa.remote.contains("fd00:2::/64")).expect("IPv6").clone()
        };
        let v4 = all.iter().find(|sa| sa.remote.contains("10.2.0.0/24")).expect("IPv4").clone();
        assert_eq!(status(&wanted, &[ike_sa(&wanted, vec![v4, half])]), Status::Connecting);
    }
}

#[test]
fn transport_is_the_pair_of_hosts_in_that_mode() {
    let transport = Parts { mode: Mode::Transport, local_nets: vec![], remote_nets: vec![], ..parts(1) };
    let wanted = connection(transport);
    let (ours, theirs) = ("192.0.2.1/32", "198.51.100.2/32");
    let run = |mode, remote: &str| {
        let sa = ChildSa { mode: Some(mode), local: list(ours), remote: list(remote), ..child_sa(&wanted, 0, 1) };
        let running = [ike_sa(&wanted, vec![sa])];
        (status(&wanted, &running), condition(&wanted, &wanted.children[0], Some(&running), Use::Both))
    };
    assert_eq!(run(Mode::Transport, theirs), (Status::Ready, Condition::Up));
    assert_eq!(run(Mode::Transport, "198.51.100.2"), (Status::Ready, Condition::Up));
    assert_eq!(run(Mode::Transport, "198.51.100.2/32[gre]"), (Status::Connecting, Condition::Narrowed));
    assert_eq!(run(Mode::Tunnel, theirs), (Status::Connecting, Condition::OtherAlgorithms));
    assert_eq!(run(Mode::Transport, "198.51.100.0/24"), (Status::Connecting, Condition::OtherSelectors));
}

/// Eight addresses on each side: a first and a last of them.
fn any_range() -> impl Strategy<Value = (u8, u8)> {
    (0..8_u8, 0..8_u8).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

fn text((first, last): (u8, u8), side: u8) -> String {
    format!("10.{side}.0.{first}..10.{side}.0.{last}")
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn the_union_is_that_of_all_pairs_of_addresses(
        sas in prop::collection::vec((prop::collection::vec(any_range(), 1..3), prop::collection::vec(any_range(), 1..3)), 0..6),
        halves: bool,
    ) {
        let (local, remote) = if halves { ("10.1.0.0/30 10.1.0.4/30", "10.2.0.0/30 10.2.0.4/30") } else { ("10.1.0.0/29", "10.2.0.0/29") };
        let child = Child { name: "x".into(), local: nets(local), remote: nets(remote), next_layer: NextLayer::default() };
        let of = connection(parts(1));
        let made: Vec<_> = sas.iter().zip(1..).map(|((local, remote), number)| ChildSa {
            local: local.iter().map(|range| text(*range, 1)).collect(),
            remote: remote.iter().map(|range| text(*range, 2)).collect(),
            ..child_sa(&of, 0, number)
        }).collect();
        let holds = |ranges: &[(u8, u8)], address: u8| ranges.iter().any(|(first, last)| (*first..=*last).contains(&address));
        let carried = |l: u8, r: u8, without: Option<usize>| {
            sas.iter().enumerate().any(|(n, (local, remote))| Some(n) != without && holds(local, l) && holds(remote, r))
        };
        let size = if halves { 4 } else { 8 };
        let blocks: Vec<_> = (0..8 / size).flat_map(|l| (0..8 / size).map(move |r| (l * size, r * size))).collect();
        let is_carried = |(l, r): &(u8, u8), without| (*l..l + size).all(|l| (*r..r + size).all(|r| carried(l, r, without)));
        let missing = blocks.iter().filter(|block| !is_carried(block, None)).count();
        prop_assert_eq!(coverage::uncovered(&child, &made).len(), missing);
        let none = |(l, r): &&(u8, u8)| (*l..l + size).all(|l| (*r..r + size).all(|r| !carried(l, r, None)));
        prop_assert_eq!(coverage::untouched(&child, &made).len(), blocks.iter().filter(none).count());
        let carriers: Vec<ChildSa> = coverage::carriers(&child, &made).into_iter().cloned().collect();
        prop_assert_eq!(carriers.is_empty(), missing > 0);
        for needed in 0..carriers.len() {
            let rest = carriers.iter().enumerate().filter(|(n, _)| *n != needed).map(|(_, sa)| sa);
            prop_assert!(!coverage::uncovered(&child, rest).is_empty(), "number {} is needless", needed);
        }
    }
}
