//! `cygnet list`: all connections in short.

use super::{
    args::{ListArgs, Output, StatusWord},
    client::Client,
    foreign,
    look::{Look, Table, Tone, safe, tone_of},
    moments,
    row::Row,
    select::encoded,
    stop::{Result, print, print_json},
    width,
};
use cygnet::visible::visible_json;
use jiff::Timestamp;
use serde_json::Value;
use std::{io::IsTerminal, time::Duration};

/// All connections, by name; the API's limit is 1000 unless another one is asked for.
pub(super) const ALL: &str = "/cygnet/v1/connections?sort=name&limit=2147483647";

/// The status for people: without one it is unknown.
pub(super) fn status(inventory: &Value) -> &str {
    inventory["status"].as_str().unwrap_or("Unknown")
}

pub(super) use super::row::text;

/// How often `--watch` looks.
const LOOK: Duration = Duration::from_secs(2);
/// To the upper left corner, and clear the rest (ECMA-48).
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
/// So many digits of a uuid are shown where it must be short.
const SHORT: usize = 8;

/// `cygnet list`.
pub fn list(client: &Client, args: &ListArgs) -> Result<()> {
    let condition = args.status.map(|status| match status {
        StatusWord::Ready => "status=Ready",
        StatusWord::Connecting => "status=Connecting",
        StatusWord::Disconnected => "status=Disconnected",
        StatusWord::Unknown => "status is null",
    });
    let conditions = args.conditions.iter().map(String::as_str).chain(condition);
    let path = conditions.fold(ALL.to_owned(), |path, condition| path + "&q=" + &encoded(condition));
    let is_json = args.json.json || args.output == Some(Output::Json);
    let mut before = String::new();
    loop {
        let mut answer = client.get(&path)?;
        if args.transition {
            keep_in_transition(&mut answer);
        }
        if args.all {
            answer["foreign"] = foreign::all(client)?;
        }
        if is_json && !args.watch {
            return print_json(&answer);
        }
        let page = match args.transition && args.output != Some(Output::Name) {
            _ if is_json => format!("{answer}\n"),
            true => transitions(&answer),
            false => page(&answer, args),
        };
        let is_new = std::mem::replace(&mut before, page) != before;
        let clear = if args.watch && std::io::stdout().is_terminal() { CLEAR } else { "" };
        let is_read = !is_new || print(&format!("{clear}{}", shown(&before, is_json)))?;
        if !args.watch || !is_read {
            return Ok(());
        }
        client.pause(std::future::pending(), LOOK);
    }
}

/// Leaves those alone that are in transition.
fn keep_in_transition(answer: &mut Value) {
    if let Some(entries) = answer["connections"].as_array_mut() {
        entries.retain(|entry| entry["transition"].is_object());
    }
}

/// The connections in transition.
fn transitions(answer: &Value) -> String {
    let mut table = Table::new(&["NAME", "PEER", "UNTIL", "RUNS", "ALSO ACCEPTED"]);
    for entry in answer["connections"].as_array().into_iter().flatten() {
        let (inventory, transition) = (&entry["inventory"], &entry["transition"]);
        let all = |member: &str| {
            let texts = transition[member].as_array().into_iter().flatten().filter_map(Value::as_str);
            texts.collect::<Vec<_>>().join(", ")
        };
        let is_over = transition["over"] == true;
        let until = moments::local(text(transition, "until"));
        let until = if is_over { format!("over, {until}") } else { until };
        let runs = if transition["runs"].is_null() { "unknown".to_owned() } else { all("runs") };
        let accepted = [("IKE ", all("ike")), ("CHILD_SA ", all("child"))];
        let accepted = accepted.iter().filter(|(_, list)| !list.is_empty()).map(|(kind, list)| format!("{kind}{list}"));
        let accepted = if is_over { "nothing".to_owned() } else { accepted.collect::<Vec<_>>().join("; ") };
        let tone = if is_over { Tone::Bad } else { Tone::Unsure };
        let [name, peer] = ["name", "peerAddress"].map(|member| (Tone::Plain, text(inventory, member).to_owned()));
        table.row([name, peer, (tone, until), (Tone::Plain, runs), (Tone::Plain, accepted)]);
    }
    table.page_within(Look::of_stdout(), usize::MAX)
}

/// JSON with nothing hidden in it; a page is so already.
fn shown(page: &str, is_json: bool) -> String {
    if is_json { visible_json(page) } else { page.to_owned() }
}

/// The connections as people read them.
fn page(answer: &Value, args: &ListArgs) -> String {
    let entries = answer["connections"].as_array().map_or(&[][..], Vec::as_slice);
    let is_wide = args.output == Some(Output::Wide);
    let strangers = answer["foreign"].as_array().into_iter().flatten().map(|other| foreign::row(other, is_wide));
    let mut rows: Vec<_> = entries.iter().map(|entry| row(entry, is_wide)).chain(strangers).collect();
    rows.sort_by(|one, other| one.key(args.sort).cmp(&other.key(args.sort)));
    if args.output == Some(Output::Name) {
        return rows.iter().map(|row| safe(&row.cells[0]) + "\n").collect();
    }
    let headings = ["NAME", "PEER", "NETWORKS", "STATUS", "CONDITION", "SINCE", "REASON", "UUID", "POST-QUANTUM"];
    let shown = if is_wide { headings.len() } else { headings.len() - 1 };
    let mut table = Table::new(&headings[..shown]);
    for row in rows {
        let [name, peer, networks, status, condition, since, reason, uuid, quantum] = row.cells;
        let plain = |text| (Tone::Plain, text);
        let of_condition = (tone_of(&condition), condition);
        let cells = [plain(name), plain(peer), plain(networks), (row.tone, status), of_condition];
        table.row(cells.into_iter().chain([since, reason, uuid, quantum].map(plain)).take(shown));
    }
    let mut page = table.page_within(Look::of_stdout(), if is_wide { usize::MAX } else { width::of_stdout() });
    if args.all && answer["foreign"].is_null() {
        let note = "\nConnections that are not cygnet's are unknown: charon does not answer.\n";
        page.push_str(&width::fold(note, width::of_stdout()));
    }
    page
}

/// The row of a connection of cygnet's.
fn row(entry: &Value, is_wide: bool) -> Row {
    let inventory = &entry["inventory"];
    let is_disabled = inventory["state"] == "Disabled";
    let status = if is_disabled { "Disabled" } else { status(inventory) };
    let known = |text: &str| if is_disabled { String::new() } else { text.to_owned() };
    let since: Option<Timestamp> = text(entry, "since").parse().ok().filter(|_| !is_disabled);
    let networks: Vec<_> =
        inventory["peerCidrs"].as_array().into_iter().flatten().map(|net| text(net, "cidr")).collect();
    let networks = match networks.as_slice() {
        [first, _, ..] if !is_wide => format!("{first} +{}", networks.len() - 1),
        all => all.join(","),
    };
    let carrying = if is_wide && carries_otherwise(entry) { " (carrying)" } else { "" };
    let uuid: String = text(inventory, "uuid").chars().take(if is_wide { usize::MAX } else { SHORT }).collect();
    let shown_since = since.map_or_else(String::new, |since| moments::since(since, Timestamp::now(), is_wide));
    Row {
        cells: [
            text(inventory, "name").to_owned(),
            text(inventory, "peerAddress").to_owned(),
            networks,
            status.to_owned() + carrying,
            known(text(entry, "condition")),
            shown_since,
            known(text(&entry["reason"], "code")),
            uuid,
            known(text(entry, "post_quantum")),
        ],
        tone: if is_disabled { Tone::Plain } else { tone_of(status) },
        since,
        uuid: text(inventory, "uuid").to_owned(),
    }
}

/// Whether the connection carries traffic, but not as wanted.
pub(super) fn carries_otherwise(entry: &Value) -> bool {
    entry["note"].is_string()
}
