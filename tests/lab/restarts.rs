//! The agent restarts, charon restarts, an operator loads everything: tunnels stay, and what was disturbed is repaired
//! without a call.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab;
use crate::operator;
use crate::pair::{PATIENCE, Pair, Tunnel};
use crate::peer::Charon;
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;

/// The operator's tunnel by charon's numbers.
fn operators(lab: &Lab) -> Vec<(Value, Value)> {
    let sas = lab.sas(Side::A);
    let theirs = sas.as_array().into_iter().flatten().filter(|sa| sa["name"] == "operator");
    theirs.map(|sa| (sa["uniqueid"].clone(), sa["children"][0]["uniqueid"].clone())).collect()
}

fn with_operator(lab: &Lab) -> Pair {
    let pair = Pair::up(lab, &json!({}));
    for side in Side::BOTH {
        lab.add_lan(side, &format!("172.3{}.0.1/16", side.number()));
        lab.load_conf(side, "operator", &operator::text(side));
    }
    let up = lab.swanctl(Side::A, &["--initiate", "--ike", "operator", "--child", "foreign", "--timeout", "5"]);
    assert!(up.status.success(), "{up:?}");
    assert_eq!(operators(lab).len(), 1);
    pair
}

/// A connection that nobody stored, under the agent's names.
const STRAY: &str = "cygnet-0123456789abcdef0123456789abcdef";

#[test]
fn the_agent_is_restarted() {
    let Some(lab) = lab() else { return };
    let mut pair = with_operator(&lab);
    let before = pair.settled(1).each_ref().map(Tunnel::numbers);
    let theirs = operators(&lab);
    let negotiations = |lab: &Lab| lab.charon_log(Side::A).matches("initiating").count();
    let count = negotiations(&lab);
    let conf_dir = pair.agent(Side::A).conf_dir();
    let (own, stray) = (conf_dir.join(format!("{}.conf", pair.name(Side::A))), conf_dir.join(format!("{STRAY}.conf")));
    let text = fs::read(&own).expect("the file of the connection");
    let operators_file = fs::read(conf_dir.join("operator.conf")).expect("the operator's file");
    let charon = Charon::of(&lab, Side::A);
    let (connections, secrets) = (lab.conns(Side::A), sorted(charon.secrets()));
    for kill in [true, false] {
        if kill {
            pair.agent_mut(Side::A).kill();
        } else {
            assert!(pair.agent_mut(Side::A).stop().success());
        }
        assert_eq!(pair.tunnel(Side::A, 1).map(|tunnel| tunnel.numbers()).as_ref(), Some(&before[0]));
        charon.load_secret(&format!("ike-{STRAY}"), b"test-only-stray", &["stray.example"]);
        charon.load_connection(STRAY, Side::A);
        charon.unload(&pair.name(Side::A));
        fs::write(&stray, "connections {\n}\n").expect("written");
        fs::remove_file(&own).expect("removed");
        pair.agent_mut(Side::A).restart();
        assert_eq!(lab.conns(Side::A), connections, "loaded and unloaded before it listens");
        assert_eq!(sorted(charon.secrets()), secrets);
        assert_eq!(fs::read(&own).ok().as_ref(), Some(&text));
        assert!(!stray.exists());
        assert_eq!(fs::read(conf_dir.join("operator.conf")).ok().as_ref(), Some(&operators_file));
        assert_eq!(pair.settled(1).each_ref().map(Tunnel::numbers), before, "the same SAs");
        assert_eq!(operators(&lab), theirs);
    }
    assert_eq!(negotiations(&lab), count, "nothing was negotiated");
    pair.carries();
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[test]
fn charon_is_restarted() {
    let Some(lab) = lab() else { return };
    for version in Lab::ike_versions() {
        restarted(&lab, version);
    }
}

fn restarted(lab: &Lab, version: &str) {
    let pair = Pair::up(lab, &json!({ "ikeVersion": version }));
    for kill in [true, false] {
        let before = pair.settled(1);
        if kill {
            lab.kill_charon(Side::A);
        } else {
            assert!(lab.stop_charon(Side::A).success());
        }
        wait_until(Duration::from_secs(20), "the agent notices", || pair.status(Side::A).is_null().then_some(()));
        lab.start_charon(Side::A);
        wait_until(PATIENCE, "the agent loads and negotiates it", || pair.tunnel(Side::A, 1));
        let after = pair.renewed(&before, 1);
        assert_eq!(lab.list_conns(Side::A), [pair.name(Side::A)]);
        assert_eq!(after[0].ike("version"), &version[4..]);
        pair.carries();
    }
    for side in Side::BOTH {
        pair.agent(side).delete(pair.uuid(side)).expect(200);
    }
    drop(pair);
    for side in Side::BOTH {
        assert!(lab.stop_charon(side).success());
    }
}

/// An operator's `swanctl --load-all` finds what is loaded already.
#[test]
fn an_operator_loads_everything() {
    let Some(lab) = lab() else { return };
    let pair = with_operator(&lab);
    let before = pair.settled(1).each_ref().map(Tunnel::numbers);
    let (theirs, connections) = (operators(&lab), lab.conns(Side::A));
    for _ in 0..2 {
        let loaded = lab.swanctl(Side::A, &["--load-all", "--noprompt"]);
        assert!(loaded.status.success(), "{loaded:?}");
        assert_eq!(pair.settled(1).each_ref().map(Tunnel::numbers), before);
        assert_eq!((operators(&lab), lab.conns(Side::A)), (theirs.clone(), connections.clone()));
    }
    let log = lab.charon_log(Side::A);
    assert!(log.contains(&format!("updated vici connection: {}", pair.name(Side::A))), "{log}");
    assert!(!log.contains(&format!("replaced vici connection: {}", pair.name(Side::A))), "{log}");
    pair.carries();
}
