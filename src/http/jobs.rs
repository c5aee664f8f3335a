//! Asynchronous writes (contract 1.5): 202 at once, the result by polling and by a web hook.
//!
//! Whoever knows a job's id may read its result, without any credentials; so keys are masked there.
//! The outcome lies on disk too: after a restart a finished job answers as before, and one that was
//! under way says that it was interrupted. A stranger's job costs no more than a place in a ring.

mod files;
mod id;
mod kept;
mod sent;
mod strangers;
mod table;

use super::{
    audit::{self, RequestId},
    auth::{Caller, Origin},
    envelope,
    error::{Failure, json_bytes, json_response, object},
    guard::{mark_known, permit},
    hook::{self, Hook},
    parse::MASK,
    paths::{path_of, signed_path},
    preflight,
    route::Route,
    state::{Answer, Api, Shared},
};
use crate::{error::Error, http::jobs::kept::Job};
use axum::{
    Extension,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
pub use kept::Jobs;
use serde_json::{Value, json};
use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// How long a job may take unless the caller says otherwise, in seconds.
const TIME: u64 = 1800;
/// The longest answer of a handler.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// `GET /api-jobs/{uuid}`: never refused for its credentials, because clients have none for it (contract 1.15).
pub async fn poll(
    State(api): Shared,
    Extension(origin): Extension<Origin>,
    Path(uuid): Path<String>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    if method != Method::GET {
        let text = "only GET method is allowed for querying job status";
        return Err(Failure::Text(StatusCode::METHOD_NOT_ALLOWED, text.into()));
    }
    let caller = || api.auth.check(origin, &headers, &method, &signed_path(&uri)).ok();
    let found = api.jobs.look(&uuid, || caller().map(|caller| caller.to_string())).ok_or_else(expired)?;
    let Some(outcome) = found.outcome else { return Ok(json_response(StatusCode::ACCEPTED, &json!({}))) };
    Ok(json_bytes(StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::OK), outcome.body))
}

/// There is no such job, or there is none any more.
pub fn expired() -> Failure {
    Failure::Text(StatusCode::NOT_FOUND, "the job has been expired".into())
}

/// Answers writes with 202 where the caller or the settings want it; the rest directly. Who writes is known before
/// anything else is done, and whoever is not known gets nothing done.
pub async fn asynchronous(
    State(api): Shared,
    Extension(origin): Extension<Origin>,
    Extension(route): Extension<&'static Route>,
    request: Request,
    next: Next,
) -> Answer {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return read(&api, origin, request, next).await;
    }
    let checked = api.auth.check(origin, request.headers(), request.method(), &signed_path(request.uri()));
    let caller = match checked {
        Ok(caller) => caller,
        Err(Failure::Api(error)) if api.wants_job(request.headers()) => {
            return refused(&api, origin, request, error);
        }
        Err(failure) => {
            let mut response = failure.into_response();
            audit::refused(&api, &request, origin, &mut response);
            return Ok(response);
        }
    };
    if let Err(failure) = permit(&caller, &request) {
        return Ok(audit::forbidden(&api, &request, origin, &caller, failure));
    }
    let failure = match of_caller(api, origin, route, caller.clone(), request, next).await {
        Ok(response) => return Ok(response),
        Err(failure) => failure,
    };
    let mut response = failure.into_response();
    // The log says whose call was refused.
    response.extensions_mut().insert(caller);
    Ok(response)
}

/// Answers a write of a known caller, or begins its job.
async fn of_caller(
    api: Arc<Api>,
    origin: Origin,
    route: &'static Route,
    caller: Caller,
    mut request: Request,
    next: Next,
) -> Answer {
    let wants_job = api.auth.wants_jobs(&caller) || api.wants_job(request.headers());
    request.extensions_mut().insert(caller.clone());
    let (id, time) = (id::chosen(request.headers())?, allowed_time(request.headers())?);
    if !wants_job {
        note(&request, origin, None);
        return direct(request, next, time).await;
    }
    mark_known(request.extensions());
    api.bodies.reserve(&mut request).await?;
    let (parts, body) = request.into_parts();
    let bytes = envelope::read_bytes(body).await?;
    let action = preflight::check(route, &parts, &bytes)?.name();
    let hook = api.hooks.target(&parts.headers)?;
    let length = bytes.len();
    let request = Request::from_parts(parts, Body::from(bytes));
    let (answered, sent) = sent::signal();
    let time = time.unwrap_or(Duration::from_secs(TIME));
    let headers = request.headers().clone();
    let work = Work { api, origin, caller, id, action, length, time, hook, sent };
    let id = work.begin(request, next).await?;
    Ok(answered.with(accepted(&headers, origin, &id, time)))
}

/// 202 with the place where the job can be polled.
fn accepted(headers: &HeaderMap, origin: Origin, id: &str, time: Duration) -> Response {
    let host = headers.get("Host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if matches!(origin, Origin::Network(_, true)) { "https" } else { "http" };
    let location = format!("{scheme}://{host}/zstack/v1/api-jobs/{id}");
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut response = json_response(StatusCode::ACCEPTED, &json!({ "location": location, "apiTimeout": millis }));
    response.extensions_mut().insert(Accepted(id.to_owned()));
    response
}

/// The id of the job that an answer tells of.
#[derive(Clone)]
pub struct Accepted(pub String);

/// Answers a write without valid credentials as the contract has it: 202, and the job ends with `error`.
fn refused(api: &Api, origin: Origin, request: Request, error: Error) -> Answer {
    let (id, time) = (id::chosen(request.headers())?, allowed_time(request.headers())?);
    audit::refused(api, &request, origin, &mut Failure::Api(error).into_response());
    let id = api.jobs.refuse(origin, id);
    let answer = accepted(request.headers(), origin, &id, time.unwrap_or(Duration::from_secs(TIME)));
    envelope::drop_rest(request.into_body());
    Ok(answer)
}

/// What a job is to do, and for whom.
struct Work {
    api: Arc<Api>,
    origin: Origin,
    caller: Caller,
    id: String,
    action: &'static str,
    length: usize,
    time: Duration,
    hook: Option<Hook>,
    sent: sent::Sent,
}

impl Work {
    /// Begins the job, which then goes on by itself, also if the client hangs up; its id.
    async fn begin(self, request: Request, next: Next) -> Result<String, Failure> {
        let (tell, begun) = oneshot::channel();
        tokio::spawn(async move {
            let job = self.api.jobs.begin(&self.caller, &self.id, self.length, self.action).await;
            let job = match job {
                Ok(job) => job,
                // Whoever asked may have gone.
                Err(failure) => return drop(tell.send(Err(failure))),
            };
            note(&request, self.origin, Some(job.asked()));
            // As above.
            let _ = tell.send(Ok(job.id.clone()));
            self.run(&job, request, next).await;
        });
        begun.await.map_err(|_| Failure::Api(Error::Internal("the job did not begin".into())))?
    }

    async fn run(self, job: &Job, mut request: Request, next: Next) {
        let Self { api, time, hook, sent, .. } = self;
        request.extensions_mut().insert(RequestId(job.asked().to_owned()));
        let work = AssertUnwindSafe(tokio::time::timeout(time, next.run(request))).catch_unwind();
        let (status, body) = match work.await {
            Ok(Ok(response)) => result(response).await,
            Ok(Err(_)) => (503, json!({ "error": object(&Error::Timeout(time.as_secs())) })),
            Err(_) => (503, json!({ "error": object(&Error::Internal("the job ended in a panic".into())) })),
        };
        let body = api.jobs.finish(job, status, &body).await;
        if let Some(hook) = hook {
            sent.long_ago(hook::DELAY).await;
            api.hooks.deliver(&hook, job.owner(), job.asked(), status == 200, body).await;
        }
    }
}

/// A read is always direct, but what it has of a job must have its form; what is wrong with its credentials comes first.
async fn read(api: &Api, origin: Origin, request: Request, next: Next) -> Answer {
    let Err(wrong) = id::chosen(request.headers()) else { return Ok(next.run(request).await) };
    let path = signed_path(request.uri());
    match api.auth.check(origin, request.headers(), request.method(), &path) {
        Err(text @ (Failure::Text(..) | Failure::Wrong(_))) => Err(text),
        _ => Err(wrong),
    }
}

/// Has a write answered at once, within `time` if there is any.
async fn direct(request: Request, next: Next, time: Option<Duration>) -> Answer {
    let answer = next.run(request);
    let Some(time) = time else { return Ok(answer.await) };
    // A change that has begun goes on by itself.
    tokio::time::timeout(time, answer).await.map_err(|_| Failure::Api(Error::Timeout(time.as_secs())))
}

/// Logs that a known caller asks for a write, with the address that a proxy or a management plane names.
fn note(request: &Request, origin: Origin, job: Option<&str>) {
    let text = request.headers().get("X-Request-Ip").and_then(|value| value.to_str().ok());
    let named: Option<IpAddr> = text.and_then(|text| text.trim().parse().ok());
    let (method, path) = (request.method(), path_of(request.uri()));
    let for_whom = named.map_or_else(String::new, |address| format!(" for {address}"));
    let as_job = job.map_or_else(String::new, |job| format!(", as the job {job}"));
    tracing::info!(
        %method, path, %origin, request_ip = named.map(tracing::field::display), job,
        "a write is asked for: {method} {path} from {origin}{for_whom}{as_job}"
    );
}

/// How long the work may take, if the caller says so.
fn allowed_time(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let Some(value) = headers.get("X-API-Timeout") else { return Ok(None) };
    let seconds: Option<u64> = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let wrong = || Failure::bad_request("Invalid header[X-API-Timeout], it must be a number of seconds");
    seconds.map(|seconds| Some(Duration::from_secs(seconds.clamp(1, 24 * 3600)))).ok_or_else(wrong)
}

/// What a handler answered, as polling shows it: 200 with the result, or 503 with the error.
async fn result(response: Response) -> (u16, Value) {
    let status = response.status();
    let bytes = to_bytes(response.into_body(), MAX_ANSWER).await.unwrap_or_default();
    if let Ok(mut body) = serde_json::from_slice::<Value>(&bytes) {
        mask(&mut body);
        return (if status == StatusCode::OK { 200 } else { 503 }, body);
    }
    (503, json!({ "error": object(&as_error(status, &bytes)) }))
}

/// The error that an answer in plain text is.
pub fn as_error(status: StatusCode, text: &[u8]) -> Error {
    let text = String::from_utf8_lossy(text).into_owned();
    if status.is_server_error() { Error::Internal(text) } else { Error::Argument(text) }
}

/// Hides the key in a result.
fn mask(body: &mut Value) {
    if let Some(key) = body.get_mut("inventory").and_then(|inventory| inventory.get_mut("authKey")) {
        *key = MASK.into();
    }
}
