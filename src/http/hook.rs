//! Web hooks: the result of a job is posted to a URL that the caller gives, if the settings allow its
//! host. Without that a caller could make the gateway talk to whomever it likes.

use super::error::Failure;
use axum::http::{HeaderMap, Uri};
use http_body_util::Full;
use hyper::{Method, Request, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};

/// Attempts, and the time between them (contract 1.4).
const TRIES: (u32, Duration) = (15, Duration::from_secs(2));
/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the request's web hook goes, if it names one.
///
/// # Errors
/// When it is no `http` URL, or its host is not one of `allowed`.
pub fn target(headers: &HeaderMap, allowed: &[String]) -> Result<Option<Uri>, Failure> {
    let Some(header) = headers.get("X-Web-Hook") else { return Ok(None) };
    let uri: Option<Uri> = header.to_str().ok().and_then(|text| text.trim().parse().ok());
    let uri = uri.filter(|uri| uri.scheme_str() == Some("http"));
    let uri = uri
        .ok_or_else(|| Failure::bad_request("Invalid header[X-Web-Hook], it must be a URL that begins with http://"))?;
    let host = uri.host().unwrap_or_default();
    let with_port = uri.authority().map(ToString::to_string).unwrap_or_default();
    if allowed.iter().any(|name| name.eq_ignore_ascii_case(host) || name.eq_ignore_ascii_case(&with_port)) {
        return Ok(Some(uri));
    }
    Err(Failure::bad_request(format!("Invalid header[X-Web-Hook], jobs.web_hook_hosts does not allow the host {host}")))
}

/// Posts the result until it is taken or all tries are used up.
pub async fn deliver(target: &Uri, job: &str, success: bool, body: &Value) {
    let bytes = Bytes::from(body.to_string());
    for attempt in 1..=TRIES.0 {
        match timeout(PATIENCE, post(target, job, success, bytes.clone())).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::info!(job, attempt, %error, "a web hook did not take the result"),
            Err(_) => tracing::info!(job, attempt, "a web hook did not answer in time"),
        }
        tokio::time::sleep(TRIES.1).await;
    }
    tracing::warn!(job, host = target.host(), "a web hook never took the result");
}

async fn post(
    target: &Uri,
    job: &str,
    success: bool,
    body: Bytes,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let host = target.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, target.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(target.path_and_query().map_or("/", |path| path.as_str()))
        .header("Host", target.authority().map(ToString::to_string).unwrap_or_default())
        .header("Content-Type", "application/json;charset=UTF-8")
        .header("X-Job-UUID", job)
        .header("X-Job-Success", if success { "true" } else { "false" })
        .body(Full::new(body))?;
    let status = sender.send_request(request).await?.status();
    // The answer's body is nobody's business, and may be endless.
    connection.abort();
    if status.is_success() { Ok(()) } else { Err(format!("it answered {status}").into()) }
}
