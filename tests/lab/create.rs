//! From nothing to a tunnel and back: what the answers say, what is on the wire, and what remains.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::lab;
use crate::pair::{Pair, Tunnel};
use crate::peer::Charon;
use crate::policies::routes;
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;

#[test]
fn a_tunnel_is_made_and_nothing_passes_in_the_clear() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    // The check can fail: without a tunnel the same pings are seen.
    let capture = lab.capture();
    assert_eq!(lab.ping_tunnel(Side::A).received, 0);
    let clear = capture.finish();
    assert!(clear.bare_icmp >= 10 && clear.plaintext >= 10 && clear.esp_in_udp == 0, "{clear:?}");

    let capture = lab.capture();
    let first = pair.create(Side::B, &json!({}));
    assert_ne!(first["status"], "Ready", "the peer knows nothing of it: {first}");
    let second = pair.create(Side::A, &json!({}));
    assert_eq!(second["status"], "Ready", "{second}");
    pair.settled(1);
    pair.carries();
    let seen = capture.finish();
    assert!(seen.ike > 0 && seen.esp_in_udp >= 40, "{seen:?}");
    assert_eq!((seen.bare_icmp, seen.plaintext, seen.esp), (0, 0, 0), "{seen:?}");
}

/// What charon lists by swanctl is what the inventory says.
#[test]
fn the_inventory_is_what_charon_lists() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    let ids = json!({ "idType": "fqdn", "localId": "a.example", "remoteId": "b.example" });
    let inventory = pair.create(Side::B, &ids);
    assert_eq!(lab.list_conns(Side::B), [pair.name(Side::B)]);
    let conn = &lab.conns(Side::B)[&pair.name(Side::B)];
    let network = &conn["children"].as_object().and_then(|all| all.values().next()).expect("a child");
    for (seen, wanted) in [
        (&conn["remote_addrs"][0], &inventory["peerAddress"]),
        (&conn["local_addrs"][0], &Side::B.wan().into()),
        (&conn["local-1"]["id"], &inventory["localId"]),
        (&conn["remote-1"]["id"], &inventory["remoteId"]),
        (&conn["version"], &"IKEv2".into()),
        (&network["remote-ts"][0], &inventory["peerCidrs"][0]["cidr"]),
        (&network["local-ts"][0], &Side::B.lan().into()),
        (&network["mode"], &"TUNNEL".into()),
    ] {
        assert_eq!(seen, wanted, "{conn:#}\n{inventory:#}");
    }
}

/// All that this gateway still has of the connection: in charon, on disk, and as the agent shows it.
fn remains(pair: &Pair, side: Side) -> Vec<String> {
    let agent = pair.agent(side);
    let files = [agent.conf_dir(), agent.state_dir().join("connections")];
    let files = files.iter().flat_map(|directory| fs::read_dir(directory).into_iter().flatten().flatten());
    let mut found: Vec<_> = files.map(|entry| entry.path().display().to_string()).collect();
    found.extend(pair.lab.list_conns(side));
    found.extend(pair.ike_sas(side).iter().map(|sa| format!("SA {}", sa["uniqueid"])));
    found.extend(pair.lab.traps(side).keys().map(|name| format!("trap {name}")));
    found.extend(routes(&pair.lab, side));
    let charon = Charon::of(&pair.lab, side);
    found.extend(charon.secrets());
    found.extend(
        agent.get(pair.uuid(side)).expect(200).json()["inventories"]
            .as_array()
            .cloned()
            .unwrap_or_default()
            .iter()
            .map(Value::to_string),
    );
    found
}

#[test]
fn a_deleted_connection_leaves_nothing() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::up(&lab, &json!({}));
    for side in Side::BOTH {
        assert!(remains(&pair, side).len() >= 6, "the check sees a connection: {:?}", remains(&pair, side));
    }
    for (first, version) in [(Side::A, "ikev2"), (Side::B, *Lab::ike_versions().last().expect("one"))] {
        pair.agent(first).delete(pair.uuid(first)).expect(200);
        assert_eq!(remains(&pair, first), Vec::<String>::new());
        let other = first.other();
        wait_until(Duration::from_secs(20), "the peer's SA is closed with ours", || {
            pair.ike_sas(other).is_empty().then_some(())
        });
        assert_ne!(pair.status(other), "Ready");
        pair.agent(other).delete(pair.uuid(other)).expect(200);
        assert_eq!(remains(&pair, other), Vec::<String>::new());
        let capture = lab.capture();
        assert_eq!(lab.ping_tunnel(Side::A).received, 0);
        assert!(capture.finish().esp_in_udp == 0, "no SA, no packet");
        pair.create_both(&json!({ "ikeVersion": version }));
        pair.settled(1);
    }
}

#[test]
fn a_connection_to_a_dead_peer_can_be_deleted() {
    let Some(lab) = lab() else { return };
    for version in Lab::ike_versions() {
        let pair = Pair::up(&lab, &json!({ "ikeVersion": version }));
        lab.drop_udp(Side::B, true);
        for side in Side::BOTH {
            let start = Instant::now();
            pair.agent(side).delete(pair.uuid(side)).expect(200);
            let took = start.elapsed();
            assert!(took < Duration::from_secs(20), "{version}: {took:?}");
            assert_eq!(remains(&pair, side), Vec::<String>::new());
        }
        lab.drop_udp(Side::B, false);
        drop(pair);
        for side in Side::BOTH {
            assert!(lab.stop_charon(side).success());
        }
    }
}

/// A connection without networks is loaded nowhere, and waits.
#[test]
fn a_connection_without_networks_waits() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start(&lab);
    let inventory = pair.create(Side::A, &json!({ "peerCidrs": null, "l3NetworkUuid": null }));
    assert_eq!(inventory["status"], "Connecting", "{inventory}");
    assert_eq!(lab.list_conns(Side::A), Vec::<String>::new());
    let none: Option<Tunnel> = pair.tunnel(Side::A, 0);
    assert!(none.is_none());
}
