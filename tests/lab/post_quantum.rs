//! Protection against quantum computers: a PPK on every strongSwan, and ML-KEM between those that have it and those that
//! do not, in both roles. What is shown is what charon runs.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::odd_peers::{Bed, FIRST, Peer, Role, SAME};
use crate::pair::{for_side, reaches};
use crate::support::agent::binary;
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;
use crate::{lab, say};

const PATIENCE: Duration = Duration::from_secs(40);
const PPK: &str = "test-only-ppk-of-thirty-two-bytes";

/// Waits until the connection is Ready, whoever begins; the view.
#[track_caller]
fn ready(bed: &Bed, role: Role) -> Value {
    wait_until(PATIENCE, "it is Ready", || {
        if role == Role::Peer {
            bed.call();
        }
        let view = bed.view();
        (view["inventory"]["status"] == "Ready").then_some(view)
    })
}

/// What the agent shows of the IKE_SA and of its CHILD_SA.
fn shown(view: &Value) -> [&str; 3] {
    let sa = &view["children"][0]["sas"][0];
    [&view["ike_sas"][0]["post_quantum"], &sa["post_quantum"], &sa["post_quantum_by"]]
        .map(|value| value.as_str().unwrap_or("null"))
}

/// Asserts that the metrics and the wide list say it too.
#[track_caller]
fn told(bed: &Bed, wanted: &str) {
    let value = u8::from(wanted != "none");
    let metrics = bed.agent.request("GET", "/metrics", None).expect(200).text();
    let of_child = |line: &&str| line.starts_with("cygnet_child_post_quantum{");
    let series: Vec<_> = metrics.lines().filter(of_child).collect();
    let says = |line: &&str| {
        line.contains(&format!("post_quantum=\"{wanted}\",by=\"IKE_SA\"")) && line.ends_with(&format!("}} {value}"))
    };
    assert!(series.len() == 1 && series.iter().all(says), "{series:?}");
    let mut list = Command::new(binary());
    list.args(["list", "-o", "wide", "--config"]).arg(bed.agent.config()).env("COLUMNS", "300");
    let list = String::from_utf8_lossy(&list.output().expect("cygnet runs").stdout).into_owned();
    let [heading, row] = list.lines().take(2).collect::<Vec<_>>()[..] else { panic!("{list}") };
    let column = heading.find("POST-QUANTUM").unwrap_or_else(|| panic!("{list}"));
    assert_eq!(row[column..].split_whitespace().next(), Some(wanted), "{list}");
}

/// What the peer has, whether a tunnel without it is wanted here, and what comes of it: the reason in each role, or what
/// is shown.
struct Case {
    peer: Peer,
    required: bool,
    reasons: Option<[(&'static str, &'static str); 2]>,
    shown: &'static str,
}

const SAME_PPK: Peer = Peer {
    connection: "ppk_id = site-a\n ppk_required = yes",
    secrets: "ppk-1 { id = site-a\n secret = test-only-ppk-of-thirty-two-bytes\n }",
    ..SAME
};

#[test]
fn a_ppk_is_the_same_or_is_named() {
    let wrong = Peer { secrets: "ppk-1 { id = site-a\n secret = test-only-another-ppk\n }", ..SAME_PPK };
    let unequal = Some([("PPK_MISMATCH", "site-a"), ("PPK_MISMATCH", "site-a")]);
    let absent = Some([("PPK_MISSING", "peer"), ("PPK_MISSING", "peer")]);
    let cases = [
        Case { peer: SAME_PPK, required: true, reasons: None, shown: "PPK" },
        Case { peer: wrong, required: true, reasons: unequal, shown: "" },
        Case { peer: SAME, required: true, reasons: absent, shown: "" },
        Case { peer: SAME, required: false, reasons: None, shown: "none" },
    ];
    for Case { peer, required, reasons, shown: wanted } in cases {
        for role in [Role::We, Role::Peer] {
            let Some(lab) = lab() else { return };
            let options = json!({ "ikeVersion": "ikev2", "ppkId": "site-a", "ppk": PPK, "ppkRequired": required });
            let bed = Bed::start(lab, &peer, "ikev2", &options, (role == Role::Peer).then_some(FIRST));
            if let Some(reasons) = reasons {
                let (code, word) = reasons[role as usize];
                let reason = bed.named(role, code, &[word]);
                say(format!("{role:?}: {code}: {}", reason["details"]));
            } else {
                let view = ready(&bed, role);
                assert_eq!(shown(&view), [wanted, wanted, "IKE_SA"], "{role:?}: {view:#}");
                told(&bed, wanted);
                reaches(&bed.lab, Side::A, Side::A.host(), Side::B.host());
            }
        }
    }
}

/// The PPK is only at the peer, which requires it. The peer that begins says so in its first message. The one that answers
/// says no more than that the proof is refused, so the reason says what else it may be.
#[test]
fn a_ppk_that_only_the_peer_has_is_named() {
    for (role, code, word) in
        [(Role::Peer, "PPK_MISSING", "none is set here"), (Role::We, "PEER_REFUSED_AUTH", "no PPK")]
    {
        let Some(lab) = lab() else { return };
        let options = json!({ "ikeVersion": "ikev2" });
        let bed = Bed::start(lab, &SAME_PPK, "ikev2", &options, (role == Role::Peer).then_some(FIRST));
        let reason = bed.named(role, code, &[word]);
        say(format!("{role:?}: {code}: {}", reason["details"]));
    }
}

/// Where the suites differ: this end has Debian sid's strongSwan, the only one with ML-KEM.
const NEWEST: &str = "sid";
/// Debian 13's, and this machine's, which is Debian 12's.
const OLDER: [&str; 2] = ["trixie", ""];

#[track_caller]
fn lab_of(suites: [&str; 2]) -> Lab {
    Lab::of_suites(suites).unwrap_or_else(|why| panic!("{why}"))
}

/// The lengths of the IP packets that carry IKE, by charon's own log.
fn packets(lab: &Lab) -> Vec<u64> {
    let logs = Side::BOTH.map(|side| lab.charon_log(side)).concat();
    let sent = logs.lines().filter(|line| line.contains("sending packet: from "));
    let length = |line: &str| line.rsplit_once('(')?.1.strip_suffix(" bytes)")?.parse::<u64>().ok();
    // IPv4 and UDP.
    sent.filter_map(length).map(|length| length + 28).collect()
}

#[test]
#[ignore = "runs two suites at once: make roots, make lab SUITE=sid"]
fn ml_kem_is_there_or_is_named() {
    for (word, offer, name) in [
        ("mlkem768", "aes256-sha256-x25519-ke1_mlkem768", "ML_KEM_768"),
        ("mlkem1024", "aes256-sha256-x25519-ke1_mlkem1024", "ML_KEM_1024"),
    ] {
        for mode in ["require", "prefer"] {
            for suite in [NEWEST, OLDER[0], OLDER[1]] {
                let lab = lab_of([NEWEST, suite]);
                let ike = if suite == NEWEST { offer } else { SAME.ike };
                let options = json!({ "ikeVersion": "ikev2", "postQuantum": word, "postQuantumMode": mode });
                let bed = Bed::start(lab, &Peer { ike, ..SAME }, "ikev2", &options, None);
                if suite != NEWEST && mode == "require" {
                    let wanted = format!("ke1_{word}");
                    let reason = bed.named(Role::We, "NO_PROPOSAL_IKE", &[&wanted, name]);
                    say(format!("{word} {mode} {suite}: {}", reason["details"]));
                    continue;
                }
                let view = ready(&bed, Role::We);
                let has = if suite == NEWEST { name } else { "none" };
                assert_eq!(shown(&view), [has, has, "IKE_SA"], "{word} {mode} {suite}: {view:#}");
                reaches(&bed.lab, Side::A, Side::A.host(), Side::B.host());
                let longest = packets(&bed.lab).into_iter().max();
                assert!(longest.is_some_and(|length| length <= 1280), "{longest:?}");
            }
        }
    }
}

/// What charon cannot do is refused before it hears of it, and what was there stays. A PPK is the way.
#[test]
fn an_older_strongswan_is_given_no_ml_kem() {
    if Lab::strongswan() >= [6, 0, 2] {
        return;
    }
    let Some(lab) = lab() else { return };
    let bed = Bed::start(lab, &SAME, "ikev2", &json!({ "ikeVersion": "ikev2" }), None);
    let before = ready(&bed, Role::We);
    let preferred = json!({ "postQuantum": "mlkem1024", "postQuantumMode": "prefer" });
    for options in [json!({ "postQuantum": "mlkem768" }), preferred] {
        let refused = bed.agent.change(&bed.uuid, &for_side(Side::A, &options)).expect(503).text();
        for words in ["mlkem", "6.0.2", "ppkId", "postQuantum"] {
            assert!(refused.contains(words), "{words}: {refused}");
        }
    }
    let after = bed.view();
    assert_eq!(after["ike_sas"][0]["id"], before["ike_sas"][0]["id"], "{after:#}");
    assert_eq!(after["options"], before["options"]);
}

/// An ESP proposal with ML-KEM at this end alone comes up, and would fail at the first rekeying: the rehearsal shows it.
/// Where both have it, the CHILD_SA has its own after a rekeying.
#[test]
#[ignore = "runs another suite: make roots, make lab SUITE=sid"]
fn ml_kem_of_the_traffic_is_rehearsed() {
    for (esp, passes) in [("aes256-sha256-x25519", false), ("aes256-sha256-x25519-ke1_mlkem768", true)] {
        let lab = lab_of([NEWEST, NEWEST]);
        let peer = Peer { ike: "aes256-sha256-x25519-ke1_mlkem768", esp, ..SAME };
        let options = json!({ "ikeVersion": "ikev2", "postQuantum": "mlkem768", "pfs": "dh-group31" });
        let bed = Bed::start(lab, &peer, "ikev2", &options, None);
        ready(&bed, Role::We);
        let path = format!("/zstack/v1/ipsec/config/{}?rehearse=true", bed.uuid);
        let body = json!({ "changeIPsecConnection": for_side(Side::A, &options) });
        bed.agent.request("PUT", &path, Some(&body)).expect(200);
        wait_until(PATIENCE, "the rekeying shows it", || {
            let view = bed.view();
            let codes: Vec<_> = view["warnings"].as_array().into_iter().flatten().map(|w| w["code"].clone()).collect();
            let is_own = shown(&view) == ["ML_KEM_768", "ML_KEM_768", "CHILD_SA"];
            let is_failed = codes.contains(&json!("REKEY_FAILED"));
            assert!(if passes { !is_failed } else { !is_own }, "{view:#}");
            (is_own || is_failed).then_some(())
        });
    }
}
