//! The vici requests that load a parsed file, in swanctl's order and spelling:
//! first certificates and keys, then the secrets, then the connections. A differential test compares them with those of
//! the real swanctl.

use super::{
    conf::{self, Conf, Traps},
    credentials::{self, File},
    message, names,
    section::{Section, Value},
};
use crate::ipsec::{Auth, Certs, Connection, ConnectionId, Pass, Psk, certs::Certificate};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// One vici request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The command, such as `load-conn`.
    pub command: &'static str,
    /// Its arguments.
    pub body: Section,
}

impl Request {
    /// The name or id of the object that it loads; certificates and keys have none.
    #[must_use]
    pub fn object(&self) -> &str {
        let first = || self.body.0.keys().next().map(String::as_str).unwrap_or_default();
        match self.command {
            "load-cert" | "load-key" => "",
            _ => self.body.text("id").unwrap_or_else(first),
        }
    }
}

/// Compares requests without holding them, and their key, in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

/// A connection as a file, as credentials and as requests, checked to agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loadable {
    /// The connection's uuid.
    pub id: ConnectionId,
    /// The file's text.
    pub conf: Conf,
    /// The files of certificates and keys that the text needs.
    pub files: Vec<File>,
    /// The requests that load it.
    pub requests: Vec<Request>,
    /// The pass policies; the text has them too.
    pub passes: Vec<Pass>,
}

impl Loadable {
    /// Renders `connection` and parses the text back: it must describe exactly this connection with its
    /// children and its secret, whatever its values are.
    ///
    /// # Errors
    /// When it does not, which is a fault of this program. Nothing may be loaded then.
    pub fn new(connection: &Connection, traps: Traps) -> Result<Self, Unplannable> {
        Self::passing(connection, traps, Vec::new())
    }

    /// The same with pass policies.
    ///
    /// # Errors
    /// As [`Loadable::new`].
    pub fn passing(connection: &Connection, traps: Traps, passes: Vec<Pass>) -> Result<Self, Unplannable> {
        let conf = conf::render_passing(connection, traps, &passes).map_err(|_| Unplannable("the template fails"))?;
        let file = conf::parse(conf.expose()).map_err(|_| Unplannable("the rendered text cannot be read back"))?;
        let files = connection.auth.certs().map_or_else(Vec::new, |certs| credentials::files(connection.id(), certs));
        let requests = load(&file, &files)?;
        let (proof, loads) = requests.split_at(requests.iter().take_while(|r| r.command != "load-conn").count());
        let is_fallback = |load| is_connection(connection, &names::fallback(connection.id()), &[], load);
        match loads {
            [load, rest @ ..]
                if is_proof_of(connection, proof)
                    && is_connection(&connection.answering(), &names::connection(connection.id()), &passes, load)
                    && rest.len() + 1 == names::count(connection)
                    && rest.iter().all(is_fallback) => {}
            _ => return Err(Unplannable("the rendered text does not mean this connection")),
        }
        Ok(Self { id: connection.id(), conf, files, requests, passes })
    }

    /// The connection of this name as charon is given it.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.requests.iter().find(|r| r.command == "load-conn" && r.body.0.contains_key(name))?.body.section(name)
    }

    /// Whether charon is given a secret of this name.
    #[must_use]
    pub fn has_secret(&self, name: &str) -> bool {
        self.requests.iter().any(|request| request.command == "load-shared" && request.object() == name)
    }

    /// The digest of these requests: the SHA-256 of their packets.
    #[must_use]
    pub fn digest(&self) -> Digest {
        // In one piece: the hash keeps what does not fill a block on the stack, and of one piece that is its end, which
        // is that of `load-conn` and no key.
        let mut bytes = Zeroizing::new(Vec::new());
        for request in &self.requests {
            bytes.extend_from_slice(request.command.as_bytes());
            // A request that cannot be encoded cannot have been loaded.
            bytes.extend_from_slice(&Zeroizing::new(message::encode(&request.body).unwrap_or_default()));
        }
        Digest(Sha256::digest(bytes.as_slice()).into())
    }
}

/// Whether `requests` load exactly the proof of identity of `connection`: its key, for one identity alone, or its
/// certificates and their private key; and behind it the PPK that it has, for its name alone.
fn is_proof_of(connection: &Connection, requests: &[Request]) -> bool {
    let is_secret = |request: &Request, name: String, key: &Psk, owner: &str| {
        request.command == "load-shared"
            && request.body.text("id") == Some(&name)
            && request.body.bytes("data") == Some(key.expose())
            && request.body.items("owners").eq([owner])
    };
    let id = connection.id();
    let requests = match (&connection.native.ppk_id, &connection.native.ppk, requests) {
        (Some(owner), Some(ppk), [rest @ .., last]) if is_secret(last, names::ppk(id), ppk, owner) => rest,
        (None, None, all) => all,
        _ => return false,
    };
    match (&connection.auth, requests) {
        (Auth::Psk(psk), [request]) => {
            is_secret(request, names::secret(id), psk, &connection.key_identity().to_string())
        }
        (Auth::Certs(certs), [public @ .., key]) => {
            let data = |request: &Request, pem: &str| request.body.bytes("data") == Some(pem.as_bytes());
            key.command == "load-key"
                && data(key, &certs.key.expose_pem())
                && public.len() == certs.certificates().count() + certs.crls.len()
                && public.iter().all(|request| request.command == "load-cert")
        }
        _ => false,
    }
}

/// Whether the section of a connection names exactly its certificate, and those of the peer or the roots that the peer's
/// must chain to.
fn is_certified(connection: &Connection, body: &Section) -> bool {
    let items = |side, key| {
        let section = body.section(side);
        section.into_iter().flat_map(move |s: &Section| s.items(key)).map(str::to_owned).collect::<Vec<_>>()
    };
    let pems = |of: fn(&Certs) -> &[Certificate]| {
        connection.auth.certs().into_iter().flat_map(of).map(Certificate::pem).collect::<Vec<_>>()
    };
    items("local", "certs") == pems(|certs| std::slice::from_ref(&certs.certificate))
        && items("remote", "certs") == pems(|certs| &certs.peers)
        && items("remote", "cacerts") == pems(Certs::trusted_cas)
}

/// Whether `request` loads the one connection of this name with its identities and exactly its children and passes.
fn is_connection(connection: &Connection, name: &str, passes: &[Pass], request: &Request) -> bool {
    let Some(body) = request.body.section(name).filter(|_| request.body.0.len() == 1) else { return false };
    let id_of = |side| body.section(side).and_then(|s: &Section| s.text("id"));
    let children = body.section("children").into_iter().flat_map(Section::sections);
    let tunnels = connection.children.iter().map(|child| child.name.as_str());
    let names = tunnels.chain(passes.iter().map(|pass| pass.name.as_str()));
    request.command == "load-conn"
        && is_certified(connection, body)
        && id_of("local") == Some(&connection.local_id.to_string())
        && id_of("remote") == Some(&connection.remote_id.to_string())
        && body.items("remote_addrs").eq([connection.remote_addr.to_string()])
        && children.map(|(name, _)| name).eq(names)
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

/// The error for a file that is not a connection of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unplannable(pub(super) &'static str);

/// The requests that load `file`, and the `credentials` in swanctl's directories.
///
/// # Errors
/// When the file has parts that this program does not know how swanctl reads.
pub fn load(file: &Section, credentials: &[File]) -> Result<Vec<Request>, Unplannable> {
    if file.0.keys().any(|key| key != "connections" && key != "secrets") {
        return Err(Unplannable("the file has other parts than connections and secrets"));
    }
    let mut requests: Vec<_> = credentials.iter().map(load_credential).collect();
    for (name, secret) in file.section("secrets").into_iter().flat_map(Section::sections) {
        requests.push(Request { command: "load-shared", body: load_shared(name, secret)? });
    }
    for (name, connection) in file.section("connections").into_iter().flat_map(Section::sections) {
        let body = Section::new().with(name, Value::Section(with_lists(connection, credentials)?));
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
        .with("type", if name.starts_with("ppk") { "ppk" } else { "ike" })
        .with("data", Value::Text(key.expose().to_vec()))
        .with("owners", Value::List(owners)))
}

/// The request that loads a certificate, a revocation list or a private key.
fn load_credential(file: &File) -> Request {
    let data = || Value::Text(file.expose().to_vec());
    let (command, kind, flag) = match file.directory {
        credentials::PRIVATE => ("load-key", "any", None),
        credentials::X509CRL => ("load-cert", "X509_CRL", None),
        credentials::X509CA => ("load-cert", "X509", Some("CA")),
        _ => ("load-cert", "X509", Some("NONE")),
    };
    let body = Section::new().with("type", kind);
    let body = flag.map_or_else(|| body.clone(), |flag| body.clone().with("flag", flag));
    Request { command, body: body.with("data", data()) }
}

/// Keys whose values are names of files, with the directories of these files. swanctl sends the contents instead.
const FILES: [(&str, &str); 2] = [("certs", credentials::X509), ("cacerts", credentials::X509CA)];

/// The same section with its lists split, and the contents of files in place of their names.
fn with_lists(section: &Section, files: &[File]) -> Result<Section, Unplannable> {
    let split = |bytes: &[u8]| bytes.split(|b| *b == b',').map(|item| item.trim_ascii().to_vec()).collect::<Vec<_>>();
    let content = |directory: &str, name: &[u8]| {
        let file = files.iter().find(|file| file.directory == directory && file.name.as_bytes() == name);
        file.map(|file| file.expose().to_vec()).ok_or(Unplannable("a file that the text names is not there"))
    };
    let value = |(key, value): (&String, &Value)| {
        let directory = FILES.iter().find(|(name, _)| name == key).map(|(_, directory)| directory);
        let value = match (value, directory) {
            (Value::Text(bytes), Some(directory)) => {
                Value::List(split(bytes).iter().map(|name| content(directory, name)).collect::<Result<_, _>>()?)
            }
            (Value::Text(bytes), None) if LISTS.contains(&key.as_str()) => Value::List(split(bytes)),
            (Value::Section(inner), _) => Value::Section(with_lists(inner, files)?),
            (other, _) => other.clone(),
        };
        Ok((key.clone(), value))
    };
    section.0.iter().map(value).collect::<Result<_, _>>().map(Section)
}
