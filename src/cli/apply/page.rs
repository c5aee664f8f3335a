//! The plan of a set as a page for people.

use crate::cli::{
    look::{Look, Table, Tone, safe, warnings},
    row::text,
    width,
};
use serde_json::Value;
use std::fmt::Write as _;

/// So many connections.
pub fn connections(count: usize) -> String {
    if count == 1 { "1 connection".into() } else { format!("{count} connections") }
}

/// The list `name` of a plan.
pub fn list<'a>(plan: &'a Value, name: &str) -> &'a [Value] {
    plan[name].as_array().map_or(&[], Vec::as_slice)
}

/// The page: a row for each connection that changes, and what is said of it.
pub fn plan(plan: &Value, look: Look) -> String {
    let mut table = Table::new(&["NAME", "ACTION", "IMPACT", "CHANGES"]);
    let mut items: Vec<_> = list(plan, "connections").iter().filter(|item| item["action"] != "keep").collect();
    items.sort_by_key(|item| item["place"].as_u64());
    for item in &items {
        let (action, impact) = (text(item, "action"), text(item, "impact"));
        let tone = match impact {
            "none" => Tone::Good,
            "replace" if action == "change" => Tone::Bad,
            _ => Tone::Unsure,
        };
        let impact = if action == "create" { "" } else { impact };
        let changes: Vec<_> = list(item, "fields").iter().map(change).collect();
        table.row([
            (Tone::Plain, text(item, "name").to_owned()),
            (Tone::Plain, action.to_owned()),
            (tone, impact.to_owned()),
            (Tone::Plain, changes.join(", ")),
        ]);
    }
    let deletions = list(plan, "deletions");
    for item in deletions {
        let what = format!("tunnel to {} is closed", text(item, "peerAddress"));
        table.row([
            (Tone::Plain, text(item, "name").to_owned()),
            (Tone::Bad, "delete".into()),
            (Tone::Bad, String::new()),
            (Tone::Plain, what),
        ]);
    }
    let mut page = String::new();
    if table.len() > 0 {
        page += &table.page_or_blocks(look, width::of_stdout());
        page.push('\n');
    }
    for item in &items {
        let said = warnings(&item["warnings"], look);
        if !said.is_empty() {
            let _ = write!(page, "{}:\n{said}", safe(text(item, "name")));
        }
    }
    let kept = list(plan, "connections").len() - items.len();
    let counted = |word: &str| items.iter().filter(|item| item["action"] == word).count();
    let (created, changed, deleted) = (counted("create"), counted("change"), deletions.len());
    let _ = writeln!(page, "{created} to create, {changed} to change, {deleted} to delete, {kept} as the files say");
    page
}

/// A difference in a line.
fn change(difference: &Value) -> String {
    let shown = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_object) => {
            items.iter().map(element).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    };
    let name = text(difference, "field");
    if difference.get("changed").is_some() {
        return format!("{name} (hidden)");
    }
    format!("{name} {} -> {}", shown(&difference["from"]), shown(&difference["to"]))
}

/// What tells an element of a list of an inventory from others.
fn element(item: &Value) -> String {
    let name = ["cidr", "l3NetworkUuid"].into_iter().find(|name| item[*name].is_string());
    name.map_or_else(|| item.to_string(), |name| text(item, name).to_owned())
}
