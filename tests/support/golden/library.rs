//! What the library makes of a golden request: the same way of data as in the agent, without its effects.

use super::{
    case::{Case, RESOLVED, WARNINGS},
    text,
};
use cygnet::{
    agent::{View, Warning, said},
    error::Error,
    http::{
        Envelope,
        error::{Failure, object},
        inventory::inventory,
        parse, unknown, warned,
    },
    settings::Gateway,
    store::{Record, format},
    strongswan::{conf::Traps, requests::Loadable},
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use std::sync::Arc;

/// When all requests come.
fn now() -> Timestamp {
    "2026-01-02T15:04:05Z".parse().expect("a time")
}

/// The outputs: file and contents.
pub fn outputs(case: &Case, gateway: &Gateway) -> Vec<(&'static str, String)> {
    match record(case, gateway) {
        Ok(record) => {
            let warnings = warnings(case, &record);
            accepted(case, record).into_iter().chain(warnings).collect()
        }
        Err(failure) => vec![("error.json", refused(failure))],
    }
}

/// What a file that is exported from the records of the case means to a gateway that has them, and to one that has none.
pub fn exported_again(case: &Case, gateway: &Gateway) -> Vec<String> {
    let Ok(record) = record(case, gateway) else { return Vec::new() };
    let given = case.text("given.json").and_then(|text| format::from_bytes(text.as_bytes()).ok());
    let gateway = Arc::new(gateway.clone());
    let later: Timestamp = "2026-02-03T04:05:06Z".parse().expect("a time");
    let mut complaints = Vec::new();
    for stored in given.iter().chain([&record]) {
        let again = parse::Declared::read(parse::exported(stored), Arc::clone(&gateway)).map_err(Error::from);
        match again.and_then(|declared| declared.record(Some(stored), stored.id, later)) {
            Ok(again) if again.says_the_same(stored) && again.changed == stored.changed => {}
            Ok(_) => complaints.push(format!("{}: what is exported is a change of what is stored", case.name)),
            Err(error) => complaints.push(format!("{}: what is exported is refused: {error}", case.name)),
        }
    }
    if !case.is_change() {
        let mut members = parse::exported(&record);
        let body: Value = serde_json::from_slice(&case.request()).expect("JSON");
        for key in ["authKey", "ppk"] {
            members.insert(key.into(), given_key(&body, key));
        }
        let made = parse::Declared::read(members, gateway).map_err(Error::from);
        let made = made.and_then(|declared| declared.record(None, record.id, later));
        let made = made.map_err(Failure::from).and_then(|made| located(None, made)).map_err(Error::from);
        let conf = |record: &Record| {
            let loadable = Loadable::new(&record.accepting(), Traps::Supported).expect("it passes its self-check");
            loadable.conf.expose().to_owned()
        };
        match made {
            Ok(made) => complaints.extend(text::difference(&case.name, &conf(&record), &conf(&made))),
            Err(error) => complaints.push(format!("{}: what is exported is refused elsewhere: {error}", case.name)),
        }
    }
    complaints
}

/// The key in a body, whose members may be spelled in any letter case.
fn given_key(body: &Value, name: &str) -> Value {
    let parameters = body.as_object().into_iter().flatten().map(|(_, parameters)| &parameters[name]);
    parameters.into_iter().find(|key| key.is_string()).cloned().unwrap_or_default()
}

fn record(case: &Case, gateway: &Gateway) -> Result<Record, Failure> {
    let envelope = Envelope::parse(&case.request())?;
    if !case.is_change() {
        return located(None, parse::create(&envelope.params("params")?, gateway, now())?);
    }
    let given = case.text("given.json").unwrap_or_else(|| panic!("{} has no given.json", case.name));
    let given = format::from_bytes(given.as_bytes()).unwrap_or_else(|e| panic!("{}/given.json: {e}", case.name));
    let change = parse::change(
        &envelope.params("changeIPsecConnection")?,
        parse::MissingFields::Defaults,
        std::sync::Arc::default(),
        now(),
    )?;
    located(Some(&given), change(&given, now())?)
}

fn located(before: Option<&Record>, record: Record) -> Result<Record, Failure> {
    if record.spec.peer.name().is_none() {
        return Ok(record);
    }
    Ok(record.located(before, RESOLVED.parse().expect("an address")).map_err(Error::from)?)
}

/// What is said of members that nobody reads, and of what others say, if there is something.
fn warnings(case: &Case, record: &Record) -> Option<(&'static str, String)> {
    let envelope = Envelope::parse(&case.request()).ok()?;
    let (key, names) = if case.is_change() {
        ("changeIPsecConnection", parse::change_names())
    } else {
        ("params", parse::create_names())
    };
    let mut found = unknown::members(&envelope.params(key).ok()?, &names);
    found.extend(said(record));
    let line = |warning: &Warning| format!("{}: {}\n", warning.code, warned(warning));
    (!found.is_empty()).then(|| (WARNINGS, found.iter().map(line).collect()))
}

fn accepted(case: &Case, record: Record) -> Vec<(&'static str, String)> {
    let loadable = Loadable::new(&record.accepting(), Traps::Supported).expect("it passes its self-check");
    let view = View { record: Arc::new(record), running: Some(Vec::new()), discount: None };
    let mut inventory = inventory(&view, false, &TimeZone::UTC);
    if !case.is_change() {
        hide_random_uuids(&mut inventory);
    }
    let inventory = serde_json::to_string_pretty(&inventory).expect("JSON") + "\n";
    vec![
        ("connection.conf", loadable.conf.expose().to_owned()),
        ("messages.txt", text::messages(&loadable.requests)),
        ("inventory.json", inventory),
    ]
}

/// The uuids that a Create draws for the parts of a connection.
fn hide_random_uuids(inventory: &mut Value) {
    for list in ["peerCidrs", "l3NetworkRefs"] {
        for item in inventory[list].as_array_mut().expect("a list") {
            let uuid = item["uuid"].as_str().expect("a uuid").to_owned();
            assert!(uuid.parse::<cygnet::ipsec::ConnectionId>().is_ok(), "{uuid}");
            item["uuid"] = "<random>".into();
        }
    }
}

/// What `cygnet render` prints.
fn refused(failure: Failure) -> String {
    let error = match failure {
        Failure::Api(error) | Failure::Wrong(error) => error,
        Failure::Text(_, text) => Error::Argument(text),
    };
    format!("{}\n", json!({ "error": object(&error) }))
}
