//! Several connections to one peer on real charons: whose key charon takes for whom, a key that two connections share and
//! that changes in both, and two keys where charon can tell them apart.

use std::time::Duration;

use serde_json::{Value, json};

use crate::lab;
use crate::matching::connection;
use crate::pair::{ORDER, PATIENCE, Pair, creation, reaches, with};
use crate::peer::Charon;
use crate::support::agent::AgentOptions;
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;

/// The uuids of A's second address, and of the network behind it.
const SECOND: [&str; 2] = ["c0000000000040008000000000000001", "c0000000000040008000000000000002"];
const ADDRESS: &str = "192.0.2.11";
const HOST: &str = "10.11.0.1";
const NETWORK: &str = "10.11.0.0/24";

/// Two gateways, of which A has a second address.
fn gateways(lab: &Lab) -> Pair {
    lab.add_address(Side::A, &format!("{ADDRESS}/24"));
    lab.add_lan(Side::A, &format!("{HOST}/24"));
    Pair::start_with(lab, |_| AgentOptions {
        wait: "0s".to_owned(),
        vips: vec![(SECOND[0].to_owned(), ADDRESS.to_owned())],
        l3_networks: vec![(SECOND[1].to_owned(), vec![NETWORK.to_owned()])],
        ..Default::default()
    })
}

/// The second connection, between A's second address and B.
fn second(side: Side, options: &Value) -> Value {
    let more = match side {
        Side::A => json!({ "vipUuid": SECOND[0], "l3NetworkUuid": SECOND[1] }),
        Side::B => json!({ "peerAddress": ADDRESS, "peerCidrs": [NETWORK] }),
    };
    with(&creation(side, options), &more)
}

fn uuid_of(answer: &Value) -> String {
    answer["inventory"]["uuid"].as_str().expect("a uuid").to_owned()
}

/// The number of the only IKE SA of a connection that is Ready, with its child.
#[track_caller]
fn running(pair: &Pair, side: Side, uuid: &str) -> String {
    wait_until(PATIENCE, &format!("one SA of {uuid}, and it is Ready"), || {
        let status = pair.agent(side).get(uuid).expect(200).json()["inventories"][0]["status"].clone();
        let sas = pair.lab.sas(side);
        let name = format!("cygnet-{uuid}");
        let ours: Vec<_> = sas.as_array().into_iter().flatten().filter(|sa| sa["name"] == name.as_str()).collect();
        let only = (status == "Ready" && ours.len() == 1).then(|| ours[0]["uniqueid"].to_string());
        only.filter(|_| ours[0]["children"].as_array().is_some_and(|children| children.len() == 1))
    })
}

/// Changes a connection; `query` is behind the path.
#[track_caller]
fn change(pair: &Pair, side: Side, uuid: &str, query: &str, options: &Value) -> Value {
    let body = json!({ "changeIPsecConnection": options });
    let path = format!("/zstack/v1/ipsec/config/{uuid}?keep=true{query}");
    pair.agent(side).request("PUT", &path, Some(&body)).expect(200).json()
}

fn both_carry(pair: &Pair) {
    pair.carries();
    reaches(&pair.lab, Side::A, HOST, Side::B.host());
}

#[test]
fn one_peer_at_two_addresses() {
    let Some(lab) = lab() else { return };
    let mut pair = gateways(&lab);
    let key = |key: &str| json!({ "authKey": key });
    for side in ORDER {
        pair.create(side, &key("test-only-key-of-both"));
    }
    let [b, a] = ORDER.map(|side| {
        let params = second(side, &key("test-only-key-of-both"));
        uuid_of(&pair.agent(side).create(&params).expect(200).json())
    });
    let first = pair.uuid(Side::A).to_owned();
    let before = [&first, &a].map(|uuid| running(&pair, Side::A, uuid));
    both_carry(&pair);
    // A key of both, in one step; B has one for each of A's addresses.
    for uuid in [pair.uuid(Side::B), &b] {
        change(&pair, Side::B, uuid, "", &key("test-only-key-anew"));
    }
    let answer = change(&pair, Side::A, &a, "&together=true", &key("test-only-key-anew"));
    assert_eq!(answer["together"][0]["uuid"], first.as_str(), "{answer}");
    wait_until(PATIENCE, "both are made anew", || {
        let now = [&first, &a].map(|uuid| running(&pair, Side::A, uuid));
        (now[0] != before[0] && now[1] != before[1]).then_some(())
    });
    both_carry(&pair);
    // Two keys: charon tells them apart by A's identities, and the first tunnel goes on.
    let before = [&first, &a].map(|uuid| running(&pair, Side::A, uuid));
    change(&pair, Side::B, &b, "", &key("test-only-key-of-the-second"));
    let answer = change(&pair, Side::A, &a, "", &key("test-only-key-of-the-second"));
    assert_eq!(answer["together"][0]["changed"], "keyOwner", "{answer}");
    wait_until(PATIENCE, "the second is made anew", || (running(&pair, Side::A, &a) != before[1]).then_some(()));
    assert_eq!(running(&pair, Side::A, &first), before[0], "the first is as it was");
    both_carry(&pair);
    // Each key opens its own tunnel alone.
    let seen = lab.charon_log(Side::A).len();
    change(&pair, Side::B, &b, "", &key("test-only-key-anew"));
    wait_until(PATIENCE, "the first key is refused for the second", || {
        lab.charon_log(Side::A)[seen..].contains("but MAC mismatched").then_some(())
    });
    change(&pair, Side::B, &b, "", &key("test-only-key-of-the-second"));
    running(&pair, Side::B, &b);
    both_carry(&pair);
    // A new start of charon brings both up again, each with its key.
    lab.kill_charon(Side::A);
    lab.start_charon(Side::A);
    for uuid in [&first, &a] {
        running(&pair, Side::A, uuid);
    }
    both_carry(&pair);
}

/// Whether A takes a peer that calls itself `local` and shows this key.
fn is_let_in(lab: &Lab, local: &str, key: &str) -> bool {
    let b = Charon::of(lab, Side::B);
    let remote = Side::A.wan();
    let seen = lab.charon_log(Side::A).len();
    b.load_secret("attack", key.as_bytes(), &[local, remote]);
    b.load_section("attack", connection(Side::B, "2", local, remote));
    b.initiate("attack", "k");
    let said = format!("authentication of '{}' with pre-shared key successful", local.trim_start_matches("fqdn:"));
    let verdict = wait_until(Duration::from_secs(10), "the verdict of A", || {
        let log = &lab.charon_log(Side::A)[seen..];
        let refused = log.contains("but MAC mismatched");
        (refused || log.contains(&said)).then_some(!refused)
    });
    for ike in b.running() {
        b.close(&ike);
    }
    b.unload("attack");
    b.forget("attack");
    verdict
}

/// Tenant two may not come in as tenant one's peer with a key of his own, however he spells its identity.
#[test]
fn a_tenants_key_does_not_open_anothers_connection() {
    let Some(lab) = lab() else { return };
    let pair = gateways(&lab);
    let remote = |id: &str, key: &str| json!({ "idType": "fqdn", "remoteId": id, "authKey": key });
    let (own, other) = ("test-only-of-tenant-one", "test-only-of-tenant-two");
    pair.agent(Side::A).create(&creation(Side::A, &remote("peer.example", own))).expect(200);
    let more = json!({ "peerAddress": "192.0.2.99", "peerCidrs": ["10.99.0.0/24"] });
    for id in ["peer.example", "PEER.example", "Peer.Example"] {
        let refused = pair.agent(Side::A).create(&with(&creation(Side::A, &remote(id, other)), &more));
        assert!(refused.expect(503).text().contains("KEY_AMBIGUOUS"), "{id}");
    }
    // Called as tenant one's gateway.
    let gateway = json!({ "idType": "ip", "remoteId": Side::A.wan(), "authKey": other });
    let refused = pair.agent(Side::A).create(&with(&creation(Side::A, &gateway), &more));
    assert!(refused.expect(503).text().contains("KEY_AMBIGUOUS"));
    // At another address of the gateway he may have a peer of this name: charon tells the keys apart.
    pair.agent(Side::A).create(&second(Side::A, &remote("PEER.example", other))).expect(200);
    for spelled in ["fqdn:peer.example", "fqdn:PEER.example"] {
        assert!(!is_let_in(&lab, spelled, other), "{spelled}");
    }
    assert!(is_let_in(&lab, "fqdn:peer.example", own), "its own key");
}
