//! The actions that ask for more than one connection: candidate networks, the router's log, its connections.

use super::{
    auth::Caller,
    envelope::Envelope,
    error::{Failure, json_response},
    inventory, parse, query,
    request::{Pairs, id_of},
    resources::{L3_NETWORK, l3_network},
    state::{Answer, Shared},
};
use crate::{
    disk::open::{Kind, open},
    error::{Error, Result},
    strongswan::words::{self, shorten, tells_a_key},
};
use axum::{
    Extension,
    body::Body,
    extract::{Path, Query as UrlQuery, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Map, Value, json};
use std::{
    io::{Read, Seek, SeekFrom},
    path::Path as FilePath,
    time::Duration,
};
use tokio::{process::Command, sync::Semaphore, time::timeout};

/// The class of a network's range in the management plane.
const RANGE: &str = "org.zstack.header.network.l3.IpRangeInventory";
/// How many lines of the log are answered unless the caller says otherwise.
const LINES: usize = 30;
/// How many lines of the log are answered at most.
const MAX_LINES: usize = 10_000;
/// How much of the log's end is read, in bytes.
const TAIL: u64 = 4 * 1024 * 1024;
/// How long the journal may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many read charon's log at once: each is a program that reads the journal, or some megabytes of a file.
static READERS: Semaphore = Semaphore::const_new(2);

/// `GetCandidateL3NetworksForIpSecConnection`: the local networks that could be attached.
pub async fn candidates(State(api): Shared, UrlQuery(pairs): Pairs, headers: HeaderMap) -> Answer {
    let (start, limit) = parse::page(&pairs)?;
    // Every network of the gateway can be joined with every public network.
    parse::value("publicL3Uuid", &pairs)?;
    let gateway = api.agent.gateway();
    if let Some(text) = parse::value("vipUuid", &pairs)? {
        parse::vip("vipUuid", text, &gateway)?;
    }
    let attached = match parse::value("uuid", &pairs)? {
        Some(uuid) => api.agent.view(id_of(uuid)?).await?.record.spec.local.clone(),
        None => Vec::new(),
    };
    let free = gateway.l3_networks.iter().filter(|network| !attached.iter().any(|other| other.network == network.uuid));
    let page: Vec<_> = free.skip(start).take(limit).map(l3_network).collect();
    let classes = |index: usize, network: &Map<String, Value>| {
        let ranges = network["ipRanges"].as_array().map_or(0, Vec::len);
        let ranges = (0..ranges).map(move |range| (format!("inventories[{index}].ipRanges[{range}]"), RANGE));
        std::iter::once((format!("inventories[{index}]"), L3_NETWORK.name)).chain(ranges)
    };
    let schema: Map<_, _> = page
        .iter()
        .enumerate()
        .flat_map(|(index, network)| classes(index, network))
        .map(|(place, class)| (place, class.into()))
        .collect();
    let mut answer = json!({ "inventories": page });
    // Its elements are plain maps to the Java SDK without it.
    if headers.contains_key("X-JSON-Schema") {
        answer["schema"] = schema.into();
    }
    Ok(json_response(StatusCode::OK, &answer))
}

/// `GetVpcAttachedIpsec`: the connections of the router, which is this gateway.
pub async fn attached(
    State(api): Shared,
    Path(_router): Path<String>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Answer {
    let (start, limit) = parse::page_of(&Envelope::read(body).await?.params("params")?)?;
    let views = api.agent.views().await;
    let page = views.into_iter().skip(start).take(limit).collect();
    Ok(query::reply(page, &inventory::MEMBERS, api.lens(&caller), None))
}

/// `GetVpcIPsecLog`: the last lines of charon's log, the oldest first; of one connection if it is named.
pub async fn log(State(api): Shared, UrlQuery(pairs): Pairs) -> Answer {
    let uuid = parse::required_value("uuid", &pairs)?;
    let lines = parse::number("lines", &pairs, LINES)?.min(MAX_LINES);
    if let Some(record) = uuid.parse().ok().and_then(|id| api.agent.store().get(id)) {
        let own = api.agent.log(record.id, lines, 0);
        let own: Vec<_> = own.iter().map(|line| format!("{} {}", line.at, line.text)).collect();
        return Ok(json_response(StatusCode::OK, &json!({ "ipsecLog": own.join("\n") })));
    }
    let turn = timeout(PATIENCE, READERS.acquire()).await;
    let _turn = turn.map_err(|_| Failure::busy("too many read the log"))?;
    let text = match api.charon_log.clone() {
        Some(path) => {
            tokio::task::spawn_blocking(move || tail(&path)).await.map_err(|e| Error::Internal(e.to_string()))??
        }
        None => journal(lines).await?,
    };
    let all: Vec<_> = text.lines().filter(|line| !tells_a_key(line)).map(|line| shorten(line, words::LINE)).collect();
    let last = all[all.len().saturating_sub(lines)..].join("\n");
    Ok(json_response(StatusCode::OK, &json!({ "ipsecLog": last })))
}

/// The end of charon's log file.
fn tail(path: &FilePath) -> Result<String, Failure> {
    let read = || -> std::io::Result<String> {
        let (mut file, length) = open(path, Kind::Log)?;
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(tokio::task::block_in_place(read).map_err(|e| Error::storage("read", path, e))?)
}

async fn journal(lines: usize) -> Result<String, Failure> {
    let mut command = Command::new("journalctl");
    command.args(["-u", "strongswan", "-o", "short-iso", "--no-pager", "-n"]).arg(lines.to_string()).kill_on_drop(true);
    let failed = |cause: String| Error::storage("read", "the journal", std::io::Error::other(cause));
    let output =
        timeout(PATIENCE, command.output()).await.map_err(|_| failed("journalctl did not end in time".into()))?;
    let output =
        output.map_err(|e| failed(format!("journalctl cannot be run: {e}; set charon.log to charon's log file")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().into()).into())
}
