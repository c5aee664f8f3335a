//! Two nodes with one name: both follow, and the one that has the address reports.

use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, bed, spec, uuid};
use crate::support::agent::AgentOptions;
use crate::support::lab::Side;
use crate::support::wait_until;

const VIP: &str = "192.0.2.100/24";

/// The lease that the status of the connection is under.
fn lease(bed: &Bed, uuid: &str) -> Option<u64> {
    let answer = bed.etcdctl(&["get", &format!("/cygnet/pair/status/{uuid}"), "-w", "json"]).stdout;
    serde_json::from_slice::<Value>(&answer).ok()?["kvs"][0]["lease"].as_u64()
}

#[test]
fn only_the_node_with_the_address_reports() {
    let Some(mut bed) = bed() else { return };
    let (vip, lan) = ("c0000000000040008000000000000001", "c0000000000040008000000000000002");
    bed.lab.add_address(Side::A, VIP);
    for side in Side::BOTH {
        let options = AgentOptions {
            wait: "0s".to_owned(),
            vips: vec![(vip.to_owned(), "192.0.2.100".to_owned())],
            l3_networks: vec![(lan.to_owned(), vec!["10.50.0.0/24".to_owned()])],
            tables: "[ha]\nrole = \"pair\"\n".to_owned(),
            ..AgentOptions::default()
        };
        bed.start_gateway(side, options);
        bed.start_follower(side, "pair");
    }
    let id = uuid(1);
    let own =
        json!({ "vipUuid": vip, "l3NetworkUuid": lan, "peerAddress": "192.0.2.77", "peerCidrs": ["10.7.0.0/24"] });
    let revision = bed.put("pair", &id, &spec(Side::A, &own));
    wait_until(PATIENCE, "both have it", || {
        Side::BOTH.iter().all(|side| bed.connections(*side).len() == 1).then_some(())
    });
    bed.status_with("pair", &id, "A reports", |status| status["revision"] == revision);
    let of_a = lease(&bed, &id).expect("a lease");

    // The address moves: the other node reports, and the first one takes nothing away from it.
    bed.lab.remove_address(Side::A, VIP);
    bed.lab.add_address(Side::B, VIP);
    let of_b = wait_until(PATIENCE, "B reports", || lease(&bed, &id).filter(|lease| *lease != of_a));
    // Both take a new spec, and only B says so.
    let revision = bed.put("pair", &id, &spec(Side::A, &crate::bed::with(&own, &json!({ "description": "two" }))));
    bed.status_with("pair", &id, "B reports", |status| status["revision"] == revision);
    wait_until(PATIENCE, "A has it too", || (bed.connections(Side::A)[0]["description"] == "two").then_some(()));
    assert_eq!(lease(&bed, &id), Some(of_b));

    // B's follower is gone; A stands by and says nothing in its place. With the address it does.
    bed.kill_follower(Side::B);
    wait_until(PATIENCE, "B is missed", || lease(&bed, &id).is_none().then_some(()));
    bed.lab.remove_address(Side::B, VIP);
    bed.lab.add_address(Side::A, VIP);
    assert_eq!(wait_until(PATIENCE, "A reports again", || lease(&bed, &id)), of_a);
    bed.status_with("pair", &id, "A reports", |status| status["revision"] == revision);
}
