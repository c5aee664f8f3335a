//! The agent's API over its Unix socket, for the subcommands. No answer leaves this file with a key in it.

use super::{
    progress::Progress,
    stop::{Code, Result, Stop},
};
use cygnet::settings::{Gateway, Settings};
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

/// How long the agent may take to answer a question; a write may wait for its tunnel, so it has no such end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a job is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// What stands for a key.
const MASK: &str = "******";

/// A way to the agent.
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
    /// What the settings say of this gateway.
    pub gateway: Gateway,
}

impl Client {
    /// The way to the agent whose settings are in `config`.
    pub fn new(config: &Path) -> Result<Self> {
        let settings = Settings::read(config).map_err(Stop::failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Stop::failed(format!("cannot start: {e}")))?;
        Ok(Self { socket: settings.socket, runtime, gateway: settings.gateway })
    }

    /// Asks; the answer must be a success.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.get_within(path, PATIENCE)
    }

    /// Asks, and gives up after `patience`.
    pub fn get_within(&self, path: &str, patience: Duration) -> Result<Value> {
        let (status, bytes) = self.ask(path, patience)?;
        judged(status, &bytes)
    }

    /// Asks; the status and the JSON, whatever the status is.
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

    /// Asks with a body, for what does nothing.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, bytes) = self.runtime.block_on(self.exchange(Method::POST, path, Some(body)))?;
        judged(status, &bytes)
    }

    /// Writes; while the agent works, a terminal says that it is `doing` so. A job is followed to its end.
    pub fn write(&self, method: Method, path: &str, body: Option<&Value>, doing: &str) -> Result<Value> {
        self.waiting(doing, async {
            let (mut status, mut bytes) = self.exchange(method, path, body).await?;
            if let Some(job) = job_of(status, &bytes) {
                while status == StatusCode::ACCEPTED {
                    tokio::time::sleep(LOOK).await;
                    (status, bytes) = self.exchange(Method::GET, &job, None).await?;
                }
            }
            judged(status, &bytes)
        })
    }

    /// Runs `work`; meanwhile a terminal says what is waited for.
    fn waiting<T>(&self, doing: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
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
        // Which of the two it was does not matter.
        let _ = self.runtime.block_on(async { timeout(most, tick).await });
    }

    /// Reads the server-sent events of `path` until `each` has enough, and says so by answering `false`.
    pub fn follow(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        mut each: impl FnMut(&str) -> Result<bool>,
    ) -> Result<()> {
        self.runtime.block_on(async {
            let mut response = self.response(Method::GET, path, headers, None).await?;
            if response.status() != StatusCode::OK {
                let status = response.status();
                let bytes = response.into_body().collect().await.map_err(broken)?.to_bytes();
                return judged(status, &bytes).map(drop);
            }
            let mut text = Vec::new();
            while let Some(frame) = response.body_mut().frame().await {
                text.extend_from_slice(frame.map_err(broken)?.data_ref().map_or(&[][..], |data| data));
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    let line = String::from_utf8_lossy(&line);
                    let data = line.trim_end().strip_prefix("data:").map(str::trim_start);
                    if let Some(data) = data
                        && !each(data)?
                    {
                        return Ok(());
                    }
                }
            }
            Err(Stop::new(Code::Unreachable, "the agent has ended").hint("follow again when it is back"))
        })
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
            Stop::new(Code::Unreachable, text)
                .hint("is cygnet.service running, and are you root or in the group cygnet?")
        })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // How the connection ends does not matter: the answer tells whether it was whole.
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
    Stop::new(Code::Unreachable, format!("the agent broke off: {error}"))
        .hint("whether a change was made is not known: look with `cygnet show`")
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

/// Hides the keys: whatever the agent's settings say, none is to stand in a terminal's history or a script's log.
fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if name == "authKey" && value.is_string() {
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
