//! The life of a tunnel with a peer that is not strongSwan: whoever begins, through rekeyings, closing, crashes and both
//! beginning at once, it is Ready and packets pass both ways.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::bed::seen;
use crate::foreign::{Configuration, Kind};
use crate::foreign_bed::{Bed, PATIENCE};
use crate::foreign_root::other;
use crate::say;
use crate::support::lab::Side;
use crate::support::wait_until;

/// Makes a test of each case with each peer.
macro_rules! cases {
    ($($peer:ident, $kind:ident: $($name:ident)*;)*) => {
        $(mod $peer {
            $(#[test]
            #[ignore = "on a machine of its own"]
            fn $name() {
                crate::foreign_bed::in_bed(crate::foreign::Kind::$kind, super::$name);
            })*
        })*
    };
}
pub(crate) use cases;

cases! {
    libreswan, Libreswan: the_agent_begins the_peer_begins rekeyed the_peer_closes the_peer_crashes the_peer_restarts
        both_begin_at_once;
    openiked, Openiked: the_agent_begins the_peer_begins rekeyed the_peer_rekeys the_peer_closes the_peer_crashes
        the_peer_restarts both_begin_at_once;
}

const RIGHT: Configuration<'static> = Configuration::RIGHT;

fn the_agent_begins(bed: &mut Bed) {
    bed.up(&RIGHT, &json!({}));
    assert_eq!(bed.peer.children(), 1, "{}", bed.peer.log());
    assert_eq!(bed.lab.sas(Side::A)[0]["initiator"], "yes");
    let wire = seen(&bed.lab, || bed.carries());
    assert!(wire.esp >= 30 && wire.bare_icmp == 0 && wire.plaintext == 0, "{wire:?}");
    bed.agent.delete(&std::mem::take(&mut bed.uuid)).expect(200);
    wait_until(PATIENCE, "the peer has nothing left", || (bed.peer.children() == 0).then_some(()));
}

fn the_peer_begins(bed: &mut Bed) {
    bed.up(&RIGHT, &json!({}));
    bed.agent.signal(Signal::SIGSTOP);
    bed.close(&RIGHT);
    bed.peer.up(&RIGHT);
    wait_until(PATIENCE, "a CHILD_SA", || (!bed.lab.children(Side::A).is_empty()).then_some(()));
    bed.agent.signal(Signal::SIGCONT);
    bed.carries();
    assert_ne!(bed.lab.sas(Side::A)[0]["initiator"], "yes");
    bed.one_is_left("256");
}

/// The CHILD_SA and the IKE SA are rekeyed from here, and with libreswan from there too, under a ping.
fn rekeyed(bed: &mut Bed) {
    bed.up(&RIGHT, &json!({}));
    let ping = bed.ping(20);
    let renewed = |which: usize, rekey: &dyn Fn()| {
        let before = bed.spis();
        rekey();
        bed.is_renewed(&before, &[which]);
        ping.wait_for_replies(20);
    };
    renewed(1, &|| bed.rekey("--child"));
    renewed(0, &|| bed.rekey("--ike"));
    if bed.peer.kind == Kind::Libreswan {
        renewed(0, &|| bed.peer.rekey("--rekey-ike"));
        renewed(1, &|| bed.peer.rekey("--rekey-ipsec"));
    }
    let pings = ping.stop();
    // One may be on its way in each.
    let rekeyings = if bed.peer.kind == Kind::Libreswan { 4 } else { 2 };
    assert!(pings.lost() <= rekeyings, "{pings:?}");
}

/// iked is told when to rekey by lifetimes alone.
fn the_peer_rekeys(bed: &mut Bed) {
    let short = Configuration { lifetimes: [11, 10], ..RIGHT };
    bed.up(&short, &json!({}));
    let (before, ping) = (bed.spis(), bed.ping(100));
    wait_until(PATIENCE, "it has rekeyed both", || {
        let now = bed.spis();
        let theirs = bed.lab.sas(Side::A)[0]["initiator"] != "yes";
        (theirs && [0, 1].iter().all(|sa| now[*sa] != before[*sa] && !now[*sa].is_null())).then_some(())
    });
    ping.wait_for_replies(20);
    let pings = ping.stop();
    // It deletes the old SA while packets are on their way in it.
    assert!(pings.lost() <= 2 && bed.ready(), "{pings:?}: {:#}", bed.view());
}

fn the_peer_closes(bed: &mut Bed) {
    bed.up(&RIGHT, &json!({}));
    let before = bed.spis();
    bed.peer.down();
    bed.is_renewed(&before, &[1]);
}

/// Its program is killed, and what its kernel has goes on with libreswan 4; libreswan 5 and iked take it away when they
/// start. The new one knows nothing of it, which shows when nothing comes in.
fn the_peer_crashes(bed: &mut Bed) {
    bed.is_spoilt = true;
    bed.up(&RIGHT, &json!({ "dpdDelay": 2 }));
    let ping = bed.ping(50);
    bed.peer.kill();
    bed.peer.run();
    bed.peer.load(&RIGHT);
    let pings = ping.stop();
    say(format!("{:?} crashes: {pings:?}", bed.peer.kind));
    let keeps = bed.peer.kind == Kind::Libreswan && other().is_none();
    assert!(!keeps || (pings.lost() == 0 && bed.ready()), "{pings:?}: {:#}", bed.view());
    wait_until(PATIENCE, "the new one has it too", || (bed.peer.children() == 1).then_some(()));
    bed.carries();
}

/// It loses all that it has, as in a power cut, and comes back without a word.
fn the_peer_restarts(bed: &mut Bed) {
    bed.up(&RIGHT, &json!({}));
    let ping = bed.ping(50);
    bed.peer.lose_power();
    bed.peer.run();
    bed.peer.load(&RIGHT);
    let before = ping.received();
    wait_until(PATIENCE, "pings come back", || (ping.received() > before + 20).then_some(()));
    bed.carries();
    say(format!("{:?} restarts: {:?}", bed.peer.kind, ping.stop()));
}

/// Both begin at the same moment, with and without traffic meanwhile. What is left is what the peer sends into: it carries
/// at once, and nothing has to heal it.
fn both_begin_at_once(bed: &mut Bed) {
    bed.up(&RIGHT, &json!({}));
    let child = bed.one_is_left("256")["name"].clone();
    let child = child.as_str().expect("a name");
    for has_traffic in [false, true, false, true] {
        bed.agent.signal(Signal::SIGSTOP);
        bed.close(&RIGHT);
        let pings =
            |count, gap| bed.lab.ping(Side::A, Side::A.host(), Side::B.host(), count, Duration::from_millis(gap));
        std::thread::scope(|scope| {
            scope.spawn(|| bed.peer.up(&RIGHT));
            bed.lab.swanctl(Side::A, &["--initiate", "--child", child, "--timeout", "5"]);
        });
        let begun = bed.lab.children(Side::A).len();
        bed.agent.signal(Signal::SIGCONT);
        if has_traffic {
            pings(10, 100);
        }
        bed.one_is_left("256");
        let after = pings(20, 50);
        say(format!("{:?}: {begun} at once, traffic meanwhile: {has_traffic}, then {after:?}", bed.peer.kind));
        assert!(after.lost() <= 1, "{after:?}: {:#}", bed.view());
        bed.carries();
    }
}
