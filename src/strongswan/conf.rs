//! swanctl.conf text: rendering a connection, and parsing back what was rendered.
//!
//! The parser takes only what the template writes. That makes it a check on the template: whatever
//! a hostile value might smuggle into the text, the result is our connection or a refusal.

use super::{
    credentials, names,
    section::{Section, Value},
};
use crate::ipsec::{Auth, Certs, Connection, ConnectionId, IkeVersion, Mode, Pass, Protocol, list, native::StartMode};
use askama::Template;
use std::fmt::{self, Write};
use zeroize::Zeroizing;

/// Whether charon's kernel interface can hold trap policies, which negotiate on the first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traps {
    /// It can (kernel-netlink always; kernel-libipsec from strongSwan 5.9.11).
    Supported,
    /// It cannot.
    Unsupported,
}

impl Traps {
    /// `start_action`: never `start`, which makes charon break tunnels on reload (facts 3.1).
    fn start_action(self) -> &'static str {
        match self {
            Self::Supported => "trap",
            Self::Unsupported => "none",
        }
    }

    /// `dpd_action`: what charon does with the CHILD_SA of a dead peer.
    fn dpd_action(self) -> &'static str {
        match self {
            Self::Supported => "trap",
            Self::Unsupported => "clear",
        }
    }
}

/// The text of a connection's file. It holds the key: no `Debug`, and wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Conf(Zeroizing<String>);

impl Conf {
    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Conf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Conf({} bytes)", self.0.len())
    }
}

/// The fields of `templates/connection.conf`.
#[derive(Template)]
#[template(path = "connection.conf", config = "templates/askama.toml")]
struct ConnectionConf<'a> {
    c: &'a Connection,
    parts: Vec<Part<'a>>,
    /// The proposals for the IKE SA, and those for the CHILD_SAs.
    ike: String,
    children: String,
    secrets: Vec<Secret>,
    certs: Option<CertNames>,
    mode: &'static str,
}

/// A connection in charon's sense: the settings in which the two of one IKE connection differ.
struct Part<'a> {
    name: String,
    version: u8,
    c: &'a Connection,
    traps: Traps,
    passes: &'a [Pass],
}

/// A secret, its key in hexadecimal digits.
struct Secret {
    name: String,
    owner: String,
    key: Zeroizing<String>,
}

/// The secrets of a connection: its pre-shared key, and its PPK.
fn secrets(connection: &Connection) -> Vec<Secret> {
    let id = connection.id();
    let mut secrets = Vec::new();
    if let Auth::Psk(psk) = &connection.auth {
        let owner = connection.key_identity().to_string();
        secrets.push(Secret { name: names::secret(id), owner, key: psk.expose_hex() });
    }
    if let (Some(owner), Some(ppk)) = (connection.native.ppk_id.clone(), &connection.native.ppk) {
        secrets.push(Secret { name: names::ppk(id), owner, key: ppk.expose_hex() });
    }
    secrets
}

/// The names of the files of a connection with certificates.
struct CertNames {
    /// How we sign. charon would also use a key for RSA-PSS otherwise, which other peers refuse.
    auth: String,
    own: String,
    /// The key that says how the peer is known, and the files: `certs` if it must have one of them, or `cacerts`. charon
    /// would want both if it were given both.
    trusted: (&'static str, String),
}

impl CertNames {
    fn new(id: ConnectionId, certs: &Certs) -> Self {
        let files = credentials::files(id, certs);
        // Intermediates follow the roots. A chain must not end at them.
        let of = |directory, first, count| {
            let names = files.iter().filter(|file| file.directory == directory).skip(first).take(count);
            names.map(|file| file.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let schemes = certs.certificate.pss_hashes.as_ref().map(|hashes| format!("ike:rsa/pss-{}", hashes.join("-")));
        let auth = schemes.unwrap_or_else(|| "pubkey".into());
        let trusted = match certs.trusted_cas().len() {
            0 => ("certs", of(credentials::X509, 1, certs.peers.len())),
            roots => ("cacerts", of(credentials::X509CA, 0, roots)),
        };
        Self { auth, own: of(credentials::X509, 0, 1), trusted }
    }
}

/// Renders `connection` as the text of its file in conf.d, without policies for the host's own networks.
///
/// # Errors
/// When the template fails, which is a fault of this program.
pub fn render(connection: &Connection, traps: Traps) -> Result<Conf, Broken> {
    render_passing(connection, traps, &[])
}

/// The same with pass policies.
///
/// # Errors
/// As [`render`].
pub fn render_passing(connection: &Connection, traps: Traps, passes: &[Pass]) -> Result<Conf, Broken> {
    let id = connection.id();
    let answering = connection.answering();
    // A trap would begin for the peer.
    let traps = if connection.start_mode() == StartMode::Respond { Traps::Unsupported } else { traps };
    let version = match connection.version {
        IkeVersion::Any => 0,
        IkeVersion::V1 => 1,
        IkeVersion::V2 => 2,
    };
    let mut parts = vec![Part { name: names::connection(id), version, c: &answering, traps, passes }];
    if connection.falls_back() {
        // The other has the traps, if there are any: charon is never without them while this one comes and goes.
        let (name, traps) = (names::fallback(id), Traps::Unsupported);
        parts.push(Part { name, version: 1, c: connection, traps, passes: &[] });
    }
    let template = ConnectionConf {
        c: connection,
        parts,
        ike: list(&connection.ike_proposals()),
        children: list(&connection.child_proposals()),
        secrets: secrets(connection),
        certs: connection.auth.certs().map(|certs| CertNames::new(id, certs)),
        mode: match connection.mode {
            Mode::Tunnel => "tunnel",
            Mode::Transport => "transport",
        },
    };
    let text = template.render().map_err(|e| Broken { line: 0, why: e.to_string() })?;
    Ok(Conf(Zeroizing::new(text + "\n")))
}

/// The escaper of `.conf` templates: strongSwan's escapes of a quoted string (facts 1.1).
/// Numbers, keywords and addresses contain none of these characters and pass unchanged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quoted;

impl askama::filters::Escaper for Quoted {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_escaped_char(&mut dest, c))
    }

    fn write_escaped_char<W: Write>(&self, mut dest: W, c: char) -> fmt::Result {
        match ESCAPES.iter().find(|(raw, _)| *raw == c) {
            Some((_, letter)) => write!(dest, "\\{letter}"),
            None => dest.write_char(c),
        }
    }
}

/// A raw character of a quoted string and the letter behind its backslash.
const ESCAPES: [(char, char); 5] = [('"', '"'), ('\\', '\\'), ('\n', 'n'), ('\r', 'r'), ('\t', 't')];

/// The text is not what the template writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Broken {
    /// The line, from 1; 0 where there is none.
    pub line: usize,
    /// What is wrong; never the value.
    pub why: String,
}

/// The deepest nesting of sections; the template needs four.
const MAX_DEPTH: usize = 8;

/// Parses text that [`render`] wrote; values stay as they are written, lists unsplit.
///
/// # Errors
/// On any other text, with the line.
pub fn parse(text: &str) -> Result<Section, Broken> {
    let mut open: Vec<(String, Section)> = vec![(String::new(), Section::new())];
    let mut number = 0;
    for line in text.split('\n') {
        number += 1;
        let broken = |why: &str| Broken { line: number, why: why.into() };
        let line = line.trim_matches(' ');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "}" {
            let closed = if open.len() > 1 { open.pop() } else { None };
            let ((name, section), parent) =
                closed.zip(open.last_mut()).ok_or_else(|| broken("a brace closes nothing"))?;
            insert(&mut parent.1, name, Value::Section(section)).map_err(broken)?;
        } else if let Some(name) = line.strip_suffix(" {") {
            if open.len() > MAX_DEPTH {
                return Err(broken("sections stand too deep in each other"));
            }
            open.push((checked_name(name).map_err(broken)?, Section::new()));
        } else {
            let (key, value) = line.split_once(" = ").ok_or_else(|| broken("neither a section nor a setting"))?;
            let key = checked_name(key).map_err(broken)?;
            let value = Value::Text(unquoted(value).map_err(broken)?.into_bytes());
            let (_, section) = open.last_mut().ok_or_else(|| broken("no section is open"))?;
            insert(section, key, value).map_err(broken)?;
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some((_, root)), true) => Ok(root),
        _ => Err(Broken { line: number, why: "a section is not closed".into() }),
    }
}

fn insert(section: &mut Section, key: String, value: Value) -> Result<(), &'static str> {
    match section.0.insert(key, value) {
        None => Ok(()),
        Some(_) => Err("the name stands twice in its section"),
    }
}

/// A name that neither swanctl's lexer nor its printf-style paths can misread (facts 1.3).
fn checked_name(name: &str) -> Result<String, &'static str> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    match name {
        "include" => Err("include is a directive, not a name"),
        _ if (1..=100).contains(&name.len()) && name.bytes().all(good) => Ok(name.into()),
        _ => Err("not a name"),
    }
}

/// The value that is written as `text`: bare where it is harmless, else one quoted string.
fn unquoted(text: &str) -> Result<String, &'static str> {
    // A percent sign stands before the interface of a link-local address, brackets around a protocol and port.
    let bare = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/%[]".contains(&b);
    let Some(inner) = text.strip_prefix('"') else {
        let sound = text.split(", ").all(|item| !item.is_empty() && item.bytes().all(bare));
        return if sound { Ok(text.into()) } else { Err("an unquoted value has a character that must be quoted") };
    };
    let inner = inner.strip_suffix('"').ok_or("a quoted value does not end on its line")?;
    let mut value = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Err("a quoted value ends before its line"),
            '\\' => {
                let letter = chars.next().ok_or("a quoted value does not end on its line")?;
                let (raw, _) = ESCAPES.iter().find(|(_, l)| *l == letter).ok_or("an unknown escape")?;
                value.push(*raw);
            }
            '\r' | '\t' | '\0' => return Err("a control character is not escaped"),
            _ => value.push(c),
        }
    }
    Ok(value)
}
