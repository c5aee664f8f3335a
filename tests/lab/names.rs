//! Peers that have names: the tunnel follows the name to its address, and a name that does not resolve harms nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pair::{KEY, creation, for_side, reaches};
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{Lab, Side};
use crate::support::{output, wait_until};
use crate::{lab, say};

/// Names are looked up every 15 s, and sooner while the tunnel is down.
const PATIENCE: Duration = Duration::from_secs(90);
const NAME: &str = "vpn.example.org";
/// Another address of B.
const OTHER: &str = "192.0.2.3";

/// What A resolves.
fn resolves(lab: &Lab, addresses: &[&str]) {
    let lines: Vec<_> = addresses.iter().map(|address| format!("{address} {NAME}\n")).collect();
    lab.set_names(Side::A, &lines.concat());
}

/// A charon on B that answers at each of its addresses and calls nobody, and an agent on A.
fn bed(addresses: &[&str]) -> Option<(Lab, Agent)> {
    let lab = lab()?;
    resolves(&lab, addresses);
    lab.add_address(Side::B, &format!("{OTHER}/24"));
    lab.start_charon(Side::A);
    lab.start_charon(Side::B);
    lab.load_conf(Side::B, "t", &conf());
    let agent = Agent::start(&lab, Side::A, AgentOptions::default());
    Some((lab, agent))
}

/// What B has.
fn conf() -> String {
    format!(
        "connections {{ t {{\n version = 2\n local_addrs = %any\n remote_addrs = 192.0.2.1\n \
         proposals = aes256-sha256-x25519\n unique = no\n local {{\n id = {NAME}\n auth = psk\n }}\n \
         remote {{\n id = 192.0.2.1\n auth = psk\n }}\n children {{ k {{\n local_ts = 10.2.0.0/24\n \
         remote_ts = 10.1.0.0/24\n esp_proposals = aes256-sha256\n }} }} }} }}\n\
         secrets {{ ike-1 {{ secret = \"{KEY}\"\n }} }}\n"
    )
}

fn create(agent: &Agent) -> (String, Value) {
    let answer = agent.create(&creation(Side::A, &json!({ "peerAddress": "VPN.example.org." }))).expect(200).json();
    assert_eq!(answer["inventory"]["peerAddress"], NAME);
    (answer["inventory"]["uuid"].as_str().expect("a uuid").to_owned(), answer)
}

fn view(agent: &Agent, uuid: &str) -> Value {
    agent.request("GET", &format!("/cygnet/v1/connections/{uuid}"), None).expect(200).json()
}

#[track_caller]
fn is_ready_at(agent: &Agent, uuid: &str, address: &str) {
    wait_until(PATIENCE, &format!("the tunnel is Ready at {address}, and there alone"), || {
        let view = view(agent, uuid);
        let sas = view["ike_sas"].as_array()?;
        let is_there = view["inventory"]["status"] == "Ready" && sas.len() == 1 && view["peer"]["address"] == address;
        is_there.then_some(())
    });
}

/// The numbers and peers of A's IKE SAs.
fn sas(lab: &Lab) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = lab.sas(Side::A);
    all.as_array().into_iter().flatten().map(|sa| (text(&sa["uniqueid"]), text(&sa["remote-host"]))).collect()
}

#[test]
fn the_tunnel_follows_its_name() {
    let Some((lab, agent)) = bed(&[Side::B.wan()]) else { return };
    let (uuid, answer) = create(&agent);
    assert_eq!(answer["inventory"]["status"], "Ready", "{answer}");
    let identity = view(&agent, &uuid);
    assert_eq!((&identity["role"], &identity["peer"]["unresolved"]), (&json!("initiates"), &Value::Null));
    reaches(&lab, Side::A, Side::A.host(), Side::B.host());
    let ping = lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(100));
    ping.wait_for_replies(5);
    resolves(&lab, &[OTHER]);
    is_ready_at(&agent, &uuid, OTHER);
    ping.wait_for_replies(5);
    let result = ping.stop();
    say(format!("{} of {} pings lost while the name moved", result.lost(), result.sent));
    assert!(result.lost() <= 5, "{result:?}");
    let file = std::fs::read_to_string(agent.conf_dir().join(format!("cygnet-{uuid}.conf"))).expect("a file");
    assert!(file.contains(&format!("remote_addrs = {OTHER}\n")), "charon resolves nothing: {file}");
    let log = agent.request("GET", &format!("/cygnet/v1/connections/{uuid}/log"), None).expect(200).text();
    assert!(log.contains("vpn.example.org is at 192.0.2.3, no longer 192.0.2.2"), "{log}");
    // Another Change keeps the address, also when nobody resolves the name any more.
    resolves(&lab, &[]);
    agent.change(&uuid, &for_side(Side::A, &json!({ "peerAddress": NAME, "lifeTime": 7200 }))).expect(200);
    is_ready_at(&agent, &uuid, OTHER);
}

#[test]
fn a_name_that_does_not_resolve_is_said_and_looked_up_again() {
    let Some((lab, mut agent)) = bed(&[]) else { return };
    let (uuid, answer) = create(&agent);
    let warned =
        answer["warnings"].as_array().into_iter().flatten().any(|warning| warning["code"] == "NAME_UNRESOLVED");
    assert!(warned, "{answer}");
    let missing = view(&agent, &uuid);
    assert_eq!(missing["reason"]["code"], "PEER_NAME_UNRESOLVED", "{missing}");
    assert!(missing["reason"]["details"].as_str().is_some_and(|why| why.contains("vpn.example.org does not resolve")));
    assert_eq!((&missing["peer"]["address"], &missing["carrying"]), (&Value::Null, &json!(false)));
    assert!(lab.list_conns(Side::A).is_empty());
    assert_eq!(doctored(&agent).as_deref(), Some("error: vpn.example.org does not resolve"));
    // Of several addresses, one is used as long as it is one of them.
    resolves(&lab, &[Side::B.wan(), OTHER]);
    is_ready_at(&agent, &uuid, Side::B.wan());
    let before = sas(&lab);
    resolves(&lab, &[OTHER, Side::B.wan()]);
    // The address that worked is on disk: neither a lost name nor a restart touches the tunnel.
    resolves(&lab, &[]);
    agent.restart();
    wait_until(PATIENCE, "the name is missed again", || {
        let view = view(&agent, &uuid);
        let why = view["peer"]["unresolved"].as_str().unwrap_or_default().to_owned();
        (view["inventory"]["status"] == "Ready" && why.contains("192.0.2.2 was its last address")).then_some(())
    });
    wait_until(PATIENCE, "the doctor warns", || {
        (doctored(&agent).as_deref() == Some("warning: vpn.example.org does not resolve")).then_some(())
    });
    assert_eq!(sas(&lab), before);
    reaches(&lab, Side::A, Side::A.host(), Side::B.host());
}

/// What the doctor says of names: the level, and the beginning of what shows it.
fn doctored(agent: &Agent) -> Option<String> {
    let report = agent.request("GET", "/cygnet/v1/doctor", None).expect(200).json();
    let all = report["findings"].as_array().expect("findings").clone();
    let found = all.iter().find(|finding| finding["check"] == "names")?;
    let evidence = found["evidence"].as_str().unwrap_or_default().split([':', ';']).next().unwrap_or_default();
    Some(format!("{}: {}", found["level"].as_str().unwrap_or_default(), evidence.trim()))
}

/// Of the addresses of a name, those of the VIP's family count.
#[test]
fn the_tunnel_follows_its_name_over_ipv6() {
    const VIP: &str = "c0000000000040008000000000000006";
    const OTHER6: &str = "2001:db8::3";
    let Some(lab) = lab() else { return };
    resolves(&lab, &[Side::B.wan(), Side::B.wan6()]);
    lab.add_address(Side::B, &format!("{OTHER6}/64"));
    lab.start_charon(Side::A);
    lab.start_charon(Side::B);
    lab.load_conf(Side::B, "t", &conf().replace("192.0.2.1", Side::A.wan6()));
    let vips = vec![(VIP.to_owned(), Side::A.wan6().to_owned())];
    let agent = Agent::start(&lab, Side::A, AgentOptions { vips, ..Default::default() });
    let body = creation(Side::A, &json!({ "vipUuid": VIP, "peerAddress": NAME }));
    let created = agent.create(&body).expect(200).json();
    let uuid = created["inventory"]["uuid"].as_str().expect("a uuid");
    is_ready_at(&agent, uuid, Side::B.wan6());
    reaches(&lab, Side::A, Side::A.host(), Side::B.host());
    resolves(&lab, &[Side::B.wan(), OTHER6]);
    is_ready_at(&agent, uuid, OTHER6);
    reaches(&lab, Side::A, Side::A.host(), Side::B.host());
    // An address of the other family is none.
    resolves(&lab, &[Side::B.wan()]);
    wait_until(PATIENCE, "it is missed", || {
        view(&agent, uuid)["peer"]["unresolved"]
            .as_str()
            .is_some_and(|why| why.contains("address family"))
            .then_some(())
    });
    is_ready_at(&agent, uuid, OTHER6);
}

/// What B's host drops of what comes, in nft's words.
fn drops(lab: &Lab, rule: &str) {
    let text = format!(
        "add table ip cut; add chain ip cut in {{ type filter hook input priority 0; }}; add rule ip cut in {rule} drop"
    );
    assert!(output(lab.command_in(Side::B, "nft").arg(text)).status.success());
}

/// The peer got another address, and the old one is dead.
#[test]
fn the_tunnel_follows_its_name_away_from_a_dead_address() {
    let Some((lab, agent)) = bed(&[Side::B.wan()]) else { return };
    let (uuid, _) = create(&agent);
    is_ready_at(&agent, &uuid, Side::B.wan());
    drops(&lab, &format!("ip daddr {}", Side::B.wan()));
    resolves(&lab, &[OTHER]);
    is_ready_at(&agent, &uuid, OTHER);
    reaches(&lab, Side::A, Side::A.host(), Side::B.host());
}

/// Why charon is given addresses alone: it resolves each name that it holds whenever anybody calls.
#[test]
fn a_silent_name_server_delays_no_other_tunnel() {
    let Some((lab, agent)) = bed(&[]) else { return };
    lab.set_name_server(Side::A, Side::B.wan());
    drops(&lab, "udp dport 53");
    let (uuid, answer) = create(&agent);
    assert_eq!(answer["inventory"]["status"], "Disconnected", "{answer}");
    wait_until(PATIENCE, "the silence is the reason", || {
        let view = view(&agent, &uuid);
        let why = view["reason"]["details"].as_str().unwrap_or_default().to_owned();
        (view["reason"]["code"] == "PEER_NAME_UNRESOLVED" && why.contains("have not answered in time")).then_some(())
    });
    let beside = json!({ "peerAddress": Side::B.wan(), "remoteId": "vpn2.example.org", "idType": "fqdn", "name": "beside",
                         "peerCidrs": ["10.2.0.0/24"], "startMode": "respond" });
    let beside = agent.create(&creation(Side::A, &beside)).expect(200).json()["inventory"]["uuid"].clone();
    let conf = conf().replace(NAME, "vpn2.example.org").replace("local_addrs = %any", "local_addrs = 192.0.2.2");
    lab.load_conf(Side::B, "t", &conf);
    wait_until(PATIENCE, "the other one is up by its peer's call", || {
        lab.swanctl(Side::B, &["--initiate", "--child", "k", "--timeout", "5"]);
        (view(&agent, beside.as_str().unwrap_or_default())["inventory"]["status"] == "Ready").then_some(())
    });
    let log = lab.charon_log(Side::A);
    assert!(!log.contains("resolving"), "{log}");
}

/// A mistyped name takes no tunnel down.
#[test]
fn a_running_tunnel_is_not_changed_to_a_name_without_an_address() {
    let Some((lab, agent)) = bed(&[]) else { return };
    let options = json!({ "remoteId": NAME, "idType": "fqdn" });
    let answer = agent.create(&creation(Side::A, &options)).expect(200).json();
    let uuid = answer["inventory"]["uuid"].as_str().expect("a uuid").to_owned();
    is_ready_at(&agent, &uuid, Side::B.wan());
    let before = sas(&lab);
    let to = |peer: &str| for_side(Side::A, &json!({ "peerAddress": peer, "remoteId": NAME, "idType": "fqdn" }));
    let refused = agent.change(&uuid, &to("vpm.example.org")).expect(503).text();
    assert!(refused.contains("PEER_NAME_UNRESOLVED") && refused.contains("stays as it is"), "{refused}");
    // The name of the same address changes nothing that runs.
    resolves(&lab, &[Side::B.wan()]);
    agent.change(&uuid, &to(NAME)).expect(200);
    is_ready_at(&agent, &uuid, Side::B.wan());
    assert_eq!(sas(&lab), before);
    // A name is one peer of a VIP, in whatever letters.
    let same = json!({ "name": "same", "peerAddress": "VPN.Example.Org", "peerCidrs": ["10.9.0.0/24"] });
    let refused = agent.create(&creation(Side::A, &same)).expect(503).text();
    assert!(refused.contains("same vrouter and peerAddress"), "{refused}");
}
