//! Streams: what happens on this gateway, and a connection's log as it grows (server-sent events).

use super::{
    child_json,
    error::json_response,
    fleet::Follower,
    parse, reason_json,
    request::{Pairs, id_of},
    state::{Answer, Api, Shared},
};
use crate::agent::{Event, EventKind, LogEntry, Speaker};
use axum::{
    extract::{Path, Query as UrlQuery, State},
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::time::interval;

/// A comment is sent this often while nothing happens, so that both ends notice a dead connection.
const ALIVE: Duration = Duration::from_secs(15);
/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How many lines of a log are answered unless the caller says otherwise.
const LINES: usize = 100;

/// The header that says up to where a reader has a stream.
const CURSOR: &str = "Last-Event-ID";

/// The cursor of a reader that had a stream before.
fn cursor_in(headers: &HeaderMap) -> Option<&str> {
    headers.get(CURSOR).map(|value| value.to_str().unwrap_or_default())
}

/// `GET /cygnet/v1/events`: what happens from now on, or since the event that `Last-Event-ID` names. `fleet` says for which
/// gateway of a fleet the reader follows.
pub async fn events(State(api): Shared, UrlQuery(pairs): Pairs, headers: HeaderMap) -> Answer {
    let follower = api.followers.enter(&pairs)?;
    let feed = api.agent.events();
    let latest = *feed.subscribe().borrow();
    let (after, missed) = match cursor_in(&headers) {
        Some(cursor) => feed.number(cursor).map_or((0, true), |number| (number, false)),
        None => (latest, false),
    };
    // A reader that is cut off before the first event has a cursor too.
    let begin = sse::Event::default().id(feed.cursor(after));
    let first = [Ok(begin)].into_iter().chain(missed.then(|| Ok(gap())));
    let stop = api.stop.clone().cancelled_owned();
    let rest = stream::unfold((api, after, follower), following).flat_map(stream::iter).take_until(stop);
    Ok(answer(stream::iter(first).chain(rest)))
}

/// A reader, who has all events up to this number; the last goes with the stream.
type Reader = (Arc<Api>, u64, Option<Follower>);

/// Waits for events behind `after`.
async fn following((api, after, follower): Reader) -> Option<(Vec<Item>, Reader)> {
    let feed = api.agent.events();
    let mut latest = feed.subscribe();
    latest.wait_for(|number| *number > after).await.ok()?;
    let new = feed.behind(after);
    let gap = new.missed.then(|| Ok(gap()));
    let told = new.events.iter().map(|event| Ok(told(event).id(feed.cursor(event.number))));
    let items = gap.into_iter().chain(told).collect();
    let last = new.events.last().map_or(after, |event| event.number);
    Some((items, (api, last, follower)))
}

type Item = Result<sse::Event, Infallible>;

/// Tells a reader that it must read everything anew.
fn gap() -> sse::Event {
    sse::Event::default().event("missed").data("{\"event\":\"missed\"}")
}

fn told(event: &Event) -> sse::Event {
    let mut body = json!({ "event": event.what.name(), "at": event.at.to_string() });
    if let Some(id) = event.id {
        body["uuid"] = id.to_string().into();
    }
    match &event.what {
        EventKind::Down(reason) | EventKind::TransitionOver(reason) => body["reason"] = reason_json::reason(reason),
        EventKind::NotAsWanted(note, reason) => {
            body["note"] = (*note).into();
            body["reason"] = reason_json::reason(reason);
        }
        EventKind::Drift(repaired) => body["put_back"] = json!(repaired),
        EventKind::SettingsDrift(drift) => body["settings"] = child_json::settings_drift(drift),
        EventKind::TookOver(vip) | EventKind::GaveUp(vip) => body["vip"] = vip.to_string().into(),
        EventKind::CharonLost(cause) => body["why"] = cause.as_str().into(),
        EventKind::TransitionBegan(until) => body["until"] = until.to_string().into(),
        EventKind::Up
        | EventKind::Changed
        | EventKind::TransitionMoved
        | EventKind::Deleted
        | EventKind::CharonBack => {}
    }
    sse::Event::default().event(event.what.name()).data(body.to_string())
}

fn answer(items: impl Stream<Item = Item> + Send + 'static) -> axum::response::Response {
    Sse::new(items).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}

/// `GET /cygnet/v1/connections/{uuid}/log`: the last lines that belong to the connection, or all behind the line that
/// `Last-Event-ID` names, and with `follow=true` those that come, as server-sent events.
pub async fn log(State(api): Shared, Path(uuid): Path<String>, UrlQuery(pairs): Pairs, headers: HeaderMap) -> Answer {
    let id = api.agent.view(id_of(&uuid)?).await?.record.id;
    let count = parse::number("lines", &pairs, LINES)?;
    let lines = match cursor_in(&headers).and_then(line_of) {
        Some((number, at)) => api.agent.log(id, usize::MAX, api.agent.known_lines(id, number, at)),
        None => api.agent.log(id, count, 0),
    };
    if parse::value("follow", &pairs)? != Some("true") {
        let lines: Vec<_> = lines.iter().map(line).collect();
        return Ok(json_response(StatusCode::OK, &json!({ "lines": lines })));
    }
    let last = lines.last().map_or(0, |line| line.number);
    let stop = api.stop.clone().cancelled_owned();
    let grows = stream::unfold((api, last, interval(LOOK)), move |(api, last, mut clock)| async move {
        clock.tick().await;
        // The log of a connection ends with it.
        api.agent.store().get(id)?;
        let lines = api.agent.log(id, usize::MAX, last);
        let last = lines.last().map_or(last, |line| line.number);
        Some((lines, (api, last, clock)))
    });
    let all = stream::iter(lines).chain(grows.flat_map(stream::iter)).take_until(stop);
    let told = |entry: LogEntry| sse::Event::default().event("line").data(line(&entry).to_string()).id(cursor(&entry));
    Ok(answer(all.map(move |entry| Ok(told(entry)))))
}

/// The cursor of a line: its number, and its time, because an agent that is killed may give the number again.
fn cursor(entry: &LogEntry) -> String {
    format!("{}-{}", entry.number, entry.at.as_microsecond())
}

/// The line that a cursor names.
fn line_of(cursor: &str) -> Option<(u64, Timestamp)> {
    let (number, at) = cursor.split_once('-')?;
    Some((number.parse().ok()?, Timestamp::from_microsecond(at.parse().ok()?).ok()?))
}

fn line(entry: &LogEntry) -> Value {
    let speaker = match entry.speaker {
        Speaker::Charon => "charon",
        Speaker::Agent => "cygnet",
    };
    json!({ "number": entry.number, "at": entry.at.to_string(), "by": speaker, "text": entry.text })
}
