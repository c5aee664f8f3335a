//! Web hooks: the result of a known caller's job is posted to a URL that the caller gives, if the settings allow its
//! host and port. Without that a caller could make the gateway talk to whomever it likes.

mod places;

use super::error::Failure;
use crate::{http::hook::places::Places, settings::WebHookHost};
use axum::http::{HeaderMap, Uri};
use futures_util::future::{Either, select};
use http_body_util::Full;
use hyper::{Method, Request, body::Bytes};
use hyper_util::rt::TokioIo;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// How often a result is offered (contract 1.4).
const ATTEMPTS: u32 = 15;
/// The time between two attempts.
const PAUSE: Duration = Duration::from_secs(2);
/// How long one attempt may take: name, connection, request and answer together.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after the 202 a result is posted at the earliest: the Java SDK begins to wait for it only then.
pub const DELAY: Duration = Duration::from_millis(250);
/// The port of `http`.
const PORT: u16 = 80;

/// Where a result goes.
#[derive(Debug)]
pub struct Hook {
    host: String,
    port: u16,
    path: String,
}

/// What posts results.
pub struct Hooks {
    allowed: Vec<WebHookHost>,
    places: Arc<Places>,
}

impl Hooks {
    /// Posts to these hosts only.
    pub fn new(allowed: Vec<WebHookHost>) -> Self {
        Self { allowed, places: Arc::default() }
    }

    /// Where the request's web hook goes, if it names one.
    ///
    /// # Errors
    /// When it is no `http` URL, or its host and port are not among those that the settings allow.
    pub fn target(&self, headers: &HeaderMap) -> Result<Option<Hook>, Failure> {
        let Some(header) = headers.get("X-Web-Hook") else { return Ok(None) };
        let uri: Option<Uri> = header.to_str().ok().and_then(|text| text.trim().parse().ok());
        let hook = uri.filter(|uri| uri.scheme_str() == Some("http")).as_ref().and_then(Hook::of);
        let hook = hook.ok_or_else(|| {
            Failure::bad_request("Invalid header[X-Web-Hook], it must be a URL that begins with http://")
        })?;
        let allows = |known: &WebHookHost| {
            known.host.eq_ignore_ascii_case(&hook.host) && known.port.unwrap_or(PORT) == hook.port
        };
        if self.allowed.iter().any(allows) {
            return Ok(Some(hook));
        }
        Err(Failure::bad_request(format!(
            "Invalid header[X-Web-Hook], jobs.web_hook_hosts does not allow the port {} of the host {} \
             (a name without a port allows port {PORT} only)",
            hook.port, hook.host
        )))
    }

    /// Posts the result of the job `job` of `owner` until it is taken or all tries are used up.
    pub async fn deliver(&self, hook: &Hook, owner: &str, job: &str, success: bool, body: Bytes) {
        let Some(_admitted) = self.places.admit(owner) else {
            tracing::warn!(
                job,
                host = hook.host,
                "the web hook at {} is not called for the job {job}: too many of this caller's wait",
                hook.host
            );
            return;
        };
        for attempt in 1..=ATTEMPTS {
            let place = self.places.place(owner).await;
            let outcome = timeout(PATIENCE, hook.post(job, success, body.clone())).await;
            drop(place);
            match outcome {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    tracing::info!(job, attempt, %error, "the web hook at {} did not take the result of the job {job}: {error}", hook.host);
                }
                Err(_) => tracing::info!(
                    job,
                    attempt,
                    "the web hook at {} did not answer in time for the job {job}",
                    hook.host
                ),
            }
            tokio::time::sleep(PAUSE).await;
        }
        tracing::warn!(job, host = hook.host, "the web hook at {} never took the result of the job {job}", hook.host);
    }
}

impl Hook {
    fn of(uri: &Uri) -> Option<Self> {
        let (authority, host) = (uri.authority()?.as_str(), uri.host()?);
        // Nothing else may stand there: no user, no port that is none.
        let is_whole = authority == uri.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let port = uri.port().map_or(Some(PORT), |port| Some(port.as_u16()))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        is_whole.then(|| Self { host: host.trim_matches(['[', ']']).to_owned(), port, path })
    }

    /// Everything that this opens is closed when it ends or is given up.
    async fn post(
        &self,
        job: &str,
        success: bool,
        body: Bytes,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header("Host", self.authority())
            .header("Content-Type", "application/json;charset=UTF-8")
            .header("X-Job-UUID", job)
            .header("X-Job-Success", if success { "true" } else { "false" })
            .body(Full::new(body))?;
        // The answer's body is nobody's business, and may be endless.
        let status = match select(pin!(sender.send_request(request)), pin!(connection)).await {
            Either::Left((answer, _)) => answer?.status(),
            Either::Right((_, answer)) => answer.await?.status(),
        };
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status}").into()) }
    }

    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == PORT { host } else { format!("{host}:{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_port_means_the_port_of_http() {
        let names = ["plane.example", "other.example:8989", "[2001:db8::1]:8080", "2001:db8::2"];
        let allowed = names.map(|name| WebHookHost::try_from(name.to_owned()).expect("a host"));
        let hooks = Hooks::new(allowed.into());
        let is_allowed = |url: &str| {
            let headers =
                HeaderMap::from_iter([("x-web-hook".parse().expect("a name"), url.parse().expect("a value"))]);
            hooks.target(&headers).is_ok_and(|hook| hook.is_some())
        };
        for url in [
            "http://plane.example",
            "http://PLANE.example:80/x?y=1",
            "http://other.example:8989/",
            "http://[2001:db8::1]:8080/",
            "http://[2001:db8::2]/",
        ] {
            assert!(is_allowed(url), "{url}");
        }
        for url in [
            "http://plane.example:8080/",
            "http://other.example/",
            "http://plane.example:80@evil.example/",
            "http://user@plane.example/",
            "http://plane.example:/",
            "http://plane.example:99999/",
            "http://plane.example.evil.example/",
            "http://[2001:db8::1]/",
            "https://plane.example/",
            "//plane.example/",
        ] {
            assert!(!is_allowed(url), "{url}");
        }
    }
}
