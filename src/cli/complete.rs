//! `cygnet complete`, which the shells' completions call: what may stand at the cursor. It never complains and is never
//! slow: without an agent there are no names. Exit code 1 means that a file name may stand there.

mod line;
mod place;

use super::{
    args::{Cli, CompleteArgs, Shell},
    client::Client,
    select::encoded,
    stop::print,
};
use clap::CommandFactory;
use cygnet::{
    settings::{Gateway, Settings},
    visible::visible,
};
use line::Word;
use place::{Place, Value};
use serde_json::Value as Json;
use std::{path::Path, process::ExitCode, time::Duration};

/// How long the agent may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most connections that are offered.
const MOST: usize = 500;
/// The most bytes of a description.
const DESCRIBED: usize = 60;

/// What may stand at the cursor, and what it is.
struct Candidate {
    text: String,
    about: String,
}

/// Prints the candidates, a line each.
pub fn run(config: &Path, args: &CompleteArgs) -> ExitCode {
    let Some((before, word)) = typed(args) else { return ExitCode::SUCCESS };
    let mut command = Cli::command();
    command.build();
    let place = place::at(&command, &before, &word.text);
    if matches!(place.value, Value::File) {
        return ExitCode::FAILURE;
    }
    let config = place.config.as_deref().unwrap_or(config);
    let found = candidates(&place, config, &word.text[place.prefix.len()..]);
    let lines = found.into_iter().filter_map(|candidate| {
        let whole = format!("{}{}", place.prefix, candidate.text);
        let text = if args.shell == Shell::Bash { word.insertion(&whole)? } else { whole };
        let about = visible(&candidate.about);
        let about = &about[..about.floor_char_boundary(DESCRIBED)];
        let has_about = args.shell != Shell::Bash && !about.is_empty();
        Some(if has_about { format!("{text}\t{about}\n") } else { format!("{text}\n") })
    });
    // A shell that is gone needs no candidates.
    let _ = print(&lines.collect::<String>());
    ExitCode::SUCCESS
}

/// The words before the cursor, without the program's name, and the one at the cursor.
fn typed(args: &CompleteArgs) -> Option<(Vec<String>, Word)> {
    if args.shell == Shell::Bash {
        let [breaks, line] = args.words.as_slice() else { return None };
        let (words, last) = line::split(line, breaks);
        return Some((words.into_iter().skip_while(|word| word.contains('=')).skip(1).collect(), last));
    }
    let (last, before) = args.words.split_last()?;
    // fish tells the last word as it was typed.
    let last = if args.shell == Shell::Fish { line::split(last, "").1.text } else { last.clone() };
    Some((before.iter().skip(1).cloned().collect(), Word::plain(last)))
}

/// The candidates of a place that begin with `text`.
fn candidates(place: &Place, config: &Path, text: &str) -> Vec<Candidate> {
    let named = |(text, about): &(String, String)| Candidate { text: text.clone(), about: about.clone() };
    let all = match &place.value {
        Value::Words(words) => words.iter().map(named).collect(),
        Value::Connection => connections(config, text),
        Value::Network => gateway(config).map_or_else(Vec::new, |gateway| networks(&gateway)),
        Value::Vip => gateway(config).map_or_else(Vec::new, |gateway| vips(&gateway)),
        Value::File | Value::Unknown => Vec::new(),
    };
    all.into_iter().filter(|candidate| candidate.text.starts_with(text) && is_typed(&candidate.text)).collect()
}

/// Whether a text can be typed, and be shown without a terminal obeying it.
fn is_typed(text: &str) -> bool {
    !text.is_empty() && visible(text) == text
}

fn gateway(config: &Path) -> Option<Gateway> {
    Settings::read(config).ok().map(|settings| settings.gateway)
}

/// The connections whose name or uuid begins with `text`: the names, and the uuids of those whose name means something else
/// or cannot be typed, or whose uuid is being typed.
fn connections(config: &Path, text: &str) -> Vec<Candidate> {
    let Ok(client) = Client::new(config) else { return Vec::new() };
    let mut found = matching(&client, "name", text);
    let is_usable = |name: &str| {
        let is_uuid = name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit());
        is_typed(name) && !is_uuid && !name.starts_with('-')
    };
    let digits = !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if digits {
        found.extend(matching(&client, "uuid", text));
    }
    let offers = found.into_iter().map(|(uuid, name)| {
        let by_name = name.starts_with(text) && is_usable(&name);
        if by_name { Candidate { text: name, about: uuid } } else { Candidate { text: uuid, about: name } }
    });
    let mut offers: Vec<_> = offers.collect();
    offers.sort_by(|a, b| a.text.cmp(&b.text));
    offers.dedup_by(|a, b| a.text == b.text);
    offers
}

/// The uuids and names of the connections whose `member` begins with `text`.
fn matching(client: &Client, member: &str, text: &str) -> Vec<(String, String)> {
    let condition =
        if text.is_empty() { String::new() } else { format!("&q={}", encoded(&format!("{member}~={text}%"))) };
    let path = format!("/zstack/v1/ipsec?fields=uuid,name&sort=%2Bname&limit={MOST}{condition}");
    let Ok(answer) = client.get_within(&path, PATIENCE) else { return Vec::new() };
    let text = |value: &Json, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let items = answer["inventories"].as_array().into_iter().flatten();
    items.map(|item| (text(item, "uuid"), text(item, "name"))).collect()
}

/// The local networks of the settings: each by its name, or else by its CIDRs or its uuid.
fn networks(gateway: &Gateway) -> Vec<Candidate> {
    let network = |network: &cygnet::settings::L3Network| {
        let cidrs = network.cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let text = network
            .name
            .clone()
            .unwrap_or_else(|| if network.cidrs.len() == 1 { cidrs.clone() } else { network.uuid.clone() });
        Candidate { text, about: cidrs }
    };
    gateway.l3_networks.iter().map(network).collect()
}

/// The VIPs of the settings: each by its name, or else by its address.
fn vips(gateway: &Gateway) -> Vec<Candidate> {
    let vip = |vip: &cygnet::settings::Vip| {
        let address = vip.address.to_string();
        Candidate { text: vip.name.clone().unwrap_or_else(|| address.clone()), about: address }
    };
    gateway.vips.iter().map(vip).collect()
}
