//! `cygnet doctor`: what is wrong on this gateway. It asks the running agent. If none answers, it examines the gateway
//! itself; so does root for the checks that the agent's user may not make.

use super::{client::Client, common_args::Json, serve};
use anyhow::{Context, Result, anyhow, bail};
use cygnet::{
    doctor,
    doctor::facts::{Places, Unchecked},
    http,
    settings::Settings,
    visible::{visible, visible_json},
};
use nix::unistd::geteuid;
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write as _, io::Write, path::Path, process::ExitCode, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

/// How long the agent may take; its slowest check takes less. After that this process examines the gateway.
const AGENT_DEADLINE: Duration = Duration::from_secs(15);

/// Prints the report. The exit code is 0 if nothing has to be done, else 1, also if there is no report.
pub fn run(config: &Path, args: &Json) -> ExitCode {
    // An output that is closed needs no report.
    match report(config) {
        Ok(report) => {
            let text = if args.json { visible_json(&format!("{report:#}\n")) } else { table(&report) };
            let _ = std::io::stdout().write_all(text.as_bytes());
            if report["healthy"] == true { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}", visible(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// The report of the agent, or of this process.
pub fn report(config: &Path) -> Result<Value> {
    let settings = Settings::read(config).map_err(|e| anyhow!(e))?;
    match Client::new(config).and_then(|client| client.get_within("/cygnet/v1/doctor", AGENT_DEADLINE)) {
        Ok(report) if !unchecked(&report).is_empty() && geteuid().is_root() => {
            // The agent has just answered, so what is said of it is taken from its own report.
            Ok(completed(report, &examine_here(&settings, config, "it answered".into())?))
        }
        Ok(report) => Ok(report),
        Err(stop) if stop.is_refusal() => bail!("the agent answered: {}", stop.text()),
        Err(stop) => examine_here(&settings, config, stop.why()),
    }
}

/// The report of this process, without the agent.
fn examine_here(settings: &Settings, config: &Path, agent: Unchecked) -> Result<Value> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("cannot start")?;
    let strongswan = serve::strongswan(settings);
    let places = Places::of(settings, Some(config));
    let report = runtime.block_on(async {
        tokio::select! {
            report = doctor::examine(settings, &places, &strongswan, agent) => Ok(report),
            signal = ended() => Err(signal),
        }
    });
    // A read of a file system that hangs must not delay the end.
    runtime.shutdown_background();
    report.map(|report| http::doctor::json(&report))
}

/// The checks that lack a fact.
fn unchecked(report: &Value) -> BTreeSet<String> {
    let findings = report["findings"].as_array().into_iter().flatten();
    let blind = findings.filter(|finding| finding["lacks_fact"] == true);
    blind.filter_map(|finding| finding["check"].as_str()).map(ToOwned::to_owned).collect()
}

/// The agent's report, with the checks that lack a fact taken from `own`. Root may read the kernel's rules and policies;
/// the agent's user may not.
fn completed(mut report: Value, own: &Value) -> Value {
    let blind = unchecked(&report);
    let is_blind = |item: &Value| item["check"].as_str().is_some_and(|check| blind.contains(check));
    for list in ["findings", "passed"] {
        let all = report[list].as_array().into_iter().flatten().filter(|item| !is_blind(item));
        let own = own[list].as_array().into_iter().flatten().filter(|item| is_blind(item));
        let mut both: Vec<_> = all.chain(own).cloned().collect();
        both.sort_by_key(|item| item["check"].as_str().and_then(doctor::order));
        report[list] = both.into();
    }
    let is_harmless = |finding: &Value| finding["level"] == "info";
    report["healthy"] = report["findings"].as_array().is_some_and(|all| all.iter().all(is_harmless)).into();
    report
}

/// Waits for a signal that ends the command and the programs that it started.
async fn ended() -> anyhow::Error {
    let Ok(mut term) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    // Without a handler the signal ends the process at once.
    tokio::select! {
        _ = term.recv() => anyhow!("ended by SIGTERM"),
        _ = tokio::signal::ctrl_c() => anyhow!("interrupted"),
    }
}

/// The report as a page for people: what is wrong first.
fn table(report: &Value) -> String {
    let text = |item: &Value, member: &str| visible(item[member].as_str().unwrap_or_default());
    let list = |member: &str| report[member].as_array().cloned().unwrap_or_default();
    let (findings, passed) = (list("findings"), list("passed"));
    let width = findings.iter().chain(&passed).map(|item| text(item, "check").len()).max().unwrap_or(0);
    let mut page = String::new();
    for item in &findings {
        let _ = writeln!(page, "{:<7}  {:<width$}  {}", text(item, "level"), text(item, "check"), text(item, "what"));
        for (name, member) in [("fix", "fix"), ("seen", "evidence")] {
            let line = text(item, member);
            // In a place of its own a remark needs no sign.
            let line = line.trim_start_matches("# ");
            if !line.is_empty() {
                let _ = writeln!(page, "{:<7}  {:<width$}    {name}: {line}", "", "");
            }
        }
    }
    for item in &passed {
        let _ = writeln!(page, "{:<7}  {:<width$}  {}", "ok", text(item, "check"), text(item, "seen"));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_comes_first() {
        let report = json!({ "healthy": false,
            "findings": [{ "check": "nat", "level": "error", "what": "W", "fix": "F", "evidence": "E" }],
            "passed": [{ "check": "vici", "seen": "S" }] });
        let page = table(&report);
        assert_eq!(page, "error    nat   W\n                 fix: F\n                 seen: E\nok       vici  S\n");
    }

    #[test]
    fn root_looks_where_the_agent_may_not() {
        let finding = |check: &str, level: &str, what: &str| json!({ "check": check, "level": level, "what": what });
        let mut blind = finding("nat", "info", "source NAT could not be checked: nft: Operation not permitted");
        blind["lacks_fact"] = true.into();
        let agents =
            json!({ "healthy": true, "findings": [blind], "passed": [{ "check": "agent", "seen": "it runs" }] });
        let own = |findings: Value, passed: Value| json!({ "healthy": false, "findings": findings, "passed": passed });
        let missing = finding("agent", "warning", "the agent does not answer");
        let wrong = completed(agents.clone(), &own(json!([missing, finding("nat", "error", "W")]), json!([])));
        assert_eq!(wrong["findings"], json!([finding("nat", "error", "W")]));
        assert_eq!((&wrong["healthy"], wrong["passed"].as_array().map(Vec::len)), (&json!(false), Some(1)));
        let right = completed(agents, &own(json!([missing]), json!([{ "check": "nat", "seen": "S" }])));
        assert_eq!((&right["healthy"], &right["findings"]), (&json!(true), &json!([])));
        assert_eq!(right["passed"].as_array().map(Vec::len), Some(2));
    }
}
