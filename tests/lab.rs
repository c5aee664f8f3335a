//! Two gateways with a real charon and an agent each, in network namespaces.
mod support;

use serde_json::json;
use support::agent::{self, Agent, AgentOptions};
use support::lab::{Lab, Side};

#[test]
fn create_and_change() {
    let lab = Lab::new();
    for side in Side::BOTH {
        lab.start_charon(side);
    }
    let agents = Side::BOTH.map(|side| Agent::start(&lab, side, AgentOptions::default()));
    let mut ids = vec![];
    for side in Side::BOTH {
        let r = agents[usize::from(side == Side::B)].create(&json!({
            "name": "t", "vipUuid": agent::vip(side), "l3NetworkUuid": agent::l3_network(side),
            "peerAddress": side.other().wan(), "authKey": "test-only-key", "peerCidrs": [format!("10.{}.0.0/24", side.other().number())],
            "ikeVersion": "ikev2", "ikeDhGroup": 14}));
        println!("{} {}", r.status, r.text());
        ids.push(r.json()["inventory"]["uuid"].as_str().unwrap().to_owned());
    }
    println!("{:?}", lab.ping_tunnel(Side::A));
    for (i, a) in agents.iter().enumerate() {
        let r = a.change(&ids[i], &json!({"peerAddress": Side::BOTH[i].other().wan(), "authKey": "test-only-key", "ikeVersion": "ikev2", "ikeDhGroup": 19, "policyEncryptionAlgorithm": "aes-256-gcm"}));
        println!("{} {}", r.status, r.text());
    }
    println!("{:?}", lab.ping_tunnel(Side::A));
    println!("{}", agents[0].logs());
    println!("{}", agents[1].logs());
    println!("{}", serde_json::to_string_pretty(&lab.sas(Side::A)).unwrap());
    for (i, a) in agents.iter().enumerate() {
        let r = a.delete(&ids[i]);
        println!("{} {}", r.status, r.text());
    }
    println!("{}", serde_json::to_string_pretty(&lab.sas(Side::A)).unwrap());
}
