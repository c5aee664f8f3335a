//! Connections in charon that are not cygnet's: rows of `cygnet list --all`, and the page of `cygnet show`.

use super::{
    client::Client,
    look::{Look, Tone, safe, tone_of},
    moments,
    row::{Row, text},
    show_sas::{self, items},
    stop::Result,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::fmt::Write as _;

/// What such a connection has for a status.
const MARK: &str = "foreign";

/// The connections; null if charon does not answer.
pub fn all(client: &Client) -> Result<Value> {
    Ok(client.get("/cygnet/v1/foreign")?["connections"].take())
}

/// The one of this name.
pub fn named(client: &Client, name: &str) -> Result<Option<Value>> {
    let all = all(client)?;
    Ok(items(&all).iter().find(|connection| text(connection, "name") == name).cloned())
}

/// The texts in a list, without those that stand in it before.
fn joined<'a>(lists: impl IntoIterator<Item = &'a Value>) -> Vec<&'a str> {
    let mut texts: Vec<_> = Vec::new();
    for text in lists.into_iter().flat_map(items).filter_map(Value::as_str) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

/// The CHILD_SAs of a connection.
fn child_sas(connection: &Value) -> impl Iterator<Item = &Value> {
    items(&connection["ike_sas"]).iter().flat_map(|ike| items(&ike["children"]))
}

/// What of it runs, in a word.
fn condition(connection: &Value) -> &'static str {
    if child_sas(connection).any(|sa| sa["state"] == "installed") {
        "up"
    } else if items(&connection["ike_sas"]).iter().any(|ike| ike["state"] != "closing") {
        "connecting"
    } else {
        "down"
    }
}

/// Its row: what runs counts before what is configured.
pub fn row(connection: &Value, is_wide: bool) -> Row {
    let runs = |name: &str| items(&connection["ike_sas"]).iter().map(|ike| text(ike, name)).next().map(str::to_owned);
    let peer = runs("remote").unwrap_or_else(|| joined([&connection["remote"]]).join(","));
    let children: Vec<_> = match child_sas(connection).collect::<Vec<_>>() {
        running if running.is_empty() => items(&connection["children"]).iter().collect(),
        running => running,
    };
    let networks = joined(children.iter().map(|child| &child["remote"]));
    let networks = match networks.as_slice() {
        [first, _, ..] if !is_wide => format!("{first} +{}", networks.len() - 1),
        all => all.join(","),
    };
    let age = items(&connection["ike_sas"]).iter().filter_map(|ike| ike["age_s"].as_i64()).max();
    let since = age.and_then(|age| Timestamp::now().checked_sub(SignedDuration::from_secs(age)).ok());
    let shown_since = since.map_or_else(String::new, |since| moments::since(since, Timestamp::now(), is_wide));
    Row {
        cells: [
            text(connection, "name").to_owned(),
            peer,
            networks,
            MARK.to_owned(),
            condition(connection).to_owned(),
            shown_since,
            String::new(),
            String::new(),
            String::new(),
        ],
        tone: Tone::Plain,
        since,
        uuid: String::new(),
    }
}

/// What `show` prints of a connection that is not ours.
pub fn page(connection: &Value, look: Look) -> String {
    let word = condition(connection);
    let mut page = format!("{}\n", look.say(Tone::Head, text(connection, "name")));
    let is_left = connection["loaded"] == false;
    let note = if is_left { "; its configuration is not loaded any more" } else { "" };
    let _ = writeln!(page, "  status       {MARK}, {}{note}", look.say(tone_of(word), word));
    let _ = writeln!(page, "               it is in charon and not cygnet's: cygnet shows it and leaves it alone");
    let ends = [("version", text(connection, "version").to_owned())].into_iter().chain(
        [("gateway", "local"), ("peer", "remote")].map(|(title, name)| (title, joined([&connection[name]]).join(", "))),
    );
    for (title, value) in ends.filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(page, "  {title:<12} {}", safe(&value));
    }
    for child in items(&connection["children"]) {
        let _ = writeln!(page, "\n{}  {}", look.say(Tone::Head, "child"), safe(text(child, "name")));
        show_sas::networks(&mut page, child);
    }
    for ike in items(&connection["ike_sas"]) {
        let uses_udp = items(&ike["children"]).iter().any(|sa| sa["udp"] == true);
        show_sas::ike_sa(&mut page, ike, uses_udp, look);
        for sa in items(&ike["children"]) {
            show_sas::child_sa(&mut page, sa, None, look);
        }
    }
    if items(&connection["ike_sas"]).is_empty() {
        page.push_str("\nThere is no IKE SA.\n");
    }
    page
}
