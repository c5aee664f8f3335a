//! What is written comes to the agents, in order, and what runs comes back.

use serde_json::json;

use crate::bed::{KEY, PATIENCE, bed, gateway, spec, uuid};
use crate::support::lab::Side;
use crate::support::wait_until;

#[test]
fn a_wish_becomes_a_tunnel_and_its_end() {
    let Some(mut bed) = bed() else { return };
    bed.start_both();
    let id = uuid(1);
    let revisions = Side::BOTH.map(|side| bed.put(gateway(side), &id, &spec(side, &json!({}))));
    for (side, revision) in Side::BOTH.into_iter().zip(revisions) {
        let status = bed.ready(gateway(side), &id, revision);
        assert_eq!((&status["generation"], &status["error"]), (&1.into(), &json!(null)), "{status}");
    }
    assert_eq!(bed.lab.ping_tunnel(Side::A).lost(), 0);

    // A change of both ends.
    let revisions = Side::BOTH.map(|side| bed.put(gateway(side), &id, &spec(side, &json!({ "pfs": "dh-group31" }))));
    for (side, revision) in Side::BOTH.into_iter().zip(revisions) {
        assert_eq!(bed.ready(gateway(side), &id, revision)["generation"], 2);
    }

    // A wish that the agent refuses is seen as refused, and the tunnel stays.
    let refused = bed.put("g1", &id, &spec(Side::A, &json!({ "peerAddress": "224.0.0.1" })));
    let status = bed.status_with("g1", &id, "it is refused", |status| status["revision"] == refused);
    assert!(status["error"].to_string().contains("224.0.0.1") && status["status"] == "Ready", "{status}");
    assert_eq!(bed.lab.ping_tunnel(Side::A).lost(), 0);

    // Disabled and enabled: what a spec leaves out is not kept from before.
    let off = bed.put("g1", &id, &spec(Side::A, &json!({ "state": "Disabled" })));
    bed.status_with("g1", &id, "it is down", |status| status["revision"] == off && status["status"] != "Ready");
    let on = bed.put("g1", &id, &spec(Side::A, &json!({})));
    bed.ready("g1", &id, on);

    // A key that names no connection.
    bed.put("g1", "no-uuid", &json!({}));
    let status = bed.status_with("g1", "no-uuid", "it is refused", |status| !status["error"].is_null());
    assert_eq!(status["status"], json!(null));

    // The foreign connection stays, and is reported; the other one goes with its spec, the status with it.
    let foreign =
        spec(Side::A, &json!({ "name": "foreign", "peerAddress": "192.0.2.77", "peerCidrs": ["10.7.0.0/24"] }));
    let foreign = bed.agent(Side::A).create(&foreign).expect(200).json()["inventory"]["uuid"].clone();
    let foreign = foreign.as_str().expect("a uuid").to_owned();
    bed.status_with("g1", &foreign, "it is reported", |status| status["foreign"] == true && status["revision"] == 0);
    bed.delete("g1", &id);
    wait_until(PATIENCE, "it is gone", || (bed.connections(Side::A).len() == 1).then_some(()));
    wait_until(PATIENCE, "its status is gone", || bed.status("g1", &id).is_none().then_some(()));
    assert_eq!(bed.connections(Side::A)[0]["uuid"], foreign.as_str());
    assert!(!bed.logs().contains(KEY));
}
