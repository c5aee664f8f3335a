//! A peer that is not strongSwan and wants something else: the reason says what, and when the peer is corrected, the tunnel
//! comes up.

use nix::sys::signal::Signal;
use std::time::Duration;

use serde_json::{Value, json};

use crate::foreign::{Configuration, Kind, Proposal};
use crate::foreign_bed::{Bed, PATIENCE};
use crate::on_foreign::cases;
use crate::say;
use crate::support::lab::Side;
use crate::support::{poll, wait_until};

const RIGHT: Configuration<'static> = Configuration::RIGHT;
const KEY: Configuration<'static> = Configuration { key: "test-only-another-key", ..RIGHT };
const IKE: Configuration<'static> = Configuration { ike: Proposal("aes-128", "sha256", Some(14)), ..RIGHT };
const ESP: Configuration<'static> = Configuration { esp: Proposal("aes-128", "sha512", None), ..RIGHT };
const NETWORKS: Configuration<'static> = Configuration { local: &["10.99.0.0/24"], ..RIGHT };
const IDENTITY: Configuration<'static> = Configuration { id_of_a: "somebody.example", ..RIGHT };

cases! {
    libreswan, Libreswan: key ike_proposal esp_proposal networks identity cut_hash;
    openiked, Openiked: key ike_proposal esp_proposal networks identity;
}

/// This is the reason where we begin, and nothing carries. Where the peer begins, the reason says this. Then it is
/// corrected.
fn named(kind: Kind, wrong: &Configuration<'_>, code: &str, where_it_begins: [&str; 2]) {
    let mut bed = Bed::empty(kind, wrong);
    bed.create(&json!({}));
    say(format!("{kind:?}: {}", told(&bed, [code, ""])));
    assert_ne!(bed.view()["inventory"]["status"], "Ready");
    let pings = bed.lab.ping_tunnel(Side::A);
    assert_eq!(pings.received, 0, "{pings:?}");
    // We call nobody meanwhile: iked begins once, and not soon again if it was called.
    bed.agent.signal(Signal::SIGSTOP);
    bed.peer.restart_and_begin(wrong);
    wait_until(PATIENCE, "the peer has called", || {
        let log = bed.lab.charon_log(Side::A);
        log.contains("192.0.2.2 is initiating an IKE_SA").then_some(())
    });
    bed.agent.signal(Signal::SIGCONT);
    say(format!("{kind:?} begins: {}", told(&bed, where_it_begins)));
    bed.peer.load(&RIGHT);
    bed.carries();
    assert_eq!(bed.view()["reason"], json!(null));
}

/// Waits until the reason has this code, and these words in its details.
#[track_caller]
fn told(bed: &Bed, [code, words]: [&str; 2]) -> Value {
    let reason = poll(PATIENCE, || {
        let reason = bed.view()["reason"].clone();
        let details = reason["details"].as_str().unwrap_or_default();
        (reason["code"] == code && details.contains(words)).then_some(reason)
    });
    reason.unwrap_or_else(|| panic!("not {code} {words}: {:#}\n{}", bed.view(), bed.lab.charon_log(Side::A)))
}

fn key(kind: Kind) {
    named(kind, &KEY, "PEER_REFUSED_AUTH", ["AUTH_FAILED", "the pre-shared keys differ (charon: "]);
}

fn ike_proposal(kind: Kind) {
    named(kind, &IKE, "NO_PROPOSAL_IKE", ["NO_PROPOSAL_IKE", "the peer offers IKE:AES_CBC_128/"]);
}

fn esp_proposal(kind: Kind) {
    named(kind, &ESP, "NO_PROPOSAL_CHILD", ["NO_PROPOSAL_CHILD", "the peer offers ESP:AES_CBC_128/"]);
}

fn networks(kind: Kind) {
    let asked = "the peer asks for 10.1.0.0/24 === 10.99.0.0/24 (our side === its side)";
    named(kind, &NETWORKS, "TS_MISMATCH", ["TS_MISMATCH", asked]);
}

fn identity(kind: Kind) {
    let asked = "the peer expects us to be fqdn:somebody.example, and we are ipv4:192.0.2.1";
    named(kind, &IDENTITY, "PEER_REFUSED_AUTH", ["ID_MISMATCH", asked]);
}

/// It cuts the hash of packets to 96 bits, which no negotiation tells: all is up and nothing passes, whoever began. The
/// advice names the option, and that cures it.
fn cut_hash(kind: Kind) {
    const CUT: Configuration<'static> = Configuration { esp: Proposal("aes-256", "sha256-96", None), ..RIGHT };
    let mut bed = Bed::empty(kind, &CUT);
    let options = |hash: &str| json!({ "policyAuthAlgorithm": hash, "pfs": "none" });
    bed.create(&options("sha256"));
    for role in ["we", "the peer"] {
        if role == "the peer" {
            bed.peer.down();
            bed.peer.up(&CUT);
        }
        wait_until(PATIENCE, "it is up", || bed.ready().then_some(()));
        let ping = bed.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(200));
        let advice = wait_until(PATIENCE, "nothing comes in", || {
            let child = bed.view()["children"][0].clone();
            (child["condition"] == "no_inbound").then(|| child["condition_advice"].to_string())
        });
        assert!(advice.contains("cut HMAC-SHA-256 to 96 bits") && advice.contains("sha256-96"), "{role}: {advice}");
        assert_eq!(ping.stop().received, 0, "{role}");
    }
    bed.change(&options("sha256-96"));
    bed.carries();
}
