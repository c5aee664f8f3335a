//! Two agents and one connection between their gateways: what most tests stand on. It asks charon by swanctl and the
//! agents by HTTP, and may not look into either.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::say;
use crate::support::agent::{self, Agent, AgentOptions};
use crate::support::lab::{Lab, Side};
use crate::support::{poll, wait_until};

/// The key of connections that do not say another one.
pub const KEY: &str = "test-only-key-of-the-lab";

/// How long two ends may take to agree, and the old SAs to go. It must hold `DUPLICATE` of agent/memory.rs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Who is written to first: the agent on B lets the other end begin (`COURTESY` of agent/memory.rs).
pub const ORDER: [Side; 2] = [Side::B, Side::A];

/// How long the agents wait for the tunnel, with that order.
pub const WAIT: [&str; 2] = ["5s", "0s"];

/// Two gateways with charon and agent, and at most one connection between them.
pub struct Pair {
    pub lab: Lab,
    agents: [Agent; 2],
    uuids: [String; 2],
}

/// What runs of the connection on one side: exactly one IKE SA, with its children.
#[derive(Clone, Debug)]
pub struct Tunnel(pub Value);

impl Pair {
    /// charons and agents. Only the one on A waits for the tunnel: tests write to B first.
    #[track_caller]
    pub fn start(lab: &Lab) -> Self {
        Self::start_waiting(lab, WAIT)
    }

    /// charons and agents that wait so long.
    #[track_caller]
    pub fn start_waiting(lab: &Lab, wait: [&str; 2]) -> Self {
        Self::start_with(lab, |side| AgentOptions { wait: wait[side as usize].to_owned(), ..Default::default() })
    }

    /// charons, and agents with these options.
    #[track_caller]
    pub fn start_with(lab: &Lab, options: impl Fn(Side) -> AgentOptions) -> Self {
        for side in Side::BOTH {
            lab.start_charon(side);
        }
        Self::join(lab, options)
    }

    /// Agents with these options, where charons run already.
    #[track_caller]
    pub fn join(lab: &Lab, options: impl Fn(Side) -> AgentOptions) -> Self {
        let agents = Side::BOTH.map(|side| Agent::start(lab, side, options(side)));
        Self { lab: lab.clone(), agents, uuids: Default::default() }
    }

    /// As [`Pair::start`], and a tunnel with these options that is up and has settled.
    #[track_caller]
    pub fn up(lab: &Lab, options: &Value) -> Self {
        let mut pair = Self::start(lab);
        pair.create_both(options);
        pair.settled(1);
        pair
    }

    pub fn agent(&self, side: Side) -> &Agent {
        &self.agents[side as usize]
    }

    pub fn agent_mut(&mut self, side: Side) -> &mut Agent {
        &mut self.agents[side as usize]
    }

    /// The connection's uuid on this side.
    pub fn uuid(&self, side: Side) -> &str {
        &self.uuids[side as usize]
    }

    /// The name of the connection in charon.
    pub fn name(&self, side: Side) -> String {
        format!("cygnet-{}", self.uuid(side))
    }

    /// Creates the connection on B, then on A, which must be Ready in its answer.
    #[track_caller]
    pub fn create_both(&mut self, options: &Value) {
        self.create(Side::B, options);
        let inventory = self.create(Side::A, options);
        assert_eq!(inventory["status"], "Ready", "{inventory}\n{}", self.agent(Side::A).logs());
    }

    /// Creates one end; the inventory.
    #[track_caller]
    pub fn create(&mut self, side: Side, options: &Value) -> Value {
        let answer = self.agent(side).create(&creation(side, options)).expect(200).json();
        answer["inventory"]["uuid"].as_str().expect("a uuid").clone_into(&mut self.uuids[side as usize]);
        answer["inventory"].clone()
    }

    /// Creates both ends at the same moment; the inventories.
    #[track_caller]
    pub fn create_at_once(&mut self, options: &Value) -> [Value; 2] {
        let create = |side: Side| self.agent(side).create(&creation(side, options)).expect(200).json();
        let answers = at_once(create);
        for (uuid, answer) in self.uuids.iter_mut().zip(&answers) {
            answer["inventory"]["uuid"].as_str().expect("a uuid").clone_into(uuid);
        }
        answers.map(|answer| answer["inventory"].clone())
    }

    /// Changes one end; the inventory.
    #[track_caller]
    pub fn change(&self, side: Side, options: &Value) -> Value {
        self.agent(side).change(self.uuid(side), &for_side(side, options)).expect(200).json()["inventory"].clone()
    }

    /// Changes B, then A, which must be Ready in its answer.
    #[track_caller]
    pub fn change_both(&self, options: &Value) {
        self.change(Side::B, options);
        let inventory = self.change(Side::A, options);
        // A large group takes charon longer than a write waits, on a busy machine.
        let is_ready = || (inventory["status"] == "Ready" || self.status(Side::A) == "Ready").then_some(());
        wait_until(PATIENCE, &format!("{options} is Ready"), is_ready);
    }

    /// The status that the agent shows; `null` when it shows none.
    #[track_caller]
    pub fn status(&self, side: Side) -> Value {
        self.agent(side).get(self.uuid(side)).expect(200).json()["inventories"][0]["status"].clone()
    }

    /// The IKE SAs of the connection on this side.
    #[track_caller]
    pub fn ike_sas(&self, side: Side) -> Vec<Value> {
        let (sas, name) = (self.lab.sas(side), self.name(side));
        sas.as_array().into_iter().flatten().filter(|sa| sa["name"] == name).cloned().collect()
    }

    /// The tunnel on this side, if all that runs is one established IKE SA with so many installed children.
    #[track_caller]
    pub fn tunnel(&self, side: Side, children: usize) -> Option<Tunnel> {
        match self.ike_sas(side).as_slice() {
            [ike] if ike["state"] == "ESTABLISHED" => Some(Tunnel(ike.clone())),
            _ => None,
        }
        .filter(|tunnel| {
            let all = tunnel.children();
            let names: BTreeSet<_> = all.iter().map(|child| child["name"].to_string()).collect();
            // Of two IKEv1 children that both ends made at once, charon replaces none, and the agent closes none.
            let count = if tunnel.0["version"] == "1" { names.len() } else { all.len() };
            count == children && all.iter().all(|child| child["state"] == "INSTALLED")
        })
    }

    /// Waits until both ends have one and the same IKE SA with so many children, and nothing else; both are Ready.
    #[track_caller]
    pub fn settled(&self, children: usize) -> [Tunnel; 2] {
        let start = Instant::now();
        let both = poll(PATIENCE, || {
            // First Ready, then the only one: so it is the wanted one.
            if Side::BOTH.iter().any(|side| self.status(*side) != "Ready") {
                return None;
            }
            let [a, b] = Side::BOTH.map(|side| self.tunnel(side, children));
            let (a, b) = (a?, b?);
            (a.spis() == b.spis()).then_some([a, b])
        });
        let Some(both) = both else {
            let (sas, status) = (Side::BOTH.map(|side| self.lab.sas(side)), Side::BOTH.map(|side| self.status(side)));
            let logs = Side::BOTH.map(|side| self.agent(side).logs());
            panic!("the ends do not settle: {sas:#?}\n{status:?}\n{}", logs.join("\n"))
        };
        if start.elapsed() > Duration::from_secs(3) {
            say(format!("{:?}: settled after {:?}", thread::current().name(), start.elapsed()));
        }
        both
    }

    /// As [`Pair::settled`], and no child is one of `before`.
    #[track_caller]
    pub fn renewed(&self, before: &[Tunnel; 2], children: usize) -> [Tunnel; 2] {
        wait_until(PATIENCE, "the old children are gone", || {
            let old = before[0].child_spis();
            self.tunnel(Side::A, children).filter(|now| now.child_spis().is_disjoint(&old))
        });
        let after = self.settled(children);
        for (before, after) in before.iter().zip(&after) {
            assert!(before.child_spis().is_disjoint(&after.child_spis()), "an old child remains: {after:#?}");
        }
        after
    }

    /// Pings through the tunnel from both sides; every packet must come back.
    #[track_caller]
    pub fn carries(&self) {
        for side in Side::BOTH {
            reaches(&self.lab, side, side.host(), side.other().host());
        }
    }
}

/// Sends pings until ten in a row come back. Of one row some may count as lost that came: ping waits for its last
/// answers only twice as long as the slowest one took, which is too short on a busy machine.
#[track_caller]
pub fn reaches(lab: &Lab, side: Side, from: &str, to: &str) {
    let all = poll(Duration::from_secs(3), || {
        (lab.ping(side, from, to, 10, Duration::from_millis(10)).lost() == 0).then_some(())
    });
    assert!(all.is_some(), "{from} to {to}: {:#?}", lab.sas(side));
}

impl Tunnel {
    /// A field of the IKE SA.
    pub fn ike(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// The `CHILD_SA`s.
    pub fn children(&self) -> &[Value] {
        self.0["children"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// A field of the only child.
    #[track_caller]
    pub fn child(&self, field: &str) -> &str {
        let [child] = self.children() else { panic!("not one child: {self:#?}") };
        child[field].as_str().unwrap_or_default()
    }

    /// The SPIs of all children, both ways: they name the SAs on both ends alike.
    pub fn child_spis(&self) -> BTreeSet<String> {
        let of =
            |child: &Value| ["spi-in", "spi-out"].map(|field| child[field].as_str().unwrap_or_default().to_owned());
        self.children().iter().flat_map(of).collect()
    }

    /// What names the tunnel on both ends: the IKE SPIs and those of the children.
    pub fn spis(&self) -> (String, BTreeSet<String>) {
        (format!("{} {}", self.ike("initiator-spi"), self.ike("responder-spi")), self.child_spis())
    }

    /// charon's own numbers: of the IKE SA and of the children.
    pub fn numbers(&self) -> (String, BTreeSet<String>) {
        let of = |child: &Value| child["uniqueid"].as_str().unwrap_or_default().to_owned();
        (self.ike("uniqueid").to_owned(), self.children().iter().map(of).collect())
    }
}

/// Does the same for both sides at the same moment.
#[track_caller]
pub fn at_once<T: Send>(work: impl Fn(Side) -> T + Sync) -> [T; 2] {
    let ended = |thread: thread::ScopedJoinHandle<'_, T>| thread.join().unwrap_or_else(|e| resume_unwind(e));
    thread::scope(|scope| {
        Side::BOTH
            .map(|side| {
                scope.spawn({
                    let work = &work;
                    move || work(side)
                })
            })
            .map(ended)
    })
}

/// The parameters of a creation: the gateway's own names and networks, and `options` over them.
pub fn creation(side: Side, options: &Value) -> Value {
    let params = json!({
        "name": format!("lab-{}", side.letter()), "vipUuid": agent::vip(side), "l3NetworkUuid": agent::l3_network(side),
        "peerCidrs": [side.other().lan()],
    });
    with(&params, &for_side(side, options))
}

/// `options` as this side says them: the peer's address and the key added, B's identities the other way round.
pub fn for_side(side: Side, options: &Value) -> Value {
    // Fast groups; the options that tests leave out are not what they are about.
    let plain = json!({ "peerAddress": side.other().wan(), "authKey": KEY, "ikeVersion": "ikev2", "ikeDhGroup": 31,
                        "pfs": "none" });
    let mut all = with(&plain, options);
    if let (Side::B, Some(members)) = (side, all.as_object_mut()) {
        let swapped = [("localId", members.remove("remoteId")), ("remoteId", members.remove("localId"))];
        members.extend(swapped.into_iter().filter_map(|(name, id)| Some((name.to_owned(), id?))));
    }
    all
}

/// The members of `base` with those of `change` over them.
pub fn with(base: &Value, change: &Value) -> Value {
    let members = |value: &Value| value.as_object().expect("options are an object").clone();
    members(base).into_iter().chain(members(change)).collect::<Map<_, _>>().into()
}
