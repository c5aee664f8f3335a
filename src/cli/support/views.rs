//! What the agent says: the same views as for every caller, whose keys the client masks.

use super::{part::Part, secrets};
use crate::cli::client::Client;
use cygnet::strongswan::words::tells_a_key;
use serde_json::Value;
use std::fmt::Write as _;

/// The most connections that have files of their own: those that are not Ready come first.
const MOST: usize = 200;
/// The most lines of a connection's log.
const LINES: usize = 1000;

/// The parts that the agent knows.
pub fn parts(client: Result<&Client, &str>) -> Vec<Part> {
    let get = |path: &str| client.map_err(ToOwned::to_owned)?.get(path).map_err(|stop| stop.text().to_owned());
    let ready = client
        .map_err(ToOwned::to_owned)
        .and_then(|client| client.get_any("/readyz").map_err(|stop| stop.text().to_owned()));
    let metrics = client
        .map_err(ToOwned::to_owned)
        .and_then(|client| client.text("/metrics").map_err(|stop| stop.text().to_owned()));
    let list = get("/cygnet/v1/connections");
    let mut connections: Vec<_> =
        list.iter().filter_map(|list| list["connections"].as_array()).flatten().cloned().collect();
    connections.sort_by_key(|entry| entry["inventory"]["status"] == "Ready");
    let mut parts = vec![
        Part::json("ready.json", ready.map(|(_, body)| body)),
        Part::json("connections.json", list),
        Part::new("metrics.txt", metrics),
    ];
    for uuid in connections.iter().take(MOST).filter_map(|entry| entry["inventory"]["uuid"].as_str()) {
        parts.push(Part::json(format!("connections/{uuid}.json"), get(&format!("/cygnet/v1/connections/{uuid}"))));
        let log = get(&format!("/cygnet/v1/connections/{uuid}/log?lines={LINES}"));
        parts.push(Part::new(format!("connections/{uuid}.log"), log.map(|log| lines(&log))));
    }
    if let Some(more) = connections.len().checked_sub(MOST).filter(|more| *more > 0) {
        parts.push(Part::new("connections/more", Err(format!("{more} more connections are in connections.json only"))));
    }
    parts
}

/// A log as lines.
fn lines(log: &Value) -> String {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    log["lines"].as_array().into_iter().flatten().fold(String::new(), |mut all, line| {
        let said = text(line, "text");
        let said = if tells_a_key(&said) { secrets::LINE } else { said.as_str() };
        let _ = writeln!(all, "{}  {:<6}  {said}", text(line, "at"), text(line, "by"));
        all
    })
}
