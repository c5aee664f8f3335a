//! Gateway A with an agent, and B with a peer that is not strongSwan: what the tests of `on_foreign` and its kin share.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::bed::{charon, lab};
use crate::foreign::{Configuration, Kind, Peer};
use crate::pair::{creation, for_side, reaches, with};
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{Lab, Ping, Side};
use crate::support::{poll, wait_until};

/// How long the agent and the peer may take to agree.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The uuid of the L3 network with both of [`NETWORKS`], and B's networks.
const BOTH: &str = "c0000000000040008000000000000003";
/// Two networks on A and two on B, and the hosts in them.
pub const NETWORKS: [[&str; 2]; 2] = [["10.1.0.0/24", "172.21.0.0/16"], ["10.2.0.0/24", "172.22.0.0/16"]];
pub const HOSTS: [[&str; 2]; 2] = [["10.1.0.1", "172.21.0.1"], ["10.2.0.1", "172.22.0.1"]];

/// Beds that stand and have no connection: the next test with such a peer takes one, instead of starting four daemons.
static BEDS: Mutex<Vec<Bed>> = Mutex::new(Vec::new());

/// Both gateways.
pub struct Bed {
    pub lab: Lab,
    pub peer: Peer,
    pub agent: Agent,
    pub uuid: String,
    /// Nobody may have it after this test.
    pub is_spoilt: bool,
}

/// Does `work` with a peer and an agent that have no connection. Where it fails, the next one gets others.
#[track_caller]
pub fn in_bed(kind: Kind, work: impl FnOnce(&mut Bed)) {
    let beds = || BEDS.lock().unwrap_or_else(PoisonError::into_inner);
    let ready = {
        let mut beds = beds();
        let found = beds.iter().position(|bed| bed.peer.kind == kind);
        found.map(|found| beds.swap_remove(found))
    };
    let mut bed = ready.unwrap_or_else(|| Bed::new(kind));
    work(&mut bed);
    if !bed.is_spoilt {
        bed.clear();
        beds().push(bed);
    }
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
    #[track_caller]
    fn new(kind: Kind) -> Self {
        let lab = lab();
        for side in Side::BOTH {
            lab.add_lan(side, &format!("{}/16", HOSTS[side as usize][1]));
        }
        lab.start_charon_with(Side::A, charon());
        let peer = Peer::start(&lab, kind, &Configuration::RIGHT);
        let agent = AgentOptions {
            wait: "0s".to_owned(),
            l3_networks: vec![(BOTH.to_owned(), NETWORKS[0].map(str::to_owned).to_vec())],
            ..Default::default()
        };
        Self { agent: Agent::start(&lab, Side::A, agent), lab, peer, uuid: String::new(), is_spoilt: false }
    }

    /// Deletes the connection, if there is one, and has the peer forget what it began.
    #[track_caller]
    pub fn clear(&mut self) {
        self.agent.signal(Signal::SIGCONT);
        if !self.uuid.is_empty() {
            self.agent.delete(&self.uuid).expect(200);
            self.uuid.clear();
        }
        self.peer.load(&Configuration::RIGHT);
        if self.peer.kind == Kind::Openiked {
            self.peer.down();
        }
        wait_until(PATIENCE, "nothing is left", || {
            let none = self.lab.sas(Side::A).as_array().is_some_and(Vec::is_empty);
            (none && self.peer.children() == 0).then_some(())
        });
    }

    /// The peer is configured so, and a connection of ours is up and carries.
    #[track_caller]
    pub fn up(&mut self, configuration: &Configuration<'_>, more: &Value) {
        self.peer.load(configuration);
        self.create(more);
        self.carries();
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

    /// Waits until the reason has this code, and these words in its details.
    #[track_caller]
    pub fn told(&self, code: &str, words: &str) -> Value {
        let reason = self.hears(PATIENCE, code, words);
        reason.unwrap_or_else(|| panic!("not {code} {words}: {:#}\n{}", self.view(), self.lab.charon_log(Side::A)))
    }

    /// The same, for so long.
    #[track_caller]
    pub fn hears(&self, patience: Duration, code: &str, words: &str) -> Option<Value> {
        poll(patience, || {
            let reason = self.view()["reason"].clone();
            let details = reason["details"].as_str().unwrap_or_default();
            (reason["code"] == code && details.contains(words)).then_some(reason)
        })
    }

    /// Pings from A's network to the peer's, until they are stopped.
    #[track_caller]
    pub fn ping(&self, interval: u64) -> Ping {
        let ping = self.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(interval));
        ping.wait_for_replies(10);
        ping
    }

    /// How often charon has logged this, in all its life.
    #[track_caller]
    pub fn logged(&self, what: &str) -> usize {
        self.lab.charon_log(Side::A).matches(what).count()
    }

    /// What names the IKE SA and the CHILD_SA, if there is one of each.
    #[track_caller]
    pub fn spis(&self) -> [Value; 2] {
        let sas = self.lab.sas(Side::A);
        match (sas.as_array().map(Vec::as_slice), self.lab.children(Side::A).as_slice()) {
            (Some([ike]), [child]) => [ike["initiator-spi"].clone(), child["spi-in"].clone()],
            _ => Default::default(),
        }
    }

    /// Waits until these SAs are others, alone, and carry.
    #[track_caller]
    pub fn is_renewed(&self, before: &[Value; 2], which: &[usize]) {
        wait_until(PATIENCE, &format!("{before:?} are others"), || {
            let now = self.spis();
            (self.ready() && which.iter().all(|sa| now[*sa] != before[*sa] && !now[*sa].is_null())).then_some(())
        });
        self.carries();
    }

    /// Rekeys the CHILD_SA from here, or the IKE SA.
    #[track_caller]
    pub fn rekey(&self, what: &str) {
        let ike = format!("cygnet-{}", self.uuid);
        let child = self.lab.children(Side::A)[0]["name"].clone();
        let name = if what == "--ike" { ike.as_str() } else { child.as_str().expect("a name") };
        let said = self.lab.swanctl(Side::A, &["--rekey", what, name]);
        assert!(said.status.success(), "{what} {name}: {said:?}");
    }

    /// Closes all that charon has of it; the agent must stand still. What the peer has begun, it would begin again: it
    /// forgets that.
    #[track_caller]
    pub fn close(&self, configuration: &Configuration<'_>) {
        self.peer.load(configuration);
        let name = format!("cygnet-{}", self.uuid);
        self.lab.swanctl(Side::A, &["--terminate", "--ike", &name, "--timeout", "5"]);
        wait_until(PATIENCE, "nothing runs", || {
            self.lab.sas(Side::A).as_array().is_some_and(Vec::is_empty).then_some(())
        });
    }
}
