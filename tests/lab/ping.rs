//! `cygnet ping` on two real gateways: it tells an answer from packets that get lost, and where they get lost.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pair::{PATIENCE, Pair};
use crate::support::agent::binary;
use crate::support::lab::{Lab, Side};
use crate::support::{run, wait_until};
use crate::{calls::native, lab};

/// Runs `cygnet ping` on A; the exit code and what was said.
fn ping(pair: &Pair, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = pair.lab.command_in(Side::A, binary());
    command.arg("ping").arg(pair.uuid(Side::A)).args(more).arg("--config").arg(pair.agent(Side::A).config());
    let output = command.output().expect("cygnet runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The report of a ping that fails with this verdict.
#[track_caller]
fn fails(pair: &Pair, verdict: &str) -> Value {
    let (code, out, err) = ping(pair, &["--json", "-c", "2"]);
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    assert_eq!((code, &report["verdict"]), (Some(1), &json!(verdict)), "{report:#}\n{err}");
    assert!(report["advice"].is_string() && err.contains("\"elaboration\""), "{report} {err}");
    report
}

/// Drops on `side` what goes to or comes from `network`, or no longer.
fn drop_packets(lab: &Lab, side: Side, word: &str, way: &str, network: &str) {
    run(lab.command_in(side, "ip").args(["rule", word, way, network, "pref", "10", "blackhole"]));
}

#[test]
fn it_says_where_packets_are_lost() {
    let Some(lab) = lab() else { return };
    let pair = Pair::up(&lab, &json!({}));
    let (code, out, err) = ping(&pair, &["-c", "2"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for said in [
        "10.2.0.1 from 10.1.0.1 through ",
        " (10.1.0.0/24 to 10.2.0.0/24)",
        "2 of 2 answered",
        "2 packets (168 B) out, 2 packets",
    ] {
        assert!(out.contains(said), "{said}: {out}");
    }
    let (code, out, _) = ping(&pair, &["--json", "-c", "1", "--to", "10.2.0.1", "--from", "10.1.0.1"]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (code, &report["verdict"], &report["sa"]["packets_in"]),
        (Some(0), &json!("answered"), &json!(1)),
        "{report}"
    );
    for (more, said) in [
        (["--to", "10.9.0.1"], "10.9.0.1 is not behind the peer: the tunnel carries 10.2.0.0/24 there"),
        (["--from", "10.9.0.1"], "10.9.0.1 is in none of the local networks: the tunnel carries 10.1.0.0/24 here"),
    ] {
        let (code, _, err) = ping(&pair, &more);
        assert!(code == Some(1) && err.contains(said), "{said}: {err}");
    }
    drop_packets(&lab, Side::B, "add", "from", Side::B.host());
    let report = fails(&pair, "nothing_back");
    assert_eq!((&report["sa"]["packets_out"], &report["sa"]["packets_in"]), (&json!(2), &json!(0)), "{report}");
    drop_packets(&lab, Side::B, "del", "from", Side::B.host());
    drop_packets(&lab, Side::A, "add", "to", Side::B.lan());
    assert_eq!(fails(&pair, "nothing_out")["sa"]["packets_out"], 0);
    drop_packets(&lab, Side::A, "del", "to", Side::B.lan());
    // Others' packets come in, and the answers do not.
    drop_packets(&lab, Side::B, "add", "from", Side::B.host());
    let others = lab.ping_background(Side::B, "10.2.0.9", Side::A.host(), Duration::from_millis(50));
    others.wait_for_replies(2);
    assert!(fails(&pair, "no_answer")["sa"]["packets_in"].as_u64() > Some(0));
    others.stop();
    drop_packets(&lab, Side::B, "del", "from", Side::B.host());
    let set_state = |side, event: &str| {
        let path = format!("/zstack/v1/ipsec/{}/actions", pair.uuid(side));
        let body = json!({ "changeIPSecConnectionState": { "stateEvent": event } });
        pair.agent(side).request("PUT", &path, Some(&body)).expect(200);
    };
    set_state(Side::B, "disable");
    wait_until(PATIENCE, "the peer has closed it", || {
        native(&pair, Side::A)["children"][0]["sas"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    fails(&pair, "no_sa");
    set_state(Side::A, "disable");
    let (code, _, err) = ping(&pair, &[]);
    assert!(code == Some(1) && err.contains("is disabled") && err.contains("cygnet enable"), "{err}");
    run(lab.command_in(Side::A, "ip").args(["address", "del", "10.1.0.1/24", "dev", "lo"]));
    set_state(Side::A, "enable");
    let (code, _, err) = ping(&pair, &[]);
    assert!(code == Some(1) && err.contains("this host has no address in 10.1.0.0/24"), "{err}");
}
