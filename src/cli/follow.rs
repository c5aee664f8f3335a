//! `cygnet log` and `cygnet events`.

use super::{
    args::{EventsArgs, LogArgs},
    client::Client,
    look::{Look, Tone, safe},
    moments, select,
    stop::{Result, Stop, print, print_json},
};
use cygnet::visible::visible_json;
use serde_json::Value;

/// A cursor of no run of the agent: with it, the agent sends all events that it keeps.
const FROM_THE_START: &str = "0";

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// `cygnet log`.
pub fn log(client: &Client, args: &LogArgs) -> Result<()> {
    let uuid = select::uuid(client, &args.which.connection)?;
    let path = format!("/cygnet/v1/connections/{uuid}/log?lines={}", args.lines);
    let (look, as_json) = (Look::of_stdout(), args.json.json);
    if args.follow {
        return client
            .follow(&format!("{path}&follow=true"), None, |data| tell(data, as_json, |line| entry(line, look)));
    }
    let answer = client.get(&path)?;
    if as_json {
        return print_json(&answer);
    }
    let lines = answer["lines"].as_array().into_iter().flatten();
    print(&lines.map(|line| entry(line, look)).collect::<String>()).map(drop)
}

/// `cygnet events`.
pub fn events(client: &Client, args: &EventsArgs) -> Result<()> {
    let cursor = args.all.then(|| FROM_THE_START.to_owned());
    // With --all, earlier events may be missing as expected.
    let mut skips = args.all;
    client.follow("/cygnet/v1/events", cursor, |data| {
        if std::mem::take(&mut skips) && tells_a_gap(data) {
            return Ok(true);
        }
        tell(data, args.json.json, |event| event_line(event, Look::of_stdout()))
    })
}

/// Whether an event says that others were missed.
fn tells_a_gap(data: &str) -> bool {
    serde_json::from_str::<Value>(data).is_ok_and(|event| event["event"] == "missed")
}

/// Prints one event: as it came, or as a line for people.
fn tell(data: &str, as_json: bool, line: impl Fn(&Value) -> String) -> Result<bool> {
    if as_json {
        return print(&visible_json(&format!("{data}\n")));
    }
    let value = serde_json::from_str(data)
        .map_err(|e| Stop::failed(format!("the agent sent an event that is not JSON: {e}")))?;
    print(&line(&value))
}

/// A line of a log.
fn entry(line: &Value, look: Look) -> String {
    let (at, by) = (moments::local(&text(line, "at")), text(line, "by"));
    let by = look.say(if by == "cygnet" { Tone::Head } else { Tone::Plain }, &format!("{by:<6}"));
    format!("{at}  {by}  {}\n", safe(&text(line, "text")))
}

/// An event as a line.
fn event_line(event: &Value, look: Look) -> String {
    let name = text(event, "event");
    let tone = match name.as_str() {
        "up" | "charon_back" | "took_over" => Tone::Good,
        "down" | "charon_lost" => Tone::Bad,
        "drift" | "settings_drift" | "not_as_wanted" | "gave_up" | "missed" => Tone::Unsure,
        _ => Tone::Plain,
    };
    let more = match name.as_str() {
        "down" => format!("{}: {}", text(&event["reason"], "code"), text(&event["reason"], "details")),
        "not_as_wanted" => {
            let reason = &event["reason"];
            format!("{}: {}: {}", text(event, "note"), text(reason, "code"), text(reason, "details"))
        }
        "drift" => {
            let put_back = event["put_back"].as_array().into_iter().flatten().filter_map(Value::as_str);
            format!("put back: {}", put_back.collect::<Vec<_>>().join(", "))
        }
        "settings_drift" => {
            let one = |item: &Value| {
                let now = item["now"].as_str().unwrap_or("gone");
                format!(
                    "{} {}: {} here, {now} in the settings",
                    text(item, "setting"),
                    text(item, "uuid"),
                    text(item, "stored")
                )
            };
            event["settings"].as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join("; ")
        }
        "took_over" | "gave_up" => text(event, "vip"),
        "missed" => "the agent no longer has earlier events".into(),
        _ => text(event, "why"),
    };
    let uuid = text(event, "uuid");
    let uuid = if uuid.is_empty() { "-".into() } else { safe(&uuid) };
    let line = format!(
        "{}  {}  {uuid:<32}  {}",
        moments::local(&text(event, "at")),
        look.say(tone, &format!("{name:<11}")),
        safe(&more)
    );
    format!("{}\n", line.trim_end())
}
