//! The life of a tunnel with a peer that is not strongSwan: whoever begins, through changes, rekeyings, closing, crashes
//! and both beginning at once, it is Ready and packets pass both ways.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::bed::seen;
use crate::foreign::{Configuration, Kind, Proposal};
use crate::foreign_bed::{Bed, PATIENCE};
use crate::say;
use crate::support::lab::Side;
use crate::support::wait_until;

const AES_128: Configuration<'static> =
    Configuration { esp: Proposal("aes-128", "sha512", None), ..Configuration::RIGHT };

/// Makes a test of each case with each peer.
macro_rules! cases {
    ($($peer:ident, $kind:ident: $($name:ident)*;)*) => {
        $(mod $peer {
            $(#[test]
            #[ignore = "on a machine of its own"]
            fn $name() {
                super::$name(crate::foreign::Kind::$kind);
            })*
        })*
    };
}
pub(crate) use cases;

cases! {
    libreswan, Libreswan: the_agent_begins the_peer_begins changed_at_the_peer_first changed_at_the_agent_first rekeyed
        the_peer_closes the_peer_restarts both_begin_at_once;
    openiked, Openiked: the_agent_begins the_peer_begins changed_at_the_peer_first changed_at_the_agent_first rekeyed
        the_peer_closes the_peer_restarts both_begin_at_once;
}

fn up(kind: Kind) -> Bed {
    Bed::up(kind, &Configuration::RIGHT, &json!({}))
}

fn the_agent_begins(kind: Kind) {
    let bed = up(kind);
    assert_eq!(bed.peer.children(), 1, "{}", bed.peer.log());
    assert_eq!(bed.lab.sas(Side::A)[0]["initiator"], "yes");
    let wire = seen(&bed.lab, || bed.carries());
    assert!(wire.esp >= 30 && wire.bare_icmp == 0 && wire.plaintext == 0, "{wire:?}");
    bed.agent.delete(&bed.uuid).expect(200);
    wait_until(PATIENCE, "the peer has nothing left", || (bed.peer.children() == 0).then_some(()));
}

fn the_peer_begins(kind: Kind) {
    let bed = up(kind);
    bed.agent.signal(Signal::SIGSTOP);
    bed.close();
    bed.peer.up(&Configuration::RIGHT);
    wait_until(PATIENCE, "a CHILD_SA", || (!bed.lab.children(Side::A).is_empty()).then_some(()));
    bed.agent.signal(Signal::SIGCONT);
    bed.carries();
    assert_ne!(bed.lab.sas(Side::A)[0]["initiator"], "yes");
    bed.one_is_left("256");
}

/// Both ends change under a ping; nothing of it leaves in the clear.
fn changed(kind: Kind, first: Side) {
    let bed = up(kind);
    let order = [first, first.other()];
    let pings = |interval| bed.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), interval);
    let mut lost = None;
    let wire = seen(&bed.lab, || {
        let ping = pings(Duration::from_millis(20));
        ping.wait_for_replies(20);
        for side in order {
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
    say(format!("{kind:?}, {first:?} first: {lost:?}"));
    assert_eq!(wire.bare_icmp, 0, "{wire:?}");
    // libreswan closes what runs when its operator loads a connection anew. iked lets it run.
    let lost = lost.expect("a ping").lost();
    assert!(kind == Kind::Libreswan || lost <= 2, "{lost}");
    bed.one_is_left("128");
}

fn changed_at_the_peer_first(kind: Kind) {
    changed(kind, Side::B);
}

fn changed_at_the_agent_first(kind: Kind) {
    changed(kind, Side::A);
}

/// The CHILD_SA and the IKE SA are rekeyed from here, and with libreswan from there too, under a ping.
fn rekeyed(kind: Kind) {
    let bed = up(kind);
    let ping = bed.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(20));
    ping.wait_for_replies(20);
    let (ike, child) = (format!("cygnet-{}", bed.uuid), bed.one_is_left("256")["name"].clone());
    let child = child.as_str().expect("a name");
    let ours = |arguments: &[&str]| {
        assert!(bed.lab.swanctl(Side::A, arguments).status.success(), "{arguments:?}");
    };
    let number = |of: &str| bed.lab.sas(Side::A)[0][of].clone();
    let renewed = |what: &str, rekey: &dyn Fn()| {
        let (spi, numbered) = (bed.one_is_left("256")["spi-in"].clone(), number("initiator-spi"));
        rekey();
        wait_until(PATIENCE, what, || {
            let now = [bed.one_is_left("256")["spi-in"].clone(), number("initiator-spi")];
            (if what.contains("IKE") { now[1] != numbered && now[1] != Value::Null } else { now[0] != spi })
                .then_some(())
        });
        ping.wait_for_replies(20);
        bed.carries();
    };
    renewed("our CHILD_SA", &|| ours(&["--rekey", "--child", child]));
    renewed("our IKE SA", &|| ours(&["--rekey", "--ike", &ike]));
    if kind == Kind::Libreswan {
        renewed("its IKE SA", &|| bed.peer.rekey("--rekey-ike"));
        renewed("its CHILD_SA", &|| bed.peer.rekey("--rekey-ipsec"));
    }
    let pings = ping.stop();
    assert!(pings.lost() <= 1, "{pings:?}");
}

fn the_peer_closes(kind: Kind) {
    let bed = up(kind);
    let spi = bed.one_is_left("256")["spi-in"].clone();
    bed.peer.down();
    wait_until(PATIENCE, "a new one", || (bed.ready() && bed.one_is_left("256")["spi-in"] != spi).then_some(()));
    bed.carries();
}

/// It loses all that it has, as in a power cut, and comes back without a word.
fn the_peer_restarts(kind: Kind) {
    let mut bed = up(kind);
    let ping = bed.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(50));
    ping.wait_for_replies(10);
    bed.peer.kill();
    bed.peer.run();
    bed.peer.load(&Configuration::RIGHT);
    let before = ping.received();
    wait_until(PATIENCE, "pings come back", || (ping.received() > before + 20).then_some(()));
    bed.carries();
    say(format!("{kind:?} restarts: {:?}", ping.stop()));
}

/// Both begin at the same moment, with and without traffic meanwhile. What is left is what the peer sends into: it carries
/// at once, and nothing has to heal it.
fn both_begin_at_once(kind: Kind) {
    let bed = up(kind);
    let child = bed.one_is_left("256")["name"].clone();
    let child = child.as_str().expect("a name");
    for has_traffic in [false, true, false, true, false, false] {
        bed.agent.signal(Signal::SIGSTOP);
        bed.close();
        let pings =
            |count, gap| bed.lab.ping(Side::A, Side::A.host(), Side::B.host(), count, Duration::from_millis(gap));
        std::thread::scope(|scope| {
            scope.spawn(|| bed.peer.up(&Configuration::RIGHT));
            bed.lab.swanctl(Side::A, &["--initiate", "--child", child, "--timeout", "5"]);
        });
        let begun = bed.lab.children(Side::A).len();
        bed.agent.signal(Signal::SIGCONT);
        if has_traffic {
            pings(10, 100);
        }
        bed.one_is_left("256");
        let after = pings(20, 50);
        say(format!("{kind:?}: {begun} at once, traffic meanwhile: {has_traffic}, then {after:?}"));
        assert!(after.lost() <= 1, "{after:?}: {:#}", bed.view());
        bed.carries();
    }
}
