//! The agent's own API over its Unix socket, for the subcommands.

use anyhow::{Context, Result, bail};
use cygnet::settings::Settings;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{path::Path, time::Duration};
use tokio::net::UnixStream;

/// What the agent answered.
pub enum Answer {
    /// The result.
    Result(Value),
    /// The error object, as over HTTP.
    Error(Value),
}

/// Calls the agent whose settings are in `config`.
///
/// # Errors
/// When it cannot be reached, or answers what is no JSON.
pub fn call(config: &Path, method: Method, path: &str, body: Vec<u8>) -> Result<Answer> {
    let settings = Settings::read(config).map_err(anyhow::Error::msg)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(exchange(&settings.socket, method, path, body))
}

/// How long the agent may take where somebody else can answer in its place; longer than its slowest looks take.
pub const GLANCE: Duration = Duration::from_secs(15);

/// As [`call`], and gives up after `patience`.
///
/// # Errors
/// As [`call`], and when there is no answer in that time.
pub fn call_within(config: &Path, method: Method, path: &str, body: Vec<u8>, patience: Duration) -> Result<Answer> {
    let settings = Settings::read(config).map_err(anyhow::Error::msg)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let answer = async { tokio::time::timeout(patience, exchange(&settings.socket, method, path, body)).await };
    runtime.block_on(answer).with_context(|| format!("the agent did not answer within {} s", patience.as_secs()))?
}

async fn exchange(socket: &Path, method: Method, path: &str, body: Vec<u8>) -> Result<Answer> {
    let hint = || {
        format!(
            "cannot reach the agent at {}: is cygnet.service running, and are you root or in the group cygnet?",
            socket.display()
        )
    };
    let stream = UnixStream::connect(socket).await.with_context(hint)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request =
        Request::builder().method(method).uri(path).header("Host", "localhost").body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let bytes = response.into_body().collect().await?.to_bytes();
    drop(sender);
    // The answer is here; how the connection ends does not matter any more.
    let _ = connection.await;
    match (status, serde_json::from_slice::<Value>(&bytes)) {
        (StatusCode::OK, Ok(value)) => Ok(Answer::Result(value)),
        (_, Ok(value)) if value.get("error").is_some() => Ok(Answer::Error(value)),
        _ => bail!("the agent answered {status}: {}", String::from_utf8_lossy(&bytes)),
    }
}
