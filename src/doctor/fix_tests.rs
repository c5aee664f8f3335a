//! One fault for each check at least, with hostile names: each fix is a line that may be pasted. That a line is one is
//! looked at where findings are made.

use super::{
    CHECKS, Case, Level, Paired,
    checks::healthy,
    facts::{
        Unchecked,
        groups::Door,
        network::Interface,
        permissions::{File, Purpose},
        procfs::Process,
        rules::{Action, Base, Chain, Hook, Match, Rule},
    },
    judge,
};
use crate::{
    store::{Damaged, dropped::DroppedCa},
    strongswan::{
        foreign::{Foreign, ForeignChild},
        log_parser::Fragments,
    },
};
use std::{collections::BTreeSet, net::IpAddr};

/// What a stranger may choose.
const HOSTILE: &str = "x'; reboot #\n$(reboot)";

/// A way to spoil the sound gateway.
type Fault = fn(&mut Case);

/// Chains that drop everything and rewrite every source, as nft or iptables lists them.
fn strict(case: &mut Case, table: &str, by_iptables: bool) {
    let hooks = [Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];
    let base = |hook, is_nat| Base { hook, priority: 0, is_nat, drops: !is_nat, by_iptables };
    let rule = Rule { action: Action::Translate("masquerade"), place: HOSTILE.into(), ..Rule::default() };
    let chain = |base, rules| Chain { table: table.into(), name: HOSTILE.into(), base: Some(base), rules };
    case.facts.rules.chains = hooks.iter().map(|hook| chain(base(*hook, false), vec![])).collect();
    case.facts.rules.chains.push(chain(base(Hook::Postrouting, true), vec![rule]));
}

/// A rule of which nobody knows what it does.
fn odd(case: &mut Case) {
    strict(case, "inet x", false);
    for chain in &mut case.facts.rules.chains {
        chain.base.as_mut().expect("a base").drops = false;
        chain.rules = vec![Rule { matches: vec![Match::Other], action: Action::Drop, ..Rule::default() }];
    }
}

fn file(purpose: Purpose, uid: u32) -> File {
    File { path: format!("/etc/{HOSTILE}").into(), purpose, mode: 0o666, uid, owners: HOSTILE.into() }
}

fn damaged(is_denied: bool) -> Damaged {
    Damaged { path: format!("/var/{HOSTILE}").into(), id: None, why: "line 1".into(), is_denied }
}

/// A connection that takes the packets of an XFRM interface.
fn route_based(case: &mut Case) {
    let mut spec = case.records[0].spec.clone();
    spec.options.native.if_id = 42;
    let record = crate::store::Record::new(case.records[0].id, spec, 0, case.now).expect("a record");
    case.records = vec![std::sync::Arc::new(record)];
    case.facts.into_tunnels = Ok(Vec::new());
}

const FAULTS: [Fault; 40] = [
    |case| {
        let (connection, why) = (HOSTILE.into(), HOSTILE.into());
        case.unresolved = vec![super::case::Unresolved { connection, why, is_new: true }];
    },
    |case| {
        let (peer, sent) = (IpAddr::from([198, 51, 100, 7]), Fragments { bytes: 1621, packets: 2 });
        case.unanswered = vec![super::case::Unanswered { connection: HOSTILE.into(), peer, sent }];
    },
    route_based,
    |case| {
        route_based(case);
        healthy::libipsec(case);
    },
    |case| {
        route_based(case);
        let interface = Interface { name: HOSTILE.into(), up: false, addresses: Vec::new(), if_id: Some(42) };
        case.facts.interfaces.as_mut().expect("seen").push(interface);
    },
    |case| case.agent = Err("connection refused".into()),
    |case| case.agent = Err(Unchecked::Denied("x".into())),
    |case| case.facts.charon = Err("it hangs".into()),
    |case| {
        case.facts.charon = Err("refused".into());
        case.facts.vici.connect = Err("refused".into());
    },
    |case| {
        case.facts.vici.path = HOSTILE.into();
        case.facts.vici.connect = Err(Unchecked::Denied("x".into()));
    },
    |case| case.facts.vici.rights = Err("No such file".into()),
    |case| {
        let nothing = crate::strongswan::section::Section::new();
        let none = crate::strongswan::Charon::new("5.9.8".into(), &nothing, nothing.clone());
        case.facts.charon.as_mut().expect("seen").charon = none;
    },
    |case| case.facts.sockets = Ok(Vec::new()),
    |case| {
        let sockets = case.facts.sockets.as_mut().expect("seen");
        for socket in sockets {
            socket.holder = Some(Process { pid: 7, name: HOSTILE.into() });
        }
    },
    |case| case.facts.kernel.as_mut().expect("seen").forward_v4 = false,
    |case| {
        case.records = vec![healthy::record("192.0.2.1", "192.0.2.2", "fd00:1::/64", "fd00:2::/64")];
        case.facts.kernel.as_mut().expect("seen").forward_v6 = Some(false);
    },
    |case| {
        let name = format!("ipsec.{HOSTILE}");
        case.facts.kernel.as_mut().expect("seen").rp_filter.insert(name.clone(), 1);
        case.facts.interfaces.as_mut().expect("seen")[1].name = name;
    },
    |case| {
        case.records = vec![healthy::record("2001:db8::1", "2001:db8::2", "10.1.0.0/24", "10.2.0.0/24")];
        case.facts.kernel.as_mut().expect("seen").nonlocal_v6 = true;
    },
    |case| strict(case, "inet x", false),
    |case| strict(case, "ip filter", true),
    |case| strict(case, "ip filter legacy", true),
    odd,
    |case| {
        let ways = case.facts.ways.as_mut().expect("seen");
        for way in ways.values_mut() {
            *way = Err("unreachable".into());
        }
    },
    |case| case.facts.rules.chains.clear(),
    |case| {
        case.facts.rules.chains.clear();
        case.facts.rules.has_nft = true;
    },
    |case| case.facts.policies = Ok(Vec::new()),
    |case| {
        healthy::libipsec(case);
        case.facts.routes = Ok(Vec::new());
        case.facts.interfaces.as_mut().expect("seen").clear();
    },
    |case| {
        let text = || HOSTILE.to_owned();
        case.dropped_cas =
            vec![DroppedCa { sha256: text(), subject: text(), connection: text(), name: text(), charon: text() }];
    },
    |case| {
        for interface in case.facts.interfaces.as_mut().expect("seen") {
            interface.addresses.clear();
        }
    },
    |case| case.gateway.vips[0].address = "192.0.2.9".parse().expect("an address"),
    |case| case.facts.synchronised = Ok(false),
    |case| {
        case.facts.conf_dir = HOSTILE.into();
        case.facts.conf.main = HOSTILE.into();
    },
    |case| case.facts.conf.includes = Err("No such file".into()),
    |case| case.facts.conf.dry_run.as_mut().expect("seen").broken = vec![HOSTILE.into()],
    |case| {
        case.facts.conf.dry_run.as_mut().expect("seen").connections.clear();
        case.facts.charon.as_mut().expect("seen").connections.push(HOSTILE.into());
    },
    |case| {
        let purposes = [Purpose::Key, Purpose::Secret, Purpose::Rule];
        case.facts.files =
            Ok(purposes.map(|purpose| file(purpose, 0)).into_iter().chain([file(Purpose::Key, 9)]).collect());
        let door = Door { path: HOSTILE.into(), group: HOSTILE.into(), members: vec![HOSTILE.into(), "-bob".into()] };
        case.facts.doors = Ok(vec![door]);
    },
    |case| {
        let all = ["pluto", "charon-nm", "charon", HOSTILE].map(|name| Process { pid: 7, name: name.into() });
        case.facts.processes.as_mut().expect("seen").extend(all);
        case.facts.ipsec_conf = Ok(vec![HOSTILE.into()]);
        let answers = case.facts.charon.as_mut().expect("seen");
        answers.charon.plugins.push("stroke".into());
        let local = vec!["10.1.0.0/24".into()];
        let child = ForeignChild { local, remote: vec!["10.2.0.0/24".into()], ..ForeignChild::default() };
        let (name, remotes) = (HOSTILE.into(), vec!["192.0.2.2".into()]);
        answers.foreign.push(Foreign { name, remotes, children: vec![child], ..Foreign::default() });
    },
    |case| {
        let spec = healthy::record("192.0.2.1", "192.0.2.3", "10.1.0.0/16", "10.2.0.0/16").spec.clone();
        let id = "c0000000000040008000000000000002".parse().expect("an id");
        let mut record = crate::store::Record::new(id, spec, 0, case.now).expect("a record");
        case.records.push(std::sync::Arc::new(record.clone()));
        record.aside = Some(HOSTILE.into());
        case.records.push(std::sync::Arc::new(record));
    },
    |case| {
        case.records.clear();
        case.damaged = vec![damaged(false), damaged(true)];
        case.facts.space.as_mut().expect("seen").bytes = 1;
    },
    |case| case.pair = Some(Paired { with: HOSTILE.into(), outcome: Err(HOSTILE.into()) }),
];

#[test]
fn every_check_has_fixes_that_can_be_pasted() {
    let mut found = BTreeSet::new();
    for fault in FAULTS {
        let mut case = healthy::case();
        assert_eq!(judge(&case).findings, [], "nothing is wrong before");
        fault(&mut case);
        let report = judge(&case);
        assert_ne!(report.findings, []);
        found.extend(report.findings.iter().filter(|found| found.level != Level::Info).map(|found| found.check));
    }
    let all: BTreeSet<_> = CHECKS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(found, all);
}
