//! Asynchronous writes (contract 1.5): 202 at once, the result by polling and by a web hook.
//!
//! Whoever knows a job's id may read its result, without any credentials; so keys are masked there.
//! The outcome lies on disk too: after a restart a finished job answers as before, and one that was
//! under way says that it was interrupted.

use super::{
    Answer, Api, Shared,
    audit::RequestId,
    auth::Origin,
    envelope,
    error::{Failure, json_response, object},
    hook,
    parse::MASK,
    preflight,
};
use crate::{disk, error::Error};
use axum::{
    Extension,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, Method, StatusCode, request::Parts},
    middleware::Next,
    response::Response,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long a finished job is kept, in seconds.
const KEPT: i64 = 10_800;
/// Jobs at most; above it the oldest finished one goes.
const MOST: usize = 2000;
/// How long a job may take unless the caller says otherwise, in seconds.
const TIME: u64 = 1800;
/// The longest answer of a handler.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// All jobs.
pub struct Jobs {
    directory: PathBuf,
    jobs: Mutex<HashMap<String, Job>>,
}

/// One job, as it lies on disk; `ended` is missing while it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    began: Timestamp,
    #[serde(default)]
    ended: Option<Timestamp>,
    /// The status and body that polling answers; none while it runs.
    outcome: Option<(u16, Value)>,
}

impl Jobs {
    /// The jobs in `directory`. Those that were under way when the agent ended are interrupted.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(directory: PathBuf) -> crate::error::Result<Self> {
        disk::private_directory(&directory)?;
        disk::clean(&directory)?;
        let mut jobs = HashMap::new();
        for name in disk::list(&directory)? {
            let path = directory.join(&name);
            let job = disk::read(&path)?.and_then(|bytes| serde_json::from_slice::<Job>(&bytes).ok());
            let id = name.strip_suffix(".json").map(str::to_owned);
            match (id, job) {
                (Some(id), Some(mut job)) => {
                    job.outcome.get_or_insert_with(interrupted);
                    // What was interrupted ended now, as far as anybody knows.
                    job.ended.get_or_insert_with(Timestamp::now);
                    jobs.insert(id, job);
                }
                // What is no job of ours is not read again.
                _ => disk::remove(&path)?,
            }
        }
        Ok(Self { directory, jobs: Mutex::new(jobs) })
    }

    /// Begins the job `id`.
    ///
    /// # Errors
    /// When there is such a job, or no room is left, or it cannot be written.
    fn begin(&self, id: &str, now: Timestamp) -> Result<(), Failure> {
        let mut jobs = self.lock();
        let gone: Vec<_> = jobs.iter().filter(|(_, job)| job.is_old(now)).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.forget(&mut jobs, &id);
        }
        if jobs.contains_key(id) {
            return Err(Failure::bad_request(format!("Duplicate job uuid[{id}]")));
        }
        if jobs.len() >= MOST {
            let finished = jobs.iter().filter(|(_, job)| job.outcome.is_some());
            let oldest = finished.min_by_key(|(_, job)| job.began).map(|(id, _)| id.clone());
            let oldest =
                oldest.ok_or_else(|| Error::argument(format!("{MOST} jobs are under way: try again later")))?;
            self.forget(&mut jobs, &oldest);
        }
        let job = Job { began: now, ended: None, outcome: None };
        self.write(id, &job)?;
        jobs.insert(id.into(), job);
        Ok(())
    }

    fn finish(&self, id: &str, status: u16, body: &Value, now: Timestamp) {
        let mut jobs = self.lock();
        let Some(job) = jobs.get_mut(id) else { return };
        (job.ended, job.outcome) = (Some(now), Some((status, body.clone())));
        if let Err(error) = self.write(id, job) {
            // The result is in memory; after a restart the job will be said to have been interrupted.
            tracing::error!(job = id, %error, "the result of a job cannot be written");
        }
    }

    fn write(&self, id: &str, job: &Job) -> crate::error::Result<()> {
        let bytes = serde_json::to_vec(job).map_err(|e| Error::Internal(e.to_string()))?;
        disk::replace(&self.directory.join(format!("{id}.json")), &bytes, 0o600)
    }

    fn forget(&self, jobs: &mut HashMap<String, Job>, id: &str) {
        jobs.remove(id);
        if let Err(error) = disk::remove(&self.directory.join(format!("{id}.json"))) {
            tracing::error!(job = id, %error, "the file of an old job cannot be removed");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// Whether it ended so long ago that it is not kept.
    fn is_old(&self, now: Timestamp) -> bool {
        self.ended.is_some_and(|ended| now.duration_since(ended) > SignedDuration::from_secs(KEPT))
    }
}

fn interrupted() -> (u16, Value) {
    let text = "the agent was restarted while this job ran: query the connection to see what is in force";
    (503, json!({ "error": object(&Error::Internal(text.into())) }))
}

/// `GET /api-jobs/{uuid}`: never authenticated, because clients cannot (contract 1.15).
pub async fn poll(State(api): Shared, Path(uuid): Path<String>, method: Method) -> Answer {
    if method != Method::GET {
        let text = "only GET method is allowed for querying job status";
        return Err(Failure::Text(StatusCode::METHOD_NOT_ALLOWED, text.into()));
    }
    let job = api.jobs.lock().get(&uuid).filter(|job| !job.is_old(Timestamp::now())).cloned();
    match job {
        None => Err(Failure::Text(StatusCode::NOT_FOUND, "the job has been expired".into())),
        Some(Job { outcome: None, .. }) => Ok(json_response(StatusCode::ACCEPTED, &json!({}))),
        Some(Job { outcome: Some((status, body)), .. }) => {
            Ok(json_response(StatusCode::from_u16(status).unwrap_or(StatusCode::OK), &body))
        }
    }
}

/// Answers writes with 202 where the caller or the settings want it; the rest directly.
pub async fn asynchronous(
    State(api): Shared,
    Extension(origin): Extension<Origin>,
    request: Request,
    next: Next,
) -> Answer {
    let is_write = !matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_write || !api.wants_job(request.headers()) {
        return direct(&api, origin, request, next, is_write).await;
    }
    let headers = request.headers().clone();
    let (parts, body) = request.into_parts();
    // What is signed wrongly, or is no request at all, begins no job. The body of a stranger is not read.
    let mut request = Request::from_parts(parts, body);
    let path = super::signed_path(request.uri());
    let is_known = match api.auth.check(origin, &headers, request.method(), &path) {
        Ok(_) => {
            super::seated(request.extensions());
            api.bodies.reserve(&mut request).await?;
            true
        }
        Err(Failure::Api(_)) => false,
        Err(other) => return Err(other),
    };
    let (parts, body) = request.into_parts();
    let bytes = if is_known {
        let bytes = envelope::read_bytes(body).await?;
        preflight::check(&parts, &bytes)?;
        bytes
    } else {
        envelope::leave(body);
        Bytes::new()
    };
    let id = job_id(&headers)?;
    let hook = hook::target(&headers, &api.web_hook_hosts)?;
    let time = allowed_time(&headers)?.unwrap_or(Duration::from_secs(TIME));
    api.jobs.begin(&id, Timestamp::now())?;
    note(&parts, origin, Some(&id));
    let mut request = Request::from_parts(parts, Body::from(bytes));
    request.extensions_mut().insert(RequestId(id.clone()));
    let (job, shared) = (id.clone(), Arc::clone(&api));
    tokio::spawn(async move {
        let outcome = tokio::time::timeout(time, next.run(request)).await;
        let (status, body) = match outcome {
            Ok(response) => result(response).await,
            Err(_) => (503, json!({ "error": object(&Error::Timeout(time.as_secs())) })),
        };
        shared.jobs.finish(&job, status, &body, Timestamp::now());
        if let Some(hook) = hook {
            hook::deliver(&hook, &job, status == 200, &body).await;
        }
    });
    let host = headers.get("Host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if matches!(origin, Origin::Network(_, true)) { "https" } else { "http" };
    let location = format!("{scheme}://{host}/zstack/v1/api-jobs/{id}");
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Ok(json_response(StatusCode::ACCEPTED, &json!({ "location": location, "apiTimeout": millis })))
}

/// Has a call answered at once. Its headers must be right all the same.
async fn direct(api: &Api, origin: Origin, request: Request, next: Next, is_write: bool) -> Answer {
    let (parts, body) = request.into_parts();
    if parts.headers.contains_key("X-Job-UUID") {
        api.auth.check_form(origin, &parts.headers, &parts.method, &super::signed_path(&parts.uri))?;
        job_id(&parts.headers)?;
    }
    if is_write {
        note(&parts, origin, None);
    }
    let time = allowed_time(&parts.headers)?.filter(|_| is_write);
    let answer = next.run(Request::from_parts(parts, body));
    let Some(time) = time else { return Ok(answer.await) };
    // A change that has begun goes on by itself.
    tokio::time::timeout(time, answer).await.map_err(|_| Failure::Api(Error::Timeout(time.as_secs())))
}

/// Logs who asks for a write: the audit trail, with the address that a proxy or a management plane names.
fn note(parts: &Parts, origin: Origin, job: Option<&str>) {
    let text = parts.headers.get("X-Request-Ip").and_then(|value| value.to_str().ok());
    let named: Option<IpAddr> = text.and_then(|text| text.trim().parse().ok());
    tracing::info!(method = %parts.method, path = %super::path_of(&parts.uri), ?origin, request_ip = ?named, job, "a write is asked for");
}

/// How long the work may take, if the caller says so.
fn allowed_time(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let Some(value) = headers.get("X-API-Timeout") else { return Ok(None) };
    let seconds: Option<u64> = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let wrong = || Failure::bad_request("Invalid header[X-API-Timeout], it must be a number of seconds");
    seconds.map(|s| Some(Duration::from_secs(s.clamp(1, 24 * 3600)))).ok_or_else(wrong)
}

fn job_id(headers: &HeaderMap) -> Result<String, Failure> {
    let Some(id) = headers.get("X-Job-UUID") else { return Ok(uuid::Uuid::new_v4().as_simple().to_string()) };
    let id = id.to_str().unwrap_or_default();
    if id.len() == 32 && id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(id.into());
    }
    Err(Failure::bad_request("Invalid header[X-Job-UUID], it must be a UUID with '-' stripped"))
}

/// What a handler answered, as polling shows it: 200 with the result, or 503 with the error.
async fn result(response: Response) -> (u16, Value) {
    let status = response.status();
    let bytes = to_bytes(response.into_body(), MAX_ANSWER).await.unwrap_or_default();
    if let Ok(mut body) = serde_json::from_slice::<Value>(&bytes) {
        mask(&mut body);
        return (if status == StatusCode::OK { 200 } else { 503 }, body);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let error = if status.is_server_error() { Error::Internal(text) } else { Error::Argument(text) };
    (503, json!({ "error": object(&error) }))
}

/// Hides the key in a result.
fn mask(body: &mut Value) {
    if let Some(key) = body.get_mut("inventory").and_then(|inventory| inventory.get_mut("authKey")) {
        *key = MASK.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_kept_three_hours_after_its_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let jobs = Jobs::open(directory.path().join("jobs")).expect("opened");
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        assert!(jobs.begin("a", at(0)).is_ok());
        jobs.finish("a", 200, &json!({}), at(50_000));
        assert!(jobs.begin("a", at(50_000 + KEPT)).is_err(), "it took long, and is kept all the same");
        assert!(jobs.begin("a", at(50_001 + KEPT)).is_ok(), "its id is free again");
        assert!(jobs.begin("b", at(1_000_000)).is_ok() && jobs.begin("a", at(1_000_000)).is_err(), "a runs still");
    }
}
