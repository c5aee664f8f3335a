//! Peers that are set up for something else, or are silent where another says what is wrong: raw charons that behave so,
//! in both roles. The agent names the cause.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pair::{KEY, creation};
use crate::peer::Charon;
use crate::support::agent::{Agent, AgentOptions};
use crate::support::lab::{CharonOptions, Lab, Side};
use crate::support::{output, poll, wait_until};
use crate::{lab_for, say};

/// A silent peer is a sign at the second retransmission, and both ends begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a raw charon is set up; what is not said is as the agent's end has it.
#[derive(Clone, Copy)]
pub struct Peer {
    /// Lines of its connection, of both ends in it, and of its child.
    pub connection: &'static str,
    pub ike: &'static str,
    pub local: &'static str,
    pub remote: &'static str,
    pub networks: &'static str,
    pub esp: &'static str,
    pub key: &'static str,
    pub secrets: &'static str,
}

/// It has all that is wanted.
pub const SAME: Peer = Peer {
    connection: "",
    ike: "aes256-sha256-x25519",
    local: "id = 192.0.2.2\n auth = psk",
    remote: "id = 192.0.2.1\n auth = psk",
    networks: "10.2.0.0/24",
    esp: "aes256-sha256",
    key: KEY,
    secrets: "",
};

impl Peer {
    /// What swanctl loads.
    pub fn conf(&self, version: &str) -> String {
        let Self { connection, ike, local, remote, networks, esp, key, secrets } = self;
        let version = version.trim_start_matches("ikev");
        format!(
            "connections {{ t {{\n version = {version}\n local_addrs = 192.0.2.2\n remote_addrs = 192.0.2.1\n \
             proposals = {ike}\n unique = no\n local {{ {local}\n }}\n \
             remote {{ {remote}\n }}\n {connection}\n children {{ k {{\n local_ts = {networks}\n remote_ts = 10.1.0.0/24\n \
             esp_proposals = {esp}\n }} }} }} }}\nsecrets {{ ike-1 {{ secret = \"{key}\"\n }}\n {secrets}\n }}\n"
        )
    }
}

/// Who begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Role {
    We,
    Peer,
}

/// What the peer's host drops of what comes, in nft's words: the offsets count from the UDP header.
pub const FIRST: &str = "udp dport 500 @th,128,64 0 drop";
const PROOF: &str = "udp dport { 500, 4500 } meta length > 0 @th,208,8 2 @th,216,8 1 drop; add rule ip cut in udp dport 4500 \
                     @th,240,8 2 drop";
const QUICK: &str = "udp dport 500 @th,208,8 32 drop; add rule ip cut in udp dport 4500 @th,240,8 32 drop";

fn cut(lab: &Lab, rule: &str) {
    let text = format!(
        "add table ip cut; add chain ip cut in {{ type filter hook input priority 0; }}; flush chain ip cut in; \
         add rule ip cut in {rule}"
    );
    let done = output(lab.command_in(Side::B, "nft").arg(text));
    assert!(done.status.success(), "{done:?}");
}

fn heal(lab: &Lab) {
    assert!(output(lab.command_in(Side::B, "nft").arg("flush chain ip cut in")).status.success());
}

/// An agent before a raw charon.
pub struct Bed {
    pub lab: Lab,
    pub agent: Agent,
    pub uuid: String,
}

impl Bed {
    /// Both charons and the peer's configuration, then the agent's connection.
    #[track_caller]
    pub fn start(lab: Lab, peer: &Peer, version: &str, options: &Value, drops: Option<&str>) -> Self {
        // As the package has it: of the plugins that read certificates, this one knows name constraints.
        let plugins = CharonOptions::default().plugins.replace(" x509", "").replace(" openssl", " x509 openssl");
        lab.start_charon_with(Side::A, CharonOptions { plugins, ..Default::default() });
        let plugins = CharonOptions::default().plugins + " eap-identity eap-md5 xauth-eap";
        lab.start_charon_with(Side::B, CharonOptions { plugins, ..Default::default() });
        lab.load_conf(Side::B, "t", &peer.conf(version));
        if let Some(rule) = drops {
            cut(&lab, rule);
        }
        let agent = Agent::start(&lab, Side::A, AgentOptions { wait: "0s".into(), ..Default::default() });
        let created = agent.create(&creation(Side::A, options)).expect(200).json();
        let uuid = created["inventory"]["uuid"].as_str().expect("a uuid").to_owned();
        Self { lab, agent, uuid }
    }

    pub fn view(&self) -> Value {
        self.agent.request("GET", &format!("/cygnet/v1/connections/{}", self.uuid), None).expect(200).json()
    }

    pub fn call(&self) {
        // It may be refused at once, and is tried again.
        self.lab.swanctl(Side::B, &["--initiate", "--ike", "t", "--child", "k", "--timeout", "2"]);
    }

    /// Waits until the reason has this code and these words.
    #[track_caller]
    pub fn named(&self, role: Role, code: &str, words: &[&str]) -> Value {
        let found = poll(PATIENCE, || {
            if role == Role::Peer {
                self.call();
            }
            let reason = self.view()["reason"].clone();
            let details = reason["details"].as_str().unwrap_or_default();
            (reason["code"] == code && words.iter().all(|word| details.contains(word))).then_some(reason)
        });
        found.unwrap_or_else(|| {
            panic!(
                "{role:?}: not {code} {words:?} but {:#}\n{}\nthe peer's:\n{}",
                self.view()["reason"],
                self.lab.charon_log(Side::A),
                self.lab.charon_log(Side::B)
            )
        })
    }

    fn warnings(&self) -> Vec<Value> {
        self.view()["warnings"].as_array().cloned().unwrap_or_default()
    }

    fn rekey_failed(&self) -> Option<Value> {
        self.warnings().into_iter().find(|warning| warning["code"] == "REKEY_FAILED")
    }
}

/// What is expected when we begin, and when the peer does: a code and words.
type Expected = Option<(&'static str, &'static [&'static str])>;

#[track_caller]
fn tells(ours: &str, theirs: &str, peer: &Peer, options: &Value, expected: [Expected; 2]) {
    for (role, expected) in [Role::We, Role::Peer].into_iter().zip(expected) {
        let Some((code, words)) = expected else { continue };
        let Some(lab) = lab_for(ours) else { return };
        let options = crate::pair::with(&json!({ "ikeVersion": ours }), options);
        let drops = (role == Role::Peer).then_some(FIRST);
        let bed = Bed::start(lab, peer, theirs, &options, drops);
        let reason = bed.named(role, code, words);
        say(format!("{ours} before {theirs}, {role:?}: {code}: {}", reason["details"]));
        assert!(reason["advice"].as_str().is_some_and(|advice| advice.len() > 20), "{reason}");
    }
}

#[test]
fn aggressive_mode() {
    let peer = Peer { connection: "aggressive = yes", ..SAME };
    let calls = Some(("AGGRESSIVE_MODE", &["main mode or IKEv2 is wanted (charon: Aggressive Mode PSK disabled"][..]));
    let refuses = Some(("PEER_REFUSED_AUTH", &["wants aggressive mode"][..]));
    tells("ikev1", "ikev1", &peer, &json!({}), [refuses, calls]);
    let version = Some(("IKE_VERSION_MISMATCH", &["IKEv1, in aggressive mode, which is never accepted here"][..]));
    tells("ikev2", "ikev1", &peer, &json!({}), [None, version]);
}

#[test]
fn xauth() {
    let asked = Some(("REMOTE_ACCESS", &["the peer wants XAUTH"][..]));
    let refuses = Some(("PEER_REFUSED_AUTH", &["XAUTH"][..]));
    let client = Peer {
        connection: "local-2 { auth = xauth\n xauth_id = user\n }",
        secrets: "xauth-u { id = user\n secret = test-only-password\n }",
        ..SAME
    };
    tells("ikev1", "ikev1", &client, &json!({}), [refuses, asked]);
    let server = Peer { connection: "remote-2 { auth = xauth-eap\n }", ..SAME };
    tells("ikev1", "ikev1", &server, &json!({}), [refuses, asked]);
}

#[test]
fn eap_and_addresses() {
    let client = Peer { local: "id = 192.0.2.2\n auth = eap-md5", ..SAME };
    let asks = Some(("REMOTE_ACCESS", &["the peer wants to authenticate with EAP"][..]));
    tells("ikev2", "ikev2", &client, &json!({}), [None, asks]);
    let server = Peer { remote: "id = 192.0.2.1\n auth = eap-md5", ..SAME };
    let refuses = Some(("PEER_REFUSED_AUTH", &["the pre-shared keys differ, or", "AUTHENTICATION_FAILED"][..]));
    tells("ikev2", "ikev2", &server, &json!({}), [refuses, refuses]);
    let addresses = Peer { connection: "vips = 0.0.0.0", ..SAME };
    let wants = Some(("REMOTE_ACCESS", &["the peer wants an address from this gateway"][..]));
    tells("ikev2", "ikev2", &addresses, &json!({}), [None, wants]);
}

#[test]
fn another_key() {
    let peer = Peer { key: "test-only-another", ..SAME };
    let ours = Some(("AUTH_FAILED", &["the pre-shared keys differ (charon: "][..]));
    let theirs = Some(("PEER_REFUSED_AUTH", &["the pre-shared keys differ"][..]));
    tells("ikev2", "ikev2", &peer, &json!({}), [theirs, ours]);
    tells("ikev1", "ikev1", &peer, &json!({}), [theirs, ours]);
}

/// Only the PRF differs. People compare encryption, integrity and group, and find them equal.
#[test]
fn another_prf() {
    for version in ["ikev2", "ikev1"] {
        let Some(lab) = lab_for(version) else { continue };
        let peer = Peer { ike: "aes256-sha256-prfsha512-x25519", ..SAME };
        let bed = Bed::start(lab, &peer, version, &json!({ "ikeVersion": version, "ikeDhGroup": 31 }), None);
        let refused = bed.named(Role::We, "NO_PROPOSAL_IKE", &[]);
        assert!(refused["advice"].as_str().is_some_and(|advice| advice.contains("PRF")), "{refused}");
    }
    let Some(lab) = lab_for("ikev2") else { return };
    let peer = Peer { ike: "aes256-sha256-prfsha512-x25519", ..SAME };
    let bed = Bed::start(lab, &peer, "ikev2", &json!({ "ikeVersion": "ikev2", "ikeDhGroup": 31 }), Some(FIRST));
    let called = bed.named(Role::Peer, "NO_PROPOSAL_IKE", &["PRF_HMAC_SHA2_512", "PRF_HMAC_SHA2_256"]);
    assert!(called["advice"].as_str().is_some_and(|advice| advice.contains("PRF")), "{called}");
}

/// The same text of two kinds: charon prints no kinds.
#[test]
fn an_identity_of_another_kind() {
    let options = json!({ "idType": "fqdn", "localId": "a.example", "remoteId": Side::B.wan() });
    let peer = Peer { remote: "id = fqdn:a.example\n auth = psk", ..SAME };
    let named: Expected = Some((
        "ID_MISMATCH",
        &[
            "the peer sends the identity ipv4:192.0.2.2, and fqdn:192.0.2.2 is expected",
            "this gateway sends fqdn:a.example",
        ],
    ));
    tells("ikev2", "ikev2", &peer, &options, [None, named]);
    tells("ikev1", "ikev1", &peer, &options, [named, named]);
}

#[test]
fn silence_at_the_proof_of_main_mode() {
    let Some(lab) = lab_for("ikev1") else { return };
    let bed = Bed::start(lab, &SAME, "ikev1", &json!({ "ikeVersion": "ikev1" }), Some(PROOF));
    bed.named(
        Role::We,
        "PEER_REFUSED_AUTH",
        &["the pre-shared keys differ, or the peer expects another identity", "third"],
    );
    heal(&bed.lab);
    let up = || (bed.view()["inventory"]["status"] == "Ready").then_some(());
    wait_until(PATIENCE, "it comes up", up);
    assert_eq!(bed.view()["reason"], Value::Null);
}

#[test]
fn silence_in_quick_mode() {
    let Some(lab) = lab_for("ikev1") else { return };
    let bed = Bed::start(lab, &SAME, "ikev1", &json!({ "ikeVersion": "ikev1" }), Some(QUICK));
    let words =
        ["its networks or its proposal for the traffic differ", "10.1.0.0/24 === 10.2.0.0/24", "ESP aes256-sha256"];
    bed.named(Role::We, "TS_MISMATCH", &words);
}

#[test]
fn other_networks_in_ikev1_are_told_the_right_way_round() {
    let peer = Peer { networks: "10.99.0.0/24", ..SAME };
    let asks = Some(("TS_MISMATCH", &["asks for 10.1.0.0/24 === 10.99.0.0/24 (our side === its side)"][..]));
    let refuses = Some(("TS_MISMATCH", &["INVALID_ID_INFORMATION"][..]));
    tells("ikev1", "ikev1", &peer, &json!({}), [refuses, asks]);
}

/// The peer was away first, and has a part of the network: what was said before says nothing of that.
#[test]
fn what_is_narrowed_has_no_old_reason() {
    for version in ["ikev2", "ikev1"] {
        let Some(lab) = lab_for(version) else { continue };
        let peer = Peer { networks: "10.2.0.0/25", ..SAME };
        let bed = Bed::start(lab, &peer, version, &json!({ "ikeVersion": version }), Some(FIRST));
        bed.named(Role::We, "PEER_UNREACHABLE", &["it has not answered at all"]);
        heal(&bed.lab);
        let narrowed =
            ["agreed to a part of the networks only: 10.1.0.0/24 === 10.2.0.0/25", "10.1.0.0/24 === 10.2.0.0/24"];
        // An IKEv1 peer of this kind takes what is inside its own networks only.
        let words = if version == "ikev2" { &narrowed[..] } else { &narrowed[1..] };
        bed.named(Role::We, "TS_MISMATCH", words);
        let child = bed.view()["children"][0]["reason"].clone();
        assert_eq!(child["code"], "TS_MISMATCH", "{version}: {child}");
    }
}

/// One retransmission is no sign.
#[test]
fn a_slow_peer_is_not_unreachable() {
    let Some(lab) = lab_for("ikev2") else { return };
    lab.start_charon_with(
        Side::A,
        CharonOptions { retransmit_timeout: 3.0, retransmit_base: 3.0, ..Default::default() },
    );
    lab.start_charon(Side::B);
    lab.load_conf(Side::B, "t", &SAME.conf("ikev2"));
    lab.pause_charon(Side::B);
    let agent = Agent::start(&lab, Side::A, AgentOptions { wait: "0s".into(), ..Default::default() });
    let created = agent.create(&creation(Side::A, &json!({}))).expect(200).json();
    let uuid = created["inventory"]["uuid"].as_str().expect("a uuid").to_owned();
    let bed = Bed { lab, agent, uuid };
    let log = || bed.lab.charon_log(Side::A);
    wait_until(PATIENCE, "one retransmission", || log().contains("retransmit 1 of request").then_some(()));
    let reason = bed.view()["reason"].clone();
    if !log().contains("retransmit 2 of request") {
        assert_ne!(reason["code"], "PEER_UNREACHABLE", "{reason}");
    }
    bed.lab.resume_charon(Side::B);
    wait_until(PATIENCE, "it is up", || (bed.view()["inventory"]["status"] == "Ready").then_some(()));
}

/// The first CHILD_SA has no key exchange of its own; each rekeying does, and is refused. Both roles, no rehearsal.
#[test]
fn refused_rekeyings_are_a_warning_while_ready() {
    let Some(lab) = lab_for("ikev2") else { return };
    let peer = Peer { esp: "aes256-sha256-ecp384", ..SAME };
    let bed = Bed::start(lab, &peer, "ikev2", &json!({ "pfs": "dh-group19" }), None);
    let up = || (bed.view()["inventory"]["status"] == "Ready").then_some(());
    let rekey = |side: Side| {
        let ours = format!("cygnet-{}", bed.uuid);
        let mut names = bed.lab.children(side).into_iter().filter_map(|sa| sa["name"].as_str().map(str::to_owned));
        let child = names.find(|name| side == Side::B || name.starts_with(&ours)).expect("a child");
        assert!(bed.lab.swanctl(side, &["--rekey", "--child", &child]).status.success());
    };
    let failed = |words: &str| {
        let warning = wait_until(PATIENCE, "the warning", || bed.rekey_failed());
        assert!(warning["message"].as_str().is_some_and(|text| text.contains(words)), "{warning}");
        let view = bed.view();
        assert_eq!((&view["inventory"]["status"], &view["reason"]), (&json!("Ready"), &Value::Null), "{view:#}");
    };
    wait_until(PATIENCE, "it is up", up);
    assert_eq!(bed.rekey_failed(), None);
    rekey(Side::A);
    failed("the peer accepts none of our proposals for the traffic (NO_PROPOSAL_CHOSEN)");
    // The peer is repaired. Its next IKE_SA is what it has then; only a rekeying shows that it is.
    let close = || bed.lab.swanctl(Side::B, &["--terminate", "--ike", "t", "--force", "--timeout", "2"]);
    bed.lab.load_conf(Side::B, "t", &Peer { esp: "aes256-sha256-ecp256", ..SAME }.conf("ikev2"));
    close();
    let again = || bed.lab.children(Side::A).iter().any(|sa| sa["state"] == "INSTALLED").then_some(());
    wait_until(PATIENCE, "it is up again", || again().and_then(|()| up()));
    assert!(bed.rekey_failed().is_some(), "the first CHILD_SA tells nothing");
    rekey(Side::A);
    wait_until(PATIENCE, "the warning is over", || bed.rekey_failed().is_none().then_some(()));
    // The peer asks, and we refuse.
    bed.lab.load_conf(Side::B, "t", &peer.conf("ikev2"));
    close();
    wait_until(PATIENCE, "it is up again", || again().and_then(|()| up()));
    rekey(Side::B);
    failed("the peer offers ESP:AES_CBC_256/HMAC_SHA2_256_128/ECP_384");
    let charon = Charon::of(&bed.lab, Side::A);
    assert_eq!(charon.running().iter().map(|ike| ike.children.len()).sum::<usize>(), 1, "the SA stays");
}
