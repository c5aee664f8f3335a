//! Calls to the agent of another gateway: over HTTPS, and without TLS only where nothing leaves this host. Its certificate
//! is always checked.

use super::{auth::unreadable, tls};
use crate::disk::open::{Kind, read_to_string};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    error::Error as StdError,
    fmt, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, crypto::ring, pki_types::ServerName},
};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

/// The most bytes of an answer: some ten thousand connections.
const MOST: usize = 64 << 20;
/// How much of a text from elsewhere is shown, in characters.
const SHOWN: usize = 300;
/// The CAs that this host trusts.
const SYSTEM_CAS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What names another gateway.
#[derive(Debug, Clone, Default)]
pub struct Door {
    /// `https://HOST:PORT`, `http://` on loopback, or `unix:/PATH`.
    pub url: String,
    /// A file with a token in its first line.
    pub token_file: Option<PathBuf>,
    /// The CA of its certificate; without one, the CAs of this host.
    pub ca: Option<PathBuf>,
    /// Our certificate, and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// Another gateway that can be called.
pub struct OtherGateway {
    /// As it was given.
    pub url: String,
    way: Way,
    token: Option<Zeroizing<String>>,
}

enum Way {
    Unix(PathBuf),
    Plain(Place),
    Tls(Place, Arc<ClientConfig>, ServerName<'static>),
}

/// A host and its port.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be reached, or is not the one that it should be.
    Unreachable(String),
    /// It answered, with this status and text.
    Refused(StatusCode, String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(text) => f.write_str(text),
            Self::Refused(status, text) => write!(f, "it answered {}: {text}", status.as_u16()),
        }
    }
}

type Failed = Box<dyn StdError + Send + Sync>;

impl OtherGateway {
    /// Reads what `door` names.
    ///
    /// # Errors
    /// A text that says what is wrong with the URL or a file.
    pub fn new(door: &Door) -> Result<Self, String> {
        let token = door.token_file.as_deref().map(token).transpose()?;
        Ok(Self { url: door.url.clone(), way: way(door)?, token })
    }

    /// One call; the JSON of its answer.
    ///
    /// # Errors
    /// When the gateway cannot be reached in time, or refuses.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Value, Fault> {
        let unreachable = |why: &dyn fmt::Display| Fault::Unreachable(format!("cannot reach {}: {why}", self.url));
        let done = timeout(patience, self.exchange(method, path, body)).await;
        let late = |_| unreachable(&format!("it did not answer within {} s", patience.as_secs()));
        let (status, bytes) = done.map_err(late)?.map_err(|e| unreachable(&explained(&*e)))?;
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(answer) if status == StatusCode::OK => Ok(answer),
            Ok(answer) if answer["error"]["details"].is_string() => {
                Err(Fault::Refused(status, answer["error"]["details"].as_str().unwrap_or_default().to_owned()))
            }
            _ => Err(Fault::Refused(status, String::from_utf8_lossy(&bytes).trim().chars().take(SHOWN).collect())),
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Bytes), Failed> {
        let host = match &self.way {
            Way::Unix(_) => "localhost".to_owned(),
            Way::Plain(place) | Way::Tls(place, ..) => place.authority(),
        };
        let mut request = Request::builder().method(method).uri(path).header("Host", host);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("OAuth {}", token.as_str()));
        }
        let request = request.body(Full::new(Bytes::from(body.map(Value::to_string).unwrap_or_default())))?;
        match &self.way {
            Way::Unix(path) => send(UnixStream::connect(path).await?, request).await,
            Way::Plain(place) => send(place.connect().await?, request).await,
            Way::Tls(place, config, name) => {
                let stream = place.connect().await?;
                let stream = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await?;
                send(stream, request).await
            }
        }
    }
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = sender.send_request(request).await?;
    let status = response.status();
    Ok((status, Limited::new(response.into_body(), MOST).collect().await?.to_bytes()))
}

/// An error with what it comes from, which hyper and rustls keep to themselves.
fn explained(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = inner.source();
    }
    text
}

impl Place {
    async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect((self.host.as_str(), self.port)).await
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// The way that a URL names.
fn way(door: &Door) -> Result<Way, String> {
    let url = door.url.as_str();
    if let Some(path) = url.strip_prefix("unix:").map(|path| path.strip_prefix("//").unwrap_or(path)) {
        return if path.starts_with('/') { Ok(Way::Unix(path.into())) } else { Err(no_url(url)) };
    }
    let uri: Uri = url.parse().map_err(|_| no_url(url))?;
    let port = match uri.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => return Err(no_url(url)),
    };
    let place = place(&uri, port).ok_or_else(|| no_url(url))?;
    if port == 80 {
        let refused = format!(
            "{url} is refused: without TLS, anybody on the way could stand in for the gateway; use https://, or http:// on \
             loopback, as of a port that ssh forwards"
        );
        return if place.is_loopback() { Ok(Way::Plain(place)) } else { Err(refused) };
    }
    let name = ServerName::try_from(place.host.clone()).map_err(|_| no_url(url))?;
    Ok(Way::Tls(place, config(door)?, name))
}

fn no_url(url: &str) -> String {
    let shown: String = url.chars().take(SHOWN).collect();
    format!("\"{shown}\" names no gateway: give https://HOST:PORT, http://127.0.0.1:PORT, or unix:/PATH")
}

/// The host and port of a URL that has nothing else.
fn place(uri: &Uri, default: u16) -> Option<Place> {
    let (authority, host) = (uri.authority()?.as_str(), uri.host()?);
    let port = uri.port().map_or(Some(default), |port| Some(port.as_u16()))?;
    let is_whole = authority == host || uri.port().is_some_and(|port| authority == format!("{host}:{port}"));
    let has_path = uri.path_and_query().is_some_and(|path| path.as_str() != "/");
    (is_whole && !has_path && !host.is_empty()).then(|| Place { host: host.trim_matches(['[', ']']).to_owned(), port })
}

fn config(door: &Door) -> Result<Arc<ClientConfig>, String> {
    let roots = tls::roots(door.ca.as_deref().unwrap_or(Path::new(SYSTEM_CAS)))?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let builder = builder.with_root_certificates(roots);
    let config = match &door.own {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let own = builder.with_client_auth_cert(tls::certificates(cert)?, tls::private_key(key)?);
            own.map_err(|e| format!("{} and {} do not make a certificate: {e}", cert.display(), key.display()))?
        }
    };
    Ok(Arc::new(config))
}

/// The token in the first line of a file. It goes into a header.
fn token(path: &Path) -> Result<Zeroizing<String>, String> {
    let text = read_to_string(path, Kind::Secret).map_err(|e| unreadable("the token in ", path, &e))?;
    let text = Zeroizing::new(text);
    let token = text.lines().next().unwrap_or_default().trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let wrong = || format!("{}: its first line must be a token, as `cygnet token NAME` prints it", path.display());
    is_token.then(|| Zeroizing::new(token.to_owned())).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_gateways() {
        let of = |url: &str| match way(&Door { url: url.into(), ..Door::default() }) {
            Ok(Way::Unix(path)) => Ok(path.display().to_string()),
            Ok(Way::Plain(place) | Way::Tls(place, ..)) => Ok(place.authority()),
            Err(why) => Err(why),
        };
        for (url, wanted) in [
            ("unix:/run/other.sock", "/run/other.sock"),
            ("unix:///run/other.sock", "/run/other.sock"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080/", "[::1]:8080"),
            ("http://localhost", "localhost:80"),
        ] {
            assert_eq!(of(url).as_deref(), Ok(wanted), "{url}");
        }
        for (url, word) in [
            ("http://192.0.2.2:8080", "without TLS"),
            ("http://127.0.0.1.example:8080", "without TLS"),
            ("unix:other.sock", "names no gateway"),
            ("192.0.2.2:8080", "names no gateway"),
            ("ftp://192.0.2.2", "names no gateway"),
            ("https://user@192.0.2.2", "names no gateway"),
            ("https://192.0.2.2/cygnet", "names no gateway"),
            ("https://192.0.2.2:99999", "names no gateway"),
            ("https://", "names no gateway"),
            ("", "names no gateway"),
        ] {
            assert!(of(url).is_err_and(|why| why.contains(word)), "{url}");
        }
    }
}
