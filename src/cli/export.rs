//! `cygnet export`: the connections as `cygnet apply` reads them, without keys.

use super::{
    apply_args::{ExportArgs, ExportOutput},
    client::Client,
    select,
    stop::{Result, print, print_json},
};
use cygnet::visible::is_hidden;
use serde_json::Value;
use std::fmt::Write as _;

/// What stands at the top.
const HEAD: &str = "# Written by cygnet export, to be read by cygnet apply. Keys are left out: where a connection exists, apply keeps its\n\
                    # key; elsewhere, give it as authKey or authKeyFile.\n";

/// `cygnet export`.
pub fn run(client: &Client, args: &ExportArgs) -> Result<()> {
    let wanted = args.connections.iter().map(|text| select::uuid(client, text)).collect::<Result<Vec<_>>>()?;
    let mut answer = client.get("/cygnet/v1/export")?;
    let list = answer["connections"].as_array_mut();
    if let Some(list) = list {
        let place = |item: &Value| wanted.iter().position(|uuid| item["uuid"] == uuid.as_str());
        list.retain(|item| wanted.is_empty() || place(item).is_some());
        list.sort_by_key(|item| (item["name"].as_str().map(str::to_owned), item["uuid"].as_str().map(str::to_owned)));
    }
    let list = answer["connections"].as_array().map_or(&[][..], Vec::as_slice);
    match args.output {
        ExportOutput::Json => print_json(&answer["connections"]),
        ExportOutput::Yaml => {
            let documents = list.iter().map(document);
            print(&(HEAD.to_owned() + &documents.collect::<String>())).map(drop)
        }
    }
}

/// A connection as a document of its own.
fn document(connection: &Value) -> String {
    let mut text = "---\n".to_owned();
    for (name, value) in connection.as_object().into_iter().flatten() {
        // Writing to a string cannot fail.
        let _ = match value {
            Value::Array(_) => writeln!(text, "{name}:"),
            value => writeln!(text, "{name}: {}", scalar(value)),
        };
        for item in value.as_array().into_iter().flatten() {
            let _ = writeln!(text, "  - {}", scalar(item));
        }
    }
    text
}

/// A value that every reader of YAML takes for the same.
fn scalar(value: &Value) -> String {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let Value::String(text) = value else { return value.to_string() };
    let is_word = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.', '/'].contains(&c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_word);
    if begins && !WORDS.contains(&text.to_ascii_lowercase().as_str()) {
        return text.clone();
    }
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        // Writing to a string cannot fail.
        let _ = match c {
            '"' | '\\' => write!(quoted, "\\{c}"),
            c if is_hidden(c) => write!(quoted, "\\U{:08x}", u32::from(c)),
            c => write!(quoted, "{c}"),
        };
    }
    quoted + "\""
}
