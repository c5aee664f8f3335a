//! etcd over gRPC: one member at a time. Who loses it connects to the next one: a channel that balances over all members
//! sends some calls to one that is dead.

use super::{
    config::{Config, pem},
    names,
    stop::{Code, Result, Stop},
};
use etcd_client::{
    Certificate, Client, Compare, ConnectOptions, Error, GetOptions, Identity, KeyValue, KvClient, TlsOptions, Txn,
    TxnOp, TxnResponse,
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use zeroize::Zeroizing;

/// How long a member may take to connect, and to answer a call.
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(5);
/// How often a silent connection is tried, and how long that may take. etcd refuses those that ask more often than every 5 s.
const PING: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(3));
/// The most keys of one page.
const PAGE: i64 = 1000;
/// The longest message that is read: a page of specs with certificates is longer than the 4 MiB of gRPC.
pub const LONGEST: usize = 64 << 20;
/// The most operations of one transaction: etcd's default is 128.
pub const TXN: usize = 100;
/// The numbers of gRPC's statuses that matter here.
const DEADLINE: i32 = 4;
const OUT_OF_RANGE: i32 = 11;
const UNAVAILABLE: i32 = 14;
const RESOURCES: i32 = 8;

/// A connection to one member.
#[derive(Clone)]
pub struct Etcd {
    /// For watches and leases.
    pub client: Client,
    kv: KvClient,
    /// The member.
    pub endpoint: String,
}

/// All keys below a prefix at one revision.
pub struct Listing {
    /// The keys in order.
    pub keys: Vec<KeyValue>,
    /// The revision.
    pub revision: i64,
}

impl Etcd {
    /// Connects to the first member that answers.
    pub async fn connect(config: &Config) -> Result<Self> {
        // Where the last one was found is not where the next one is looked for: that one may be lost.
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let options = options(config)?;
        let mut why = Vec::new();
        for _ in 0..config.endpoints.len() {
            let at = NEXT.fetch_add(1, Ordering::Relaxed) % config.endpoints.len();
            let endpoint = &config.endpoints[at];
            match Self::of(config, endpoint, options.clone()).await {
                Ok(etcd) => return Ok(etcd),
                Err(error) if !is_away(&error) => return Err(failure(endpoint, &error)),
                Err(error) => why.push(format!("{endpoint}: {}", cause(&error))),
            }
        }
        Err(Stop::new(Code::Unreachable, format!("no member of etcd answers: {}", why.join("; "))))
    }

    async fn of(config: &Config, endpoint: &str, mut options: ConnectOptions) -> Result<Self, Error> {
        if endpoint.starts_with("https://") {
            options = options.with_tls(tls(config).map_err(|stop| Error::InvalidArgs(stop.text))?);
        }
        let client = Client::connect([endpoint], Some(options)).await?;
        let kv = client.kv_client().max_decoding_message_size(LONGEST);
        let mut etcd = Self { client, kv, endpoint: endpoint.to_owned() };
        // A connection is made by the first call. One without rights is refused, which is an answer too.
        let asked = etcd.kv.get(names::ROOT, Some(GetOptions::new().with_keys_only().with_limit(1))).await;
        match asked {
            Err(error) if is_away(&error) => Err(error),
            _ => Ok(etcd),
        }
    }

    /// All keys that begin with `prefix`, read in pages of one revision. `is_short` leaves the values out.
    pub async fn list(&mut self, prefix: &str, is_short: bool) -> Result<Listing> {
        let (end, mut from) = (names::end_of(prefix), prefix.as_bytes().to_vec());
        let (mut listing, mut page) = (Listing { keys: Vec::new(), revision: 0 }, PAGE);
        loop {
            let mut options =
                GetOptions::new().with_range(end.clone()).with_limit(page).with_revision(listing.revision);
            if is_short {
                options = options.with_keys_only();
            }
            let mut answer = match self.kv.get(from.clone(), Some(options)).await {
                Ok(answer) => answer,
                // The page is too long for a message.
                Err(error) if page > 1 && matches!(status(&error), OUT_OF_RANGE | RESOURCES) => {
                    page /= 2;
                    continue;
                }
                Err(error) => return Err(self.failed(&error)),
            };
            if listing.revision == 0 {
                listing.revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
            }
            listing.keys.extend(answer.take_kvs());
            match listing.keys.last() {
                Some(last) if answer.more() => from = [last.key(), b"\0"].concat(),
                _ => return Ok(listing),
            }
        }
    }

    /// The value of `key`, if it is there.
    pub async fn get(&mut self, key: &str) -> Result<Option<KeyValue>> {
        let mut answer = self.kv.get(key, None).await.map_err(|error| self.failed(&error))?;
        Ok(answer.take_kvs().pop())
    }

    /// Does all of `then` if all of `when` hold, else reads `otherwise`. etcd's own errors are returned as they are.
    pub async fn txn(&mut self, when: Vec<Compare>, then: Vec<TxnOp>) -> Result<TxnResponse, Error> {
        self.kv.txn(Txn::new().when(when).and_then(then)).await
    }

    /// What `error` means to a person.
    pub fn failed(&self, error: &Error) -> Stop {
        failure(&self.endpoint, error)
    }
}

fn options(config: &Config) -> Result<ConnectOptions> {
    let options = ConnectOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(ANSWER)
        .with_keep_alive(PING.0, PING.1)
        // A member that is cut off from the others would let a watch wait in silence.
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    Ok(match config.credentials()? {
        Some((user, password)) => options.with_user(user, Zeroizing::new(password.to_string()).as_str()),
        None => options,
    })
}

fn tls(config: &Config) -> Result<TlsOptions> {
    let mut options = TlsOptions::new();
    if let Some(ca) = &config.tls.ca {
        options = options.ca_certificate(Certificate::from_pem(&*pem("tls.ca", ca)?));
    }
    if let (Some(cert), Some(key)) = (&config.tls.cert, &config.tls.key) {
        options = options.identity(Identity::from_pem(&*pem("tls.cert", cert)?, &*pem("tls.key", key)?));
    }
    if let Some(name) = &config.tls.server_name {
        options = options.domain_name(name);
    }
    Ok(options)
}

fn status(error: &Error) -> i32 {
    if let Error::GRpcStatus(status) = error { i32::from(status.code()) } else { -1 }
}

/// Whether another member, or a later moment, may help.
pub fn is_away(error: &Error) -> bool {
    matches!(error, Error::TransportError(_) | Error::IoError(_) | Error::EndpointError(_))
        || matches!(status(error), UNAVAILABLE | DEADLINE)
        // A connection that breaks while it is used.
        || matches!(error, Error::GRpcStatus(status) if std::error::Error::source(status).is_some())
}

fn failure(endpoint: &str, error: &Error) -> Stop {
    let code = if is_away(error) { Code::Unreachable } else { Code::Failed };
    Stop::new(code, format!("etcd at {endpoint}: {}", cause(error)))
}

/// The error with what is below it; tonic's own text is "transport error" alone.
fn cause(error: &Error) -> String {
    let mut text = match error {
        Error::GRpcStatus(status) => status.message().to_owned(),
        other => other.to_string(),
    };
    let mut below: Option<&dyn std::error::Error> = match error {
        Error::GRpcStatus(status) => std::error::Error::source(status),
        Error::TransportError(error) => std::error::Error::source(error),
        _ => None,
    };
    while let Some(error) = below {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        below = error.source();
    }
    text
}
