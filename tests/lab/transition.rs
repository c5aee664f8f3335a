//! Changes of proposals in transition: one end is changed, the tunnel goes on, and moves as soon as the other end is
//! changed, whichever is first, and whatever is restarted in between.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::{change_how, cygnet, native};
use crate::pair::{PATIENCE, Pair, Tunnel, with};
use crate::support::lab::{Lab, Side};
use crate::support::{poll, wait_until};
use crate::{lab, say};

const HOW: &str = "transition=24h";

/// So long nothing changes when it is calm.
const QUIET: Duration = Duration::from_secs(3);

/// Two sets of proposals, and what the file says of them.
fn old() -> Value {
    json!({ "ikeEncryptionAlgorithm": "aes-128", "ikeAuthAlgorithm": "sha1", "policyEncryptionAlgorithm": "aes-128",
            "policyAuthAlgorithm": "sha1", "pfs": "dh-group31" })
}

fn new() -> Value {
    json!({ "ikeEncryptionAlgorithm": "aes-256", "ikeAuthAlgorithm": "sha256", "policyEncryptionAlgorithm": "aes-256",
            "policyAuthAlgorithm": "sha256", "pfs": "dh-group19" })
}

/// The lines of proposals in the file.
fn proposals(pair: &Pair, side: Side) -> Vec<String> {
    let file = pair.agent(side).conf_dir().join(format!("{}.conf", pair.name(side)));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines = text.lines().filter(|line| line.contains("proposals = ")).map(|line| line.trim().to_owned());
    let mut lines: Vec<_> = lines.collect();
    lines.dedup();
    lines
}

/// How often the peer refused what was offered.
fn refusals(pair: &Pair, side: Side) -> usize {
    pair.lab.charon_log(side).matches("NO_PROPOSAL").count()
}

/// That the tunnel is the one of before, and what is said of it.
#[track_caller]
fn goes_on(pair: &Pair, side: Side, before: &Tunnel) {
    let now = pair.ike_sas(side);
    assert!(now.iter().any(|ike| Tunnel(ike.clone()).child_spis() == before.child_spis()), "{now:#?}");
    let view = native(pair, side);
    assert_eq!(view["inventory"]["status"], "Connecting", "{view:#}");
    assert_eq!(view["children"][0]["condition"], "other_algorithms", "{view:#}");
    assert_eq!(view["reason"]["code"], "IN_TRANSITION", "{view:#}");
    assert_eq!(view["transition"]["over"], false, "{view:#}");
    assert_eq!(view["carrying"], true, "{view:#}");
}

/// Waits until both ends run what they want, and nothing is left of the transition.
#[track_caller]
fn moved(pair: &Pair, before: &[Tunnel; 2], wanted: &[Vec<String>; 2]) {
    pair.renewed(before, 1);
    for side in Side::BOTH {
        wait_until(PATIENCE, "the old proposals are gone", || {
            let is_over = native(pair, side)["transition"].is_null() && proposals(pair, side).len() == 2;
            is_over.then_some(())
        });
        assert!(wanted.contains(&proposals(pair, side)), "{:?}", proposals(pair, side));
        let list = cygnet(pair, side, 200, &["list", "--transition"]);
        assert!(!list.contains("lab-"), "{list}");
    }
    pair.carries();
}

#[test]
fn algorithms_move_without_a_flag_day() {
    let Some(lab) = lab() else { return };
    let mut pair = Pair::start_waiting(&lab, ["0s", "0s"]);
    for side in Side::BOTH {
        pair.create(side, &old());
    }
    pair.settled(1);
    for version in Lab::ike_versions() {
        let [old, new] = [old(), new()].map(|options| with(&options, &json!({ "ikeVersion": version })));
        for side in Side::BOTH {
            pair.change(side, &old);
        }
        pair.settled(1);
        wait_until(PATIENCE, "nothing older runs", || {
            let version_of = |side| pair.tunnel(side, 1).map(|tunnel| tunnel.ike("version").to_owned());
            Side::BOTH.into_iter().all(|side| version_of(side).as_deref() == Some(&version[4..])).then_some(())
        });
        one_after_the_other(&mut pair, Side::A, &new, HOW);
        // The other end is first, and the last one is changed for good.
        one_after_the_other(&mut pair, Side::B, &old, "");
        say(format!("{version}: moved, and back"));
    }
}

#[test]
#[ignore = "runs another suite: make roots, make lab SUITE=sid"]
fn ml_kem_comes_and_goes_without_a_flag_day() {
    let lab = Lab::of_suites(["sid", "sid"]).unwrap_or_else(|why| panic!("{why}"));
    let [without, with_kem] =
        ["none", "mlkem768"].map(|kem| json!({ "ikeVersion": "ikev2", "pfs": "dh-group31", "postQuantum": kem }));
    let mut pair = Pair::start_waiting(&lab, ["0s", "0s"]);
    for side in Side::BOTH {
        pair.create(side, &without);
    }
    pair.settled(1);
    one_after_the_other(&mut pair, Side::A, &with_kem, HOW);
    for side in Side::BOTH {
        assert_eq!(native(&pair, side)["post_quantum"], "ML_KEM_768");
    }
    one_after_the_other(&mut pair, Side::B, &without, "");
    assert_eq!(native(&pair, Side::A)["post_quantum"], "none");
}

/// The tunnel at both ends when nothing of it changes any more: where both began, one of two children goes soon.
fn lasting(pair: &Pair) -> [Tunnel; 2] {
    let found = (0..5).find_map(|_| {
        let both = pair.settled(1);
        let is_another = || pair.tunnel(Side::A, 1).is_none_or(|now| now.child_spis() != both[0].child_spis());
        poll(QUIET, || is_another().then_some(())).is_none().then_some(both)
    });
    found.unwrap_or_else(|| panic!("it does not stay\n{}", pair.agent(Side::A).logs()))
}

/// Changes `first` in transition, restarts its agent and its charon, and changes the other one.
fn one_after_the_other(pair: &mut Pair, first: Side, new: &Value, how: &str) {
    let (before, was) = (lasting(pair), refusals(pair, first));
    let ping = pair.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(200));
    ping.wait_for_replies(3);
    change_how(pair, first, new, HOW).expect(200);
    let wanted = proposals(pair, first);
    assert!(wanted.iter().all(|line| line.contains(", ")), "{wanted:?}");
    wait_until(PATIENCE, "the new proposals were offered alone", || (refusals(pair, first) > was).then_some(()));
    goes_on(pair, first, &before[first as usize]);
    pair.agent_mut(first).kill();
    pair.agent_mut(first).restart();
    wait_until(PATIENCE, "they were offered again", || (refusals(pair, first) > was + 1).then_some(()));
    goes_on(pair, first, &before[first as usize]);
    let replies = ping.received();
    ping.wait_for_replies(replies + 3);
    let lost = ping.stop();
    assert!(lost.lost() <= 1, "{lost:?}");
    pair.lab.kill_charon(first);
    pair.lab.start_charon(first);
    let peer = first.other();
    // Both at one moment: where both ends begin, one of two children goes soon.
    let before = wait_until(PATIENCE, "the tunnel comes back by the old proposals, at both ends", || {
        let [ours, others] = [first, peer].map(|side| pair.tunnel(side, 1));
        let ours = ours.filter(|now| now.child_spis().is_disjoint(&before[0].child_spis()))?;
        let others = others.filter(|others| others.child_spis() == ours.child_spis())?;
        let mut both = [ours, others];
        both.rotate_left(first as usize);
        (native(pair, first)["reason"]["code"] == "IN_TRANSITION").then_some(both)
    });
    let page = cygnet(pair, first, 200, &["list", "--transition"]);
    assert!(page.contains(&format!("lab-{}", first.letter())), "{page}");
    let ping = pair.lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(200));
    ping.wait_for_replies(3);
    change_how(pair, peer, new, how).expect(200);
    let only = |line: &String| line.split(", ").next().unwrap_or_default().to_owned();
    let ends = [wanted.iter().map(only).collect(), proposals(pair, peer)];
    moved(pair, &before, &ends.map(|lines: Vec<String>| lines.iter().map(only).collect()));
    let lost = ping.stop();
    assert!(lost.lost() <= 1, "{lost:?}");
}
