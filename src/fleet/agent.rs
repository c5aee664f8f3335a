//! The agent's API over its Unix socket: an ordinary caller.

use cygnet::http::strict;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{net::UnixStream, time::timeout};

/// How long the agent may take to answer a read, and a write, which waits for its tunnel.
const READ: Duration = Duration::from_secs(30);
const WRITE: Duration = Duration::from_mins(5);
/// The longest line of a stream of events.
const LINE: usize = 1 << 20;
/// The most values in one spec.
const MOST: usize = 10_000;

/// Why a call has no result.
#[derive(Debug, Clone)]
pub enum Failure {
    /// Nobody answered.
    Away(String),
    /// The agent refused: its error object.
    Refused(Value),
}

/// The agent.
#[derive(Debug, Clone)]
pub struct Agent {
    socket: PathBuf,
}

impl Agent {
    /// The agent at `socket`.
    pub fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Makes the connection what `spec` says.
    pub async fn put(&self, uuid: &str, spec: Map<String, Value>) -> Result<(), Failure> {
        let body = json!({ "connection": spec });
        self.call(Method::PUT, &format!("/cygnet/v1/connections/{uuid}"), Some(body), WRITE).await.map(drop)
    }

    /// Deletes the connection.
    pub async fn delete(&self, uuid: &str) -> Result<(), Failure> {
        self.call(Method::DELETE, &format!("/cygnet/v1/connections/{uuid}"), None, WRITE).await.map(drop)
    }

    /// The list in the answer to a GET.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut answer = self.call(Method::GET, path, None, READ).await?;
        match answer["connections"].take() {
            Value::Array(list) => Ok(list),
            _ => Err(Failure::Away(format!("the agent answers {path} without a list of connections"))),
        }
    }

    /// The role of the gateway for all its addresses, if it has one.
    pub async fn role(&self) -> Result<Option<String>, Failure> {
        let answer = self.call(Method::GET, "/cygnet/v1/ha", None, READ).await?;
        Ok(answer["role"].as_str().map(str::to_owned))
    }

    /// The events from now on; the agent shows that a follower of this gateway reads them.
    pub async fn events(&self, gateway: &str) -> Result<Events, Failure> {
        let path = format!("/cygnet/v1/events?fleet={gateway}");
        let answer = timeout(READ, self.send(Method::GET, &path, None)).await;
        Ok(Events { body: answer.map_err(|_| silent())??.into_body(), text: Vec::new() })
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>, within: Duration) -> Result<Value, Failure> {
        let exchange = async {
            let answer = self.send(method, path, body).await?;
            let status = answer.status();
            let bytes = answer.into_body().collect().await.map_err(|error| away(&error))?.to_bytes();
            match serde_json::from_slice::<Value>(&bytes) {
                Ok(value) if status.is_success() => Ok(value),
                Ok(mut value) if value.get("error").is_some() => Err(Failure::Refused(value["error"].take())),
                _ => {
                    let text = String::from_utf8_lossy(&bytes);
                    Err(Failure::Refused(
                        json!({ "details": format!("the agent answers {status}: {}", text.trim_end()) }),
                    ))
                }
            }
        };
        timeout(within, exchange).await.map_err(|_| silent())?
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Response<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| Failure::Away(format!("cannot reach the agent at {}: {error}", self.socket.display())))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| away(&error))?;
        // The end of the connection does not matter: the answer shows whether it is complete.
        tokio::spawn(connection);
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header("Host", "localhost").body(Full::new(body));
        let request = request.map_err(|error| Failure::Away(format!("cannot ask the agent: {error}")))?;
        sender.send_request(request).await.map_err(|error| away(&error))
    }
}

fn away(error: &hyper::Error) -> Failure {
    Failure::Away(format!("the agent closed the connection: {error}"))
}

fn silent() -> Failure {
    Failure::Away("the agent did not answer in time".into())
}

/// A stream of the agent's events.
pub struct Events {
    body: Incoming,
    text: Vec<u8>,
}

impl Events {
    /// The next event; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                if let Some(event) = line.strip_prefix(b"data:").and_then(|data| serde_json::from_slice(data).ok()) {
                    return Some(event);
                }
            }
            let frame = self.body.frame().await?.ok()?;
            self.text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            if self.text.len() > LINE {
                return None;
            }
        }
    }
}

/// Reads a spec: a JSON object without duplicate members.
pub fn parse(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the spec is not UTF-8")?;
    match strict(text, MOST) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err("the spec is not a JSON object".into()),
        // The message of the parser may quote the text, and with it a key.
        Err(error) => Err(format!("the spec is not JSON: line {}, column {}", error.line(), error.column())),
    }
}

/// The sentence of an error object.
pub fn text(error: &Value) -> String {
    let member = |name: &str| error[name].as_str().filter(|text| !text.is_empty());
    member("details").or_else(|| member("description")).unwrap_or("no reason is given").to_owned()
}
