//! The calls of docs/api/zstack.md, as it has them: a shell runs every command that calls curl.

use super::accounts::{PASSWORD, tool, with_accounts};
use crate::{
    serve::{Bench, NETWORK, Options, VIP, wait_until},
    skip::skipped,
};
use serde_json::Value;
use std::process::Command;

const PAGE: &str = include_str!("../../docs/api/zstack.md");
/// Where the page's agent listens.
const THERE: &str = "127.0.0.1:8080";

/// The commands in the page's console blocks that begin with `curl` or set a variable by it, continued lines joined.
fn commands() -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut continued = false;
    for line in PAGE.lines() {
        let line = line.trim_end();
        if continued && let Some(last) = found.last_mut() {
            last.push('\n');
            last.push_str(line);
        } else if let Some(command) = line.strip_prefix("$ ").filter(|command| command.contains("curl ")) {
            found.push(command.to_owned());
        } else {
            continue;
        }
        let last = found.last().expect("one was pushed");
        continued = last.ends_with('\\') || last.matches('\'').count() % 2 == 1;
    }
    found
}

#[test]
fn the_calls_of_the_page_work() {
    if Command::new("curl").arg("--version").output().is_err() {
        skipped("the calls of docs/api/zstack.md are not run: there is no curl");
        return;
    }
    let mut b = Bench::idle(&Options::default());
    with_accounts(&b);
    tool(&b, &["passwd", "admin"], &format!("{PASSWORD}\n"));
    let settings = std::fs::read_to_string(b.path("cygnet.toml")).expect("settings");
    // The page's own uuids of what the gateway has.
    let settings = settings.replace(VIP, "8db7a95857db4771b309933783a6975e");
    let settings = settings.replace(NETWORK, "5a1c3c1ab5b24a5c8d1f2a3b4c5d6e7f");
    std::fs::write(b.path("cygnet.toml"), settings).expect("settings");
    b.run();
    let commands = commands();
    assert!(commands.len() >= 6, "{commands:?}");
    let mut variables = vec![("PASSWORD".to_owned(), PASSWORD.to_owned())];
    for command in commands {
        let script = command.replace(THERE, &b.address().to_string()).replace("curl ", "curl --silent --show-error ");
        let text = run(&script, &variables);
        if let Some((name, _)) = command.split_once("=$(") {
            assert!(text.trim().len() == 32, "{command}\n{text}");
            variables.push((name.to_owned(), text.trim().to_owned()));
        } else if script.contains("/api-jobs/") {
            let result = wait_until("the job ends", || Some(run(&script, &variables)).filter(|text| text != "{}"));
            assert!(json(&result)["inventory"]["uuid"].is_string(), "{command}\n{result}");
        } else {
            let answer = json(&text);
            assert!(answer.get("error").is_none(), "{command}\n{text}");
            if let Some(result) = answer.get("result") {
                assert!(result.as_str().is_some_and(|result| result.contains("\"success\":true")), "{command}\n{text}");
            } else if command.contains("X-Job-UUID") {
                let here = PAGE.replace(THERE, &b.address().to_string());
                assert!(here.contains(&text), "the page does not show the answer {text}");
            } else {
                let members = ["inventory", "inventories"].iter().filter(|name| answer.get(**name).is_some());
                assert!(members.count() == 1 || text == "{}", "{command}\n{text}");
            }
        }
    }
}

/// What the script prints; a variable's value if it sets one.
fn run(script: &str, variables: &[(String, String)]) -> String {
    let script = match script.split_once("=$(") {
        Some((name, _)) => format!("{script}\nprintf %s \"${name}\""),
        None => script.to_owned(),
    };
    let output = Command::new("sh").args(["-ec", &script]).envs(variables.iter().cloned()).output().expect("a shell");
    assert!(output.status.success(), "{script}\n{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}
