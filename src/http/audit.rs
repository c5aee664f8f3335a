//! The audit trail: one line of the log per write, with who asked, what it changed and what came of it. The values are
//! fields, by which the journal finds them (`CYGNET_UUID`, `CYGNET_ACTION`, ...). Of a key it says that it changed.
//! Each write of a known caller has its line; those of strangers are counted (`tally.rs`).

use super::{
    auth::{Caller, Origin},
    differences::{self, fields},
    error::{ErrorCode, Failure, Why},
    message::Message,
    paths::path_of,
    route::Route,
    state::{Api, Shared},
    tally::Refusal,
    written::AuditNote,
};
use crate::{
    agent::{Companion, View},
    ipsec::ConnectionId,
    store::Record,
};
use axum::{
    Extension,
    extract::{Request, State},
    http::{Method, StatusCode, Uri},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::Value;
use std::{sync::Arc, time::Instant};

/// The longest value that is shown, in characters.
const SHOWN: usize = 200;

/// Who calls without valid credentials.
const NOBODY: &str = "an unauthenticated caller";

/// A request's number: that of its job, if it is one.
#[derive(Clone)]
pub struct RequestId(pub String);

/// A write that is under way.
pub struct Write {
    method: Method,
    uri: Uri,
    /// What the path is for.
    route: Option<&'static Route>,
    request: String,
    origin: Origin,
    who: String,
    began: Instant,
    before: Option<Arc<Record>>,
    logged: bool,
}

impl Write {
    /// The write that `request` of `caller` asks for; `None` if it asks for none.
    pub fn of(api: &Api, request: &Request, origin: Origin, caller: Option<&Caller>) -> Option<Self> {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let number = request.extensions().get::<RequestId>().map(|id| id.0.clone());
        let before = owner(request.uri()).and_then(|id| api.agent.store().get(id));
        Some(Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            route: request.extensions().get().copied(),
            request: number.unwrap_or_else(|| uuid::Uuid::new_v4().as_simple().to_string()),
            origin,
            who: caller.map_or_else(|| NOBODY.into(), ToString::to_string),
            began: Instant::now(),
            before,
            logged: false,
        })
    }

    /// Logs what came of it. Of two writes to one connection at once, each shows what both changed.
    pub fn ended(mut self, api: &Api, response: &Response) {
        let note = response.extensions().get::<AuditNote>().cloned().unwrap_or_default();
        let after = note.id.or_else(|| owner(&self.uri)).and_then(|id| api.agent.store().get(id));
        let changed = changes(self.before.as_ref(), after.as_ref());
        let status = response.status();
        let result = match response.extensions().get() {
            _ if status.is_success() => "done".to_owned(),
            Some(ErrorCode(code)) => format!("refused ({code})"),
            None => format!("refused ({})", status.as_u16()),
        };
        let why = if status.is_success() { String::new() } else { why(response) };
        let more = [&why, &changed].into_iter().filter(|text| !text.is_empty());
        let more: String = more.flat_map(|text| ["; ", text]).collect();
        self.log(&note, after.as_ref(), &changed, &result, &more);
        for other in &note.others {
            self.log_other(&note, other, &result);
        }
    }

    /// A line of its own for a connection that was changed with the one that was written.
    fn log_other(&self, note: &AuditNote, other: &Companion, result: &str) {
        let (who, action) = (&self.who, self.action(note));
        let with = note.id.map(|id| id.to_string()).unwrap_or_default();
        let changed = if other.has_new_key() { "authKey changed" } else { "keyOwner changed" };
        tracing::info!(
            target: "cygnet::audit",
            uuid = %other.id(),
            action,
            request = self.request,
            peer = %other.after.spec.peer,
            caller = who,
            address = %self.origin,
            changed,
            result,
            with,
            "{}: {action} by {who} from {}: {result}; {changed} together with the connection {with}",
            other.after.label(),
            self.origin
        );
    }

    fn log(&mut self, note: &AuditNote, after: Option<&Arc<Record>>, changed: &str, result: &str, more: &str) {
        self.logged = true;
        let (who, action) = (&self.who, self.action(note));
        let record = after.or(self.before.as_ref());
        let peer = record.map(|record| tracing::field::display(record.spec.peer.clone()));
        let id = note.id.or_else(|| owner(&self.uri));
        let label = record.map(|record| record.label()).or_else(|| id.map(|id| id.to_string()));
        let label = label.map_or_else(String::new, |label| label + ": ");
        tracing::info!(
            target: "cygnet::audit",
            uuid = id.map(tracing::field::display),
            action,
            request = self.request,
            peer,
            caller = who,
            address = %self.origin,
            changed,
            result,
            duration_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "{label}{action} by {who} from {}: {result}{more}",
            self.origin
        );
    }

    /// What the write is called: as the table of routes has it, or by the message that was answered.
    fn action(&self, note: &AuditNote) -> String {
        let call = self.route.and_then(|route| route.call(&self.method));
        let name = call.and_then(|call| call.name().or(note.message.map(Message::name)));
        name.map_or_else(|| format!("{} {}", self.method, veiled(&path_of(&self.uri))), Into::into)
    }
}

impl Drop for Write {
    /// A caller who hung up, or whose time was over, does not stop a change that has begun.
    fn drop(&mut self) {
        if !self.logged {
            self.log(
                &AuditNote::default(),
                None,
                "",
                "nobody waited for the result; a change that has begun goes on",
                "",
            );
        }
    }
}

/// A path without what stands between its words: the uuid of a session opens doors.
fn veiled(path: &str) -> String {
    path.split('/').map(|part| if part.len() >= 32 { "-" } else { part }).collect::<Vec<_>>().join("/")
}

/// Has a call answered, and logs it if it is a write.
pub async fn answered(api: &Api, caller: &Caller, origin: Origin, request: Request, next: Next) -> Response {
    let write = Write::of(api, &request, origin, Some(caller));
    let mut response = next.run(request).await;
    response.extensions_mut().insert(caller.clone());
    if let Some(write) = write {
        write.ended(api, &response);
        response.extensions_mut().insert(Logged);
    }
    response
}

/// Answers and logs the write of a caller who may not write.
pub fn forbidden(api: &Api, request: &Request, origin: Origin, caller: &Caller, failure: Failure) -> Response {
    let mut response = failure.into_response();
    response.extensions_mut().insert(caller.clone());
    if let Some(write) = Write::of(api, request, origin, Some(caller)) {
        write.ended(api, &response);
        response.extensions_mut().insert(Logged);
    }
    response
}

/// That the log has a line about the call.
#[derive(Clone, Copy)]
struct Logged;

/// Logs the refusal of a call that has no line yet: of reads, and of writes that are none. The first from an address has a
/// line, the rest are counted, of callers as well as of strangers.
pub async fn refusals(
    State(api): Shared,
    Extension(origin): Extension<Origin>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().clone(), veiled(&path_of(request.uri())));
    let response = next.run(request).await;
    let (status, extensions) = (response.status(), response.extensions());
    let code = extensions.get::<ErrorCode>();
    // What is not there is no refusal; what failed here has its own line.
    let is_refusal = (status.is_client_error() && status != StatusCode::NOT_FOUND) || code.is_some();
    let kind = if extensions.get::<Caller>().is_some() { Refusal::Call } else { Refusal::Stranger };
    if is_refusal && extensions.get::<Logged>().is_none() && api.refused.is_first(kind, origin) {
        let who = extensions.get::<Caller>().map_or_else(|| NOBODY.into(), ToString::to_string);
        let code = code.map_or_else(|| status.as_u16().to_string(), |ErrorCode(code)| (*code).to_owned());
        tracing::info!(
            target: "cygnet::audit", caller = who, address = %origin, %method, path, result = code,
            "{method} {path} by {who} from {origin}: refused ({code}); {}",
            why(&response)
        );
    }
    response
}

/// The sentence of a refusal, if it is not too long.
fn why(response: &Response) -> String {
    let why = response.extensions().get::<Why>();
    why.map_or_else(String::new, |Why(text)| text.chars().take(SHOWN).collect())
}

/// Logs that a write was refused for want of valid credentials. The first of an address has a line as any other write,
/// the rest are counted: strangers must not drown what callers did.
pub fn refused(api: &Api, request: &Request, origin: Origin, response: &mut Response) {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return;
    }
    response.extensions_mut().insert(Logged);
    if !api.refused.is_first(Refusal::Write, origin) {
        return;
    }
    if let Some(write) = Write::of(api, request, origin, None) {
        write.ended(api, response);
    }
}

/// The connection that a path names.
fn owner(uri: &Uri) -> Option<ConnectionId> {
    path_of(uri).split('/').find_map(|part| part.parse().ok())
}

/// What differs between the records, as a line.
fn changes(before: Option<&Arc<Record>>, after: Option<&Arc<Record>>) -> String {
    let inventory = |record: &Arc<Record>| {
        Api::inventory(&View { record: Arc::clone(record), running: None, discount: None }, true)
    };
    let (Some(old), Some(new)) = (before, after) else {
        return match (before, after) {
            (None, Some(_)) => "it is new".into(),
            (Some(_), None) => "it is gone".into(),
            _ => String::new(),
        };
    };
    let found = fields(&inventory(old), &inventory(new), old.connection.auth != new.connection.auth, false);
    let ppk = differences::ppk(old, new, false);
    found.iter().chain(&ppk).map(change).collect::<Vec<_>>().join(", ")
}

fn change(field: &Value) -> String {
    let name = field["field"].as_str().unwrap_or_default();
    if field.get("changed").is_some() {
        return format!("{name} changed");
    }
    let show = |value: &Value| value.to_string().chars().take(SHOWN).collect::<String>();
    format!("{name} {} -> {}", show(&field["from"]), show(&field["to"]))
}
