//! Requests that schemathesis generates from the description, valid and invalid ones and sequences of them: no answer
//! is one that is not described. How they are made is in `schemathesis.toml`.

use crate::{
    serve::{Bench, Options, TOKEN, params},
    skip::skipped,
};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The tool and all that it needs, each of one version.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// What the tool looks at in an answer: status, content type and body are among those described. It does not judge
/// whether a refusal was right, for the contract is lenient on purpose: texts are trimmed, numbers may be texts.
const CHECKS: &str = "status_code_conformance,content_type_conformance,response_schema_conformance";

/// The tool, or why there is none; the tests that want it install it once.
fn schemathesis() -> &'static Result<PathBuf, String> {
    static TOOL: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    TOOL.get_or_init(install)
}

/// Installs the tool below the target directory, if it is not there yet.
fn install() -> Result<PathBuf, String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
    let (tool, mark) = (directory.join("bin/schemathesis"), directory.join("installed"));
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Ok(tool);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory))?;
    let quietly = ["install", "--quiet", "--no-input", "--disable-pip-version-check", "--retries", "1", "-r"];
    run(Command::new(directory.join("bin/pip")).args(quietly).arg(own("requirements.txt")))?;
    fs::write(mark, REQUIREMENTS).map_err(|error| error.to_string())?;
    Ok(tool)
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {last}")) }
}

/// A file beside this one.
fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi").join(name)
}

/// An agent with these settings and five connections, whose tunnels come up at once, and a log of charon.
fn bench(top: &'static str) -> Bench {
    let mut bench = Bench::idle(&Options { top, log: "warn", ..Options::default() });
    let (settings, log) = (bench.path("cygnet.toml"), bench.path("charon.log"));
    let text = fs::read_to_string(&settings).expect("settings");
    let with_log = text.replace("[charon]\n", &format!("[charon]\nlog = \"{}\"\n", log.display()));
    fs::write(&settings, with_log).and_then(|()| fs::write(&log, "a line\nanother\n")).expect("settings and a log");
    bench.charon.establish(true);
    bench.run();
    for n in [1, 2, 3, 4, 9] {
        bench.create(&params(n, &json!({ "peerCidrs": ["10.2.0.0/24", format!("10.{n}.2.0/24")] }))).expect(200);
    }
    bench
}

/// The document without the host names of peers: each one that is generated would be asked of this machine's name servers.
fn document(bench: &Bench) -> PathBuf {
    let mut document = bench.ask("GET", "/openapi.json", b"").expect(200).json();
    let kinds = document["components"]["schemas"]["Address"]["anyOf"].as_array_mut().expect("kinds of addresses");
    let all = kinds.len();
    kinds.retain(|kind| kind["pattern"].as_str().is_none_or(|pattern| pattern.contains('%')));
    assert_eq!(kinds.len(), all - 1, "one of them is of names");
    let path = bench.path("openapi.json");
    fs::write(&path, document.to_string()).expect("a file");
    path
}

/// Lets the tool ask an agent with these settings and judge the answers. Returns every exchange, as HAR has them.
fn exchanges(top: &'static str, arguments: &[&str]) -> Option<Vec<Value>> {
    let tool = match schemathesis() {
        Ok(tool) => tool,
        Err(why) => {
            skipped(&format!("no requests are generated from /openapi.json: {why}"));
            return None;
        }
    };
    let bench = bench(top);
    let output = Command::new(tool)
        .arg("--config-file")
        .arg(own("schemathesis.toml"))
        .args(["run", "--no-color", "--checks", CHECKS, "--report-har-path"])
        .arg(bench.path("har"))
        .args(arguments)
        .args(["--url", &format!("http://{}", bench.address())])
        .arg(document(&bench))
        .current_dir(bench.path(""))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", bench.logs());
    let har: Value = serde_json::from_slice(&fs::read(bench.path("har")).expect("a report")).expect("JSON");
    Some(har["log"]["entries"].as_array().expect("entries").clone())
}

/// A 500 is for a body that is not JSON and for nothing else (contract 1.6).
#[track_caller]
fn check_500s(exchanges: &[Value]) {
    for exchange in exchanges.iter().filter(|exchange| exchange["response"]["status"] == 500) {
        let body = exchange["request"]["postData"]["text"].as_str().unwrap_or_default();
        assert!(serde_json::from_str::<IgnoredAny>(body).is_err(), "{exchange:#}");
    }
}

fn count(exchanges: &[Value], status: u16) -> usize {
    exchanges.iter().filter(|exchange| exchange["response"]["status"] == status).count()
}

#[test]
fn generated_requests_get_described_answers() {
    let authorization = format!("Authorization: OAuth {TOKEN}");
    // The headers that ask for a job are generated too; here they mean nothing.
    let Some(exchanges) = exchanges("[jobs]\nasync = \"never\"", &["--header", &authorization]) else { return };
    check_500s(&exchanges);
    assert!(exchanges.len() > 1000 && count(&exchanges, 200) > 100, "the requests reach nothing");
}

#[test]
fn generated_requests_for_jobs_get_described_answers() {
    let authorization = format!("Authorization: OAuth {TOKEN}");
    let few = ["--header", &authorization, "--phases", "fuzzing", "--max-examples", "10"];
    let Some(exchanges) = exchanges("[jobs]\nweb_hook_hosts = [\"127.0.0.1:9\"]", &few) else { return };
    check_500s(&exchanges);
    assert!(count(&exchanges, 202) > 30, "the requests make no jobs");
}

#[test]
fn generated_requests_without_the_token_get_described_answers() {
    let Some(exchanges) = exchanges("", &["--phases", "fuzzing", "--max-examples", "3"]) else { return };
    check_500s(&exchanges);
    assert!(count(&exchanges, 400) > 50, "the requests are not refused");
}
