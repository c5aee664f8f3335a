//! CAs and intermediates that connections have no longer: charon has no command that unloads one, so it goes on using them
//! until its restart. Who drops one is told so, and so is whoever looks, until it is no longer true.

use serde_json::{Value, json};

use cygnet::strongswan::requests::Request;
use cygnet::strongswan::section::{Section, Value as Vici};

use crate::certificates::{Ca, Issued, Kind};
use crate::pair::{PATIENCE, creation, for_side, with};
use crate::peer::Charon;
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;
use crate::{lab, say};

const CODE: &str = "CA_STAYS_LOADED";
const BETWEEN: &str = "CN=test-only between";

fn subject(side: Side) -> String {
    format!("C=CH, O=test only, CN=gw-{}", side.letter())
}

fn bundle(ca: &Ca, all: &[&Ca]) -> Value {
    let bundle = ca.issue(Kind::Ecdsa, &subject(Side::A), &[]).bundle(all);
    let peer = Side::B.wan();
    json!({ "peerAddress": peer, "authMode": "certs", "authKey": bundle, "idType": "name", "remoteId": subject(Side::B) })
}

fn agent(lab: &Lab) -> Agent {
    Agent::start(lab, Side::A, AgentOptions { wait: "0s".into(), ..Default::default() })
}

/// B without an agent: it sends its own certificate and no intermediate.
fn load_peer(charon: &Charon, own: &Issued, root: &Ca) {
    let list = |item: &str| Vici::List(vec![item.as_bytes().to_vec()]);
    let credential = |command, body| charon.load(&Request { command, body });
    credential("load-key", Section::new().with("type", "any").with("data", own.key.as_str()));
    let authority = Section::new().with("type", "X509").with("flag", "CA").with("data", root.pem());
    credential("load-cert", authority);
    let b = Side::B;
    let child = Section::new()
        .with("mode", "tunnel")
        .with("esp_proposals", list("aes256-sha256"))
        .with("local_ts", list(b.lan()))
        .with("remote_ts", list(b.other().lan()));
    let end = |side: Side| Section::new().with("auth", "pubkey").with("id", subject(side));
    let body = Section::new()
        .with("version", "2")
        .with("local_addrs", list(b.wan()))
        .with("remote_addrs", list(b.other().wan()))
        .with("proposals", list("aes256-sha256-x25519"))
        .with("unique", "no")
        .with("send_cert", "always")
        .with("local", end(b).with("certs", list(&own.pem)))
        .with("remote", end(b.other()).with("cacerts", list(root.pem())))
        .with("children", Section::new().with("k", child));
    charon.load_section("peer", body);
}

fn view(agent: &Agent, uuid: &str) -> Value {
    agent.request("GET", &format!("/cygnet/v1/connections/{uuid}"), None).expect(200).json()
}

/// What the command line says, on both outputs.
fn cygnet(agent: &Agent, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(crate::support::agent::binary());
    let output = command.args(arguments).arg("--config").arg(agent.config()).output().expect("cygnet runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// What an answer says of dropped CAs.
fn said(answer: &Value) -> Option<String> {
    let warnings = answer["warnings"].as_array()?;
    let warning = warnings.iter().find(|warning| warning["code"] == CODE)?;
    Some(warning["message"].as_str().expect("a message").to_owned())
}

/// What the doctor says of them.
fn diagnosed(agent: &Agent) -> Option<String> {
    let report = agent.request("GET", "/cygnet/v1/doctor", None).expect(200).json();
    let findings = report["findings"].as_array().expect("findings");
    findings.iter().find(|finding| finding["check"] == "dropped_cas").map(ToString::to_string)
}

fn uuid_of(created: &Value) -> String {
    created["inventory"]["uuid"].as_str().expect("a uuid").to_owned()
}

#[track_caller]
fn comes_up(agent: &Agent, uuid: &str) -> Value {
    let seen = std::cell::RefCell::new(Value::Null);
    let ready = || {
        *seen.borrow_mut() = view(agent, uuid);
        (seen.borrow()["inventory"]["status"] == "Ready").then_some(())
    };
    let in_time = crate::support::poll(PATIENCE, ready).is_some();
    assert!(in_time, "not Ready: {:#}\n{}", seen.borrow(), agent.logs());
    seen.into_inner()
}

/// charon goes on completing the peer's chain with it, the agent says so whoever asks and whenever it was started, and both
/// end with charon.
#[test]
fn an_intermediate_stays_until_charon_restarts() {
    let Some(lab) = lab() else { return };
    for side in Side::BOTH {
        lab.start_charon(side);
    }
    let root = Ca::new(Kind::Ecdsa, "CN=test-only root");
    let between = root.intermediate(BETWEEN);
    load_peer(&Charon::of(&lab, Side::B), &between.issue(Kind::Ecdsa, &subject(Side::B), &[]), &root);
    let mut agent = agent(&lab);
    let created = agent.create(&creation(Side::A, &bundle(&root, &[&between, &root]))).expect(200).json();
    let uuid = uuid_of(&created);
    assert_eq!(said(&comes_up(&agent, &uuid)), None);
    assert_eq!(diagnosed(&agent), None);

    let without = for_side(Side::A, &bundle(&root, &[&root]));
    let plan = json!({ "changeIPsecConnection": without });
    let plan = agent.request("POST", &format!("/cygnet/v1/connections/{uuid}/plan"), Some(&plan)).expect(200).json();
    assert!(said(&plan).is_some_and(|said| said.contains(BETWEEN)), "{plan:#}");
    let changed = agent.change(&uuid, &without).expect(200).json();
    let words = said(&changed).expect("the answer says that it stays");
    say(words.clone());
    assert!(words.contains(BETWEEN) && !words.contains("root"), "{words}");
    // It is true: the peer, which sends no intermediate, is taken again.
    let begun = json!({ "reconnectIPsecConnection": {} });
    agent.request("PUT", &format!("/zstack/v1/ipsec/{uuid}/actions"), Some(&begun)).expect(200);
    assert_eq!(said(&comes_up(&agent, &uuid)).as_deref(), Some(words.as_str()));
    let finding = diagnosed(&agent).expect("the doctor names it");
    assert!(finding.contains(BETWEEN) && finding.contains(&uuid), "{finding}");
    let shown = cygnet(&agent, &["show", &uuid]);
    assert!(shown.contains(CODE) && shown.contains(BETWEEN), "{shown}");

    agent.restart();
    wait_until(PATIENCE, "the agent has not forgotten", || said(&view(&agent, &uuid)).filter(|said| *said == words));
    lab.kill_charon(Side::A);
    lab.start_charon(Side::A);
    wait_until(PATIENCE, "charon's restart ends it", || said(&view(&agent, &uuid)).is_none().then_some(()));
    // That is true as well.
    wait_until(PATIENCE, "the peer is refused", || {
        let view = view(&agent, &uuid);
        (view["reason"]["code"] == "CERT_INVALID" && view["inventory"]["status"] != "Ready").then_some(())
    });
    assert_eq!(diagnosed(&agent), None);
}

/// What others have, what is disabled, deleted, put back after a trial, and what an operator has loaded or cleared.
#[test]
fn it_is_said_while_it_is_true() {
    let Some(lab) = lab() else { return };
    lab.start_charon(Side::A);
    let agent = agent(&lab);
    let cas = ["x", "y", "z"].map(|name| Ca::new(Kind::Ecdsa, &format!("CN=test-only {name}")));
    let [x, y, z] = &cas;
    let to_one = |ca: &Ca| with(&bundle(ca, &[ca]), &json!({ "peerAddress": "198.51.100.7" }));
    let create = |peer: &str, net: &str| {
        let body = with(&creation(Side::A, &bundle(x, &[x])), &json!({ "peerAddress": peer, "peerCidrs": [net] }));
        uuid_of(&agent.create(&body).expect(200).json())
    };
    let (one, two) = (create("198.51.100.7", "10.97.0.0/24"), create("198.51.100.8", "10.98.0.0/24"));
    let changed = agent.change(&one, &to_one(y)).expect(200).json();
    assert_eq!(said(&changed), None, "the other connection has it");
    let state = |state: &str| {
        let body = json!({ "changeIPSecConnectionState": { "stateEvent": state } });
        agent.request("PUT", &format!("/zstack/v1/ipsec/{two}/actions"), Some(&body)).expect(200).json()
    };
    assert!(said(&state("disable")).is_some_and(|said| said.contains("test-only x")));
    assert!(said(&view(&agent, &one)).is_some(), "this connection had it too");
    assert_eq!(said(&state("enable")), None, "it is in use again");
    assert_eq!(said(&view(&agent, &one)), None);

    let pair = format!("/zstack/v1/ipsec/config/{one}?confirm=1s");
    // The answer waits for the old tunnel, which never comes up either; that may be longer than this client waits.
    let trial = agent.try_request("PUT", &pair, Some(&json!({ "changeIPsecConnection": to_one(z) })));
    assert!(trial.is_err() || trial.is_ok_and(|answer| answer.status == 503));
    wait_until(PATIENCE, "it was loaded for the trial", || {
        said(&view(&agent, &one)).filter(|said| said.contains("test-only z"))
    });

    let deleted = agent.delete(&two).expect(200).json();
    assert!(said(&deleted).is_some_and(|said| said.contains("test-only x")), "{deleted}");
    let finding = diagnosed(&agent).expect("nobody else can say it");
    assert!(["test-only x", "test-only z", &two, &one].iter().all(|part| finding.contains(part)), "{finding}");

    let cleared = lab.swanctl(Side::A, &["--load-creds", "--clear", "--noprompt"]);
    assert!(cleared.status.success(), "{}", String::from_utf8_lossy(&cleared.stderr));
    wait_until(PATIENCE, "charon has them no longer", || diagnosed(&agent).is_none().then_some(()));
    assert_eq!(said(&view(&agent, &one)), None);

    // What the operator has is the operator's affair.
    assert!(said(&agent.change(&one, &to_one(x)).expect(200).json()).is_some(), "y is dropped");
    lab.kill_charon(Side::A);
    std::fs::write(lab.swanctl_dir(Side::A).join("x509ca/operator.pem"), y.pem()).expect("written");
    lab.start_charon(Side::A);
    let loaded = lab.swanctl(Side::A, &["--load-creds", "--noprompt"]);
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    wait_until(PATIENCE, "another charon", || diagnosed(&agent).is_none().then_some(()));
    assert_eq!(said(&view(&agent, &one)), None);
    let deleted = cygnet(&agent, &["delete", &one, "--yes"]);
    assert!(deleted.contains("deleted") && deleted.contains(CODE) && deleted.contains("test-only x"), "{deleted}");
}
