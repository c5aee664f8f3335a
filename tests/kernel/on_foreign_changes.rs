//! Changes with a peer that is not strongSwan, under a ping: whichever end is first, however late the other follows, the
//! tunnel is Ready with what is wanted, and between the two the state and the reason say what is missing.

use serde_json::json;

use crate::bed::seen_each;
use crate::foreign::{Configuration, Kind, Proposal};
use crate::foreign_bed::{Bed, PATIENCE};
use crate::on_foreign::cases;
use crate::say;
use crate::support::lab::Side;
use crate::support::{poll, wait_until};

const RIGHT: Configuration<'static> = Configuration::RIGHT;
const AES_128: Configuration<'static> = Configuration { esp: Proposal("aes-128", "sha512", None), ..RIGHT };
const ANOTHER_KEY: Configuration<'static> = Configuration { key: "test-only-another-key", ..RIGHT };

cases! {
    libreswan, Libreswan: changed_at_the_peer_first changed_at_the_agent_first the_peer_takes_both the_peer_follows_late
        a_key_at_the_peer_first a_key_at_the_agent_first;
    openiked, Openiked: changed_at_the_peer_first changed_at_the_agent_first the_peer_takes_both the_peer_follows_late
        a_key_at_the_peer_first a_key_at_the_agent_first;
}

/// Both ends change; nothing leaves in the clear.
fn changed(bed: &mut Bed, first: Side) {
    bed.up(&RIGHT, &json!({}));
    let mut lost = None;
    let [ours, theirs] = seen_each(&bed.lab, || {
        let ping = bed.ping(20);
        for side in [first, first.other()] {
            match side {
                Side::A => bed.change(&json!({ "policyEncryptionAlgorithm": "aes-128" })),
                Side::B => bed.peer.load(&AES_128),
            }
        }
        bed.one_is_left("128");
        bed.carries();
        ping.wait_for_replies(20);
        lost = Some(ping.stop());
    });
    say(format!("{:?}, {first:?} first: {lost:?}", bed.peer.kind));
    assert_eq!(ours.bare_icmp, 0, "{ours:?}");
    // libreswan closes what runs when its operator loads a connection anew, and an answer that is just then on its way
    // leaves it in the clear. iked lets it run.
    let lost = lost.expect("a ping").lost();
    assert!(bed.peer.kind == Kind::Libreswan || (lost <= 2 && theirs.bare_icmp == 0), "{lost}, {theirs:?}");
    bed.one_is_left("128");
}

fn changed_at_the_peer_first(bed: &mut Bed) {
    changed(bed, Side::B);
}

fn changed_at_the_agent_first(bed: &mut Bed) {
    changed(bed, Side::A);
}

/// It has both algorithms for as long as the change takes: nothing is lost but what is on its way.
fn the_peer_takes_both(bed: &mut Bed) {
    bed.up(&Configuration { also: Some("aes-128"), ..RIGHT }, &json!({}));
    let ping = bed.ping(50);
    for bits in ["128", "256"] {
        bed.change(&json!({ "policyEncryptionAlgorithm": format!("aes-{bits}") }));
        bed.one_is_left(bits);
        bed.carries();
        ping.wait_for_replies(10);
    }
    let pings = ping.stop();
    say(format!("{:?} takes both: {pings:?}", bed.peer.kind));
    assert!(pings.longest_gap <= 1, "{pings:?}");
}

/// Meanwhile the old SA carries, and the reason says what the peer does not accept. When it follows, the tunnel comes up
/// without anybody's help.
fn the_peer_follows_late(bed: &mut Bed) {
    bed.up(&RIGHT, &json!({}));
    let (ping, before) = (bed.ping(50), bed.spis());
    let refusals = || bed.logged("received NO_PROPOSAL_CHOSEN notify");
    let already = refusals();
    bed.change(&json!({ "policyEncryptionAlgorithm": "aes-128" }));
    bed.told("NO_PROPOSAL_CHILD", "wanted here: ESP aes128-sha512");
    wait_until(PATIENCE, "it was asked again and again", || (refusals() >= already + 4).then_some(()));
    ping.wait_for_replies(20);
    let view = bed.view();
    let sa = &view["children"][0];
    assert_eq!(
        (&view["inventory"]["status"], &sa["condition"]),
        (&json!("Connecting"), &json!("outdated")),
        "{view:#}"
    );
    assert_eq!((&view["reason"]["code"], bed.spis()), (&json!("NO_PROPOSAL_CHILD"), before), "{view:#}");
    bed.peer.load(&AES_128);
    bed.one_is_left("128");
    bed.carries();
    assert_eq!(bed.view()["reason"], json!(null));
    let pings = ping.stop();
    say(format!("{:?} follows late: {pings:?}", bed.peer.kind));
    assert!(bed.peer.kind == Kind::Libreswan || pings.lost() <= 2, "{pings:?}");
}

/// Another key at both ends: the SAs are made anew with it.
fn rekeyed(bed: &mut Bed, first: Side) {
    bed.up(&RIGHT, &json!({}));
    let (ping, before) = (bed.ping(50), bed.spis());
    for side in [first, first.other()] {
        match side {
            Side::A => bed.change(&json!({ "authKey": ANOTHER_KEY.key })),
            Side::B => bed.peer.load(&ANOTHER_KEY),
        }
        if side == first && side == Side::A {
            bed.told("PEER_REFUSED_AUTH", "");
            ping.wait_for_replies(10);
        }
    }
    bed.is_renewed(&before, &[0, 1]);
    let reason = poll(PATIENCE, || (bed.view()["reason"] == json!(null)).then_some(()));
    assert!(reason.is_some(), "{:#}", bed.view());
    let pings = ping.stop();
    say(format!("{:?}, key at {first:?} first: {pings:?}", bed.peer.kind));
    assert!(bed.peer.kind == Kind::Libreswan || pings.lost() <= 2, "{pings:?}");
}

fn a_key_at_the_peer_first(bed: &mut Bed) {
    rekeyed(bed, Side::B);
}

fn a_key_at_the_agent_first(bed: &mut Bed) {
    rekeyed(bed, Side::A);
}
