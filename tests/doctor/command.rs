//! `cygnet doctor` and `GET /cygnet/v1/doctor`: who may ask, what comes back, and the exit codes.

use crate::{
    fake_charon::Behaviour,
    serve::{Bench, KEY, Options, hex, params},
};
use serde_json::{Value, json};
use std::process::{Command, Output};

fn doctor(bench: &Bench, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cygnet"));
    command.arg("doctor").arg("--config").arg(bench.path("cygnet.toml")).args(arguments);
    let output = command.env_remove("CYGNET_CONFIG").output().expect("cygnet runs");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains(KEY) && !text.contains(&hex(KEY.as_bytes())), "a key is shown: {text}");
    output
}

fn checks(report: &Value, list: &str) -> Vec<String> {
    let items = report[list].as_array().unwrap_or_else(|| panic!("{list}: {report}")).iter();
    items.map(|item| item["check"].as_str().expect("a check").to_owned()).collect()
}

#[test]
fn the_agent_answers_over_http_and_for_the_command() {
    let bench = Bench::start();
    bench.create(&params(7, &json!({}))).expect(200);
    assert_ne!(bench.tcp().request("GET", "/cygnet/v1/doctor", &[], b"").expect("answered").status, 200);
    let report = bench.ask("GET", "/cygnet/v1/doctor", b"").expect(200).json();
    assert!(checks(&report, "passed").contains(&"charon".to_owned()), "{report:#}");
    // 192.0.2.1 is for documentation: no machine has it.
    let address = report["findings"].as_array().expect("a list").iter().find(|f| f["check"] == "addresses");
    let address = address.unwrap_or_else(|| panic!("{report:#}"));
    assert!(address["level"] == "error" && address["evidence"].as_str().is_some_and(|t| t.contains("connections:")));
    let output = doctor(&bench, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(checks(&said, "findings"), checks(&report, "findings"));
    assert!(checks(&said, "passed").contains(&"agent".to_owned()));
    let page = String::from_utf8(doctor(&bench, &[]).stdout).expect("UTF-8");
    assert!(page.lines().any(|line| line.starts_with("error") && line.contains("192.0.2.1")), "{page}");
    assert!(page.contains("fix: ip address add 192.0.2.1/32"), "{page}");
}

#[test]
fn without_an_agent_the_command_looks_itself_and_changes_nothing() {
    let mut bench = Bench::start();
    bench.create(&params(7, &json!({}))).expect(200);
    bench.stop();
    let before = crate::serve::files(&bench.connections_dir());
    bench.charon.forget_requests();
    let output = doctor(&bench, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["findings"][0]["check"], "agent", "{report:#}");
    assert!(checks(&report, "passed").contains(&"algorithms".to_owned()), "{report:#}");
    assert_eq!(crate::serve::files(&bench.connections_dir()), before);
    let asked = bench.charon.commands();
    let harmless = ["version", "stats", "get-algorithms", "get-conns", "register", "list-sas", "unregister"];
    assert!(asked.iter().all(|command| harmless.contains(&command.as_str())), "{asked:?}");
}

#[test]
fn a_charon_that_does_not_answer_is_a_finding_of_the_running_agent() {
    let bench = Bench::with(&Options { timeout: "1s", ..Options::default() });
    bench.charon.on("version", Behaviour::Silence);
    let report = bench.ask("GET", "/cygnet/v1/doctor", b"").expect(200).json();
    assert!(checks(&report, "findings").contains(&"charon".to_owned()), "{report:#}");
    assert_eq!(report["healthy"], false);
}

#[test]
fn settings_that_cannot_be_read_are_an_error() {
    let bench = Bench::idle(&Options::default());
    std::fs::write(bench.path("cygnet.toml"), "lisen = 1").expect("written");
    let output = doctor(&bench, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("lisen"), "{output:?}");
}
