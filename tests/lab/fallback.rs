//! `ike` against peers that speak one version of IKE alone, told by vici and without an agent: whoever begins, the tunnel
//! comes up, what worked comes first the next time, and the other version is found again.

use std::time::Duration;

use serde_json::{Value, json};

use cygnet::strongswan::section::{Section, Value as Vici};

use crate::pair::{KEY, creation, reaches, with};
use crate::peer::Charon;
use crate::support::agent::{Agent, AgentOptions};
use crate::support::http::Response;
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;
use crate::{lab_for, say};

/// The uuid of the L3 network with both CIDRs.
const NETWORKS: &str = "c0000000000040008000000000000003";
/// How long both versions may take to be tried, a silent one included.
const PATIENCE: Duration = Duration::from_mins(1);

fn two(side: Side) -> [String; 2] {
    [format!("10.{}.0.0/24", side.number()), format!("172.2{}.0.0/16", side.number())]
}

fn host(side: Side, network: usize) -> String {
    [side.host().to_owned(), format!("172.2{}.0.1", side.number())][network].clone()
}

/// A gateway whose peer is a charon that speaks `version` alone.
struct Bed {
    lab: Lab,
    peer: Charon,
    agent: Agent,
    uuid: String,
}

impl Bed {
    fn new(version: &str, proposal: &str, options: &Value) -> Option<Self> {
        let lab = lab_for("ikev1")?;
        for side in Side::BOTH {
            lab.add_lan(side, &format!("172.2{}.0.1/16", side.number()));
            lab.start_charon(side);
        }
        let peer = Charon::of(&lab, Side::B);
        load(&peer, version, proposal, KEY);
        Some(Self::join(lab, peer, options))
    }

    fn join(lab: Lab, peer: Charon, options: &Value) -> Self {
        let l3_networks = vec![(NETWORKS.into(), two(Side::A).to_vec())];
        let agent = Agent::start(&lab, Side::A, AgentOptions { wait: "0s".into(), l3_networks, ..Default::default() });
        let body = json!({ "ikeVersion": "ike", "l3NetworkUuid": NETWORKS, "peerCidrs": two(Side::B) });
        let created = agent.create(&with(&creation(Side::A, &body), options)).expect(200).json();
        let uuid = created["inventory"]["uuid"].as_str().expect("a uuid").to_owned();
        Self { lab, peer, agent, uuid }
    }

    fn view(&self) -> Value {
        self.agent.request("GET", &format!("/cygnet/v1/connections/{}", self.uuid), None).expect(200).json()
    }

    /// Waits until it is Ready with this version, which is then `remembered`, and all pairs carry.
    #[track_caller]
    fn up(&self, version: u64, remembered: &Value) -> Value {
        let seen = wait_until(PATIENCE, &format!("Ready with IKEv{version}"), || {
            let view = self.view();
            let runs = |sa: &Value| sa["state"] == "established" && sa["version"] == version;
            let is_up = view["inventory"]["status"] == "Ready" && view["versions"]["remembered"] == *remembered;
            let initiates = view["versions"]["initiates"] == format!("ikev{version}");
            (is_up && initiates && view["ike_sas"].as_array()?.iter().any(runs)).then_some(view)
        });
        assert_eq!(seen["inventory"]["ikeVersion"], "ike", "{seen:#}");
        for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            reaches(&self.lab, Side::A, &host(Side::A, from), &host(Side::B, to));
        }
        seen
    }

    /// The attempts that charon began, in order: the version of each.
    fn attempts(&self) -> Vec<u8> {
        let log = self.lab.charon_log(Side::A);
        let version = |line: &str| match line {
            _ if line.contains("initiating Main Mode IKE_SA cygnet-") => Some(1),
            _ if line.contains("initiating IKE_SA cygnet-") => Some(2),
            _ => None,
        };
        log.lines().filter_map(version).collect()
    }

    fn charon(&self) -> Charon {
        Charon::of(&self.lab, Side::A)
    }

    fn file(&self) -> String {
        let path = self.agent.conf_dir().join(format!("cygnet-{}.conf", self.uuid));
        std::fs::read_to_string(path).expect("the file of the connection")
    }

    /// The peer closes what it has, and has this instead.
    fn peer_becomes(&self, version: &str) {
        load(&self.peer, version, "aes256-sha256-x25519", KEY);
        for ike in self.peer.running() {
            self.peer.close(&ike);
        }
    }
}

fn list(items: &[String]) -> Vici {
    Vici::List(items.iter().map(|item| item.as_bytes().to_vec()).collect())
}

fn one(item: &str) -> Vici {
    list(&[item.to_owned()])
}

/// Loads the peer: one child per pair under IKEv1, one for all under IKEv2, unless that is `2 pairs`.
fn load(charon: &Charon, version: &str, proposal: &str, key: &str) {
    let b = Side::B;
    let child = |local: &[String], remote: &[String]| {
        let child = Section::new().with("mode", "tunnel").with("esp_proposals", one("aes256-sha256"));
        child.with("local_ts", list(local)).with("remote_ts", list(remote))
    };
    let (ours, theirs) = (two(b), two(b.other()));
    let (version, is_whole) = (version.trim_end_matches(" pairs"), version == "2" || version == "0");
    let children = if is_whole {
        Section::new().with("all", child(&ours, &theirs))
    } else {
        (0..4).fold(Section::new(), |all, n| {
            all.with(&format!("pair{n}"), child(&ours[n / 2..=n / 2], &theirs[n % 2..=n % 2]))
        })
    };
    let end = |id: &str| Section::new().with("auth", "psk").with("id", id);
    charon.load_secret("peer", key.as_bytes(), &[b.other().wan()]);
    let body = Section::new()
        .with("version", version)
        .with("local_addrs", one(b.wan()))
        .with("remote_addrs", one(b.other().wan()))
        .with("proposals", one(proposal))
        .with("unique", "no")
        .with("local", end(b.wan()))
        .with("remote", end(b.other().wan()))
        .with("children", children);
    charon.load_section("peer", body);
}

const PROPOSAL: &str = "aes256-sha256-x25519";

#[test]
fn an_ikev1_peer_is_found_remembered_and_found_again_when_it_learns_ikev2() {
    let Some(mut bed) = Bed::new("1", PROPOSAL, &json!({})) else { return };
    let before = bed.file();
    assert!(!before.contains("-ikev1 {"), "{before}");
    let view = bed.up(1, &json!("ikev1"));
    assert_eq!((&view["split"], view["children"].as_array().map(Vec::len)), (&json!("auto"), Some(4)), "{view:#}");
    let tries = bed.attempts();
    assert_eq!(tries, [2, 2, 1], "IKEv2 twice, then IKEv1");
    let text = bed.file();
    let (head, tail) = before.split_once("\n}\nsecrets {").expect("a secret");
    let rest = text.strip_prefix(head).expect("the connection that answers is as it was");
    assert!(rest.ends_with(tail) && rest.contains("-ikev1 {\n    version = 1\n"), "{text}");
    say(format!("up after {tries:?}"));
    // Neither the agent's restart nor charon's touches that.
    assert!(bed.agent.stop().success());
    bed.agent.restart();
    bed.up(1, &json!("ikev1"));
    assert_eq!(bed.attempts(), tries, "nothing is negotiated anew");
    assert!(bed.agent.stop().success());
    bed.lab.stop_charon(Side::A);
    bed.lab.start_charon(Side::A);
    let earlier = bed.attempts().len();
    bed.agent.restart();
    bed.up(1, &json!("ikev1"));
    let since = bed.attempts().split_off(earlier.min(bed.attempts().len()));
    assert!(!bed.attempts().is_empty() && since.iter().all(|version| *version == 1), "{:?}", bed.attempts());
    bed.peer_becomes("2");
    let view = bed.up(2, &Value::Null);
    assert_eq!(view["children"].as_array().map(Vec::len), Some(1), "{view:#}");
    wait_until(PATIENCE, "the file is as it was at first", || (bed.file() == before).then_some(()));
    bed.peer_becomes("1");
    bed.up(1, &json!("ikev1"));
}

#[test]
fn a_change_keeps_what_was_learnt() {
    let Some(bed) = Bed::new("1", PROPOSAL, &json!({})) else { return };
    bed.up(1, &json!("ikev1"));
    let tries = bed.attempts().len();
    let change = json!({ "peerAddress": Side::B.wan(), "authKey": KEY, "ikeVersion": "ike", "ikeDhGroup": 31,
                         "pfs": "none", "lifeTime": 1800 });
    bed.agent.change(&bed.uuid, &change).expect(200);
    let view = bed.up(1, &json!("ikev1"));
    assert_eq!(view["inventory"]["lifeTime"], 1800);
    assert!(bed.attempts()[tries..].iter().all(|version| *version == 1), "{:?}", bed.attempts());
    bed.agent.change(&bed.uuid, &with(&change, &json!({ "ikeVersion": "ikev1" }))).expect(200);
    wait_until(PATIENCE, "Ready with ikev1", || {
        let view = bed.view();
        (view["inventory"]["status"] == "Ready" && view["versions"]["remembered"].is_null()).then_some(())
    });
    assert!(!bed.file().contains("-ikev1 {"));
}

/// Whatever is initiated here, a peer that calls in the other version gets its tunnel.
#[test]
fn the_peer_calls_in_the_version_that_is_not_tried() {
    let Some(lab) = lab_for("ikev1") else { return };
    for side in Side::BOTH {
        lab.add_lan(side, &format!("172.2{}.0.1/16", side.number()));
        lab.start_charon(side);
    }
    let peer = Charon::of(&lab, Side::B);
    load(&peer, "1", PROPOSAL, KEY);
    let bed = Bed::join(lab, peer, &json!({}));
    for n in 0..4 {
        bed.peer.initiate("peer", &format!("pair{n}"));
    }
    bed.up(1, &json!("ikev1"));
    // The SAs bear the name of the child that answered: their traffic is that of the children all the same.
    wait_until(PATIENCE, "all traffic is seen", || {
        bed.view()["children"].as_array()?.iter().all(|child| child["condition"] == "up").then_some(())
    });
    load(&bed.peer, "2", PROPOSAL, KEY);
    let old: Vec<_> = bed.peer.running().iter().map(|ike| ike.unique_id).collect();
    bed.peer.initiate("peer", "all");
    wait_until(PATIENCE, "IKEv2 is answered while IKEv1 runs", || {
        bed.peer.running().iter().any(|ike| ike.version == 2 && !ike.children.is_empty()).then_some(())
    });
    bed.peer.running().iter().filter(|ike| old.contains(&ike.unique_id)).for_each(|ike| bed.peer.close(ike));
    bed.up(2, &Value::Null);
}

#[test]
fn both_versions_in_vain_are_named() {
    let Some(bed) = Bed::new("0", "aes128-sha256-x25519", &json!({})) else { return };
    let view = wait_until(PATIENCE, "both were tried", || {
        let view = bed.view();
        let details = view["reason"]["details"].as_str()?;
        details.contains("IKEv2 and IKEv1 were both tried without success").then_some(view)
    });
    assert_eq!(view["reason"]["code"], "NO_PROPOSAL_IKE", "{view:#}");
    let tries = wait_until(PATIENCE, "in turn", || Some(bed.attempts()).filter(|tries| tries.len() >= 5));
    assert_eq!(tries[..5], [2, 2, 1, 2, 1], "{tries:?}");
}

#[test]
fn what_ikev1_cannot_protect_is_not_tried() {
    let Some(bed) = Bed::new("1", PROPOSAL, &json!({ "ikeEncryptionAlgorithm": "aes-256-gcm" })) else { return };
    wait_until(PATIENCE, "the reason", || {
        let view = bed.view();
        let details = view["reason"]["details"].as_str()?;
        details.contains("IKEv1 is not tried: aes-256-gcm cannot protect an IKEv1 SA").then_some(())
    });
    wait_until(PATIENCE, "four attempts", || (bed.attempts().len() >= 4).then_some(()));
    assert!(bed.attempts().iter().all(|version| *version == 2));
}

#[test]
fn a_peer_that_speaks_ikev2_and_refuses_the_key_is_not_asked_in_ikev1() {
    let Some(bed) = Bed::new("0", PROPOSAL, &json!({ "authKey": "test-only-another-key" })) else { return };
    let tries = wait_until(PATIENCE, "four attempts", || Some(bed.attempts()).filter(|tries| tries.len() >= 4));
    assert!(tries.iter().all(|version| *version == 2), "{tries:?}");
    let view = bed.view();
    assert_eq!(view["versions"], json!({ "initiates": "ikev2", "remembered": null }), "{view:#}");
}

/// A peer that drops what it does not know, or is not there.
#[test]
fn a_silent_peer_is_asked_in_both_versions() {
    let Some(bed) = Bed::new("1", PROPOSAL, &json!({})) else { return };
    bed.up(1, &json!("ikev1"));
    let earlier = bed.attempts().len();
    bed.lab.kill_charon(Side::B);
    bed.charon().running().iter().for_each(|ike| bed.charon().close(ike));
    wait_until(PATIENCE, "both are tried", || {
        let tries = bed.attempts().split_off(earlier);
        tries.windows(2).any(|pair| pair == [1, 2]).then_some(())
    });
    bed.lab.start_charon(Side::B);
    load(&Charon::of(&bed.lab, Side::B), "1", PROPOSAL, KEY);
    bed.up(1, &json!("ikev1"));
}

/// Both connections in charon are looked after; who removes one has it put back.
#[test]
fn what_an_operator_unloads_is_loaded_again() {
    let Some(bed) = Bed::new("1", PROPOSAL, &json!({})) else { return };
    bed.up(1, &json!("ikev1"));
    let name = format!("cygnet-{}", bed.uuid);
    let both = [name.clone(), format!("{name}-ikev1")];
    let has = |name: &String| bed.lab.conns(Side::A).contains_key(name);
    for gone in &both {
        assert!(both.iter().all(has), "{:?}", bed.lab.conns(Side::A));
        bed.charon().forget_connection(gone);
        wait_until(PATIENCE, "it is loaded again", || both.iter().all(has).then_some(()));
    }
    bed.agent.delete(&bed.uuid).expect(200);
    wait_until(PATIENCE, "nothing of it stays", || {
        (!both.iter().any(has) && bed.charon().running().is_empty()).then_some(())
    });
}

/// The whole of the options, as a Change needs them.
fn options(more: &Value) -> Value {
    let all =
        json!({ "peerAddress": Side::B.wan(), "authKey": KEY, "ikeVersion": "ike", "ikeDhGroup": 31, "pfs": "none" });
    with(&all, more)
}

impl Bed {
    fn put(&self, more: &Value, how: &str) -> Response {
        let body = json!({ "changeIPsecConnection": options(more) });
        self.agent.request("PUT", &format!("/zstack/v1/ipsec/config/{}?{how}", self.uuid), Some(&body))
    }
}

/// Nobody has changed it: going over to the other version is the agent's own doing.
#[test]
fn going_over_during_confirm_is_no_call_of_another() {
    let Some(bed) = Bed::new("1", PROPOSAL, &json!({})) else { return };
    let answer = bed.put(&json!({}), "confirm=60s").expect(200).json();
    assert_eq!(answer["inventory"]["status"], "Ready", "{answer}");
    bed.up(1, &json!("ikev1"));
}

#[test]
fn what_was_learnt_is_back_after_a_trial_that_failed() {
    let Some(bed) = Bed::new("1", PROPOSAL, &json!({})) else { return };
    bed.up(1, &json!("ikev1"));
    let before = bed.file();
    for trial in [json!({ "authKey": "test-only-another-key" }), json!({ "ikeVersion": "ikev2" })] {
        let refused = bed.put(&trial, "confirm=4s");
        assert_ne!(refused.status, 200, "{}", refused.text());
        assert!(refused.text().contains("the old connection was put back and is up"), "{}", refused.text());
        let tries = bed.attempts().len();
        bed.up(1, &json!("ikev1"));
        assert_eq!(bed.file().matches("version = 1").count(), before.matches("version = 1").count());
        assert!(bed.attempts()[tries..].iter().all(|version| *version == 1), "{:?}", bed.attempts());
    }
}

/// Both connections in charon go and come together; swanctl, the doctor and a rekeying take them as they are.
#[test]
fn both_connections_in_charon_are_one() {
    let Some(mut bed) = Bed::new("1", PROPOSAL, &json!({})) else { return };
    bed.up(1, &json!("ikev1"));
    let tries = bed.attempts().len();
    let names = |bed: &Bed| bed.lab.conns(Side::A).keys().cloned().collect::<Vec<_>>();
    let (loaded, running) = (names(&bed), bed.charon().running().len());
    assert_eq!(loaded.len(), 2, "{loaded:?}");
    let output = bed.lab.swanctl(Side::A, &["--load-all", "--noprompt"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((names(&bed), bed.charon().running().len()), (loaded, running));
    let report = bed.agent.request("GET", "/cygnet/v1/doctor", None).expect(200).json();
    let said = report.to_string();
    assert!(!said.contains("-ikev1"), "{report:#}");
    let answer = bed.put(&json!({ "lifeTime": 1800 }), "rehearse=true").expect(200).json();
    assert!(!answer.to_string().contains("REKEY_FAILED"), "{answer}");
    bed.up(1, &json!("ikev1"));
    let state = |event: &str| {
        let body = json!({ "changeIPSecConnectionState": { "stateEvent": event } });
        bed.agent.request("PUT", &format!("/zstack/v1/ipsec/{}/actions", bed.uuid), Some(&body)).expect(200);
    };
    state("disable");
    wait_until(PATIENCE, "nothing is left", || {
        let gone = names(&bed).is_empty() && bed.charon().running().is_empty();
        (gone && !bed.agent.conf_dir().join(format!("cygnet-{}.conf", bed.uuid)).exists()).then_some(())
    });
    state("enable");
    bed.up(1, &json!("ikev1"));
    bed.agent
        .request(
            "PUT",
            &format!("/zstack/v1/ipsec/{}/actions", bed.uuid),
            Some(&json!({ "reconnectIPsecConnection": {} })),
        )
        .expect(200);
    bed.up(1, &json!("ikev1"));
    assert!(bed.attempts()[tries..].iter().all(|version| *version == 1), "{:?}", bed.attempts());
    // SAs of a connection that charon has no more.
    assert!(bed.agent.stop().success());
    bed.charon().forget_connection(&format!("cygnet-{}-ikev1", bed.uuid));
    bed.agent.restart();
    bed.up(1, &json!("ikev1"));
    assert_eq!(names(&bed).len(), 2);
    bed.agent.delete(&bed.uuid).expect(200);
    wait_until(PATIENCE, "nothing is left", || {
        (names(&bed).is_empty() && bed.charon().running().is_empty()).then_some(())
    });
}

/// A peer that lost its SAs, and an address that leaves this gateway.
#[test]
fn what_fell_back_is_healed_and_not_ready_without_its_address() {
    let Some(bed) = Bed::new("1", PROPOSAL, &json!({ "dpdDelay": 300, "dpdTimeout": 900 })) else { return };
    bed.up(1, &json!("ikev1"));
    let ping = bed.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(200));
    ping.wait_for_replies(5);
    bed.lab.kill_charon(Side::B);
    bed.lab.start_charon(Side::B);
    load(&Charon::of(&bed.lab, Side::B), "1", PROPOSAL, KEY);
    let back = ping.received();
    wait_until(PATIENCE, "traffic is back", || (ping.received() > back + 5).then_some(()));
    ping.stop();
    bed.up(1, &json!("ikev1"));
    let address = format!("{}/24", Side::A.wan());
    bed.lab.remove_address(Side::A, &address);
    wait_until(PATIENCE, "not Ready", || (bed.view()["inventory"]["status"] != "Ready").then_some(()));
    bed.lab.add_address(Side::A, &address);
    bed.up(1, &json!("ikev1"));
}

/// The peer answers IKEv2 with a refusal, and IKEv1 with another key: the reason is that of IKEv1, then of the networks.
#[test]
fn the_reason_is_of_the_version_that_is_tried() {
    let Some(bed) = Bed::new("1", PROPOSAL, &json!({ "authKey": "test-only-another-key" })) else { return };
    let code = || bed.view()["reason"]["code"].as_str().map(str::to_owned);
    wait_until(PATIENCE, "IKEv1 is tried", || bed.attempts().contains(&1).then_some(()));
    wait_until(Duration::from_secs(20), "the key", || {
        let code = code()?;
        ["PEER_REFUSED_AUTH", "AUTH_FAILED"].contains(&code.as_str()).then_some(())
    });
}

/// A peer with a child per pair under IKEv2 is learnt as well, and that is kept while IKEv1 comes and goes.
#[test]
fn a_split_and_a_version_are_learnt_beside_each_other() {
    let Some(bed) = Bed::new("2 pairs", PROPOSAL, &json!({})) else { return };
    assert_eq!(bed.up(2, &Value::Null)["split"], "learned");
    bed.peer_becomes("1");
    assert_eq!(bed.up(1, &json!("ikev1"))["split"], "learned");
    bed.peer_becomes("2 pairs");
    let view = bed.up(2, &Value::Null);
    assert_eq!((&view["split"], view["children"].as_array().map(Vec::len)), (&json!("learned"), Some(4)), "{view:#}");
}

#[test]
fn networks_come_and_go_under_the_version_that_was_found() {
    let Some(bed) = Bed::new("1", PROPOSAL, &json!({})) else { return };
    bed.up(1, &json!("ikev1"));
    let tries = bed.attempts().len();
    let kept: Vec<_> = bed.charon().running().iter().map(|ike| ike.unique_id).collect();
    let path = format!("/zstack/v1/ipsec/{}/remote-cidrs", bed.uuid);
    bed.agent.request("DELETE", &format!("{path}?peerCidrs=172.22.0.0%2F16"), None).expect(200);
    let children = || bed.charon().running().iter().map(|ike| ike.children.len()).sum::<usize>();
    wait_until(PATIENCE, "two are left", || {
        (children() == 2 && bed.view()["inventory"]["status"] == "Ready").then_some(())
    });
    let body = json!({ "params": { "peerCidrs": ["172.22.0.0/16"] } });
    bed.agent.request("POST", &path, Some(&body)).expect(200);
    bed.up(1, &json!("ikev1"));
    assert_eq!(children(), 4);
    assert_eq!(bed.charon().running().iter().map(|ike| ike.unique_id).collect::<Vec<_>>(), kept, "the IKE SA stayed");
    assert_eq!(bed.attempts().len(), tries);
}
