//! The fallback backend against a real charon: everything goes through the swanctl program, whose exit code 0 is not
//! believed, and which is not let near charon when it would unload what is not ours.

use crate::{
    certificates::{Ca, Kind},
    support::{
        self,
        agent::{self, Agent, AgentOptions},
        http::Response,
        lab::{Lab, Side},
        wait_until,
    },
};
use serde_json::{Value, json};
use std::{fs, time::Duration};

const KEY: &str = "test-only-key";
const PATIENCE: Duration = Duration::from_secs(30);

struct Bed {
    lab: Lab,
    agent: Agent,
}

impl Bed {
    /// Gateway A with an agent that has only swanctl, gateway B with an agent on vici. `None` where no lab can be.
    fn new() -> Option<(Self, Agent)> {
        if let Err(why) = Lab::available() {
            support::skipped(&why);
            return None;
        }
        let lab = Lab::new();
        for side in Side::BOTH {
            lab.start_charon(side);
        }
        let programs = lab.side_directory(Side::A).display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let environment = vec![
            ("PATH".into(), format!("{programs}:{path}")),
            ("STRONGSWAN_CONF".into(), format!("{programs}/strongswan.conf")),
        ];
        let options = AgentOptions { backend: "swanctl".into(), wait: "0s".into(), environment, ..Default::default() };
        let agent = Agent::start(&lab, Side::A, options);
        let peer = Agent::start(&lab, Side::B, AgentOptions { wait: "0s".into(), ..Default::default() });
        Some((Self { lab, agent }, peer))
    }

    fn change(&self, uuid: &str, changes: &Value) -> Response {
        self.agent.change(uuid, &body(Side::A, changes))
    }

    fn conf(&self, uuid: &str) -> String {
        fs::read_to_string(self.agent.conf_dir().join(format!("cygnet-{uuid}.conf"))).expect("the file")
    }
}

/// A request for the tunnel between the two, with `changes`.
fn body(side: Side, changes: &Value) -> Value {
    let mut body = json!({ "peerAddress": side.other().wan(), "authKey": KEY, "ikeVersion": "ikev2" });
    for (name, value) in changes.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

fn create(agent: &Agent, side: Side) -> String {
    let own = json!({ "name": "t", "vipUuid": agent::vip(side), "l3NetworkUuid": agent::l3_network(side),
        "peerCidrs": [side.other().lan()] });
    let answer = agent.create(&body(side, &own)).expect(200).json();
    answer["inventory"]["uuid"].as_str().expect("a uuid").into()
}

fn wait_ready(agent: &Agent, uuid: &str) {
    wait_until(PATIENCE, "the tunnel is Ready", || {
        (agent.get(uuid).json()["inventories"][0]["status"] == "Ready").then_some(())
    });
}

#[test]
fn a_connection_lives_through_swanctl_alone() {
    let Some((bed, peer)) = Bed::new() else { return };
    let (uuid, there) = (create(&bed.agent, Side::A), create(&peer, Side::B));
    wait_ready(&bed.agent, &uuid);
    crate::pair::reaches(&bed.lab, Side::A, Side::A.host(), Side::B.host());

    let changes = json!({ "ikeDhGroup": 19, "policyEncryptionAlgorithm": "aes-256-gcm" });
    peer.change(&there, &body(Side::B, &changes)).expect(200);
    bed.change(&uuid, &changes).expect(200);
    wait_ready(&bed.agent, &uuid);
    let native = bed.agent.request("GET", &format!("/cygnet/v1/connections/{uuid}"), None).json();
    let groups: Vec<_> = native["ike_sas"].as_array().expect("a list").iter().map(|sa| sa["group"].clone()).collect();
    assert!(groups.contains(&json!("ECP_256")), "{groups:?}");

    bed.agent.delete(&uuid).expect(200);
    assert!(bed.lab.list_conns(Side::A).is_empty());
    assert_eq!(fs::read_dir(bed.agent.conf_dir()).expect("conf.d").count(), 0);
}

#[test]
fn certificates_go_through_swanctl_too() {
    let Some((bed, peer)) = Bed::new() else { return };
    let (uuid, there) = (create(&bed.agent, Side::A), create(&peer, Side::B));
    wait_ready(&bed.agent, &uuid);
    let ca = Ca::new(Kind::Ecdsa, "CN=test-only CA");
    let name = |side: Side| format!("{}.example", side.letter());
    let certified = |side: Side| {
        let bundle = ca.issue(Kind::Ecdsa, "CN=gw", &[&name(side)]).bundle(&[&ca]);
        json!({ "authMode": "certs", "authKey": bundle, "idType": "fqdn",
                "localId": name(side), "remoteId": name(side.other()) })
    };
    peer.change(&there, &body(Side::B, &certified(Side::B))).expect(200);
    bed.change(&uuid, &certified(Side::A)).expect(200);
    wait_ready(&bed.agent, &uuid);
    wait_until(PATIENCE, "it runs under its names", || {
        let sas = bed.lab.sas(Side::A);
        let named = sas.as_array()?.iter().any(|sa| sa["local-id"] == name(Side::A) && sa["state"] == "ESTABLISHED");
        named.then_some(())
    });
    let private = bed.lab.swanctl_dir(Side::A).join("private");
    assert_eq!(fs::read_dir(&private).expect("a directory").count(), 1);
    bed.agent.delete(&uuid).expect(200);
    assert_eq!(fs::read_dir(&private).expect("a directory").count(), 0);
}

#[test]
fn what_would_hurt_others_is_not_run() {
    let Some((bed, _peer)) = Bed::new() else { return };
    let uuid = create(&bed.agent, Side::A);
    let before = bed.conf(&uuid);

    // A broken file of the operator's: swanctl would unload everything, and exit with 0.
    let broken = bed.agent.conf_dir().join("zz-broken.conf");
    fs::write(&broken, "connections { half {").expect("a file");
    let error = bed.change(&uuid, &json!({ "lifeTime": 1000 })).expect(503).json()["error"].clone();
    assert_eq!(error["code"], "SYS.1006");
    assert!(error["details"].as_str().is_some_and(|d| d.contains("a file is broken or missing")), "{error}");
    assert_eq!(bed.lab.list_conns(Side::A), [format!("cygnet-{uuid}")], "charon still has it");
    assert_eq!(bed.conf(&uuid), before, "the file is as it was");
    fs::remove_file(broken).expect("it can be removed");

    // A connection that somebody loaded without a file.
    bed.lab.load_conf(Side::A, "foreign", "connections {\n foreign {\n remote_addrs = 192.0.2.77\n }\n}\n");
    fs::remove_file(bed.agent.conf_dir().join("foreign.conf")).expect("it can be removed");
    let error = bed.change(&uuid, &json!({ "lifeTime": 1000 })).expect(503).json()["error"].clone();
    assert!(error["details"].as_str().is_some_and(|d| d.contains("would unload the connection foreign")), "{error}");
    assert!(bed.lab.list_conns(Side::A).contains(&"foreign".to_owned()), "it is still there");
    assert_eq!(bed.conf(&uuid), before, "the file is as it was");
    let stored = bed.agent.get(&uuid).json()["inventories"][0]["lifeTime"].clone();
    assert_eq!(stored, 3600, "nothing was stored");
}

#[test]
fn charon_that_is_gone_is_said_to_be_gone() {
    let Some((bed, _peer)) = Bed::new() else { return };
    let uuid = create(&bed.agent, Side::A);
    let before = bed.conf(&uuid);
    bed.lab.kill_charon(Side::A);
    let error = bed.change(&uuid, &json!({ "lifeTime": 1000 })).expect(503).json()["error"].clone();
    assert_eq!(error["code"], "SYS.1006", "{error}");
    assert_eq!(bed.conf(&uuid), before, "the file is as it was");
    let inventory = bed.agent.get(&uuid).json()["inventories"][0].clone();
    assert_eq!((&inventory["lifeTime"], &inventory["status"]), (&json!(3600), &Value::Null), "unknown is not down");
}
