//! A change on trial (`confirm=5s`): either it comes up in time, or everything is as before.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::calls::{change_how, has_ike, inventory};
use crate::pair::{Pair, creation};
use crate::peer::Charon;
use crate::support::lab::{Lab, Side};
use crate::support::wait_until;
use crate::{lab, say};

/// What is to be as it was: the inventory without its times, the file without its comment, charon's words.
#[derive(Debug, PartialEq)]
struct Held {
    inventory: Value,
    file: String,
    loaded: Value,
}

/// `exactly`: also the numbers by which a change of the key alone is told from none.
fn held(pair: &Pair, exactly: bool) -> Held {
    let mut inventory = inventory(pair, Side::A);
    for member in ["lastOpDate", "status"] {
        inventory[member] = Value::Null;
    }
    let file = pair.agent(Side::A).conf_dir().join(format!("{}.conf", pair.name(Side::A)));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut loaded = pair.lab.conns(Side::A)[&pair.name(Side::A)].clone();
    let plain = |line: &&str| exactly || !["_time = ", "dpd_delay"].iter().any(|word| line.contains(word));
    if !exactly {
        for member in ["rekey_time", "dpd_delay", "rand_time"] {
            loaded[member] = Value::Null;
        }
    }
    Held { inventory, file: text.lines().filter(plain).collect::<Vec<_>>().join("\n"), loaded }
}

fn up(lab: &Lab) -> Pair {
    let mut pair = Pair::start_waiting(lab, ["0s", "0s"]);
    for side in Side::BOTH {
        pair.create(side, &json!({}));
    }
    pair.settled(1);
    pair
}

fn trials(pair: &Pair) -> Vec<String> {
    let directory = pair.agent(Side::A).state_dir().join("connections");
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.filter(|name| std::path::Path::new(name).extension().is_none_or(|extension| extension != "json")).collect()
}

/// Nothing of a trial is left. A record that is just being written has its temporary file for a moment.
#[track_caller]
fn nothing_is_left(pair: &Pair) {
    wait_until(Duration::from_secs(20), "nothing is left of the trial", || trials(pair).is_empty().then_some(()));
}

#[test]
fn a_change_that_does_not_come_up_is_taken_back() {
    let Some(lab) = lab() else { return };
    let pair = up(&lab);
    for (what, options, exactly) in [
        ("child", json!({ "policyEncryptionAlgorithm": "aes-128" }), true),
        ("ike", json!({ "ikeDhGroup": 19 }), false),
        ("key", json!({ "authKey": "test-only-another-key" }), false),
    ] {
        let (before, tunnel) = (held(&pair, exactly), pair.settled(1));
        let ping = lab.ping_background(Side::A, Side::A.host(), Side::B.host(), Duration::from_millis(100));
        ping.wait_for_replies(5);
        let answer = change_how(&pair, Side::A, &options, "confirm=2s").expect(503).json();
        ping.wait_for_replies(5);
        let lost = ping.stop();
        assert_eq!(answer["error"]["code"], "SYS.1007", "{answer}");
        let details = answer["error"]["details"].as_str().expect("details");
        for words in [
            "not up within 2 s",
            "the old connection was put back and is up",
            "the tunnel was out for 0.0 s",
            "not carried as wanted: 10.1.0.0/24 to 10.2.0.0/24",
        ] {
            assert!(details.contains(words), "{what}: {details}");
        }
        say(format!("confirm, {what}: {lost:?}: {details}"));
        // Going back makes another SA where the old one cannot be told from that on trial: one packet may be on its way.
        assert!(lost.lost() <= u64::from(!exactly), "{what}: {lost:?}");
        assert_eq!(held(&pair, exactly), before, "{what}");
        assert_eq!(pair.status(Side::A), "Ready");
        let after = pair.settled(1);
        // Else charon was given something that tells the old SA from what is wanted, and another took its place.
        if exactly {
            assert_eq!(after[0].numbers(), tunnel[0].numbers(), "{what}: the old SA was never touched");
        }
        nothing_is_left(&pair);
    }
    pair.carries();
}

#[test]
fn a_change_that_comes_up_stays() {
    let Some(lab) = lab() else { return };
    let pair = up(&lab);
    for options in [json!({ "policyEncryptionAlgorithm": "aes-128" }), json!({ "authKey": "test-only-another-key" })] {
        let before = pair.settled(1);
        pair.change(Side::B, &options);
        let start = Instant::now();
        let answer = change_how(&pair, Side::A, &options, "confirm=10s").expect(200).json();
        assert_eq!(answer["inventory"]["status"], "Ready", "{answer}");
        say(format!("confirmed after {:?}", start.elapsed()));
        pair.renewed(&before, 1);
        nothing_is_left(&pair);
    }
}

#[test]
fn a_creation_that_does_not_come_up_leaves_nothing() {
    let Some(lab) = lab() else { return };
    let pair = Pair::start_waiting(&lab, ["0s", "0s"]);
    let agent = pair.agent(Side::A);
    let body = json!({ "params": creation(Side::A, &json!({})) });
    let answer = agent.request("POST", "/zstack/v1/ipsec?confirm=1s", Some(&body)).expect(503).json();
    assert_eq!(answer["error"]["code"], "SYS.1007", "{answer}");
    assert!(answer["error"]["details"].to_string().contains("it was removed again"), "{answer}");
    assert_eq!(lab.list_conns(Side::A), Vec::<String>::new());
    assert_eq!(Charon::of(&lab, Side::A).secrets(), Vec::<String>::new());
    wait_until(Duration::from_secs(20), "no SA remains", || {
        lab.sas(Side::A).as_array().is_some_and(Vec::is_empty).then_some(())
    });
    for directory in [agent.conf_dir(), agent.state_dir().join("connections")] {
        let left: Vec<_> = fs::read_dir(&directory).expect("a directory").flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Nobody confirmed it, and nobody will.
#[test]
fn the_agent_dies_during_a_trial() {
    let Some(lab) = lab() else { return };
    let mut pair = up(&lab);
    for options in [json!({ "ikeDhGroup": 19 }), json!({ "authKey": "test-only-another-key" })] {
        // What is put back differs in the times that tell its generation apart from the one on trial.
        let (before, plain, tunnel) = (held(&pair, true), held(&pair, false), pair.settled(1));
        let (client, uuid) = (pair.agent(Side::A).client(), pair.uuid(Side::A).to_owned());
        let body = json!({ "changeIPsecConnection": crate::pair::for_side(Side::A, &options) }).to_string();
        let caller = thread::spawn(move || {
            let mut client = client;
            let path = format!("/zstack/v1/ipsec/config/{uuid}?confirm=60s");
            client.request("PUT", &path, &[("Content-Type", "application/json")], body.as_bytes()).is_err()
        });
        wait_until(Duration::from_secs(20), "the new connection is on trial", || {
            (held(&pair, true) != before).then_some(())
        });
        pair.agent_mut(Side::A).kill();
        assert!(caller.join().expect("the caller"), "nobody answered");
        pair.agent_mut(Side::A).restart();
        assert_eq!(held(&pair, false), plain, "the old connection");
        wait_until(Duration::from_secs(10), "the old connection is up", || {
            (pair.status(Side::A) == "Ready").then_some(())
        });
        assert!(has_ike(&pair, Side::A, tunnel[0].ike("initiator-spi")), "its SA was never touched");
        pair.settled(1);
        nothing_is_left(&pair);
        pair.carries();
    }
}
