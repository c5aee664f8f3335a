//! `cygnet plan`: what a change would do, before anybody does it.

use super::{
    PlanArgs,
    client::{self, Answer},
};
use hyper::Method;
use serde_json::Value;
use std::{
    fmt::Write as _,
    io::{Read, Write},
    path::Path,
    process::ExitCode,
};

pub fn run(config: &Path, args: &PlanArgs) -> ExitCode {
    let answer = read(&args.body).and_then(|body| {
        let path = format!("/cygnet/v1/connections/{}/plan", args.uuid);
        client::call(config, Method::POST, &path, body)
    });
    // Nothing is left to do if the output is closed.
    match answer {
        Ok(Answer::Result(plan)) => {
            let text = if args.json { format!("{plan:#}\n") } else { table(&plan) };
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Answer::Error(error)) => {
            let details = error["error"]["details"].as_str().unwrap_or_default();
            let text = if args.json { error.to_string() } else { format!("this change would be refused: {details}") };
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::FAILURE
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn read(body: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if body == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes)?;
    } else {
        let open = std::fs::File::open(body).and_then(|mut file| file.read_to_end(&mut bytes));
        open.map_err(|e| anyhow::anyhow!("cannot read {}: {e}", body.display()))?;
    }
    Ok(bytes)
}

/// The plan as a page for people.
fn table(plan: &Value) -> String {
    let impact = plan["impact"].as_str().unwrap_or_default();
    let meaning = match impact {
        "none" => "nothing is sent to charon",
        "child" => "the CHILD_SAs are made anew, within their IKE SA",
        "ike" => "the IKE SA is made anew beside the old one, with its children",
        "reauth" => "the same, for the key alone",
        _ => "another tunnel takes the place of this one",
    };
    let mut page = format!("impact: {impact} ({meaning})\n");
    differences(&mut page, "field", &plan["fields"], "field");
    differences(&mut page, "setting in the file", &plan["file"], "setting");
    for (title, member) in [("steps", "steps"), ("warnings", "warnings")] {
        let text = |line: &Value| line.as_str().or_else(|| line["message"].as_str()).map(str::to_owned);
        let lines: Vec<_> = plan[member].as_array().into_iter().flatten().filter_map(text).collect();
        if !lines.is_empty() {
            let _ = writeln!(page, "\n{title}");
            for line in lines {
                let _ = writeln!(page, "  {line}");
            }
        }
    }
    page
}

/// A table with a row per difference.
fn differences(page: &mut String, title: &str, list: &Value, name: &str) {
    let show = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let row = |item: &Value| match item.get("changed") {
        Some(_) => [show(&item[name]), "(hidden)".into(), "(changed)".into()],
        None => [show(&item[name]), show(&item["from"]), show(&item["to"])],
    };
    let rows: Vec<_> = list.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return;
    }
    let width = |column: usize, head: &str| {
        rows.iter().map(|row| row[column].chars().count()).chain([head.len()]).max().unwrap_or(0)
    };
    let (first, second) = (width(0, title), width(1, "from"));
    let _ = writeln!(page, "\n{title:<first$}  {:<second$}  to", "from");
    for [name, from, to] in &rows {
        let _ = writeln!(page, "{name:<first$}  {from:<second$}  {to}");
    }
}
