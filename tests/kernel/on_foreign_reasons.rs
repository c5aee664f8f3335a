//! A peer that is not strongSwan and wants something else: the reason says what, and when the peer is corrected, the tunnel
//! comes up.

use nix::sys::signal::Signal;
use std::time::Duration;

use serde_json::json;

use crate::foreign::{Configuration, Kind, Proposal};
use crate::foreign_bed::{Bed, PATIENCE};
use crate::on_foreign::cases;
use crate::say;
use crate::support::lab::{Lab, Side};
use crate::support::{poll, wait_until};

const RIGHT: Configuration<'static> = Configuration::RIGHT;
pub const KEY: Configuration<'static> = Configuration { key: "test-only-another-key", ..RIGHT };
pub const IKE: Configuration<'static> = Configuration { ike: Proposal("aes-128", "sha256", Some(14)), ..RIGHT };
pub const ESP: Configuration<'static> = Configuration { esp: Proposal("aes-128", "sha512", None), ..RIGHT };
pub const NETWORKS: Configuration<'static> = Configuration { local: &["10.99.0.0/24"], ..RIGHT };
pub const IDENTITY: Configuration<'static> = Configuration { id_of_a: "somebody.example", ..RIGHT };
const ITS_IDENTITY: Configuration<'static> = Configuration { id: "somebody.example", ..RIGHT };

cases! {
    libreswan, Libreswan: key ike_proposal esp_proposal networks identity its_identity cut_hash;
    openiked, Openiked: key ike_proposal esp_proposal networks identity its_identity;
}

/// This is the reason where we begin, and nothing carries. Where the peer begins, the reason says this. Then it is
/// corrected.
pub fn named(bed: &mut Bed, wrong: &Configuration<'_>, code: &str, where_it_begins: [&str; 2]) {
    bed.peer.load(wrong);
    bed.create(&json!({ "ikeVersion": wrong.version }));
    say(format!("{:?}: {}", bed.peer.kind, bed.told(code, "")));
    assert_ne!(bed.view()["inventory"]["status"], "Ready");
    let pings = bed.lab.ping_tunnel(Side::A);
    assert_eq!(pings.received, 0, "{pings:?}");
    it_begins(bed, wrong, where_it_begins);
    bed.peer.load(&Configuration { version: wrong.version, ..RIGHT });
    bed.carries();
    assert_eq!(bed.view()["reason"], json!(null));
}

/// The peer begins so, and the reason says this. A call that crosses one of ours may come to nothing: then it begins again.
fn it_begins(bed: &mut Bed, wrong: &Configuration<'_>, [code, words]: [&str; 2]) {
    for _ in 0..3 {
        // We call nobody meanwhile: iked begins once, and not soon again if it was called.
        bed.agent.signal(Signal::SIGSTOP);
        let before = calls(&bed.lab);
        bed.peer.restart_and_begin(wrong);
        // Unless a request that our charon sent once more came first: its answer ends that, so the next time it calls.
        if poll(Duration::from_secs(15), || (calls(&bed.lab) > before).then_some(())).is_none() {
            continue;
        }
        bed.agent.signal(Signal::SIGCONT);
        if let Some(reason) = bed.hears(Duration::from_secs(15), code, words) {
            return say(format!("{:?} begins: {reason}", bed.peer.kind));
        }
    }
    bed.agent.signal(Signal::SIGCONT);
    bed.told(code, words);
}

/// How often the peer has begun.
fn calls(lab: &Lab) -> usize {
    lab.charon_log(Side::A).matches("192.0.2.2 is initiating a").count()
}

fn key(bed: &mut Bed) {
    named(bed, &KEY, "PEER_REFUSED_AUTH", ["AUTH_FAILED", "the pre-shared keys differ (charon: "]);
}

fn ike_proposal(bed: &mut Bed) {
    named(bed, &IKE, "NO_PROPOSAL_IKE", ["NO_PROPOSAL_IKE", "the peer offers IKE:AES_CBC_128/"]);
}

fn esp_proposal(bed: &mut Bed) {
    named(bed, &ESP, "NO_PROPOSAL_CHILD", ["NO_PROPOSAL_CHILD", "the peer offers ESP:AES_CBC_128/"]);
}

fn networks(bed: &mut Bed) {
    let asked = "the peer asks for 10.1.0.0/24 === 10.99.0.0/24 (our side === its side)";
    named(bed, &NETWORKS, "TS_MISMATCH", ["TS_MISMATCH", asked]);
}

fn identity(bed: &mut Bed) {
    let asked = "the peer expects us to be fqdn:somebody.example, and we are ipv4:192.0.2.1";
    named(bed, &IDENTITY, "PEER_REFUSED_AUTH", ["ID_MISMATCH", asked]);
}

/// iked says that it is what it is asked for, so only where it begins does it say something else.
fn its_identity(bed: &mut Bed) {
    let told = ["ID_MISMATCH", "somebody.example"];
    if bed.peer.kind == Kind::Libreswan {
        return named(bed, &ITS_IDENTITY, "ID_MISMATCH", told);
    }
    bed.create(&json!({ "startMode": "respond" }));
    it_begins(bed, &ITS_IDENTITY, told);
    bed.peer.up(&RIGHT);
    bed.carries();
    assert_eq!(bed.view()["reason"], json!(null));
}

/// It cuts the hash of packets to 96 bits, which no negotiation tells: all is up and nothing passes, whoever began. The
/// advice names the option, and that cures it.
fn cut_hash(bed: &mut Bed) {
    const CUT: Configuration<'static> = Configuration { esp: Proposal("aes-256", "sha256-96", None), ..RIGHT };
    bed.peer.load(&CUT);
    let options = |hash: &str| json!({ "policyAuthAlgorithm": hash, "pfs": "none" });
    bed.create(&options("sha256"));
    for role in ["we", "the peer"] {
        let before = bed.spis();
        if role == "the peer" {
            bed.peer.down();
            bed.peer.up(&CUT);
        }
        // Not the SA before it.
        wait_until(PATIENCE, "it is up", || {
            let now = bed.spis();
            (bed.ready() && now[1] != json!(null) && (role == "we" || now[1] != before[1])).then_some(())
        });
        let ping = bed.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(200));
        let advice = wait_until(PATIENCE, "nothing comes in", || {
            let child = bed.view()["children"][0].clone();
            (child["condition"] == "no_inbound").then(|| child["condition_advice"].to_string())
        });
        drop(ping);
        assert!(advice.contains("cut HMAC-SHA-256 to 96 bits") && advice.contains("sha256-96"), "{role}: {advice}");
        assert_eq!(bed.lab.ping_tunnel(Side::A).received, 0, "{role}");
    }
    bed.change(&options("sha256-96"));
    bed.carries();
}
