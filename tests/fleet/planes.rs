//! What planes write: compare-and-swap, guards, waiting, roll-outs, and secrets that nobody sees.

use std::fs;
use std::path::Path;
use std::thread;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::bed::{Bed, KEY, bed, gateway, spec, uuid};
use crate::say;
use crate::support::lab::Side;
use crate::support::output;

/// A fleet key of tests.
const FLEET_KEY: &str = "7465737431746573743174657374317465737431746573743174657374317465";
const NEXT_KEY: &str = "7465737432746573743274657374327465737432746573743274657374327465";

/// Writes a spec by a plane; how it ended and what it said.
fn put(bed: &Bed, target: &str, spec: &Value, more: &[&str]) -> (i32, String) {
    let unique = format!("spec-{:?}-{}", thread::current().id(), target.replace('/', "-"));
    let file = bed.lab.directory().join(unique);
    fs::write(&file, spec.to_string()).expect("a file");
    let output = output(bed.plane_command(&["put", target, &file.display().to_string()]).args(more));
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    (output.status.code().unwrap_or(-1), said)
}

fn races() -> usize {
    std::env::var("CYGNET_FLEET_RACES").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// Two planes count one member up, each by compare-and-swap, and claim the same ends for two connections.
#[test]
fn two_planes_lose_no_update_and_make_no_clash() {
    let Some(bed) = bed() else { return };
    let counted = spec(Side::A, &json!({ "description": "0" }));
    assert_eq!(put(&bed, &format!("g1/{}", uuid(1)), &counted, &["--revision", "0"]).0, 0);
    let count = |plane: usize| {
        let target = format!("g1/{}", uuid(1));
        for _ in 0..races() {
            loop {
                let stored: Value = serde_json::from_str(&bed.plane_ok(&["get", &target])).expect("JSON");
                let mut spec = stored["spec"].clone();
                let number: usize = spec["description"].as_str().and_then(|text| text.parse().ok()).expect("a number");
                spec["description"] = (number + 1).to_string().into();
                spec["name"] = format!("plane-{plane}").into();
                match put(&bed, &target, &spec, &["--revision", &stored["revision"].to_string()]) {
                    (0, _) => break,
                    (5, _) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    };
    thread::scope(|scope| [1, 2].map(|plane| scope.spawn(move || count(plane))).map(|t| t.join().expect("a plane")));
    let stored: Value = serde_json::from_str(&bed.plane_ok(&["get", &format!("g1/{}", uuid(1))])).expect("JSON");
    assert_eq!(stored["spec"]["description"], (2 * races()).to_string(), "no update is lost");
    assert_eq!(stored["spec"]["authKey"], "******", "an unsealed key is not shown");

    // The same ends, from two planes at once: one of them each time.
    let claim = |plane: usize, round: usize| {
        let peer = json!({ "peerAddress": format!("198.18.{}.{}", round / 250, round % 250 + 1), "remoteId": format!("r{plane}-{round}") });
        put(&bed, &format!("g1/{}", uuid(1000 * plane + round)), &spec(Side::A, &peer), &[]).0
    };
    let key = |plane: usize, round: usize| {
        let own = json!({ "peerAddress": format!("198.{}.{}.{}", 18 + plane, round / 250, round % 250 + 1),
                          "remoteId": format!("shared-{round}"), "authKey": format!("test-only-{plane}") });
        put(&bed, &format!("g2/{}", uuid(1000 * plane + round)), &spec(Side::A, &own), &[]).0
    };
    for round in 0..races() {
        for work in [&claim as &(dyn Fn(usize, usize) -> i32 + Sync), &key] {
            let codes = thread::scope(|scope| {
                [1, 2].map(|plane| scope.spawn(move || work(plane, round))).map(|task| task.join().expect("a plane"))
            });
            let mut codes = codes.to_vec();
            codes.sort_unstable();
            assert_eq!(codes, [0, 5], "round {round}");
        }
    }
    // Who deletes a connection gives its claims back; one that went without its guard holds nothing.
    let winner = [1000, 2000]
        .map(uuid)
        .into_iter()
        .find(|id| !bed.etcdctl_ok(&["get", &format!("/cygnet/g1/spec/{id}")]).is_empty());
    let winner = winner.expect("one of them");
    let loser = [1000, 2000].map(uuid).into_iter().find(|id| *id != winner).expect("the other");
    let same = spec(Side::A, &json!({ "peerAddress": "198.18.0.1", "remoteId": "other" }));
    assert_eq!(put(&bed, &format!("g1/{loser}"), &same, &[]).0, 5);
    bed.plane_ok(&["delete", &format!("g1/{winner}")]);
    assert_eq!(put(&bed, &format!("g1/{loser}"), &same, &[]).0, 0);
    bed.delete("g1", &loser);
    assert_eq!(put(&bed, &format!("g1/{winner}"), &same, &[]).0, 0);
}

/// All files below `directory` that hold `word`.
fn holding(directory: &Path, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, word));
        } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(word.len()).any(|window| window == word.as_bytes())) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn sealed_keys_work_and_are_in_no_file_of_etcd_and_in_no_log() {
    let Some(mut bed) = bed() else { return };
    let key = bed.secret("fleet-key", &format!("{FLEET_KEY}\n"));
    bed.settings = format!("fleet_key_file = {:?}\n", key.display().to_string());
    bed.start_both();
    let id = uuid(1);
    for side in Side::BOTH {
        let (code, said) = put(&bed, &format!("{}/{id}", gateway(side)), &spec(side, &json!({})), &[]);
        assert_eq!(code, 0, "{said}");
    }
    let (code, said) = put(&bed, &format!("g1/{id}"), &spec(Side::A, &json!({})), &["--wait", "--json"]);
    let answer: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!((code, &answer["ready"]), (0, &json!(true)), "{said}\n{}", bed.logs());

    // Why not, in words, and the tunnel stays.
    let refused = spec(Side::A, &json!({ "peerAddress": "224.0.0.1" }));
    let (code, said) = put(&bed, &format!("g1/{id}"), &refused, &["--wait"]);
    assert!(code == 4 && said.contains("224.0.0.1"), "{code} {said}");
    let list = bed.plane_ok(&["list"]);
    assert!(list.lines().any(|line| line.contains("Refused") && line.contains("224.0.0.1")), "{list}");
    bed.reaches(Side::A);

    // A sealed key is good in its own place alone; a plain one is refused.
    let stored: Value = serde_json::from_str(&bed.plane_ok(&["get", &format!("g2/{id}")])).expect("JSON");
    let sealed = stored["spec"]["authKey"].as_str().expect("a text").to_owned();
    assert!(sealed.starts_with("cygnet-sealed:1:"), "{sealed}");
    let peer = json!({ "peerAddress": "192.0.2.77", "peerCidrs": ["10.7.0.0/24"], "authKey": sealed });
    bed.put("g1", &uuid(2), &spec(Side::A, &peer));
    let status = bed.status_with("g1", &uuid(2), "it is refused", |status| !status["error"].is_null());
    assert!(status["error"].to_string().contains("another gateway"), "{status}");
    let plain = json!({ "peerAddress": "192.0.2.77", "peerCidrs": ["10.7.0.0/24"], "authKey": "test-only-plain" });
    bed.put("g1", &uuid(2), &spec(Side::A, &plain));
    let status =
        bed.status_with("g1", &uuid(2), "it is refused", |status| status["error"].to_string().contains("not sealed"));
    assert_eq!(status["status"], json!(null));
    bed.delete("g1", &uuid(2));

    // Rotation: both keys first, then the new one seals, and the old one goes.
    let both = bed.secret("fleet-key", &format!("# the next one\n{NEXT_KEY}\n{FLEET_KEY}\n"));
    assert_eq!(both, key);
    for side in Side::BOTH {
        bed.stop_follower(side);
        bed.start_follower(side, gateway(side));
    }
    let resealed: Value = serde_json::from_str(&bed.plane_ok(&["reseal", "--json"])).expect("JSON");
    assert_eq!(resealed["sealed"].as_array().map(Vec::len), Some(2), "{resealed}");
    bed.secret("fleet-key", &format!("{NEXT_KEY}\n"));
    bed.stop_follower(Side::B);
    bed.start_follower(Side::B, "g2");
    let (code, said) = put(&bed, &format!("g2/{id}"), &spec(Side::B, &json!({})), &["--wait"]);
    assert_eq!(code, 0, "{said}\n{}", bed.logs());

    // WAL, snapshots and logs of each member, and what is written when it ends.
    (0..3).for_each(|number| bed.kill_member(number));
    let found: Vec<_> = (0..3)
        .flat_map(|number| {
            let mut found = holding(&bed.data(number), KEY);
            let log = bed.member_log(number);
            found.extend(
                fs::read_to_string(&log).is_ok_and(|text| text.contains(KEY)).then(|| log.display().to_string()),
            );
            found
        })
        .collect();
    assert_eq!(found, Vec::<String>::new());
    assert!(
        !(0..3).flat_map(|number| holding(&bed.data(number), "test-only-plain")).collect::<Vec<_>>().is_empty(),
        "the check can see"
    );
    assert!(!bed.logs().contains(KEY) && !bed.logs().contains(FLEET_KEY));
    bed.follower(Side::A).signal(Signal::SIGTERM);
}

#[test]
fn a_change_rolls_tunnel_by_tunnel_and_what_fails_is_put_back() {
    let Some(mut bed) = bed() else { return };
    bed.start_both();
    let id = uuid(1);
    for side in Side::BOTH {
        assert_eq!(put(&bed, &format!("{}/{id}", gateway(side)), &spec(side, &json!({})), &[]).0, 0);
    }
    let idle = spec(
        Side::A,
        &json!({ "name": "idle", "peerAddress": "192.0.2.77", "peerCidrs": ["10.7.0.0/24"], "state": "Disabled" }),
    );
    assert_eq!(put(&bed, &format!("g1/{}", uuid(2)), &idle, &[]).0, 0);
    for side in Side::BOTH {
        bed.status_with(gateway(side), &id, "it is up", |status| status["status"] == "Ready");
    }
    let apply = |arguments: &[&str]| {
        let output = bed.plane(&[&["apply", "--json"], arguments].concat());
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let outcomes: Vec<_> =
            answer["connections"].as_array().into_iter().flatten().map(|item| item["outcome"].to_string()).collect();
        (output.status.code(), outcomes.join(" ").replace('"', ""), answer)
    };
    // Without a word nothing is written, and both ends of a tunnel change in one step.
    let (_, outcomes, answer) = apply(&["--all", "--dry-run", "--merge", "{\"ikeEncryptionAlgorithm\":\"aes-128\"}"]);
    assert_eq!(outcomes, "not_done not_done not_done", "{answer}");
    let roll = ["--all", "--max-unavailable", "1", "--confirm", "--merge", "{\"ikeEncryptionAlgorithm\":\"aes-128\"}"];
    let (code, outcomes, answer) = apply(&roll);
    assert_eq!((code, outcomes.as_str()), (Some(0), "done done done"), "{answer}\n{}", bed.logs());
    bed.reaches(Side::A);
    let (code, outcomes, _) = apply(&roll);
    assert_eq!((code, outcomes.as_str()), (Some(0), ""), "nothing is left to do");

    // What a gateway refuses is put back, the rest is not begun, and it says so.
    let before = bed.plane_ok(&["get", &format!("g2/{id}")]);
    let (code, outcomes, answer) = apply(&["--all", "--confirm", "--merge", "{\"ikeLifeTime\":1}"]);
    assert_eq!((code, outcomes.as_str()), (Some(1), "put_back put_back not_done"), "{answer}");
    assert!(answer["stopped"].as_str().is_some_and(|text| text.contains("stopped after 0 of 3")), "{answer}");
    let after = bed.plane_ok(&["get", &format!("g2/{id}")]);
    let specs = [before, after].map(|text| serde_json::from_str::<Value>(&text).expect("JSON")["spec"].clone());
    assert_eq!(specs[0], specs[1]);
    for side in Side::BOTH {
        let status = bed.status_with(gateway(side), &id, "it is as before", |status| status["error"].is_null());
        assert_eq!(status["status"], "Ready");
    }
    // What does not come up is put back too: one end alone has another key.
    let (code, outcomes, answer) = apply(&[
        "--gateway",
        "g1",
        "--confirm=5s",
        "--merge",
        "{\"authKey\":\"test-only-other\",\"state\":\"Enabled\"}",
    ]);
    assert_eq!((code, outcomes.split(' ').next()), (Some(1), Some("put_back")), "{answer}\n{}", bed.logs());
    bed.status_with("g1", &id, "it is up again", |status| status["status"] == "Ready" && status["as_wanted"] == true);
    bed.reaches(Side::A);
    say(format!("put back: {}", answer["stopped"]));
}
