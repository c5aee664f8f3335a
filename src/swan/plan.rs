//! The vici requests that a parsed file means, in swanctl's order and spelling:
//! first the secrets, then the connections. A differential test holds this to the real swanctl.

use super::{
    conf::{self, Conf, Traps},
    message, names,
    section::{Section, Value},
};
use crate::ipsec::{Auth, Connection, ConnectionId, Psk};
use sha2::{Digest as _, Sha256};

/// One vici request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The command, such as `load-conn`.
    pub command: &'static str,
    /// Its arguments.
    pub body: Section,
}

/// Tells requests apart without holding them, and their key, in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

/// A connection in all the forms in which charon takes it; they were checked to agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loadable {
    /// Whose it is.
    pub id: ConnectionId,
    /// The file's text.
    pub conf: Conf,
    /// What the text means.
    pub requests: Vec<Request>,
}

impl Loadable {
    /// Renders `connection` and reads the text back: it must mean exactly this connection with its
    /// children and its secret, whatever its values are.
    ///
    /// # Errors
    /// When it does not, which is a fault of this program; nothing may be loaded then.
    pub fn new(connection: &Connection, traps: Traps) -> Result<Self, Unplannable> {
        let conf = conf::render(connection, traps).map_err(|_| Unplannable("the template fails"))?;
        let file = conf::parse(conf.expose()).map_err(|_| Unplannable("the rendered text cannot be read back"))?;
        let requests = load(&file)?;
        match requests.as_slice() {
            [secret, load] if is_secret_of(connection, secret) && is_connection(connection, load) => {}
            _ => return Err(Unplannable("the rendered text does not mean this connection")),
        }
        Ok(Self { id: connection.id(), conf, requests })
    }

    /// What tells these requests apart from others: the SHA-256 of their packets.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        for request in &self.requests {
            hash.update(request.command);
            // What cannot be encoded cannot have been loaded either.
            hash.update(zeroize::Zeroizing::new(message::encode(&request.body).unwrap_or_default()));
        }
        Digest(hash.finalize().into())
    }
}

/// Whether `request` loads exactly the key of `connection`, for its peer alone.
fn is_secret_of(connection: &Connection, request: &Request) -> bool {
    let Auth::Psk(psk) = &connection.auth;
    request.command == "load-shared"
        && request.body.text("id") == Some(&names::secret(connection.id()))
        && request.body.bytes("data") == Some(psk.expose())
        && request.body.items("owners").eq([connection.remote_id.to_string()])
}

/// Whether `request` loads the one connection with its identities and exactly its children.
fn is_connection(connection: &Connection, request: &Request) -> bool {
    let name = names::connection(connection.id());
    let Some(body) = request.body.section(&name).filter(|_| request.body.0.len() == 1) else { return false };
    let id_of = |side| body.section(side).and_then(|s: &Section| s.text("id"));
    let children = body.section("children").into_iter().flat_map(Section::sections);
    request.command == "load-conn"
        && id_of("local") == Some(&connection.local_id.to_string())
        && id_of("remote") == Some(&connection.remote_id.to_string())
        && body.items("remote_addrs").eq([connection.remote_addr.to_string()])
        && children.map(|(name, _)| name).eq(connection.children.iter().map(|child| child.name.as_str()))
}

/// Keys whose values swanctl splits at commas (strongSwan `swanctl/commands/load_conns.c`).
const LISTS: [&str; 11] = [
    "local_addrs",
    "remote_addrs",
    "proposals",
    "esp_proposals",
    "ah_proposals",
    "local_ts",
    "remote_ts",
    "vips",
    "pools",
    "groups",
    "cert_policy",
];

/// What stands in a file that is not a connection of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unplannable(&'static str);

/// The requests that load `file`.
///
/// # Errors
/// When the file has parts that swanctl would read in a way that is not written here.
pub fn load(file: &Section) -> Result<Vec<Request>, Unplannable> {
    if file.0.keys().any(|key| key != "connections" && key != "secrets") {
        return Err(Unplannable("the file has other parts than connections and secrets"));
    }
    let mut requests = Vec::new();
    for (name, secret) in file.section("secrets").into_iter().flat_map(Section::sections) {
        requests.push(Request { command: "load-shared", body: load_shared(name, secret)? });
    }
    for (name, connection) in file.section("connections").into_iter().flat_map(Section::sections) {
        let body = Section::new().with(name, Value::Section(with_lists(connection)));
        requests.push(Request { command: "load-conn", body });
    }
    Ok(requests)
}

/// The request that loads one secret; only hexadecimal ones, because text that begins with `0x` or
/// `0s` is decoded and then cannot be told from it (facts 1.2).
fn load_shared(name: &str, secret: &Section) -> Result<Section, Unplannable> {
    let hex =
        secret.text("secret").and_then(|s| s.strip_prefix("0x")).ok_or(Unplannable("the secret is not hexadecimal"))?;
    let key = Psk::from_hex(hex).map_err(|_| Unplannable("the secret is not hexadecimal"))?;
    let owners: Vec<_> = secret
        .0
        .keys()
        .filter(|key| key.starts_with("id"))
        .filter_map(|key| secret.bytes(key))
        .map(<[u8]>::to_vec)
        .collect();
    if owners.is_empty() {
        return Err(Unplannable("the secret has no owner and would fit every peer"));
    }
    Ok(Section::new()
        .with("id", name)
        .with("type", "ike")
        .with("data", Value::Text(key.expose().to_vec()))
        .with("owners", Value::List(owners)))
}

/// The same section with its lists split.
fn with_lists(section: &Section) -> Section {
    let split = |bytes: &[u8]| bytes.split(|b| *b == b',').map(|item| item.trim_ascii().to_vec()).collect();
    let value = |(key, value): (&String, &Value)| {
        let value = match value {
            Value::Text(bytes) if LISTS.contains(&key.as_str()) => Value::List(split(bytes)),
            Value::Section(inner) => Value::Section(with_lists(inner)),
            other => other.clone(),
        };
        (key.clone(), value)
    };
    Section(section.0.iter().map(value).collect())
}
