//! The agent's API over its Unix socket, for the subcommands. No answer leaves this file with a key in it.

use super::{
    progress::Progress,
    stop::{Code, Result, Stop, note},
    stream::Stream,
};
use cygnet::{
    rights,
    settings::{Gateway, Settings},
};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{net::UnixStream, runtime::Runtime, time::timeout};

/// How long the agent may take to answer a read; a write may wait for its tunnel and has no limit.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a job is polled.
const LOOK: Duration = Duration::from_millis(200);
/// The first wait for an agent that is away; each next one is twice as long.
const AGAIN_FIRST: Duration = Duration::from_millis(200);
/// The longest of these waits.
const AGAIN_MOST: Duration = Duration::from_secs(5);
/// Who needs no sudo.
const MEMBERS: &str = "members of the group cygnet need no sudo, once they have logged in again";
/// The replacement of a key.
const MASK: &str = "******";

/// A client of the agent.
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
    /// The section `[gateway]` of the settings.
    pub gateway: Gateway,
}

impl Client {
    /// A client of the agent with the settings in `config`.
    pub fn new(config: &Path) -> Result<Self> {
        Self::of(Settings::read(config).map_err(Stop::failed)?)
    }

    /// A client of the agent with these settings.
    pub fn of(settings: Settings) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Stop::failed(format!("cannot start: {e}")))?;
        Ok(Self { socket: settings.socket, runtime, gateway: settings.gateway })
    }

    /// GET; anything but success is an error.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.get_within(path, PATIENCE)
    }

    /// GET within `patience`.
    pub fn get_within(&self, path: &str, patience: Duration) -> Result<Value> {
        let (status, bytes) = self.ask(path, patience)?;
        judged(status, &bytes)
    }

    /// GET of a text.
    pub fn text(&self, path: &str) -> Result<String> {
        let (status, bytes) = self.ask(path, PATIENCE)?;
        if status == StatusCode::OK {
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        } else {
            Err(odd(status, &bytes))
        }
    }

    /// GET; returns the status and the JSON for any status.
    pub fn get_any(&self, path: &str) -> Result<(StatusCode, Value)> {
        let (status, bytes) = self.ask(path, PATIENCE)?;
        serde_json::from_slice(&bytes).map(|value| (status, value)).map_err(|_| odd(status, &bytes))
    }

    fn ask(&self, path: &str, patience: Duration) -> Result<(StatusCode, Bytes)> {
        let asked = async { timeout(patience, self.exchange(Method::GET, path, None)).await };
        self.runtime.block_on(asked).unwrap_or_else(|_| {
            Err(Stop::new(Code::Unreachable, format!("the agent did not answer within {} s", patience.as_secs())))
        })
    }

    /// POST with a body, for requests without effects.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, bytes) = self.runtime.block_on(self.exchange(Method::POST, path, Some(body)))?;
        judged(status, &bytes)
    }

    /// Sends a write, and follows a job to its end; meanwhile a terminal shows `doing`.
    pub fn write(&self, method: Method, path: &str, body: Option<&Value>, doing: &str) -> Result<Value> {
        self.write_if(method, path, &[], body, doing)
    }

    /// The same with headers that say what it presumes.
    pub fn write_if(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
        doing: &str,
    ) -> Result<Value> {
        self.waiting(doing, async {
            let response = self.response(method, path, headers, body).await?;
            let mut status = response.status();
            let mut bytes = response.into_body().collect().await.map_err(broken)?.to_bytes();
            if let Some(job) = job_of(status, &bytes) {
                while status == StatusCode::ACCEPTED {
                    tokio::time::sleep(LOOK).await;
                    (status, bytes) = self.exchange(Method::GET, &job, None).await?;
                }
            }
            judged(status, &bytes)
        })
    }

    /// Runs `work`; meanwhile a terminal shows what it waits for.
    pub fn waiting<T>(&self, doing: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut progress = Progress::new();
        self.runtime.block_on(async {
            tokio::pin!(work);
            loop {
                tokio::select! {
                    done = &mut work => return done,
                    () = progress.tick() => progress.say(doing),
                }
            }
        })
    }

    /// Waits for `tick`, but no longer than `most`.
    pub fn pause(&self, tick: impl Future<Output = ()>, most: Duration) {
        // Both outcomes continue the loop.
        let _ = self.runtime.block_on(async { timeout(most, tick).await });
    }

    /// Reads the server-sent events of `path` behind `cursor` until `each` returns `false`. When the agent goes away, it is
    /// awaited, and the stream goes on where it was.
    pub fn follow(
        &self,
        path: &str,
        mut cursor: Option<String>,
        mut each: impl FnMut(&str) -> Result<bool>,
    ) -> Result<()> {
        self.runtime.block_on(async {
            let mut stream = self.open(path, cursor.as_deref()).await?;
            loop {
                if stream.read(&mut cursor, &mut each).await? {
                    return Ok(());
                }
                if !stream.goes_on {
                    return Err(Stop::new(Code::Unreachable, "the agent has ended the stream"));
                }
                note("the agent has ended; waiting until it is back (Ctrl-C ends this)");
                let mut pause = AGAIN_FIRST;
                stream = loop {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(AGAIN_MOST);
                    match self.open(path, cursor.as_deref()).await {
                        Ok(stream) => break stream,
                        Err(stop) if stop.code == Code::Unreachable => {}
                        Err(stop) => return Err(stop),
                    }
                };
                note("the agent is back");
            }
        })
    }

    /// Opens a stream of server-sent events.
    async fn open(&self, path: &str, cursor: Option<&str>) -> Result<Stream> {
        let headers: Vec<_> = cursor.map(|cursor| ("Last-Event-ID", cursor)).into_iter().collect();
        let response = self.response(Method::GET, path, &headers, None).await?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(Stream::new(response.into_body()));
        }
        let bytes = response.into_body().collect().await.map_err(broken)?.to_bytes();
        Err(judged(status, &bytes).err().unwrap_or_else(|| odd(status, &bytes)))
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Bytes)> {
        let response = self.response(method, path, &[], body).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await.map_err(broken)?.to_bytes()))
    }

    async fn response(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Response<Incoming>> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            let text = format!("cannot reach the agent at {}: {error}", self.socket.display());
            if rights::is_denied(&error) {
                return Stop::new(Code::Unreachable, text).denied().hint(MEMBERS);
            }
            Stop::new(Code::Unreachable, text).hint("run `systemctl status cygnet`")
        })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // The end of the connection does not matter: the answer shows whether it is complete.
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("Host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).map_err(Stop::failed)?;
        sender.send_request(request).await.map_err(broken)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is passed to map_err")]
fn broken(error: hyper::Error) -> Stop {
    let stop = Stop::new(Code::Unreachable, format!("the agent closed the connection: {error}"));
    if rights::is_operator() {
        return stop.hint("the result of a write is unknown: run `cygnet show`");
    }
    stop.denied().hint(MEMBERS)
}

/// The path of the job that an answer names.
fn job_of(status: StatusCode, bytes: &Bytes) -> Option<String> {
    let answer: Value = serde_json::from_slice(bytes).ok().filter(|_| status == StatusCode::ACCEPTED)?;
    let location = answer["location"].as_str()?;
    location.find("/zstack/v1/api-jobs/").map(|at| location[at..].to_owned())
}

/// The result in an answer, without keys.
fn judged(status: StatusCode, bytes: &Bytes) -> Result<Value> {
    match (status, serde_json::from_slice::<Value>(bytes)) {
        (StatusCode::OK, Ok(mut value)) => {
            mask(&mut value);
            Ok(value)
        }
        (_, Ok(value)) if value.get("error").is_some() => Err(Stop::refused(&value)),
        _ => Err(odd(status, bytes)),
    }
}

/// An answer of plain text.
fn odd(status: StatusCode, bytes: &Bytes) -> Stop {
    Stop::failed(format!("the agent answered {status}: {}", String::from_utf8_lossy(bytes).trim_end()))
}

/// Masks the keys, whatever the agent's settings say: none may reach a terminal's history or a script's log.
fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if ["authKey", "ppk"].contains(&name.as_str()) && value.is_string() {
                    *value = MASK.into();
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}
