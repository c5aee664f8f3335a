//! `cygnet apply`: the connections are as files say. The agent plans all of them as one set, the plan is shown and asked
//! about, and they are written one by one, the first one alone. The first failure ends it.

mod page;
mod sources;
mod steps;
mod yaml;

use super::{
    apply_args::ApplyArgs,
    ask,
    client::Client,
    look::safe,
    refusal,
    row::text,
    stop::{Code, Result, Stop, print, print_json},
    up, width,
};
use cygnet::{http::MAX_SET, visible::visible};
use hyper::Method;
use page::list;
use serde_json::{Value, json};
use sources::{Entry, Faults};
use std::io::Write as _;
use steps::{Outcome, Steps};

/// `cygnet apply`.
pub fn run(client: &Client, args: &ApplyArgs) -> Result<()> {
    let wait = up::time(&args.wait)?;
    if !args.yes && !args.dry_run {
        ask::must_be_possible()?;
    }
    let (entries, mut faults) = sources::entries(&args.files)?;
    if let Some(scope) = &args.deletions.scope {
        faults.extend(out_of_scope(&entries, scope));
    }
    refuse(&faults, args.is_json())?;
    let mut plan = planned(client, args, &entries)?;
    name_places(&mut plan, &entries);
    let faults: Faults = refused(&plan).collect();
    if !faults.is_empty() {
        if args.is_json() {
            print_json(&plan)?;
        }
        refuse(&faults, args.is_json())?;
    }
    let deletions = list(&plan, "deletions").len();
    refuse_deletions(args, &plan, entries.len())?;
    let changes = list(&plan, "connections").iter().filter(|item| item["action"] != "keep").count();
    if changes + deletions == 0 || args.dry_run {
        return told(&plan, args);
    }
    if !args.yes {
        let page = page::plan(&plan, super::look::Look::of_stderr());
        if changes > 0 {
            ask::confirmed(&page, &format!("Write {}?", page::connections(changes)))?;
        }
        if deletions > 0 {
            let page = if changes > 0 { String::new() } else { page };
            let question =
                format!("Delete {} that the files do not have, and close their tunnels?", page::connections(deletions));
            ask::confirmed(&page, &question)?;
        }
    }
    let steps = Steps { client, wait, confirm: args.confirm.as_deref(), most: args.max_unavailable.into() };
    let outcome = steps.run(&plan, &entries, !args.is_json());
    ended(plan, outcome, args)
}

/// What is planned, where nothing is done.
fn told(plan: &Value, args: &ApplyArgs) -> Result<()> {
    if args.is_json() {
        return print_json(plan);
    }
    let page = page::plan(plan, super::look::Look::of_stdout());
    print(&width::fold(&page, width::of_stdout())).map(drop)
}

/// The end of the writes: what was done and what was not.
fn ended(mut plan: Value, outcome: Outcome, args: &ApplyArgs) -> Result<()> {
    let Outcome { results, stopped, not_up } = outcome;
    for list in ["connections", "deletions"] {
        for item in plan[list].as_array_mut().into_iter().flatten() {
            let result = item["uuid"].as_str().and_then(|uuid| results.get(uuid)).cloned();
            item["result"] = result.unwrap_or_else(|| json!({ "state": "unchanged" }));
        }
    }
    let states = |wanted: &str| {
        let items = list(&plan, "connections").iter().chain(list(&plan, "deletions"));
        items.filter(|item| item["result"]["state"] == wanted).map(|item| safe(text(item, "name"))).collect::<Vec<_>>()
    };
    let not_done = states("not_done");
    let count = |of: &[&str]| of.iter().map(|state| states(state).len()).sum::<usize>();
    let (done, failed) = (count(&["created", "changed", "deleted"]), count(&["failed", "unknown"]));
    if let Some(stop) = &stopped {
        plan["stopped"] = stop.json()["error"].take();
    }
    if args.is_json() {
        print_json(&plan)?;
    } else if stopped.is_some() {
        let left = if not_done.is_empty() { String::new() } else { format!("not done: {}\n", not_done.join(", ")) };
        print(&width::fold(&left, width::of_stdout()))?;
    }
    match (stopped, not_up.as_slice()) {
        (Some(stop), _) => {
            let text = format!("stopped after {done} of {}: {}", done + failed + not_done.len(), stop.text());
            Err(Stop::new(stop.code, text).hint(
                "what is done stays; put right what is wrong and apply again: what is as the files say is left alone",
            ))
        }
        (None, []) => Ok(()),
        (None, names) => Err(Stop::new(Code::NotUp, format!("done, but not up: {}", names.join(", ")))
            .hint("`cygnet show NAME` says why")),
    }
}

/// Asks the agent for the plan of all.
fn planned(client: &Client, args: &ApplyArgs, entries: &[Entry]) -> Result<Value> {
    let connections: Vec<_> = entries.iter().map(|entry| &entry.members).collect();
    let body = json!({ "connections": connections, "prune": args.deletions.prune, "scope": args.deletions.scope });
    if body.to_string().len() > MAX_SET {
        return Err(Stop::failed(format!("the files are longer than {MAX_SET} bytes together")));
    }
    let confirm = args.confirm.as_deref().map(steps::confirm).unwrap_or_default();
    let doing = format!("planning {}", page::connections(entries.len()));
    client.write(Method::POST, &format!("/cygnet/v1/plan{confirm}"), Some(&body), &doing)
}

/// Gives each connection of the plan the place where it stands.
fn name_places(plan: &mut Value, entries: &[Entry]) {
    let items = plan["connections"].as_array_mut().into_iter().flatten();
    for (item, entry) in items.zip(entries) {
        let field = item["error"]["opaque"]["field"].as_str().map(str::to_owned);
        item["file"] = entry.place(field.as_deref()).to_string().into();
        if item["name"].is_null() {
            item["name"] = entry.members.get("name").cloned().unwrap_or_default();
        }
    }
}

/// What the agent refuses, with its places.
fn refused(plan: &Value) -> impl Iterator<Item = String> {
    let deletions: Vec<_> = list(plan, "deletions").iter().map(|item| text(item, "uuid")).collect();
    list(plan, "connections").iter().filter(|item| !item["error"].is_null()).map(move |item| {
        let others = item["error"]["opaque"]["connections"].as_array().into_iter().flatten();
        let is_pruned = others.into_iter().any(|other| deletions.contains(&text(other, "uuid")));
        let hint = if is_pruned {
            "; that one is not in the files and would be deleted last: give its uuid here, if this is it under another name"
        } else {
            ""
        };
        format!("{}: {}{hint}", text(item, "file"), refusal::text(&item["error"]))
    })
}

/// Prints all that is wrong; nothing was done.
fn refuse(faults: &[String], as_json: bool) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    if let ([one], false) = (faults, as_json) {
        return Err(Stop::failed(one).hint("nothing was done"));
    }
    if as_json {
        return Err(Stop::failed(faults.join("; ")).hint("nothing was done"));
    }
    for fault in faults {
        // Nothing is left to do if standard error is closed.
        let _ = writeln!(std::io::stderr(), "{}", safe(fault));
    }
    Err(Stop::failed(format!("{} faults; nothing was done", faults.len())))
}

/// The connections that a deletion in this scope would take next time.
fn out_of_scope(entries: &[Entry], scope: &str) -> Faults {
    let has = |entry: &&Entry| {
        let tags = entry.members.get("userTags").and_then(Value::as_array);
        !tags.is_some_and(|tags| tags.iter().any(|tag| tag == scope))
    };
    let fault = |entry: &Entry| {
        let place = entry.place(Some("userTags"));
        format!("{place}: userTags must have {}, which --scope names", visible(scope))
    };
    entries.iter().filter(has).map(fault).collect()
}

/// Refuses deletions that nobody can have meant.
fn refuse_deletions(args: &ApplyArgs, plan: &Value, entries: usize) -> Result<()> {
    let deletions = list(plan, "deletions");
    if deletions.is_empty() || args.dry_run {
        return Ok(());
    }
    let names: Vec<_> = deletions.iter().map(|item| safe(text(item, "name"))).collect();
    let (count, names) = (page::connections(deletions.len()), names.join(", "));
    if entries == 0 && !args.deletions.allow_empty {
        return Err(Stop::failed(format!("the files have no connection, so all of these would be deleted: {names}"))
            .hint("check the files; add --allow-empty if that is meant"));
    }
    if let Some(item) = deletions.iter().find(|item| item["on_trial"] == true) {
        return Err(Stop::failed(format!("{} would be deleted, and has a change on trial", safe(text(item, "name"))))
            .hint("wait until it is decided"));
    }
    match args.deletions.max_deletions {
        Some(most) if deletions.len() > most => {
            Err(Stop::failed(format!("{count} would be deleted, and --max-deletions is {most}: {names}")))
        }
        None if args.yes => {
            Err(Stop::usage(format!("{count} would be deleted, which --yes alone does not confirm: {names}"))
                .hint(format!("add --max-deletions={}, or answer on a terminal", deletions.len())))
        }
        _ => Ok(()),
    }
}
