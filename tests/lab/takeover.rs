//! Two gateways and one peer on a bridge: the address moves from one gateway to the other, as keepalived moves it, and the
//! tunnel with it. How long it takes is printed; what is asserted are packets, events and attempts.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::pair::{KEY, PATIENCE};
use crate::standby::patient;
use crate::stream::Events;
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{Lab, Side};
use crate::support::{run, wait_until};
use crate::{lab, say};

/// The address that moves; the peer's; and the hosts behind the gateways and behind the peer.
const VIP: &str = "192.0.2.7";
const PEER: &str = "192.0.2.3";
const HERE: &str = "10.1.0.1";
const THERE: &str = "10.3.0.1";
/// What both gateways call the address and the network.
const VIP_UUID: &str = "c0000000000040008000000000000008";
const LAN_UUID: &str = "c0000000000040008000000000000009";
/// How often the address moves.
const MOVES: usize = 4;

/// The gateways, with one agent each, and the peer: B of another lab, whose bridge is joined to theirs.
struct Bed {
    gateways: Lab,
    agents: [Agent; 2],
    uuids: [String; 2],
    peer: Lab,
}

impl Bed {
    fn start() -> Option<Self> {
        let (gateways, peer) = (lab()?, lab()?);
        peer.remove_address(Side::B, "192.0.2.2/24");
        peer.add_address(Side::B, &format!("{PEER}/24"));
        peer.add_lan(Side::B, &format!("{THERE}/24"));
        run(peer.command_in(Side::B, "ip").args(["link", "set", "wan", "address", "02:00:00:00:00:03"]));
        let cable = ["link", "add", "other", "type", "veth", "peer", "name", "other", "netns", &peer.middle()];
        run(gateways.command_in_middle("ip").args(cable));
        for lab in [&gateways, &peer] {
            run(lab.command_in_middle("ip").args(["link", "set", "other", "master", "br0", "up"]));
        }
        gateways.add_lan(Side::B, &format!("{HERE}/24"));
        peer.start_charon_with(Side::B, patient());
        load_peer(&peer);
        let agents = Side::BOTH.map(|side| {
            gateways.start_charon_with(side, patient());
            let options = AgentOptions {
                wait: "0s".to_owned(),
                top: "ha.role = \"pair\"\n".to_owned(),
                vips: vec![(VIP_UUID.to_owned(), VIP.to_owned())],
                l3_networks: vec![(LAN_UUID.to_owned(), vec![Side::A.lan().to_owned()])],
                ..AgentOptions::default()
            };
            Agent::start(&gateways, side, options)
        });
        let mut bed = Self { gateways, agents, uuids: Default::default(), peer };
        for side in Side::BOTH {
            let created = bed.agents[side as usize].create(&params()).expect(200).json();
            created["inventory"]["uuid"].as_str().expect("a uuid").clone_into(&mut bed.uuids[side as usize]);
        }
        Some(bed)
    }

    fn view(&self, side: Side) -> Value {
        let path = format!("/cygnet/v1/connections/{}", self.uuids[side as usize]);
        self.agents[side as usize].request("GET", &path, None).expect(200).json()
    }

    fn is_ready(&self, side: Side) -> Option<()> {
        (self.view(side)["inventory"]["status"] == "Ready").then_some(())
    }

    /// The address comes to the gateway, and the peer is told where it is: that is keepalived's part.
    fn give_address(&self, side: Side) {
        let at = format!("02:00:00:00:00:0{}", side.number());
        let neighbour = ["neigh", "replace", VIP, "lladdr", &at, "dev", "wan", "nud", "permanent"];
        run(self.peer.command_in(Side::B, "ip").args(neighbour));
        self.gateways.add_address(side, &format!("{VIP}/32"));
    }
}

fn params() -> Value {
    json!({ "name": "branch", "vipUuid": VIP_UUID, "l3NetworkUuid": LAN_UUID, "peerAddress": PEER, "authKey": KEY,
            "peerCidrs": ["10.3.0.0/24"], "ikeVersion": "ikev2", "ikeDhGroup": 31, "pfs": "none" })
}

fn load_peer(lab: &Lab) {
    let text = format!(
        "connections {{\n plain {{\n version = 2\n local_addrs = {PEER}\n remote_addrs = {VIP}\n \
         proposals = aes256-sha256-x25519\n unique = no\n local {{\n auth = psk\n id = {PEER}\n }}\n \
         remote {{\n auth = psk\n id = {VIP}\n }}\n children {{\n k {{\n esp_proposals = aes256-sha256\n \
         local_ts = 10.3.0.0/24\n remote_ts = 10.1.0.0/24\n }}\n }}\n }}\n}}\n\
         secrets {{\n ike-plain {{\n id-1 = {VIP}\n secret = \"{KEY}\"\n }}\n}}\n"
    );
    lab.load_conf(Side::B, "plain", &text);
}

#[test]
fn the_other_gateway_takes_over_with_the_address() {
    let Some(bed) = Bed::start() else { return };
    let events = Side::BOTH.map(|side| Events::open(&bed.agents[side as usize].socket(), "/cygnet/v1/events", None));
    for side in Side::BOTH {
        assert_eq!(bed.view(side)["vip"]["role"], "standby", "nobody has the address");
    }
    bed.give_address(Side::A);
    wait_until(PATIENCE, "A is up", || bed.is_ready(Side::A));
    let mut took = Vec::new();
    for round in 0..MOVES {
        let (from, to) = if round % 2 == 0 { (Side::A, Side::B) } else { (Side::B, Side::A) };
        let capture = bed.gateways.capture();
        bed.gateways.remove_address(from, &format!("{VIP}/32"));
        let gone = SystemTime::now();
        let ping = bed.gateways.ping_background(to, HERE, THERE, Duration::from_millis(20));
        let begun = Instant::now();
        bed.give_address(to);
        wait_until(PATIENCE, "the first reply", || (ping.received() > 0).then_some(()));
        took.push(begun.elapsed());
        wait_until(PATIENCE, "it is Ready", || bed.is_ready(to));
        wait_until(PATIENCE, "the other one has no SA", || (bed.view(from)["ike_sas"] == json!([])).then_some(()));
        ping.stop();
        let sent = capture.ike_since(gone);
        assert_eq!(sent[from as usize], 0, "a standby sends nothing");
        let standby = bed.view(from);
        assert_eq!((&standby["vip"]["role"], &standby["reason"]["code"]), (&json!("standby"), &json!("STANDBY")));
    }
    took.sort();
    say(format!("from the address to the first reply, {MOVES} moves: {took:?}"));
    for (events, side) in events.iter().zip(Side::BOTH) {
        let names = events.names();
        assert!(!names.contains(&"down".to_owned()), "{side:?}: {names:?}");
        assert!(names.iter().filter(|name| *name == "took_over").count() >= MOVES / 2, "{side:?}: {names:?}");
    }
}
