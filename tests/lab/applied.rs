//! `cygnet apply` to three tunnels that carry, of which the second fails: its peer does not have the new group. The first is
//! done, the third is not touched, and all that runs goes on.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab;
use crate::pair::{PATIENCE, Pair, creation, reaches, with};
use crate::support::agent::{AgentOptions, binary};
use crate::support::lab::Side;
use crate::support::wait_until;

/// B's addresses, and the hosts behind them.
const PEERS: [(&str, &str); 3] = [("192.0.2.2", "10.2.0.1"), ("192.0.2.12", "10.12.0.1"), ("192.0.2.13", "10.13.0.1")];

/// The uuid of B's VIP or network number `n`, or of a connection.
fn uuid(kind: char, n: usize) -> String {
    format!("{kind}000000000004000800000000000000{n}")
}

fn net(n: usize) -> String {
    PEERS[n].1.trim_end_matches('1').to_owned() + "0/24"
}

/// Three connections of A, each to an address of B of its own, which are up.
fn bed(pair: &Pair) {
    for (n, (address, _)) in PEERS.iter().enumerate() {
        let own = json!({ "name": format!("site-{n}"), "resourceUuid": uuid('e', n) });
        // The first are those that every lab has.
        let on_b = if n == 0 { json!({}) } else { json!({ "vipUuid": uuid('c', n), "l3NetworkUuid": uuid('d', n) }) };
        pair.agent(Side::B).create(&with(&creation(Side::B, &own), &on_b)).expect(200);
        let to_b = json!({ "peerAddress": address, "peerCidrs": [net(n)] });
        pair.agent(Side::A).create(&with(&creation(Side::A, &own), &to_b)).expect(200);
    }
    for (n, (_, host)) in PEERS.iter().enumerate() {
        wait_until(PATIENCE, &format!("site-{n} is up"), || (status(pair, n) == "Ready").then_some(()));
        reaches(&pair.lab, Side::A, Side::A.host(), host);
    }
}

fn inventory(pair: &Pair, n: usize) -> Value {
    pair.agent(Side::A).get(&uuid('e', n)).expect(200).json()["inventories"][0].clone()
}

fn status(pair: &Pair, n: usize) -> Value {
    inventory(pair, n)["status"].clone()
}

/// charon's numbers of the SAs of a connection.
fn numbers(pair: &Pair, n: usize) -> Vec<(String, String)> {
    let (sas, name) = (pair.lab.sas(Side::A), format!("cygnet-{}", uuid('e', n)));
    let number = |sa: &Value| sa["uniqueid"].as_str().unwrap_or_default().to_owned();
    let own = sas.as_array().into_iter().flatten().filter(|sa| sa["name"] == name.as_str());
    own.map(|sa| (number(sa), number(&sa["children"][0]))).collect()
}

/// The only SAs of a connection, as soon as there are no others.
fn settled(pair: &Pair, n: usize) -> Vec<(String, String)> {
    wait_until(PATIENCE, "one SA", || Some(numbers(pair, n)).filter(|sas| sas.len() == 1 && !sas[0].1.is_empty()))
}

fn cygnet(pair: &Pair, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).arg("--config").arg(pair.agent(Side::A).config());
    command.output().expect("cygnet runs")
}

/// The `result` of each, by a run that ends so.
#[track_caller]
fn apply(pair: &Pair, more: &[&str], code: i32) -> Vec<Value> {
    let file = pair.lab.directory().join("set.json").display().to_string();
    let output = cygnet(pair, &[&["apply", "-f", &file, "--yes", "-o", "json"], more].concat());
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    let answer: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    let state = |item: &Value| item["result"].get("state").or(item.get("action")).cloned().unwrap_or_default();
    answer["connections"].as_array().expect("a list").iter().map(state).collect()
}

#[test]
fn a_canary_that_fails_ends_it() {
    let Some(lab) = lab() else { return };
    for (address, host) in &PEERS[1..] {
        lab.add_address(Side::B, &format!("{address}/24"));
        lab.add_lan(Side::B, &format!("{host}/24"));
    }
    let pair = Pair::start_with(&lab, |side| {
        let is_b = side == Side::B;
        let vips = (0..PEERS.len()).map(|n| (uuid('c', n), PEERS[n].0.to_owned())).filter(|_| is_b).skip(1);
        let nets = (0..PEERS.len()).map(|n| (uuid('d', n), vec![net(n)])).filter(|_| is_b).skip(1);
        AgentOptions { wait: "5s".into(), vips: vips.collect(), l3_networks: nets.collect(), ..Default::default() }
    });
    bed(&pair);
    // What A has, with other values: a lifetime needs no word of the peer, a group does.
    let exported = cygnet(&pair, &["export", "-o", "json"]);
    let mut set: Vec<Value> = serde_json::from_slice(&exported.stdout).expect("JSON");
    let write = |set: &[Value]| fs::write(lab.directory().join("set.json"), json!(set).to_string()).expect("a file");
    write(&set);
    assert_eq!(apply(&pair, &[], 0), ["keep"; 3], "what is exported is as it is");
    (set[0]["lifeTime"], set[1]["ikeDhGroup"], set[2]["lifeTime"]) = (1800.into(), 19.into(), 1800.into());
    write(&set);
    let third = settled(&pair, 2);
    let pings = [1, 2].map(|n| lab.ping_background(Side::A, Side::A.host(), PEERS[n].1, Duration::from_millis(100)));

    assert_eq!(apply(&pair, &["--confirm=3s"], 1), ["changed", "failed", "not_done"]);
    assert_eq!((&inventory(&pair, 0)["lifeTime"], status(&pair, 0)), (&json!(1800), json!("Ready")));
    assert_eq!((&inventory(&pair, 1)["ikeDhGroup"], status(&pair, 1)), (&json!(31), json!("Ready")), "it went back");
    assert_eq!(numbers(&pair, 2), third, "nothing of the third was made anew");

    // Without a trial the second stays as it was written, on its old SA.
    assert_eq!(apply(&pair, &["--wait=3s"], 1), ["unchanged", "changed", "not_done"]);
    assert_eq!(numbers(&pair, 2), third);
    let before = third;
    assert_eq!(inventory(&pair, 2)["lifeTime"], 3600);
    let [second, third] = pings.map(|ping| {
        ping.wait_for_replies(1);
        ping.stop()
    });
    assert_eq!(third.lost(), 0, "{third:?}");
    // It was negotiated and put back, and is carried by an SA of before or after.
    assert!(second.lost() <= 5, "{second:?}");

    // The peer follows, and what is left is done. Once more does nothing.
    let theirs = json!({ "peerAddress": Side::A.wan(), "authKey": crate::pair::KEY, "ikeVersion": "ikev2",
                         "ikeDhGroup": 19, "pfs": "none" });
    pair.agent(Side::B).change(&uuid('e', 1), &theirs).expect(200);
    wait_until(PATIENCE, "the second is up", || (status(&pair, 1) == "Ready").then_some(()));
    assert_eq!(apply(&pair, &[], 0), ["unchanged", "unchanged", "changed"]);
    // Its new SA comes beside the old one.
    wait_until(PATIENCE, "the third has its new SA", || (settled(&pair, 2) != before).then_some(()));
    let after = [0, 1, 2].map(|n| settled(&pair, n));
    assert_eq!(apply(&pair, &[], 0), ["keep"; 3]);
    assert_eq!([0, 1, 2].map(|n| numbers(&pair, n)), after);
    for (_, host) in PEERS {
        reaches(&lab, Side::A, Side::A.host(), host);
    }
}
