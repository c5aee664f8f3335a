//! `cygnet plan` and `cygnet change`: the plan of a change, and the change.

use super::{
    args::PlanArgs,
    ask,
    client::Client,
    input,
    look::{Look, Table, Tone, companion, safe, warnings},
    select::{self, encoded},
    show::passes,
    stop::{Result, Stop, print, print_json},
    up, width,
    write::{TOGETHER, Write, with_query},
    write_args::{ChangeArgs, TransitionArgs},
};
use cygnet::{http::MAX_BODY, visible::visible};
use hyper::Method;
use serde_json::{Value, json};
use std::{fmt::Write as _, path::Path};

/// The members that a change may set beside the options.
const MORE: [&str; 1] = ["peerAddress"];

/// `cygnet plan`.
pub fn plan(client: &Client, args: &PlanArgs) -> Result<()> {
    let uuid = select::uuid(client, &args.which.connection)?;
    let (query, body) = if args.values.is_empty() && args.unset.is_empty() {
        (vec![], read_body(args.body.as_deref().unwrap_or(Path::new("-")))?)
    } else {
        (vec![kept(&args.unset)], json!({ "changeIPsecConnection": args.values.members(&MORE)? }))
    };
    let query: Vec<_> = query.into_iter().chain(args.together.then(|| TOGETHER.to_owned())).collect();
    let query = query.join("&") + &in_transition(&args.transition);
    let plan = client.post(&format!("/cygnet/v1/connections/{uuid}/plan?{query}"), &body)?;
    if args.json.json {
        return print_json(&plan);
    }
    print(&width::fold(&page(&plan, Look::of_stdout()), width::of_stdout())).map(drop)
}

/// `cygnet change`: the agent keeps options that are not named, so no key comes here.
pub fn change(client: &Client, args: &ChangeArgs) -> Result<()> {
    if args.values.is_empty() && args.unset.is_empty() {
        return Err(Stop::usage("no option to change is named")
            .hint("add --set NAME=VALUE, --unset NAME or --auth-key-file FILE"));
    }
    if !args.yes {
        ask::must_be_possible()?;
    }
    let body = json!({ "changeIPsecConnection": args.values.members(&MORE)? });
    let uuid = select::uuid(client, &args.which.connection)?;
    let query = kept(&args.unset) + &in_transition(&args.transition);
    if !args.yes {
        let path = with_query(format!("/cygnet/v1/connections/{uuid}/plan?{query}"), &args.how);
        let plan = client.post(&path, &body)?;
        if plan["fields"].as_array().is_some_and(|fields| !fields.is_empty()) {
            let question = format!("Apply this change to {}?", visible(&args.which.connection));
            ask::confirmed(&(page(&plan, Look::of_stderr()) + "\n"), &question)?;
        }
    }
    let path = format!("/config/{uuid}?{query}");
    let (method, body, doing, done) = (Method::PUT, Some(body), "changing", "changed");
    Write { uuid: &uuid, method, path, body, doing, done }.run(client, &args.how)
}

/// The parameters that keep what is not named, but for the identities that are taken away.
fn kept(unset: &[String]) -> String {
    if unset.is_empty() { "keep=true".into() } else { format!("keep=true&unset={}", encoded(&unset.join(","))) }
}

/// The parameters of a change in transition, behind others.
pub fn in_transition(args: &TransitionArgs) -> String {
    let Some(time) = &args.transition else { return String::new() };
    let accept = if args.accept { "&accept=true" } else { "" };
    format!("&transition={}{accept}", encoded(&up::with_unit(time)))
}

fn read_body(body: &Path) -> Result<Value> {
    let text = input::text(body, MAX_BODY as u64);
    let text = text.map_err(|e| Stop::failed(format!("cannot read {}: {e}", body.display())))?;
    serde_json::from_str(&text).map_err(|e| Stop::failed(format!("the body is not JSON: {e}")))
}

/// The plan as a page for people.
pub fn page(plan: &Value, look: Look) -> String {
    let impact = plan["impact"].as_str().unwrap_or_default();
    let (meaning, tone) = match impact {
        "none" => ("nothing is sent to charon", Tone::Good),
        "child" => ("new CHILD_SAs are negotiated in the running IKE_SA", Tone::Unsure),
        "ike" => ("a new IKE_SA with its CHILD_SAs is negotiated beside the old one", Tone::Unsure),
        "reauth" => ("the IKE_SA is negotiated again beside the old one, with the new key", Tone::Unsure),
        _ => ("another tunnel replaces this one", Tone::Bad),
    };
    let mut page = format!("impact: {} ({meaning})\n", look.say(tone, impact));
    differences(&mut page, &["field", "from", "to"], &plan["fields"], look);
    differences(&mut page, &["setting in the file", "from", "to"], &plan["file"], look);
    let steps: Vec<_> = plan["steps"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !steps.is_empty() {
        let _ = writeln!(page, "\n{}", look.say(Tone::Head, "steps"));
        for step in steps {
            let _ = writeln!(page, "  {}", safe(step));
        }
    }
    let passes = passes(&plan["passes"], "");
    if !passes.is_empty() {
        let _ = write!(page, "\n{passes}");
    }
    let others = plan["together"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !others.is_empty() {
        let _ = writeln!(page, "\n{}", look.say(Tone::Head, "changes in the same step"));
        for other in others {
            let _ = writeln!(page, "  {}", companion(other));
        }
    }
    let warnings = warnings(&plan["warnings"], look);
    if !warnings.is_empty() {
        let _ = write!(page, "\n{}\n{warnings}", look.say(Tone::Head, "warnings"));
    }
    page
}

/// A table with a row per difference.
fn differences(page: &mut String, head: &[&'static str; 3], list: &Value, look: Look) {
    let show = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut table = Table::new(head);
    for item in list.as_array().into_iter().flatten() {
        let name = show(item.get("field").or(item.get("setting")).unwrap_or(&Value::Null));
        let (from, to) = match item.get("changed") {
            Some(word) if word == "unknown" => ("(hidden)".to_owned(), "(not compared)".to_owned()),
            Some(_) => ("(hidden)".to_owned(), "(changed)".to_owned()),
            None => (show(&item["from"]), show(&item["to"])),
        };
        table.row([name, from, to].map(|text| (Tone::Plain, text)));
    }
    if table.len() > 0 {
        let _ = write!(page, "\n{}", table.page_or_blocks(look, width::of_stdout()));
    }
}
