//! `cygnet compare`: where another gateway has other connections than this one. Of keys it learns only whether they differ.

use super::{
    client::Client,
    compare_args::CompareArgs,
    look::{Look, Table, Tone},
    row::text,
    stop::{Code, Result, Stop, note, print, print_json},
    width,
};
use cygnet::{
    http::{
        comparison::Comparison,
        other_gateway::{Door, Fault, OtherGateway},
        pair::{self, DIGESTS, PATH},
    },
    settings::Settings,
};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

/// How long the other gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// `cygnet compare`. Exit code 1 says that they differ, so no failure has it.
pub fn run(config: &Path, args: &CompareArgs) -> Result<()> {
    let found = compared(config, args).map_err(|mut stop| {
        if stop.code == Code::Failed {
            stop.code = Code::Unreachable;
        }
        stop
    })?;
    if args.json.json {
        print_json(&found)?;
    } else {
        print(&page(&found))?;
    }
    let [here, there] = ["here", "there"].map(|side| text(&found["versions"], side));
    if here != there && !args.json.json {
        note(&format!("{} runs cygnet {there}, and this gateway {here}", text(&found, "with")));
    }
    for vip in found["active_on_both"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !args.json.json {
            note(&format!("{vip} is on both gateways: see why keepalived does not hear the other one"));
        }
    }
    if let Some(why) = found["keys"]["why_not"].as_str().filter(|_| !args.json.json) {
        note(&format!("keys were not compared: {why}"));
    }
    if found["same"] == true {
        return Ok(());
    }
    Err(Stop::failed(format!("{} of {} connections are not the same on both", found["differing"], found["compared"])))
}

fn compared(config: &Path, args: &CompareArgs) -> Result<Value> {
    let settings = Settings::read(config).map_err(Stop::usage)?;
    let door = match &args.with {
        Some(url) => Some(Door {
            url: url.clone(),
            token_file: args.token_file.clone(),
            ca: args.ca.clone(),
            own: args.cert.clone().zip(args.key.clone()),
        }),
        None => pair::door(&settings.ha),
    };
    let door = door.ok_or_else(|| {
        Stop::usage("which gateway is meant? Give --with URL").hint("ha.peer in the settings makes --with needless")
    })?;
    let other = OtherGateway::new(&door).map_err(Stop::usage)?;
    let client = Client::of(settings)?;
    let here = client.get(PATH)?;
    let there = asked(&client, &other)?;
    let mut found =
        Comparison::of(&here, &there).map_err(|why| Stop::new(Code::Unreachable, format!("{}: {why}", other.url)))?;
    let keys = keys(&client, &other, &found);
    found.learn_keys(keys.as_ref().map_err(Clone::clone));
    Ok(found.json(&other.url))
}

fn asked(client: &Client, other: &OtherGateway) -> Result<Value> {
    client.waiting(&format!("asking {}", other.url), async {
        pair::ask(other, PATIENCE).await.map_err(|fault| match fault {
            Fault::Unreachable(text) if text.contains("UnknownIssuer") => {
                Stop::new(Code::Unreachable, text).hint("name the CA of its certificate with --ca")
            }
            Fault::Unreachable(text) => Stop::new(Code::Unreachable, text),
            refused @ Fault::Refused(..) => Stop::new(Code::Unreachable, format!("{}: {refused}", other.url)),
        })
    })
}

/// Which keys differ, or why nobody knows. The digests go to the other gateway alone.
fn keys(client: &Client, other: &OtherGateway, found: &Comparison) -> Result<Value, String> {
    let nonce = pair::nonce()?;
    let body = json!({ "nonce": nonce, "connections": found.pairs() });
    let digests = client.post(DIGESTS, &body).map_err(|stop| stop.text().to_owned())?;
    let asked = async { Ok(pair::ask_keys(other, &nonce, &digests["digests"], PATIENCE).await) };
    client.waiting("comparing keys", asked).map_err(|stop| stop.text().to_owned())?
}

/// What differs, a row for each field.
fn page(found: &Value) -> String {
    let connections = found["connections"].as_array().map_or(&[][..], Vec::as_slice);
    if connections.is_empty() {
        return format!("{} connections are the same as on {}\n", found["compared"], text(found, "with"));
    }
    let mut table = Table::new(&["NAME", "FIELD", "HERE", "THERE"]);
    for connection in connections {
        let mut row = |field: &str, here: String, there: String| {
            let name = text(connection, "name").to_owned();
            table.row([
                (Tone::Plain, name),
                (Tone::Plain, field.to_owned()),
                (Tone::Plain, here),
                (Tone::Plain, there),
            ]);
        };
        match text(connection, "what") {
            "only_here" => row("", "only here".into(), String::new()),
            "only_there" => row("", String::new(), "only there".into()),
            _ => {
                for field in connection["fields"].as_array().into_iter().flatten() {
                    let of = |side: &str| if field["differs"] == true { "differs".into() } else { shown(&field[side]) };
                    row(text(field, "field"), of("here"), of("there"));
                }
            }
        }
    }
    table.page_within(Look::of_stdout(), width::of_stdout())
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
