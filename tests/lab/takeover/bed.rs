//! Two gateways and one peer on a bridge, with charon's own retransmissions. The peer's charon answers as one peer for each
//! tunnel. The address of the tunnels moves from one gateway to the other, as keepalived moves it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::lab;
use crate::pair::{KEY, PATIENCE};
use crate::standby::patient;
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{CharonOptions, Lab, Side};
use crate::support::{run, wait_until};

/// How long many tunnels may take on a busy machine.
pub const LONG: Duration = Duration::from_mins(3);
/// The hardware address of the peer.
const PEER_AT: &str = "02:00:00:00:00:03";

/// What a bed has.
#[derive(Clone, Copy)]
pub struct Plan {
    /// `ikeVersion`.
    pub version: &'static str,
    /// Whether all addresses are of IPv6.
    pub six: bool,
    /// How many addresses move; each tunnel has one of them.
    pub vips: usize,
    /// How many tunnels there are.
    pub tunnels: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { version: "ikev2", six: false, vips: 1, tunnels: 1 }
    }
}

impl Plan {
    /// The address number `n` that moves.
    pub fn vip(self, n: usize) -> String {
        if self.six { format!("2001:db8::{}", 7 + n) } else { format!("192.0.2.{}", 7 + n) }
    }

    fn cidr(self, n: usize) -> String {
        self.alone(&self.vip(n))
    }

    /// An address that is a network by itself.
    fn alone(self, address: &str) -> String {
        format!("{address}/{}", if self.six { 128 } else { 32 })
    }

    /// The peer of the tunnel number `n`.
    fn peer(self, n: usize) -> String {
        match (self.six, n) {
            (true, n) => format!("2001:db8::3:{:x}", n + 1),
            (false, n) => format!("10.200.{}.{}", n / 250, n % 250 + 1),
        }
    }

    /// The networks of the tunnel: behind the gateways, and behind the peer.
    fn networks(self, n: usize) -> [String; 2] {
        let of = |base: usize| {
            if self.six {
                format!("fd00:{base:x}:{n:x}::/64")
            } else {
                format!("10.{}.{}.0/24", base + n / 250, n % 250)
            }
        };
        [100, 110].map(of)
    }

    /// Hosts in them.
    pub fn hosts(self, n: usize) -> [String; 2] {
        let host = |network: String| network.replace("::/64", "::1").replace(".0/24", ".1");
        self.networks(n).map(host)
    }

    fn vip_uuid(n: usize) -> String {
        format!("e{n:031x}")
    }

    fn network_uuid(n: usize) -> String {
        format!("f{n:031x}")
    }

    /// The uuid of the tunnel number `n`, on both gateways.
    pub fn uuid(n: usize) -> String {
        format!("c{n:011x}40008{n:015x}")
    }

    fn creation(self, n: usize) -> Value {
        json!({ "name": format!("branch-{n}"), "resourceUuid": Self::uuid(n), "vipUuid": Self::vip_uuid(n % self.vips),
                "l3NetworkUuid": Self::network_uuid(n), "peerAddress": self.peer(n), "authKey": KEY,
                "peerCidrs": [self.networks(n)[1]], "ikeVersion": self.version, "ikeDhGroup": 31, "pfs": "none" })
    }

    /// The same tunnels for swanctl, on a gateway that has no agent.
    fn conf(self) -> String {
        let ends = |n| {
            let [ours, theirs] = self.networks(n);
            [(self.vip(n % self.vips), ours), (self.peer(n), theirs)]
        };
        let all = (0..self.tunnels).map(|n| self.connection(&format!("t{n}"), &ends(n), "start_action = start\n"));
        with_key(&all.collect::<String>())
    }

    /// What answers as every peer: each of many hosts has one connection, so one host in place of all has one too. A charon
    /// with a thousand would search through them, which is work that no peer has.
    fn answers(self) -> String {
        let everything = if self.six { "::/0" } else { "0.0.0.0/0" };
        let end = ("%any".to_owned(), everything.to_owned());
        with_key(&self.connection("peers", &[end.clone(), end], ""))
    }

    /// A connection from the first of `ends`, an address and a network each, to the second.
    fn connection(self, name: &str, ends: &[(String, String); 2], starts: &str) -> String {
        let number = if self.version == "ikev1" { 1 } else { 2 };
        let [(local, local_ts), (remote, remote_ts)] = ends;
        format!(
            "{name} {{\nversion = {number}\nlocal_addrs = {local}\nremote_addrs = {remote}\n\
             proposals = aes256-sha256-x25519,aes128-sha1-x25519\nunique = no\n\
             local {{\nauth = psk\nid = {local}\n}}\nremote {{\nauth = psk\nid = {remote}\n}}\n\
             children {{\n{name}-0 {{\nesp_proposals = aes256-sha256,aes128-sha256,aes128-sha1\nlocal_ts = {local_ts}\n\
             remote_ts = {remote_ts}\n{starts}}}\n}}\n}}\n"
        )
    }
}

/// Connections, with the one key of all.
fn with_key(connections: &str) -> String {
    format!("connections {{\n{connections}}}\nsecrets {{\nike-all {{\nsecret = \"{KEY}\"\n}}\n}}\n")
}

/// The gateways, with an agent each unless the bed is plain, and the peer: B of another lab, whose bridge is joined to
/// theirs.
pub struct Bed {
    pub plan: Plan,
    pub gateways: Lab,
    pub agents: Vec<Agent>,
    pub peer: Lab,
}

impl Bed {
    /// A bed with agents, which have all connections.
    pub fn start(plan: Plan) -> Option<Self> {
        let mut bed = Self::plain(plan)?;
        for side in Side::BOTH {
            bed.gateways.start_charon_with(side, patient());
            let options = AgentOptions {
                wait: "0s".to_owned(),
                top: "ha.role = \"pair\"\n".to_owned(),
                vips: (0..plan.vips).map(|n| (Plan::vip_uuid(n), plan.vip(n))).collect(),
                l3_networks: (0..plan.tunnels)
                    .map(|n| (Plan::network_uuid(n), vec![plan.networks(n)[0].clone()]))
                    .collect(),
                ..AgentOptions::default()
            };
            let agent = Agent::start(&bed.gateways, side, options);
            (0..plan.tunnels).for_each(|n| drop(agent.create(&plan.creation(n)).expect(200)));
            bed.agents.push(agent);
        }
        Some(bed)
    }

    /// The network and the peer. Nothing runs on the gateways.
    pub fn plain(plan: Plan) -> Option<Self> {
        let (gateways, peer) = (lab()?, lab()?);
        join(&gateways, &peer);
        let at = if plan.six { "2001:db8::3/64" } else { "192.0.2.3/24" };
        peer.remove_address(Side::B, if plan.six { "2001:db8::2/64" } else { "192.0.2.2/24" });
        peer.add_address(Side::B, at);
        for side in Side::BOTH {
            let next = at.split('/').next().unwrap_or_default();
            let neighbour = ["neigh", "replace", next, "lladdr", PEER_AT, "dev", "wan", "nud", "permanent"];
            run(gateways.command_in(side, "ip").args(neighbour));
            // The peer's many addresses need no neighbour each.
            let all = if plan.six { "2001:db8::3:0/112" } else { "10.200.0.0/16" };
            run(gateways.command_in(side, "ip").args(["route", "add", all, "via", next]));
        }
        // kernel-libipsec needs a host in each network: it makes the routes with its address.
        let hosts = |side: usize| (0..plan.tunnels).map(move |n| plan.alone(&plan.hosts(n)[side])).collect::<Vec<_>>();
        for side in Side::BOTH {
            gateways.add_many(side, &[], &hosts(0));
        }
        let peers: Vec<_> = (0..plan.tunnels).map(|n| plan.alone(&plan.peer(n))).collect();
        peer.add_many(Side::B, &peers, &hosts(1));
        // It stands for many hosts: of each alone, the gateway has one half-open SA. All of them together are no attack.
        peer.start_charon_with(Side::B, CharonOptions { extra: "dos_protection = no\n".to_owned(), ..patient() });
        peer.load_conf(Side::B, "peers", &plan.answers());
        Some(Self { plan, gateways, agents: Vec::new(), peer })
    }

    /// The same tunnels for a gateway without an agent, as an operator writes them.
    pub fn write_plain(&self, side: Side) {
        let path = self.gateways.swanctl_dir(side).join("conf.d/plain.conf");
        std::fs::write(&path, self.plan.conf()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    pub fn agent(&self, side: Side) -> &Agent {
        &self.agents[side as usize]
    }

    /// The native view of the tunnel number `n`.
    pub fn view(&self, side: Side, n: usize) -> Value {
        let path = format!("/cygnet/v1/connections/{}", Plan::uuid(n));
        self.agent(side).request("GET", &path, None).expect(200).json()
    }

    pub fn is_ready(&self, side: Side, n: usize) -> Option<()> {
        (self.view(side, n)["inventory"]["status"] == "Ready").then_some(())
    }

    /// How many IKE SAs a charon has, and how many of them are half open.
    pub fn sas(&self, side: Side) -> [usize; 2] {
        self.gateways.count_sas(side)
    }

    /// Waits until all tunnels of a gateway are up.
    #[track_caller]
    pub fn all_up(&self, side: Side) {
        wait_until(LONG, "all are up", || {
            let [all, half_open] = self.sas(side);
            (all - half_open >= self.plan.tunnels).then_some(())
        });
    }

    /// The address comes to the gateway, and the peer is told where it is: that is keepalived's part.
    pub fn give_address(&self, side: Side, n: usize) {
        self.give_neighbour(side, n);
        self.gateways.add_address(side, &self.plan.cidr(n));
    }

    /// The peer is told that the address is at this gateway.
    pub fn give_neighbour(&self, side: Side, n: usize) {
        let (vip, at) = (self.plan.vip(n), format!("02:00:00:00:00:0{}", side.number()));
        let neighbour = ["neigh", "replace", &vip, "lladdr", &at, "dev", "wan", "nud", "permanent"];
        run(self.peer.command_in(Side::B, "ip").args(neighbour));
    }

    pub fn take_address(&self, side: Side, n: usize) {
        self.gateways.remove_address(side, &self.plan.cidr(n));
    }

    /// Waits until a gateway stands by for the address, and has no SA of it.
    #[track_caller]
    pub fn stands_by(&self, side: Side) {
        wait_until(LONG, "it stands by", || {
            (self.view(side, 0)["vip"]["role"] == "standby" && self.sas(side)[0] == 0).then_some(())
        });
    }

    /// Waits for the tunnel number `n` of the gateway that has the address.
    #[track_caller]
    pub fn ready(&self, side: Side, n: usize) {
        wait_until(PATIENCE, "it is Ready", || self.is_ready(side, n));
    }
}

/// Joins the bridges of two labs; the peer gets a hardware address of its own.
fn join(gateways: &Lab, peer: &Lab) {
    run(peer.command_in(Side::B, "ip").args(["link", "set", "wan", "address", PEER_AT]));
    let cable = ["link", "add", "other", "type", "veth", "peer", "name", "other", "netns", &peer.middle()];
    run(gateways.command_in_middle("ip").args(cable));
    for lab in [gateways, peer] {
        run(lab.command_in_middle("ip").args(["link", "set", "other", "master", "br0", "up"]));
    }
}
