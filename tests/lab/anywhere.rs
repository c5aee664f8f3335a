//! Peers that call from anywhere: answered, waited for, and told apart by their identities.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab;
use crate::pair::{creation, for_side, reaches};
use crate::stream::Events;
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);

/// A site: its identity, its key, its network and a host in that.
struct Site {
    id: &'static str,
    key: &'static str,
    network: &'static str,
    host: &'static str,
}

/// Both are behind B's one address.
const SITES: [Site; 2] = [
    Site { id: "branch1", key: "test-only-key-of-branch-one", network: "10.2.0.0/25", host: "10.2.0.1" },
    Site { id: "branch2.example", key: "test-only-key-of-branch-two", network: "10.2.0.128/25", host: "10.2.0.129" },
];

impl Site {
    fn options(&self) -> Value {
        json!({ "name": self.id, "peerAddress": "%any", "idType": "fqdn", "remoteId": self.id, "authKey": self.key,
                "peerCidrs": [self.network] })
    }
}

/// What B has of its sites, calling from `address`, with these keys.
fn conf(address: &str, keys: [&str; 2]) -> String {
    let (mut connections, mut secrets) = (String::new(), String::new());
    for (Site { id, network, .. }, key) in SITES.iter().zip(keys) {
        let _ = write!(
            connections,
            "{} {{\n version = 2\n local_addrs = {address}\n remote_addrs = 192.0.2.1\n proposals = aes256-sha256-x25519\n \
             unique = no\n local {{\n id = fqdn:{id}\n auth = psk\n }}\n remote {{\n id = 192.0.2.1\n auth = psk\n }}\n \
             children {{ {}-k {{\n local_ts = {network}\n remote_ts = 10.1.0.0/24\n esp_proposals = aes256-sha256\n }} }} }}\n",
            name(id),
            name(id)
        );
        let _ = writeln!(secrets, "ike-{} {{\n id-1 = fqdn:{id}\n secret = \"{key}\"\n }}", name(id));
    }
    format!("connections {{\n{connections}}}\nsecrets {{\n{secrets}}}\n")
}

fn name(id: &str) -> &str {
    id.split('.').next().unwrap_or_default()
}

fn call(lab: &Lab, site: &Site) {
    // It may be refused.
    lab.swanctl(Side::B, &["--initiate", "--child", &format!("{}-k", name(site.id)), "--timeout", "5"]);
}

pub fn view(agent: &Agent, uuid: &str) -> Value {
    agent.request("GET", &format!("/cygnet/v1/connections/{uuid}"), None).expect(200).json()
}

pub fn create(agent: &Agent, options: &Value) -> String {
    let answer = agent.create(&creation(Side::A, options)).expect(200).json();
    answer["inventory"]["uuid"].as_str().expect("a uuid").to_owned()
}

#[track_caller]
pub fn waits(agent: &Agent, uuid: &str) {
    let view = wait_until(PATIENCE, "it waits for the peer", || {
        let view = view(agent, uuid);
        (view["children"][0]["condition"] == "waiting").then_some(view)
    });
    assert_eq!(
        (&view["role"], &view["inventory"]["status"]),
        (&json!("waits_for_peer"), &json!("Connecting")),
        "{view}"
    );
    assert_eq!((&view["carrying"], &view["peer"]["address"]), (&Value::Null, &Value::Null), "nothing to alert: {view}");
    assert!(view["reason"]["details"].as_str().is_some_and(|text| text.contains("waits for the peer")), "{view}");
}

#[track_caller]
pub fn is_ready(agent: &Agent, uuid: &str, from: &str) {
    wait_until(PATIENCE, "it is Ready by the peer's call", || {
        let view = view(agent, uuid);
        (view["inventory"]["status"] == "Ready" && view["peer"]["address"] == from).then_some(())
    });
}

/// charons on both sides, B's with these keys, an agent on A, and its two connections.
fn bed(keys: [&str; 2]) -> Option<(Lab, Agent, [String; 2])> {
    let lab = lab()?;
    lab.start_charon(Side::A);
    lab.start_charon(Side::B);
    lab.add_lan(Side::B, &format!("{}/32", SITES[1].host));
    lab.load_conf(Side::B, "sites", &conf(Side::B.wan(), keys));
    let agent = Agent::start(&lab, Side::A, AgentOptions::default());
    let uuids = SITES.each_ref().map(|site| create(&agent, &site.options()));
    Some((lab, agent, uuids))
}

const KEYS: [&str; 2] = [SITES[0].key, SITES[1].key];

#[test]
fn sites_behind_one_address_are_told_apart_by_their_identities() {
    let Some((lab, agent, uuids)) = bed(KEYS) else { return };
    for uuid in &uuids {
        waits(&agent, uuid);
    }
    // A third one of the same identity could not be told from the first, whatever its letter case.
    let same = json!({ "name": "same", "peerAddress": "%any", "idType": "fqdn", "remoteId": "BRANCH1", "authKey": KEYS[0],
                       "peerCidrs": ["10.9.0.0/24"] });
    let refused = agent.create(&creation(Side::A, &same)).expect(503).text();
    assert!(refused.contains("same vrouter and remoteId"), "{refused}");
    for (site, uuid) in SITES.iter().zip(&uuids) {
        call(&lab, site);
        is_ready(&agent, uuid, Side::B.wan());
        reaches(&lab, Side::A, Side::A.host(), site.host);
    }
    let sas = lab.sas(Side::A);
    let pairs: Vec<_> = sas.as_array().into_iter().flatten().map(|sa| (&sa["name"], &sa["remote-id"])).collect();
    for (site, uuid) in SITES.iter().zip(&uuids) {
        assert!(pairs.contains(&(&json!(format!("cygnet-{uuid}")), &json!(site.id))), "{pairs:?}");
    }
    // One goes away and calls again from elsewhere; the other one stays.
    lab.swanctl(Side::B, &["--terminate", "--ike", "branch1"]);
    waits(&agent, &uuids[0]);
    lab.add_address(Side::B, "192.0.2.3/24");
    lab.load_conf(Side::B, "sites", &conf("192.0.2.3", KEYS));
    call(&lab, &SITES[0]);
    is_ready(&agent, &uuids[0], "192.0.2.3");
    reaches(&lab, Side::A, Side::A.host(), SITES[0].host);
    is_ready(&agent, &uuids[1], Side::B.wan());
    // A restart of the agent waits as before, and touches nothing.
    assert!(!lab.charon_log(Side::A).contains("initiating IKE_SA"));
}

/// A wrong key is the trouble of that site alone, and no other site's key helps.
#[test]
fn a_site_with_the_key_of_another_is_refused() {
    let Some((lab, agent, uuids)) = bed([KEYS[1], KEYS[1]]) else { return };
    wait_until(PATIENCE, "the first site is refused", || {
        call(&lab, &SITES[0]);
        let view = view(&agent, &uuids[0]);
        (view["reason"]["code"] == "AUTH_FAILED").then_some(())
    });
    call(&lab, &SITES[1]);
    is_ready(&agent, &uuids[1], Side::B.wan());
    assert_eq!(view(&agent, &uuids[0])["inventory"]["status"], "Connecting");
}

/// From an address to none and back: the tunnel goes on until the peer calls, or is called.
#[test]
fn a_peer_loses_its_address_and_gets_it_back() {
    let Some((lab, agent, uuids)) = bed(KEYS) else { return };
    agent.delete(&uuids[0]).expect(200);
    let site = &SITES[0];
    let at = |peer: &str| for_side(Side::A, &crate::pair::with(&site.options(), &json!({ "peerAddress": peer })));
    let create_at = crate::pair::with(&site.options(), &json!({ "peerAddress": Side::B.wan() }));
    let uuid = create(&agent, &create_at);
    is_ready(&agent, &uuid, Side::B.wan());
    let change = |peer: &str| {
        let mut body = at(peer);
        body.as_object_mut().expect("an object").retain(|name, _| !["name", "peerCidrs"].contains(&name.as_str()));
        agent.change(&uuid, &body).expect(200).json()
    };
    let answer = change("%any");
    assert_eq!(answer["inventory"]["peerAddress"], "%any");
    reaches(&lab, Side::A, Side::A.host(), site.host);
    lab.swanctl(Side::B, &["--terminate", "--ike", "branch1", "--force"]);
    waits(&agent, &uuid);
    call(&lab, site);
    is_ready(&agent, &uuid, Side::B.wan());
    change(Side::B.wan());
    is_ready(&agent, &uuid, Side::B.wan());
    wait_until(PATIENCE, "one SA is left", || {
        let sas = lab.sas(Side::A);
        let own = sas.as_array().into_iter().flatten().filter(|sa| sa["name"] == format!("cygnet-{uuid}"));
        (own.count() == 1).then_some(())
    });
    assert_eq!(view(&agent, &uuid)["role"], "initiates");
    reaches(&lab, Side::A, Side::A.host(), site.host);
}

/// A standby answers nobody: without the address no call reaches it, and with the address, as before maintenance, what a peer
/// makes is closed at once.
#[test]
fn a_standby_keeps_no_tunnel_of_a_peer_from_anywhere() {
    let Some((lab, agent, uuids)) = bed(KEYS) else { return };
    let events = Events::open(&agent.socket(), "/cygnet/v1/events", None);
    let stands_by = || {
        let view = view(&agent, &uuids[0]);
        (view["children"][0]["condition"] == "standby" && view["reason"]["code"] == "STANDBY").then_some(view)
    };
    let conf = || std::fs::read_to_string(agent.conf_dir().join(format!("cygnet-{}.conf", uuids[0]))).expect("a file");
    waits(&agent, &uuids[0]);
    agent.request("POST", "/cygnet/v1/standby", None).expect(200);
    wait_until(PATIENCE, "it is a standby", stands_by);
    call(&lab, &SITES[0]);
    wait_until(PATIENCE, "no SA is left", || (lab.count_sas(Side::A) == [0, 0]).then_some(()));
    agent.request("POST", "/cygnet/v1/active", None).expect(200);
    call(&lab, &SITES[0]);
    is_ready(&agent, &uuids[0], Side::B.wan());
    // The address moves to the other gateway.
    lab.remove_address(Side::A, "192.0.2.1/24");
    let view = wait_until(PATIENCE, "it stands by", stands_by);
    assert_eq!((&view["inventory"]["status"], &view["carrying"]), (&json!("Disconnected"), &Value::Null), "{view}");
    wait_until(PATIENCE, "no SA is left", || (lab.count_sas(Side::A) == [0, 0]).then_some(()));
    assert!(!conf().contains("= trap"), "{}", conf());
    lab.add_address(Side::A, "192.0.2.1/24");
    waits(&agent, &uuids[0]);
    // B still has its SA: it is as if its peer had been silent.
    lab.swanctl(Side::B, &["--terminate", "--ike", name(SITES[0].id), "--force", "--timeout", "1"]);
    call(&lab, &SITES[0]);
    is_ready(&agent, &uuids[0], Side::B.wan());
    assert!(events.names().iter().all(|name| name != "down"), "{:?}", events.names());
}
