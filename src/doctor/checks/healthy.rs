//! A gateway on which nothing is wrong: what the checks' tests spoil, one thing each.

use crate::{
    agent::CharonLink,
    doctor::{
        Case,
        facts::{Facts, charon_answers, network, path, permissions, procfs, rules, swanctl_files},
    },
    ipsec::{
        Auth, ChildSa, ChildState, Encryption, IdentityKind, IkeProposal, IkeSa, IkeState, IkeVersion, InOut,
        Integrity, Lifetime, Mode, Psk, TrafficSelector,
    },
    settings::{Gateway, L3Network, Vip, policy::Stance},
    store::{Names, Network, Options, Record, Reference, RemoteCidr, Spec, Timestamp},
    strongswan::{
        Charon, names,
        section::{Section, Value},
    },
};
use std::{net::IpAddr, sync::Arc};

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

/// A stored connection between these addresses and networks.
pub fn record(local: &str, peer: &str, local_net: &str, remote_net: &str) -> Arc<Record> {
    let id = "c0000000000040008000000000000001".parse().expect("an id");
    let net = |text: &str| text.parse::<TrafficSelector>().expect("a network");
    let (encryption, integrity) = (Encryption::Aes256, Integrity::Sha256);
    let group = crate::ipsec::DhGroup::new(14).expect("a group");
    let options = Options {
        auth: Auth::Psk(Psk::new(b"test-only-key").expect("a key")),
        id_kind: IdentityKind::Ip.into(),
        local_id: None,
        remote_id: None,
        version: IkeVersion::V2,
        ike: IkeProposal { encryption, integrity, group },
        ike_lifetime: Lifetime::ike(86_400).expect("in range"),
        ah: false,
        encryption,
        integrity,
        pfs: None,
        mode: Mode::Tunnel,
        lifetime: Lifetime::child(3600).expect("in range"),
        native: crate::ipsec::NativeOptions::created(),
    };
    let spec = Spec {
        names: Names::default(),
        vip: Reference { uuid: "vip".into(), address: local.parse().expect("an address") },
        peer: peer.parse().expect("an address"),
        options,
        local: vec![Network { uuid: id, network: "lan".into(), cidrs: vec![net(local_net)], created: now() }],
        remote: vec![RemoteCidr { uuid: id, cidr: net(remote_net), created: now() }],
    };
    Arc::new(Record::new(id, spec, 0, now()).expect("a record"))
}

/// All is well: one connection, whose tunnel is up.
pub fn case() -> Case {
    let record = record("192.0.2.1", "192.0.2.2", "10.1.0.0/24", "10.2.0.0/24");
    let charon = charon();
    Case {
        facts: facts(&record, charon.clone()),
        damaged: Vec::new(),
        unread: None,
        gateway: Gateway {
            vips: vec![Vip { uuid: "vip".into(), name: None, address: address("192.0.2.1") }],
            l3_networks: vec![L3Network {
                uuid: "lan".into(),
                name: None,
                cidrs: vec!["10.1.0.0/24".parse().expect("a net")],
            }],
        },
        standby: std::collections::BTreeSet::new(),
        agent: Ok(CharonLink::Up(Arc::new(charon))),
        same_networks: Stance::Warn,
        dropped_cas: Vec::new(),
        unresolved: Vec::new(),
        unanswered: Vec::new(),
        pair: None,
        now: "2026-11-22T13:00:00Z".parse().expect("a time"),
        records: vec![record],
    }
}

/// The same with charon's own data plane.
pub fn libipsec(case: &mut Case) {
    let plugins = &mut case.facts.charon.as_mut().expect("seen").charon.plugins;
    plugins.retain(|plugin| plugin != "kernel-netlink");
    plugins.push("kernel-libipsec".into());
    case.facts.policies = Ok(Vec::new());
    let device = network::Interface { name: "ipsec0".into(), up: true, addresses: Vec::new(), if_id: None };
    case.facts.interfaces.as_mut().expect("seen").push(device);
    case.facts.routes =
        Ok(vec![network::Route { to: "10.2.0.0/24".parse().expect("a net"), interface: "ipsec0".into() }]);
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn charon() -> Charon {
    let plugins = ["nonce", "openssl", "kernel-netlink", "socket-default", "vici"];
    let plugins = plugins.map(|name| name.as_bytes().to_vec()).to_vec();
    let of = |names: &[&str]| names.iter().fold(Section::new(), |section, name| section.with(name, "openssl"));
    let algorithms = Section::new()
        .with("encryption", of(&["AES_CBC"]))
        .with("integrity", of(&["HMAC_SHA2_256_128"]))
        .with("prf", of(&["PRF_HMAC_SHA2_256"]))
        .with("dh", of(&["MODP_2048"]));
    Charon::new("5.9.8".into(), &Section::new().with("plugins", Value::List(plugins)), algorithms)
}

fn running(name: String, record: &Record) -> IkeSa {
    let set = |text: &str| [text.to_owned()].into();
    let child = ChildSa {
        name: record.connection.children[0].name.clone(),
        unique_id: 1,
        spis: InOut { inbound: "c1".into(), outbound: "c2".into() },
        state: ChildState::Installed,
        mode: Some(Mode::Tunnel),
        local: set("10.1.0.0/24"),
        remote: set("10.2.0.0/24"),
        age: 7,
        ..ChildSa::default()
    };
    IkeSa {
        name,
        unique_id: 1,
        version: 2,
        state: IkeState::Established,
        local_host: "192.0.2.1".into(),
        remote_host: "192.0.2.2".into(),
        is_initiator: true,
        initiator_spi: "1".into(),
        children: vec![child],
        ..IkeSa::default()
    }
}

fn facts(record: &Record, charon: Charon) -> Facts {
    let name = names::connection(record.id);
    let holder = procfs::Process { pid: 42, name: "charon-systemd".into() };
    let socket = |port| procfs::UdpSocket { address: address("0.0.0.0"), port, holder: Some(holder.clone()) };
    let policy = |from: &str, to: &str, direction: &str| network::Policy {
        from: from.parse().expect("a net"),
        to: to.parse().expect("a net"),
        direction: direction.into(),
    };
    let (lan, far) = ("10.1.0.0/24", "10.2.0.0/24");
    let interface = |name: &str, own: &str| network::Interface {
        name: name.into(),
        up: true,
        addresses: vec![address(own)],
        if_id: None,
    };
    let dry_run = swanctl_files::DryRun { connections: vec![name.clone()], broken: Vec::new() };
    Facts {
        uid: 0,
        service: None,
        conf_dir: "/etc/swanctl/conf.d".into(),
        vici: charon_answers::Socket {
            path: "/run/charon.vici".into(),
            rights: Ok("root:root 0770".into()),
            connect: Ok(()),
        },
        charon: Ok(charon_answers::Answers {
            charon,
            connections: vec![name.clone()],
            foreign: Vec::new(),
            running: vec![running(name, record)],
        }),
        sockets: Ok(vec![socket(500), socket(4500)]),
        kernel: Ok(procfs::Kernel {
            forward_v4: true,
            forward_v6: Some(false),
            nonlocal_v4: false,
            nonlocal_v6: false,
            rp_filter: [("all".to_owned(), 0)].into(),
        }),
        processes: Ok(vec![holder]),
        interfaces: Ok(vec![interface("lan", "10.1.0.1"), interface("wan", "192.0.2.1")]),
        routes: Ok(Vec::new()),
        into_tunnels: Ok(Vec::new()),
        policies: Ok(vec![policy(lan, far, "out"), policy(far, lan, "in"), policy(far, lan, "fwd")]),
        rules: rules::Rules { chains: vec![clamps()], ..rules::Rules::default() },
        ways: Ok([("192.0.2.2", way("wan", false)), ("10.1.0.1", way("lan", false)), ("10.2.0.1", way("wan", true))]
            .map(|(to, way)| (address(to), Ok(way)))
            .into()),
        sizes: Vec::new(),
        synchronised: Ok(true),
        conf: swanctl_files::Conf {
            main: "/etc/swanctl/swanctl.conf".into(),
            includes: Ok(vec!["/etc/swanctl/conf.d/*.conf".into()]),
            dry_run: Ok(dry_run),
        },
        files: Ok(Vec::new()),
        doors: Ok(Vec::new()),
        conf_files: Ok(vec![names::file(record.id)]),
        ipsec_conf: Ok(Vec::new()),
        space: Ok(permissions::Space { bytes: 1 << 30, files: None, read_only: false }),
    }
}

/// A chain that clamps the segment size.
pub fn clamps() -> rules::Chain {
    let base =
        rules::Base { hook: rules::Hook::Forward, priority: -150, is_nat: false, drops: false, by_iptables: false };
    let matches = vec![rules::Match::Protocol(vec![6], true), rules::Match::Narrow];
    let rule = rules::Rule { matches, clamps: true, ..rules::Rule::default() };
    rules::Chain { table: "inet mangle".into(), name: "forward".into(), base: Some(base), rules: vec![rule] }
}

/// A way by this interface.
pub fn way(device: &str, by_default: bool) -> path::Path {
    path::Path { device: device.into(), mtu: 1500, by_default, is_local: false }
}

#[test]
fn nothing_is_wrong_with_it() {
    let report = crate::doctor::judge(&case());
    assert!(report.is_healthy() && report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.passed.len(), crate::doctor::CHECKS.len());
    let mut other = case();
    libipsec(&mut other);
    assert!(crate::doctor::judge(&other).findings.is_empty());
}
