//! Several networks against peers with another idea of CHILD_SAs: one for each pair of networks, or one for all. Whoever
//! begins, and whichever IKE version was asked for, all pairs carry and the connection is Ready.

use serde_json::{Value, json};

use cygnet::strongswan::section::{Section, Value as Vici};

use crate::pair::{KEY, creation, reaches};
use crate::peer::Charon;
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;
use crate::{lab_for, say};

/// The uuid of the L3 network with both CIDRs.
const NETWORKS: &str = "c0000000000040008000000000000003";
/// How long all pairs may take to carry: attempts, and the time that the peer has to follow.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(40);

fn two(side: Side) -> [String; 2] {
    [format!("10.{}.0.0/24", side.number()), format!("172.2{}.0.0/16", side.number())]
}

fn host(side: Side, network: usize) -> String {
    [side.host().to_owned(), format!("172.2{}.0.1", side.number())][network].clone()
}

/// How the peer spreads its networks.
#[derive(Clone, Copy, PartialEq)]
enum Peer {
    PerPair,
    AllInOne,
}

/// Loads the peer, which has no agent.
fn load(charon: &Charon, peer: Peer) -> Vec<String> {
    let b = Side::B;
    let list = |items: &[String]| Vici::List(items.iter().map(|item| item.as_bytes().to_vec()).collect());
    let one = |item: &str| list(&[item.to_owned()]);
    let child = |local: &[String], remote: &[String]| {
        let child = Section::new().with("mode", "tunnel").with("esp_proposals", one("aes256-sha256"));
        child.with("local_ts", list(local)).with("remote_ts", list(remote))
    };
    let (ours, theirs) = (two(b), two(b.other()));
    let children: Vec<_> = match peer {
        Peer::AllInOne => vec![("all".to_owned(), child(&ours, &theirs))],
        Peer::PerPair => {
            (0..4).map(|n| (format!("pair{n}"), child(&ours[n / 2..=n / 2], &theirs[n % 2..=n % 2]))).collect()
        }
    };
    let names = children.iter().map(|(name, _)| name.clone()).collect();
    let end = |id: &str| Section::new().with("auth", "psk").with("id", id);
    let all = children.into_iter().fold(Section::new(), |all, (name, child)| all.with(&name, child));
    charon.load_secret("peer", KEY.as_bytes(), &[b.other().wan()]);
    let body = Section::new()
        .with("version", "0")
        .with("local_addrs", one(b.wan()))
        .with("remote_addrs", one(b.other().wan()))
        .with("proposals", one("aes256-sha256-x25519"))
        .with("unique", "no")
        .with("local", end(b.wan()))
        .with("remote", end(b.other().wan()))
        .with("children", all);
    charon.load_section("peer", body);
    names
}

fn view(agent: &Agent, uuid: &str) -> Value {
    agent.request("GET", &format!("/cygnet/v1/connections/{uuid}"), None).expect(200).json()
}

fn agent(lab: &Lab) -> Agent {
    let a = Side::A;
    let options =
        AgentOptions { wait: "0s".into(), l3_networks: vec![(NETWORKS.into(), two(a).to_vec())], ..Default::default() };
    Agent::start(lab, a, options)
}

/// All four pairs carry, and it is Ready; the view then.
fn carried(version: &str, peer: Peer, peer_begins: bool, options: &Value) -> Option<Value> {
    let lab = lab_for(version)?;
    for side in Side::BOTH {
        lab.add_lan(side, &format!("172.2{}.0.1/16", side.number()));
        lab.start_charon(side);
    }
    let charon = Charon::of(&lab, Side::B);
    let children = if peer_begins { Vec::new() } else { load(&charon, peer) };
    let agent = agent(&lab);
    let body = json!({ "ikeVersion": version, "l3NetworkUuid": NETWORKS, "peerCidrs": two(Side::B) });
    let body = crate::pair::with(&creation(Side::A, &body), options);
    let created = agent.create(&body).expect(200).json();
    let uuid = created["inventory"]["uuid"].as_str().expect("a uuid").to_owned();
    if peer_begins {
        for child in load(&charon, peer).iter().chain(&children) {
            charon.initiate("peer", child);
        }
    }
    let seen = std::cell::RefCell::new(Value::Null);
    let ready = || {
        let view = view(&agent, &uuid);
        let is_ready = view["inventory"]["status"] == "Ready";
        *seen.borrow_mut() = view;
        is_ready.then_some(())
    };
    let in_time = crate::support::poll(PATIENCE, ready).is_some();
    assert!(in_time, "not Ready: {:#}\n{}", seen.borrow(), agent.logs());
    for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        reaches(&lab, Side::A, &host(Side::A, from), &host(Side::B, to));
    }
    wait_until(PATIENCE, "it stays Ready", ready);
    say(format!("{version}: split {}", seen.borrow()["split"]));
    Some(seen.into_inner())
}

macro_rules! rows {
    ($($name:ident: $version:literal, $peer:ident, $peer_begins:literal;)*) => {
        $(#[test]
        fn $name() {
            carried($version, Peer::$peer, $peer_begins, &json!({}));
        })*
    };
}

rows! {
    per_pair_ikev2_we_begin: "ikev2", PerPair, false;
    per_pair_ikev2_the_peer_begins: "ikev2", PerPair, true;
    per_pair_any_we_begin: "ike", PerPair, false;
    per_pair_any_the_peer_begins: "ike", PerPair, true;
    per_pair_ikev1_we_begin: "ikev1", PerPair, false;
    per_pair_ikev1_the_peer_begins: "ikev1", PerPair, true;
    all_in_one_ikev2_we_begin: "ikev2", AllInOne, false;
    all_in_one_ikev2_the_peer_begins: "ikev2", AllInOne, true;
    all_in_one_any_the_peer_begins: "ike", AllInOne, true;
}

/// `ike` tries all in one child first, and a peer that has it so keeps it.
#[test]
fn all_in_one_any_we_begin() {
    let Some(view) = carried("ike", Peer::AllInOne, false, &json!({})) else { return };
    assert_eq!((&view["split"], view["children"].as_array().map(Vec::len)), (&json!("auto"), Some(1)), "{view:#}");
}

/// What the caller fixed is not learned away.
#[test]
fn pairs_are_one_child_each() {
    let Some(view) = carried("ikev2", Peer::PerPair, false, &json!({ "split": "pairs" })) else { return };
    assert_eq!((&view["split"], view["children"].as_array().map(Vec::len)), (&json!("pairs"), Some(4)), "{view:#}");
}

/// charon drops a network that another one of the child contains: it is left out, the view says so, and the rest is Ready.
#[test]
fn a_network_inside_another_is_left_out() {
    let Some(lab) = crate::lab() else { return };
    let nested = |side: Side| AgentOptions {
        wait: crate::pair::WAIT[side as usize].to_owned(),
        l3_networks: match side {
            Side::A => vec![(NETWORKS.into(), vec!["10.1.0.0/24".into(), "10.1.0.0/16".into()])],
            Side::B => Vec::new(),
        },
        ..Default::default()
    };
    let mut pair = crate::pair::Pair::start_with(&lab, nested);
    pair.create(Side::B, &json!({ "peerCidrs": ["10.1.0.0/16"] }));
    pair.create(Side::A, &json!({ "l3NetworkUuid": NETWORKS }));
    pair.settled(1);
    pair.carries();
    let view = view(pair.agent(Side::A), pair.uuid(Side::A));
    assert_eq!(view["left_out"], json!([{ "network": "10.1.0.0/24", "within": "10.1.0.0/16" }]), "{view:#}");
    assert_eq!(view["children"][0]["local"], json!(["10.1.0.0/16"]), "{view:#}");
}
