//! What a connection leaves alone on a host with these networks.

use crate::connections::{connection, nets, parts};
use cygnet::{
    ipsec::{IkeVersion, Mode, Parts, Pass, TrafficSelector, passes},
    strongswan::{
        conf::Traps,
        names,
        requests::{Loadable, Request},
    },
};
use ipnet::IpNet;

const HOST: &str = "10.1.0.0/24 172.16.0.0/24 192.0.2.0/24 192.0.2.1/32 fd00:1::/64 fe80::/64";

fn texts(nets: &[TrafficSelector]) -> Vec<String> {
    nets.iter().map(ToString::to_string).collect()
}

fn connected() -> Vec<IpNet> {
    HOST.split(' ').map(|net| net.parse().expect("a network")).collect()
}

fn of(parts: Parts) -> Vec<Pass> {
    passes(&connection(parts), &connected())
}

/// The remote side of what is left alone beside these remote networks.
fn beside(remote: &str) -> Vec<Vec<String>> {
    of(Parts { remote_nets: nets(remote), ..parts(1) }).iter().map(|pass| texts(&pass.remote)).collect()
}

#[test]
fn what_covers_a_network_of_the_host_leaves_it_alone() {
    let everything =
        ["10.1.0.0/24", "172.16.0.0/24", "192.0.2.0/24", "224.0.0.0/24", "255.255.255.255/32"].map(str::to_owned);
    assert_eq!(beside("0.0.0.0/0"), [everything.to_vec()]);
    // Any prefix, and the network itself.
    for remote in ["172.16.0.0/12", "172.16.0.0/23", "172.16.0.0/24"] {
        assert_eq!(beside(remote), [["172.16.0.0/24"]], "{remote}");
    }
    assert_eq!(beside("172.0.0.0/8 192.0.0.0/8"), [["172.16.0.0/24", "192.0.2.0/24"]]);
}

#[test]
fn what_covers_none_leaves_nothing_alone() {
    // A part of such a network was asked for by name.
    for remote in ["10.2.0.0/24", "172.16.0.0/25", "172.16.0.9/32", "192.0.2.128/25", "2001:db8::/32"] {
        let local = if remote.contains(':') { "fd00:1::/64" } else { "10.1.0.0/24" };
        let parts = Parts { local_nets: nets(local), remote_nets: nets(remote), ..parts(1) };
        assert_eq!(of(parts), [], "{remote}");
    }
    // A host of its own is not a network around it.
    let transport = Parts { mode: Mode::Transport, local_nets: Vec::new(), remote_nets: Vec::new(), ..parts(1) };
    assert_eq!(of(transport), []);
    assert_eq!(of(Parts { remote_nets: Vec::new(), ..parts(1) }), []);
}

#[test]
fn each_family_has_its_own_and_ipv6_what_finds_neighbours() {
    let both = Parts { local_nets: nets("10.1.0.0/24 fd00:1::/64"), remote_nets: nets("0.0.0.0/0 ::/0"), ..parts(1) };
    let [v4, v6] = <[Pass; 2]>::try_from(of(both)).expect("one of each family");
    assert_eq!((texts(&v4.local), v4.remote.len()), (vec!["10.1.0.0/24".into()], 5));
    assert_eq!(texts(&v6.local), ["fd00:1::/64"]);
    assert_eq!(texts(&v6.remote), ["fd00:1::/64", "fe80::/10", "ff02::/16"]);
    assert!(v4.name != v6.name && [&v4, &v6].iter().all(|pass| names::owner(&pass.name).is_some()));
}

/// Of a connection with a child for each pair it is one policy all the same; other networks have another name.
#[test]
fn a_change_of_the_host_changes_no_child() {
    let parts = Parts {
        version: IkeVersion::V1,
        local_nets: nets("10.1.0.0/24 10.3.0.0/24"),
        remote_nets: nets("128.0.0.0/1 64.0.0.0/2"),
        ..parts(1)
    };
    let connection = connection(parts);
    let load = |connected: &[IpNet]| {
        Loadable::passing(&connection, Traps::Supported, passes(&connection, connected)).expect("it can be loaded")
    };
    let children = |loadable: &Loadable| {
        let load = |request: &&Request| request.command == "load-conn";
        let body = loadable.requests.iter().find(load).expect("a load").body.clone();
        let children = body.section(&names::connection(loadable.id)).and_then(|c| c.section("children")).cloned();
        children.expect("children").sections().map(|(name, child)| (name.to_owned(), child.clone())).collect::<Vec<_>>()
    };
    let (alone, before, after) = (load(&[]), load(&connected()[..2]), load(&connected()[..3]));
    assert_eq!(Loadable::new(&connection, Traps::Supported).expect("loadable").conf, alone.conf);
    let all = [&alone, &before, &after].map(children);
    assert_eq!(all.each_ref().map(Vec::len), [4, 5, 5]);
    assert!(all.iter().all(|children| children[..4] == all[0][..]));
    assert_ne!(all[1][4].0, all[2][4].0);
    let pass = &all[2][4].1;
    assert_eq!(["mode", "start_action"].map(|key| pass.text(key)), [Some("pass"), Some("trap")]);
    assert_eq!(pass.items("local_ts").collect::<Vec<_>>(), ["10.1.0.0/24", "10.3.0.0/24"]);
    assert_eq!(pass.items("remote_ts").next(), Some("172.16.0.0/24"));
}
