//! Peers that are not strongSwan: each case with libreswan and, where it can do that, with openiked. B has the peer and
//! no agent. Packets pass both ways, the state is right, and where both do not agree, the reason is.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::{charon, lab};
use crate::foreign::{Configuration, Kind, Peer};
use crate::pair::{creation, for_side, reaches, with};
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{Lab, Side};
use crate::support::poll;

/// How long the agent and the peer may take to agree.
const PATIENCE: Duration = Duration::from_secs(30);

/// Gateway A with an agent, and B with a peer.
struct Bed {
    lab: Lab,
    peer: Peer,
    agent: Agent,
    uuid: String,
}

/// What mirrors a peer's configuration on A, with `more` over it.
fn options(more: &Value) -> Value {
    with(&json!({ "ikeVersion": "ikev2", "ikeDhGroup": 14, "policyAuthAlgorithm": "sha512" }), more)
}

impl Bed {
    /// Starts the peer, and then the agent with a connection.
    #[track_caller]
    fn new(kind: Kind, configuration: &Configuration<'_>, more: &Value) -> Self {
        let lab = lab();
        lab.start_charon_with(Side::A, charon());
        let peer = Peer::start(&lab, kind, configuration);
        let wait = AgentOptions { wait: "0s".to_owned(), ..Default::default() };
        let mut bed = Self { agent: Agent::start(&lab, Side::A, wait), lab, peer, uuid: String::new() };
        bed.create(more);
        bed
    }

    #[track_caller]
    fn create(&mut self, more: &Value) {
        let answer = self.agent.create(&creation(Side::A, &options(more))).expect(200).json();
        answer["inventory"]["uuid"].as_str().expect("a uuid").clone_into(&mut self.uuid);
    }

    #[track_caller]
    fn change(&self, more: &Value) {
        self.agent.change(&self.uuid, &for_side(Side::A, &options(more))).expect(200);
    }

    fn view(&self) -> Value {
        self.agent.request("GET", &format!("/cygnet/v1/connections/{}", self.uuid), None).expect(200).json()
    }

    /// Waits until it is Ready, and packets pass both ways.
    #[track_caller]
    fn carries(&self) {
        let ready = poll(PATIENCE, || (self.view()["inventory"]["status"] == "Ready").then_some(()));
        assert!(ready.is_some(), "not Ready: {:#}\n{}", self.view(), self.lab.charon_log(Side::A));
        for side in Side::BOTH {
            reaches(&self.lab, side, side.host(), side.other().host());
        }
    }
}

#[test]
#[ignore = "on a machine of its own"]
fn libreswan_answers() {
    let bed = Bed::new(Kind::Libreswan, &Configuration::default(), &json!({}));
    bed.carries();
    assert_eq!(bed.peer.children(), 1);
}

#[test]
#[ignore = "on a machine of its own"]
fn openiked_answers() {
    let bed = Bed::new(Kind::Openiked, &Configuration::default(), &json!({}));
    bed.carries();
    assert_eq!(bed.peer.children(), 1);
}
