//! `cygnet history` and `cygnet revert`: the last revisions of a connection, and the way back to one of them.

use super::{
    args::{Form, HistoryArgs},
    ask,
    client::Client,
    look::{Look, Table, Tone},
    moments, plan,
    select::{self, encoded},
    stop::{Result, Stop, note, print, print_json},
    up, width,
    write_args::RevertArgs,
};
use cygnet::visible::visible;
use hyper::Method;
use serde_json::Value;

/// `cygnet history`.
pub fn history(client: &Client, args: &HistoryArgs) -> Result<()> {
    let uuid = select::uuid(client, &args.which.connection)?;
    let answer = client.get(&format!("/cygnet/v1/connections/{uuid}/history"))?;
    if args.json.json || args.output == Some(Form::Json) {
        return print_json(&answer);
    }
    let mut table = Table::new(&["REVISION", "WHEN", "BY", "WHAT"]);
    for revision in answer["revisions"].as_array().into_iter().flatten() {
        let is_current = revision["current"] == true;
        let number = format!("{}{}", revision["revision"], if is_current { " *" } else { "" });
        let tone = if is_current { Tone::Good } else { Tone::Plain };
        let by = revision["caller"].as_str().unwrap_or_default();
        let when = moments::local(revision["at"].as_str().unwrap_or_default());
        table.row([(tone, number), (Tone::Plain, when), (Tone::Plain, by.to_owned()), (Tone::Plain, what(revision))]);
    }
    let look = Look::of_stdout();
    let page = match args.output {
        Some(Form::Wide) => table.page(look),
        _ => table.page_within(look, width::of_stdout()),
    };
    print(&page)?;
    if answer["revisions"].as_array().is_some_and(|list| list.iter().any(|revision| revision["on_trial"] == true)) {
        note("the present revision is on trial");
    }
    Ok(())
}

/// What a revision changed, in a line.
fn what(revision: &Value) -> String {
    if let Some(why) = revision["refused"].as_str() {
        return format!("not possible today: {why}");
    }
    if revision["fields"].is_null() { "the first one that is kept".into() } else { changes(&revision["fields"]) }
}

/// What differs, in a line.
pub fn changes(fields: &Value) -> String {
    let show = |value: &Value| match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let change = |field: &Value| {
        let name = field["field"].as_str().unwrap_or_default();
        match (name, field.get("changed")) {
            ("peerCidrs" | "l3NetworkRefs", _) | (_, Some(_)) => format!("{name} changed"),
            _ => format!("{name} {} -> {}", show(&field["from"]), show(&field["to"])),
        }
    };
    fields.as_array().into_iter().flatten().map(change).collect::<Vec<_>>().join(", ")
}

/// `cygnet revert`: as a Change, on trial unless the caller says otherwise or it is in transition.
pub fn revert(client: &Client, args: &RevertArgs) -> Result<()> {
    if !args.yes {
        ask::must_be_possible()?;
    }
    let uuid = select::uuid(client, &args.which.connection)?;
    let path = format!("/cygnet/v1/connections/{uuid}");
    let mut query = vec![format!("revision={}", args.revision)];
    // The old tunnel goes on in a transition, so there is nothing to confirm; the agent refuses both, by name.
    let confirms = !args.no_confirm && args.transition.transition.is_none();
    if let Some(confirm) = args.confirm.as_deref().or(confirms.then_some("60s")) {
        query.push(format!("confirm={}", encoded(&up::with_unit(confirm))));
    }
    if args.immediate {
        query.push("immediate=true".into());
    }
    let transition = plan::in_transition(&args.transition);
    if !args.yes {
        // What is seen is what is reverted: a write of somebody else in between is refused.
        let seen = client.get(&format!("{path}/history"))?;
        let present = seen["revisions"][0]["revision"].as_u64();
        let present = present.ok_or_else(|| Stop::failed("the agent's answer has no revisions"))?;
        query.push(format!("from={present}"));
        let plan = client.post(&format!("{path}/revert/plan?{}{transition}", query.join("&")), &Value::Null)?;
        if plan["fields"].as_array().is_some_and(Vec::is_empty) {
            return print(&format!("nothing to do: revision {} says what is stored\n", args.revision)).map(drop);
        }
        let question = format!("Revert {} to revision {}?", visible(&args.which.connection), args.revision);
        ask::confirmed(&(plan::page(&plan, Look::of_stderr()) + "\n"), &question)?;
    }
    let path = format!("{path}/revert?{}{transition}", query.join("&"));
    let answer = client.write(Method::POST, &path, None, &format!("reverting {uuid}"))?;
    up::finish(client, answer, "reverted", None, args.json.json)
}
