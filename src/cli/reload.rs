//! `cygnet reload`: has the agent read the settings anew; the unit's `ExecReload`.

use super::{
    client::Client,
    common_args::Json,
    look::safe,
    stop::{self, Code, Result, Stop, print, print_json},
};
use cygnet::settings::{Faults, Settings};
use hyper::Method;
use serde_json::Value;
use std::{path::Path, process::ExitCode};

/// Runs it. The agent is asked even if this process sees faults: it shows in its status that it refuses them.
pub fn run(config: &Path, args: &Json) -> ExitCode {
    let (settings, faults) = Settings::examine(config);
    let outcome = match settings {
        Some(settings) => Client::of(settings).and_then(|client| reload(&client, args.json)),
        None => Err(Stop::new(Code::Unreachable, "the settings cannot be read")),
    };
    if faults.is_empty() || args.json {
        return stop::end(outcome, args.json);
    }
    for fault in Faults(faults).to_string().lines() {
        Stop::failed(fault).tell(false);
    }
    ExitCode::FAILURE
}

fn reload(client: &Client, as_json: bool) -> Result<()> {
    let answer = client.write(Method::POST, "/cygnet/v1/reload", None, "reading the settings")?;
    if as_json {
        return print_json(&answer);
    }
    let list = |name: &str| {
        let items = answer[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        items.map(safe).collect::<Vec<_>>().join(", ")
    };
    print(&format!("taken over: {}\n", list("taken_over")))?;
    let restart = list("needs_restart");
    if !restart.is_empty() {
        print(&format!("not before `systemctl restart cygnet`, which touches no tunnel: {restart}\n"))?;
    }
    Ok(())
}
