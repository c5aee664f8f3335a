//! `cygnet status`: one line when all is well, else who is down, since when, why, and what to do.

use super::{
    client::Client,
    common_args::Json,
    list::{ALL, carries_otherwise, status, text},
    look::{Look, Tone, safe, tone_of},
    moments,
    stop::{Code, Result, Stop, print, print_json},
    width,
};
use hyper::StatusCode;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write as _};

/// `cygnet status`.
pub fn overview(client: &Client, args: &Json) -> Result<()> {
    let (code, agent) = client.get_any("/readyz")?;
    let answer = client.get(ALL)?;
    let entries = answer["connections"].as_array().map_or(&[][..], Vec::as_slice);
    let counts = Counts::of(entries);
    if args.json {
        print_json(&json!({ "agent": agent, "connections": counts.json() }))?;
    } else {
        let look = Look::of_stdout();
        let page = match counts.all_is_well(&agent, look) {
            Some(line) => line,
            None => counts.page(&agent, look) + &troubles(entries, look),
        };
        print(&width::fold(&page, width::of_stdout()))?;
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
    ready: usize,
    /// Those for whose peer, or for traffic, this gateway waits.
    waiting: usize,
    /// Those whose local address another gateway has.
    standby: usize,
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
                if !is_idle(entry) {
                    let carries = carries_otherwise(entry);
                    counts.missing += 1;
                    counts.carrying += usize::from(carries);
                    counts.named[usize::from(carries)].push(format!("{} ({code})", text(inventory, "name")));
                }
            }
            let is_ready = status(inventory) == "Ready";
            counts.ready += usize::from(is_ready);
            counts.tunnels += usize::from(is_ready || !is_idle(entry));
            counts.waiting += usize::from(entry["condition"] == "waiting");
            counts.standby += usize::from(entry["condition"] == "standby");
        }
        counts
    }

    /// The one line that says so, if the agent is ready and every tunnel is up as wanted.
    fn all_is_well(&self, agent: &Value, look: Look) -> Option<String> {
        let has = |name: &str| agent[name].as_array().is_some_and(|list| !list.is_empty());
        if agent["ready"] != true || has("damaged") || has("set_aside") || self.missing > 0 {
            return None;
        }
        let charon = agent["strongswan"].as_str().map(|version| format!(" (strongSwan {})", safe(version)));
        let disabled = if self.disabled > 0 { format!(", {} disabled", self.disabled) } else { String::new() };
        let waiting = if self.waiting > 0 { format!(", {} waiting", self.waiting) } else { String::new() };
        let standby = if self.standby > 0 { format!(", standby for {}", self.standby) } else { String::new() };
        let standby = if agent["given_up"] == true { standby + " (`cygnet active` ends that)" } else { standby };
        let ready = look.say(Tone::Good, "Ready");
        let connections = match self.total {
            0 => "no connections".to_owned(),
            _ => format!("{} of {} {ready}{waiting}{standby}{disabled}", self.ready, self.tunnels),
        };
        Some(format!("all is well: {connections}; the agent is ready{}\n", charon.unwrap_or_default()))
    }

    fn json(&self) -> Value {
        json!({ "total": self.total, "disabled": self.disabled, "enabled": self.statuses, "reasons": self.reasons,
                "missing": self.missing, "carrying": self.carrying })
    }

    fn page(&self, agent: &Value, look: Look) -> String {
        let (tone, word) = if agent["ready"] == true { (Tone::Good, "ready") } else { (Tone::Bad, "not ready") };
        let charon = agent["strongswan"].as_str().map(|version| format!(", strongSwan {}", safe(version)));
        let mut page = format!("agent        {}{}\n", look.say(tone, word), charon.unwrap_or_default());
        if let Some(role) = agent["role"].as_str().filter(|role| *role != "active") {
            let given_up = if agent["given_up"] == true { ": made so by `cygnet standby`" } else { "" };
            let _ = writeln!(page, "role         {}{given_up}", safe(role));
        }
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

/// Whether an enabled connection has nothing to bring up: in tunnel mode, a side without networks since it was created; or
/// it waits for the peer or for traffic; or another gateway has its local address.
fn is_idle(entry: &Value) -> bool {
    let inventory = &entry["inventory"];
    let is_empty = |name: &str| inventory[name].as_array().is_none_or(Vec::is_empty);
    entry["condition"] == "waiting"
        || entry["condition"] == "standby"
        || (inventory["policyMode"] == "tunnel"
            && status(inventory) != "Disconnected"
            && (is_empty("peerCidrs") || is_empty("l3NetworkRefs")))
}

/// The most connections of which `cygnet status` says why they are not up.
const EXPLAINED: usize = 10;

/// Who is not up, since when, why, and what to do.
fn troubles(entries: &[Value], look: Look) -> String {
    let is_down = |entry: &&Value| {
        entry["reason"]["code"].is_string() && entry["inventory"]["state"] != "Disabled" && !is_idle(entry)
    };
    let down: Vec<_> = entries.iter().filter(is_down).collect();
    let mut page = String::new();
    for entry in down.iter().take(EXPLAINED) {
        let (reason, name) = (&entry["reason"], safe(text(&entry["inventory"], "name")));
        let state = if carries_otherwise(entry) { "is not as wanted" } else { "is down" };
        let since = reason["since"].as_str().map(|since| format!(" since {}", moments::local(since)));
        let since = since.unwrap_or_default();
        let why = format!("{}: {}", text(reason, "code"), text(reason, "details"));
        let _ = writeln!(page, "\n{} {state}{since}", look.say(Tone::Bad, &name));
        let _ = writeln!(page, "  why   {}", safe(&why));
        let _ = writeln!(page, "  do    {}", safe(text(reason, "advice")));
    }
    match down.len().saturating_sub(EXPLAINED) {
        0 => {}
        more => {
            let _ = writeln!(page, "\nand {more} more: `cygnet list -q status!=Ready`");
        }
    }
    page
}
