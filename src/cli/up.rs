//! The result of a write for its tunnel: up, not wanted, or not up and why.

use super::{
    client::Client,
    look::{Look, Tone, companion, safe, tone_of, warnings},
    progress::Progress,
    stop::{Code, Result, Stop, print, print_json},
};
use serde_json::Value;
use std::{io::Write, time::Duration};

/// A time such as `30s` or `2m`; a number alone is seconds.
pub fn time(text: &str) -> Result<Duration> {
    let text = with_unit(text);
    let span = text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    span.filter(|span| !span.is_zero())
        .ok_or_else(|| Stop::usage(format!("{text} is no time")).hint("such as --wait=30s or --wait=2m"))
}

/// The time with its unit.
pub fn with_unit(text: &str) -> String {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { format!("{text}s") } else { text.to_owned() }
}

/// Prints the answer to a write when the tunnel is up or `wait` is over. A tunnel that should be up and is not ends in
/// [`Code::NotUp`].
pub fn finish(client: &Client, mut answer: Value, done: &str, wait: Option<Duration>, as_json: bool) -> Result<()> {
    let inventory = &answer["inventory"];
    let text = |name: &str| inventory[name].as_str().unwrap_or_default().to_owned();
    let (uuid, name) = (text("uuid"), text("name"));
    let is_settled = inventory["status"] == "Ready" || inventory["state"] == "Disabled";
    let seen = if is_settled { None } else { Some(wait_for_end(client, &uuid, wait.unwrap_or_default())?) };
    if let Some(Value::Object(view)) = &seen
        && let Some(inventory) = view.get("inventory")
    {
        answer["inventory"] = inventory.clone();
    }
    if as_json {
        print_json(&answer)?;
    } else {
        let status = answer["inventory"]["status"].as_str().unwrap_or("Unknown");
        let tone = if text_of(&answer["inventory"]["state"]) == "Disabled" { Tone::Plain } else { tone_of(status) };
        print(&format!("{done} {} ({}): {}\n", safe(&name), safe(&uuid), Look::of_stdout().say(tone, status)))?;
        for other in answer["together"].as_array().into_iter().flatten() {
            print(&format!("{done} with it: {}\n", companion(other)))?;
        }
    }
    if !as_json {
        warn(&answer);
    }
    match seen.filter(|view| is_missing(view) && !goes_on(view)) {
        None => Ok(()),
        Some(view) => Err(not_up(view["note"].as_str().unwrap_or("the tunnel is not up"), &view["reason"])),
    }
}

/// Prints the warnings of an answer for people. A closed standard error is no failure.
pub fn warn(answer: &Value) {
    let _ = write!(std::io::stderr(), "{}", warnings(&answer["warnings"], Look::of_stderr()));
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether a tunnel of this view should be up and is not.
pub fn is_missing(view: &Value) -> bool {
    let has_children = view["children"].as_array().is_some_and(|children| !children.is_empty());
    let inventory = &view["inventory"];
    let is_elsewhere = view["vip"]["role"] == "standby";
    has_children && inventory["state"] == "Enabled" && inventory["status"] != "Ready" && !is_elsewhere
}

/// Whether the tunnel carries, and is to move when the peer is changed.
fn goes_on(view: &Value) -> bool {
    view["transition"]["over"] == false && view["carrying"] == true
}

/// The connection as soon as it is up or has nothing to bring up, at the latest after `wait`.
fn wait_for_end(client: &Client, uuid: &str, wait: Duration) -> Result<Value> {
    let mut progress = Progress::new();
    loop {
        let view = client.get(&format!("/cygnet/v1/connections/{uuid}"))?;
        let left = wait.saturating_sub(progress.waited());
        if !is_missing(&view) || left.is_zero() {
            return Ok(view);
        }
        let reason = &view["reason"];
        progress.say(&format!("waiting for {}: {}", text_of(&view["inventory"]["name"]), text_of(&reason["code"])));
        client.pause(progress.tick(), left);
    }
}

/// The end of a write whose tunnel is not up.
fn not_up(what: &str, reason: &Value) -> Stop {
    let stop = match reason["code"].as_str() {
        Some(code) => Stop::new(Code::NotUp, format!("{what}: {code}: {}", text_of(&reason["details"]))),
        None => Stop::new(Code::NotUp, what),
    };
    match reason["advice"].as_str() {
        Some(advice) => stop.hint(advice),
        None => stop,
    }
}
