//! `cygnet list` and `cygnet status`: all connections in short.

use super::{
    args::{Column, ListArgs, Output, StatusWord},
    client::Client,
    common_args::Json,
    look::{Look, Table, Tone, safe, tone_of},
    moments,
    select::encoded,
    stop::{Code, Result, Stop, print, print_json},
    width,
};
use cygnet::visible::visible_json;
use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write as _, io::IsTerminal, time::Duration};

/// All connections, by name; the API's limit is 1000 unless another one is asked for.
const ALL: &str = "/cygnet/v1/connections?sort=name&limit=2147483647";

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The status for people: without one it is unknown.
fn status(inventory: &Value) -> &str {
    inventory["status"].as_str().unwrap_or("Unknown")
}

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
        let answer = client.get(&path)?;
        if is_json && !args.watch {
            return print_json(&answer);
        }
        let page = if is_json { format!("{answer}\n") } else { page(&answer, args) };
        let is_new = std::mem::replace(&mut before, page) != before;
        let clear = if args.watch && std::io::stdout().is_terminal() { CLEAR } else { "" };
        let is_read = !is_new || print(&format!("{clear}{}", shown(&before, is_json)))?;
        if !args.watch || !is_read {
            return Ok(());
        }
        client.pause(std::future::pending(), LOOK);
    }
}

/// JSON with nothing hidden in it; a page is so already.
fn shown(page: &str, is_json: bool) -> String {
    if is_json { visible_json(page) } else { page.to_owned() }
}

/// The connections as people read them.
fn page(answer: &Value, args: &ListArgs) -> String {
    let entries = answer["connections"].as_array().map_or(&[][..], Vec::as_slice);
    let is_wide = args.output == Some(Output::Wide);
    let mut rows: Vec<_> = entries.iter().map(|entry| (entry, Row::of(entry, is_wide))).collect();
    rows.sort_by(|(_, one), (_, other)| one.key(args.sort).cmp(&other.key(args.sort)));
    if args.output == Some(Output::Name) {
        return rows.iter().map(|(entry, _)| safe(text(&entry["inventory"], "name")) + "\n").collect();
    }
    let mut table = Table::new(&["NAME", "PEER", "NETWORKS", "STATUS", "CONDITION", "SINCE", "REASON", "UUID"]);
    for (_, row) in rows {
        let [name, peer, networks, status, condition, since, reason, uuid] = row.cells;
        let plain = |text| (Tone::Plain, text);
        let of_condition = (tone_of(&condition), condition);
        let cells = [plain(name), plain(peer), plain(networks), (row.tone, status), of_condition];
        table.row(cells.into_iter().chain([plain(since), plain(reason), plain(uuid)]));
    }
    table.page_within(Look::of_stdout(), if is_wide { usize::MAX } else { width::of_stdout() })
}

/// A connection in the table.
struct Row {
    /// In the order of [`Column`].
    cells: [String; 8],
    tone: Tone,
    since: Option<Timestamp>,
    /// The whole uuid.
    uuid: String,
}

impl Row {
    fn of(entry: &Value, is_wide: bool) -> Self {
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
        Self {
            cells: [
                text(inventory, "name").to_owned(),
                text(inventory, "peerAddress").to_owned(),
                networks,
                status.to_owned() + carrying,
                known(text(entry, "condition")),
                shown_since,
                known(text(&entry["reason"], "code")),
                uuid,
            ],
            tone: if is_disabled { Tone::Plain } else { tone_of(status) },
            since,
            uuid: text(inventory, "uuid").to_owned(),
        }
    }

    /// What it is sorted by; the same text, by name.
    fn key(&self, column: Column) -> (Option<Timestamp>, &str, &str) {
        match column {
            Column::Since => (Some(self.since.unwrap_or(Timestamp::MAX)), "", &self.cells[0]),
            Column::Uuid => (None, &self.uuid, ""),
            other => (None, &self.cells[other as usize], &self.cells[0]),
        }
    }
}

/// Whether the connection carries traffic, but not as wanted.
fn carries_otherwise(entry: &Value) -> bool {
    entry["note"].is_string()
}

/// `cygnet status`.
pub fn overview(client: &Client, args: &Json) -> Result<()> {
    let (code, agent) = client.get_any("/readyz")?;
    let answer = client.get(ALL)?;
    let entries = answer["connections"].as_array().map_or(&[][..], Vec::as_slice);
    let counts = Counts::of(entries);
    if args.json {
        print_json(&json!({ "agent": agent, "connections": counts.json() }))?;
    } else {
        print(&width::fold(&counts.page(&agent, Look::of_stdout()), width::of_stdout()))?;
    }
    if code != StatusCode::OK {
        return Err(Stop::failed(format!("the agent is not ready: {}", text(&agent, "why"))));
    }
    if agent["damaged"].as_array().is_some_and(|damaged| !damaged.is_empty()) {
        return Err(Stop::failed("stored connections are damaged").hint("`cygnet status` names them"));
    }
    if counts.missing == 0 {
        return Ok(());
    }
    Err(Stop::new(Code::NotUp, counts.trouble()).hint("`cygnet list -q status!=Ready` shows all of them"))
}

/// The numbers of connections by state, status and reason.
#[derive(Default)]
struct Counts {
    statuses: BTreeMap<String, usize>,
    reasons: BTreeMap<String, usize>,
    disabled: usize,
    total: usize,
    /// Enabled connections that have networks.
    tunnels: usize,
    missing: usize,
    /// Of those that are missing, the ones that carry traffic, but not as wanted.
    carrying: usize,
    /// The names and reasons of those that carry nothing, and of the ones that carry otherwise.
    named: [Vec<String>; 2],
}

/// The most connections that an error of `cygnet status` names.
const NAMED: usize = 3;

impl Counts {
    /// Which tunnels are down, and which carry traffic otherwise than wanted.
    fn trouble(&self) -> String {
        let (total, noun) = (self.tunnels, if self.tunnels == 1 { "tunnel" } else { "tunnels" });
        let verbs = [["is down", "are down"], ["is not as wanted", "are not as wanted"]];
        let parts = self.named.iter().zip(verbs).filter(|(names, _)| !names.is_empty()).map(|(names, verbs)| {
            let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            let more = names.len().saturating_sub(NAMED);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!("{} of {total} {noun} {}: {shown}{more}", names.len(), verbs[usize::from(names.len() > 1)])
        });
        parts.collect::<Vec<_>>().join("; ")
    }

    fn of(entries: &[Value]) -> Self {
        let mut counts = Self { total: entries.len(), ..Self::default() };
        for entry in entries {
            let inventory = &entry["inventory"];
            if inventory["state"] == "Disabled" {
                counts.disabled += 1;
                continue;
            }
            *counts.statuses.entry(status(inventory).into()).or_default() += 1;
            if let Some(code) = entry["reason"]["code"].as_str() {
                *counts.reasons.entry(code.into()).or_default() += 1;
                // Without networks there is nothing to bring up; what waits for the peer or for traffic is no trouble.
                if !is_idle(inventory) && entry["condition"] != "waiting" {
                    let carries = carries_otherwise(entry);
                    counts.missing += 1;
                    counts.carrying += usize::from(carries);
                    counts.named[usize::from(carries)].push(format!("{} ({code})", text(inventory, "name")));
                }
            }
            counts.tunnels += usize::from(!is_idle(inventory));
        }
        counts
    }

    fn json(&self) -> Value {
        json!({ "total": self.total, "disabled": self.disabled, "enabled": self.statuses, "reasons": self.reasons,
                "missing": self.missing, "carrying": self.carrying })
    }

    fn page(&self, agent: &Value, look: Look) -> String {
        let (tone, word) = if agent["ready"] == true { (Tone::Good, "ready") } else { (Tone::Bad, "not ready") };
        let charon = agent["strongswan"].as_str().map(|version| format!(", strongSwan {}", safe(version)));
        let mut page = format!("agent        {}{}\n", look.say(tone, word), charon.unwrap_or_default());
        for damaged in agent["damaged"].as_array().into_iter().flatten() {
            let line = format!("{}: {}", text(damaged, "file"), text(damaged, "why"));
            let _ = writeln!(page, "damaged      {}", look.say(Tone::Bad, &line));
        }
        for aside in agent["set_aside"].as_array().into_iter().flatten() {
            let line = format!("{} ({}): {}", text(aside, "name"), text(aside, "uuid"), text(aside, "why"));
            let _ = writeln!(page, "set aside    {}", look.say(Tone::Bad, &line));
        }
        let counts =
            self.statuses.iter().map(|(status, count)| format!("{count} {}", look.say(tone_of(status), status)));
        let disabled = (self.disabled > 0).then(|| format!("{} disabled", self.disabled));
        let counts: Vec<_> = counts.chain(disabled).collect();
        let counts = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
        let _ = writeln!(page, "connections  {counts}");
        for (code, count) in &self.reasons {
            let _ = writeln!(page, "             {count} {}", safe(code));
        }
        page
    }
}

/// Whether an enabled connection has nothing to bring up: in tunnel mode, a side without networks.
fn is_idle(inventory: &Value) -> bool {
    let is_empty = |name: &str| inventory[name].as_array().is_none_or(Vec::is_empty);
    inventory["policyMode"] == "tunnel" && (is_empty("peerCidrs") || is_empty("l3NetworkRefs"))
}
