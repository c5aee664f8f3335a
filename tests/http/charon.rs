//! charon refuses, is silent, lacks an algorithm or is gone: a write is done whole or not at all, and the caller hears
//! why.

use super::transcript::Transcript;
use crate::{
    fake_charon::Behaviour,
    serve::{Bench, KEY, Options, change, files, params, uuid, wait_until},
};
use serde_json::{Value, json};
use std::{
    fs,
    time::{Duration, Instant},
};

const PATH: &str = "/zstack/v1/ipsec";
const WORDS: &str = "invalid value for: proposals, config discarded";
/// A vici deadline that is to be missed.
const SHORT: &str = "400ms";

fn body(params: &Value) -> String {
    json!({ "params": params }).to_string()
}

fn config(n: u8) -> String {
    format!("{PATH}/config/{}", uuid(n))
}

/// What of a connection stands on disk and in charon.
fn everything(b: &Bench, n: u8) -> (String, String, String) {
    let name = format!("cygnet-{}", uuid(n));
    let loaded = b.charon.secret(&format!("ike-{name}")).map(|s| s.bytes("data").map(<[u8]>::to_vec));
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    (read(b.record(&uuid(n))), read(b.conf(&uuid(n))), format!("{loaded:?} {:?}", b.charon.connection(&name)))
}

#[test]
fn a_create_that_charon_refuses_leaves_nothing() {
    let b = Bench::start();
    let mut t = Transcript::default();
    for command in ["load-conn", "load-shared"] {
        b.charon.once(command, Behaviour::Refuse(WORDS.into()));
        t.ask(&b, "POST", PATH, &body(&params(7, &json!({})))).expect(503);
        assert!(files(&b.connections_dir()).is_empty() && files(&b.conf_dir()).is_empty(), "{command}");
        assert!(b.charon.connections().is_empty() && b.charon.secrets().is_empty(), "{command}");
    }
    t.check("charon_refuses_create");
    b.create(&params(7, &json!({}))).expect(200);
}

#[test]
fn a_change_that_charon_refuses_changes_nothing() {
    let b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    let before = everything(&b, 7);
    let mut t = Transcript::default();
    for command in ["load-conn", "load-shared"] {
        b.charon.once(command, Behaviour::Refuse(WORDS.into()));
        let new = change(7, &json!({ "authKey": "test-only-new-key", "lifeTime": 700 }));
        t.ask(&b, "PUT", &config(7), &body(&new)).expect(503);
        assert_eq!(everything(&b, 7), before, "{command}: the old key is loaded again");
    }
    t.check("charon_refuses_change");
    assert_eq!(b.inventory(&uuid(7))["authKey"], KEY);
    assert_eq!(files(&b.conf_dir()).len(), 1, "no temporary file stays");
}

#[test]
fn a_silent_charon_is_waited_for_until_the_deadline_only() {
    let b = Bench::with(&Options { timeout: SHORT, ..Options::default() });
    b.create(&params(7, &json!({}))).expect(200);
    let before = everything(&b, 7);
    for (n, command) in [(8, "load-shared"), (9, "load-conn")] {
        b.charon.once(command, Behaviour::Silence);
        let began = Instant::now();
        let refused = b.create(&params(n, &json!({}))).expect(503).json();
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        assert_eq!(refused["error"]["code"], "SYS.1006");
        let details = refused["error"]["details"].as_str().expect("details");
        assert!(details.starts_with("operation error, because:") && details.contains(command), "{details}");
        assert!(!b.record(&uuid(n)).exists() && !b.conf(&uuid(n)).exists());
        let gone = || (!b.charon.connections().contains(&format!("cygnet-{}", uuid(n)))).then_some(());
        wait_until("what charon may have taken is unloaded", gone);
        assert_eq!(everything(&b, 7), before, "the others are not touched");
    }
    b.create(&params(8, &json!({}))).expect(200);
}

#[test]
fn a_change_without_an_answer_is_undone() {
    let b = Bench::with(&Options { timeout: SHORT, ..Options::default() });
    b.create(&params(7, &json!({}))).expect(200);
    let before = everything(&b, 7);
    b.charon.once("load-conn", Behaviour::Silence);
    b.change(&uuid(7), &change(7, &json!({ "authKey": "test-only-new-key" }))).expect(503);
    wait_until("charon has the old connection again", || (everything(&b, 7) == before).then_some(()));
    assert_eq!(b.inventory(&uuid(7))["authKey"], KEY);
}

#[test]
fn an_unknown_status_is_left_out_and_not_guessed() {
    let b = Bench::with(&Options { timeout: SHORT, ..Options::default() });
    b.create(&params(7, &json!({}))).expect(200);
    assert_eq!(b.inventory(&uuid(7))["status"], "Disconnected");
    b.charon.on("list-sas", Behaviour::Silence);
    let mut t = Transcript::default();
    t.ask(&b, "GET", &format!("{PATH}/{}", uuid(7)), "").expect(200);
    t.ask(&b, "GET", &format!("{PATH}?fields=uuid,state,status"), "").expect(200);
    t.check("charon_silent_get");
    b.charon.behave();
    wait_until("the status is known again", || (b.inventory(&uuid(7))["status"] == "Disconnected").then_some(()));
}

#[test]
fn a_charon_that_is_gone_refuses_writes_and_not_reads() {
    let mut b = Bench::start();
    b.create(&params(7, &json!({}))).expect(200);
    let stored = fs::read_to_string(b.record(&uuid(7))).expect("stored");
    b.charon.kill();
    wait_until("its end is seen", || (b.ask("GET", "/readyz", b"").status == 503).then_some(()));
    for refused in [
        b.create(&params(8, &json!({}))),
        b.change(&uuid(7), &change(7, &json!({ "lifeTime": 700 }))),
        b.ask("DELETE", &format!("{PATH}/{}", uuid(7)), b""),
    ] {
        let refused = refused.expect(503).json();
        assert_eq!(refused["error"]["code"], "SYS.1006", "{refused}");
    }
    assert_eq!(fs::read_to_string(b.record(&uuid(7))).expect("stored"), stored);
    let inventory = b.inventory(&uuid(7));
    assert_eq!((&inventory["name"], inventory.get("status")), (&json!("site-7"), None));
    b.charon.revive();
    let name = format!("cygnet-{}", uuid(7));
    wait_until("the new charon gets what is stored", || b.charon.connection(&name));
    wait_until("the agent is ready", || (b.ask("GET", "/readyz", b"").status == 200).then_some(()));
    assert_eq!(b.charon.connections(), [name], "and nothing that was refused");
    b.create(&params(8, &json!({}))).expect(200);
}

#[test]
fn an_algorithm_that_charon_lacks_is_refused_by_name() {
    let b = Bench::idle(&Options::default());
    b.charon.lacks(&["AES_GCM_16", "CURVE_25519", "PRF_HMAC_MD5", "HMAC_MD5_96", "3DES_CBC"]);
    let mut b = b;
    b.run();
    let mut t = Transcript::default();
    for more in [
        json!({ "policyEncryptionAlgorithm": "aes-256-gcm" }),
        json!({ "ikeDhGroup": 31 }),
        json!({ "pfs": "dh-group31", "ikeEncryptionAlgorithm": "3des" }),
        json!({ "ikeAuthAlgorithm": "md5" }),
    ] {
        t.ask(&b, "POST", PATH, &body(&params(7, &more))).expect(503);
    }
    t.check("charon_lacks");
    assert!(b.charon.requests_of("load-conn").is_empty() && files(&b.connections_dir()).is_empty());
    b.create(&params(7, &json!({}))).expect(200);
}

/// Refused where it is new; what stood so before, when charon was another, can be disabled and deleted.
#[test]
fn ikev1_is_refused_where_charon_was_built_without_it() {
    let mut b = Bench::idle(&Options::default());
    b.charon.becomes_6_1_0(true);
    b.run();
    let ikev1 = json!({ "ikeVersion": "ikev1" });
    b.create(&params(7, &ikev1)).expect(200);
    assert_eq!(b.charon.connections(), [format!("cygnet-{}", uuid(7))], "nothing is left of the trial");
    b.charon.kill();
    wait_until("the agent notices", || (b.ask("GET", "/readyz", b"").status == 503).then_some(()));
    b.charon.becomes_6_1_0(false);
    b.charon.revive();
    wait_until("the agent is ready", || (b.ask("GET", "/readyz", b"").status == 200).then_some(()));
    let refused = b.create(&params(8, &ikev1)).expect(503).json();
    let words = "this gateway's strongSwan 6.1.0 has no ikev1 (it was built without it; ikev2 is there)";
    assert_eq!(refused["error"]["details"], words);
    let stored = b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").expect(200).text();
    assert!(stored.contains("IKE_VERSION_MISMATCH") && stored.contains(words), "{stored}");
    assert_eq!(b.charon.connections(), [format!("cygnet-{}", uuid(7))]);
    let disable = json!({ "changeIPSecConnectionState": { "stateEvent": "disable" } });
    b.ask("PUT", &format!("{PATH}/{}/actions", uuid(7)), disable.to_string().as_bytes()).expect(200);
    let enable = json!({ "changeIPSecConnectionState": { "stateEvent": "enable" } });
    b.ask("PUT", &format!("{PATH}/{}/actions", uuid(7)), enable.to_string().as_bytes()).expect(503);
    b.ask("DELETE", &format!("{PATH}/{}", uuid(7)), b"").expect(200);
}

#[test]
fn a_write_waits_for_the_tunnel_and_no_longer() {
    let b = Bench::with(&Options { wait: "300ms", ..Options::default() });
    let began = Instant::now();
    let created = b.create(&params(7, &json!({}))).expect(200).json();
    assert_ne!(created["inventory"]["status"], "Ready");
    assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(15));
    b.charon.establish(true);
    let created = b.create(&params(8, &json!({}))).expect(200).json();
    assert_eq!(created["inventory"]["status"], "Ready");
}

#[test]
fn the_peers_foreign_connections_are_not_touched() {
    let b = Bench::idle(&Options::default());
    let foreign = cygnet::strongswan::section::Section::new().with("version", "2");
    let mut vici = std::os::unix::net::UnixStream::connect(b.charon.path()).expect("connected");
    let load = cygnet::strongswan::section::Section::new().with("operators-own", foreign);
    let packet = cygnet::strongswan::packet::Packet::Request("load-conn".into(), load);
    std::io::Write::write_all(&mut vici, &crate::fake_charon::frame(&packet)).expect("sent");
    b.charon.wait_for("load-conn", 1);
    fs::write(b.conf_dir().join("operator.conf"), "# by hand\n").expect("written");
    let mut b = b;
    b.run();
    b.create(&params(7, &json!({}))).expect(200);
    b.ask("DELETE", &format!("{PATH}/{}", uuid(7)), b"").expect(200);
    assert_eq!(b.charon.connections(), ["operators-own"]);
    assert_eq!(files(&b.conf_dir()), ["operator.conf"]);
}
