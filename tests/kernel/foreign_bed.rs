//! Gateway A with an agent, and B with a peer that is not strongSwan: what the tests of `on_foreign` and its kin share.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::{charon, lab};
use crate::foreign::{Configuration, Kind, Peer};
use crate::pair::{creation, for_side, reaches, with};
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{Lab, Side};
use crate::support::{poll, wait_until};

/// How long the agent and the peer may take to agree.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The uuid of the L3 network with both of [`NETWORKS`], and B's networks.
const BOTH: &str = "c0000000000040008000000000000003";
/// Two networks on A and two on B, and the hosts in them.
pub const NETWORKS: [[&str; 2]; 2] = [["10.1.0.0/24", "172.21.0.0/16"], ["10.2.0.0/24", "172.22.0.0/16"]];
pub const HOSTS: [[&str; 2]; 2] = [["10.1.0.1", "172.21.0.1"], ["10.2.0.1", "172.22.0.1"]];

/// Both gateways.
pub struct Bed {
    pub lab: Lab,
    pub peer: Peer,
    pub agent: Agent,
    pub uuid: String,
}

/// What mirrors the peer's configuration on A, with `more` over it.
fn options(more: &Value) -> Value {
    with(&json!({ "ikeVersion": "ikev2", "ikeDhGroup": 14, "policyAuthAlgorithm": "sha512" }), more)
}

/// What A's connection is created with, which mirrors [`Configuration::RIGHT`].
pub fn wanted() -> Value {
    creation(Side::A, &options(&json!({})))
}

/// Options for all of [`NETWORKS`].
pub fn all_networks(version: &str) -> Value {
    json!({ "ikeVersion": version, "l3NetworkUuid": BOTH, "peerCidrs": NETWORKS[1] })
}

impl Bed {
    /// Starts the peer and the agent, without a connection.
    #[track_caller]
    pub fn empty(kind: Kind, configuration: &Configuration<'_>) -> Self {
        let lab = lab();
        for side in Side::BOTH {
            lab.add_lan(side, &format!("{}/16", HOSTS[side as usize][1]));
        }
        lab.start_charon_with(Side::A, charon());
        let peer = Peer::start(&lab, kind, configuration);
        let agent = AgentOptions {
            wait: "0s".to_owned(),
            l3_networks: vec![(BOTH.to_owned(), NETWORKS[0].map(str::to_owned).to_vec())],
            ..Default::default()
        };
        Self { agent: Agent::start(&lab, Side::A, agent), lab, peer, uuid: String::new() }
    }

    /// As [`Bed::empty`], and a connection that is up and carries.
    #[track_caller]
    pub fn up(kind: Kind, configuration: &Configuration<'_>, more: &Value) -> Self {
        let mut bed = Self::empty(kind, configuration);
        bed.create(more);
        bed.carries();
        bed
    }

    /// Creates the connection on A.
    #[track_caller]
    pub fn create(&mut self, more: &Value) {
        let answer = self.agent.create(&creation(Side::A, &options(more))).expect(200).json();
        answer["inventory"]["uuid"].as_str().expect("a uuid").clone_into(&mut self.uuid);
    }

    /// Changes it.
    #[track_caller]
    pub fn change(&self, more: &Value) {
        self.agent.change(&self.uuid, &for_side(Side::A, &options(more))).expect(200);
    }

    /// The agent's view of it.
    #[track_caller]
    pub fn view(&self) -> Value {
        self.agent.request("GET", &format!("/cygnet/v1/connections/{}", self.uuid), None).expect(200).json()
    }

    /// Whether all is as wanted.
    #[track_caller]
    pub fn ready(&self) -> bool {
        self.view()["inventory"]["status"] == "Ready"
    }

    /// Waits until it is Ready and packets pass both ways.
    #[track_caller]
    pub fn carries(&self) {
        self.carries_between(Side::A.host(), Side::B.host());
    }

    /// Waits until it is Ready, and packets pass both ways between two hosts.
    #[track_caller]
    pub fn carries_between(&self, a: &str, b: &str) {
        let ready = poll(PATIENCE, || self.ready().then_some(()));
        assert!(ready.is_some(), "not Ready: {:#}\n{}", self.view(), self.lab.charon_log(Side::A));
        // A daemon may list an SA before its kernel has it.
        let _ =
            poll(PATIENCE, || (self.lab.ping(Side::A, a, b, 1, Duration::from_millis(10)).lost() == 0).then_some(()));
        reaches(&self.lab, Side::A, a, b);
        reaches(&self.lab, Side::B, b, a);
    }

    /// Waits until charon has just one CHILD_SA, with AES of so many bits.
    #[track_caller]
    pub fn one_is_left(&self, bits: &str) -> Value {
        let left = poll(PATIENCE, || match self.lab.children(Side::A).as_slice() {
            [one] if one["state"] == "INSTALLED" && one["encr-keysize"] == bits => Some(one.clone()),
            _ => None,
        });
        left.unwrap_or_else(|| panic!("not one with {bits} bits: {:#?}", self.lab.sas(Side::A)))
    }

    /// Closes all that charon has of it; the agent must stand still. What the peer has begun, it would begin again: it
    /// forgets that.
    #[track_caller]
    pub fn close(&self) {
        self.peer.load(&Configuration::RIGHT);
        let name = format!("cygnet-{}", self.uuid);
        self.lab.swanctl(Side::A, &["--terminate", "--ike", &name, "--timeout", "5"]);
        wait_until(PATIENCE, "nothing runs", || {
            self.lab.sas(Side::A).as_array().is_some_and(Vec::is_empty).then_some(())
        });
    }
}
