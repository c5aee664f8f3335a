//! The options of a connection in the API: the contract's, one row each, and behind them those of our own, whose rows are
//! in the model. `--set` of the command line, the inventory, a Change that keeps the rest, and the tests that hold the
//! document and the golden folders against it take theirs from here. How to add one is in CONTRIBUTING.md; what is
//! forgotten does not compile, or fails a test by its name.

use crate::{
    ipsec::{
        Auth, IdentityKind, IkeVersion, Lifetime, Mode,
        native::{Kind, NATIVE, NativeOption},
    },
    store::Options,
};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// The JSON type of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Json {
    /// A string.
    Text,
    /// A whole number, of a table of its own.
    Number,
    /// A whole number from the first to the second.
    Range(u64, u64),
    /// True or false.
    Switch,
}

/// What an option is where a request leaves it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// This, in a Create and in a Change (contract, trap 3).
    Default(&'static str),
    /// In a Create, what its row in the model says; what is stored in a Change.
    Kept,
    /// Nothing in a Create: it follows from the rest. What is stored in a Change.
    Derived,
}

/// An option of Create and Change.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The member.
    pub name: &'static str,
    /// Its type.
    pub json: Json,
    /// What it is without the member.
    pub left_out: LeftOut,
    /// A value that no request has which leaves it out: tests follow it through the program.
    pub example: &'static str,
    /// Whether the inventory shows it.
    pub shown: bool,
    /// Where its value is.
    of: Of,
}

/// Where the value of an option is.
#[derive(Debug, Clone, Copy)]
enum Of {
    /// Among the contract's.
    Contract(fn(&Options) -> Value),
    /// Among our own.
    Native(&'static NativeOption),
}

const IKE: Json = Json::Range(Lifetime::IKE.0 as u64, Lifetime::IKE.1 as u64);
const CHILD: Json = Json::Range(Lifetime::CHILD.0 as u64, Lifetime::CHILD.1 as u64);

use Json::{Number, Text};
use LeftOut::{Default, Derived};

/// All options, in the order in which they are named.
pub static OPTIONS: LazyLock<Vec<Row>> =
    LazyLock::new(|| CONTRACT.into_iter().chain(NATIVE.iter().map(native)).collect());

/// The contract's options. They are no more than these for good.
#[rustfmt::skip]
pub(super) const CONTRACT: [Row; 15] = [
    row("authMode",                  Text,   Default("psk"),        "certs",        |o| word(&AUTH_MODES, AuthMode::of(&o.auth)).into()),
    row("idType",                    Text,   Default("ip"),         "fqdn",         |o| word(&ID_TYPES, o.id_kind.both.asked()).into()),
    row("localId",                   Text,   Derived,               "192.0.2.77",   |o| o.local_id.as_deref().into()),
    row("remoteId",                  Text,   Derived,               "198.51.100.77", |o| o.remote_id.as_deref().into()),
    row("ikeVersion",                Text,   Default("ike"),        "ikev1",        |o| word(&IKE_VERSIONS, o.version).into()),
    row("ikeAuthAlgorithm",          Text,   Default("sha256"),     "sha512",       |o| o.ike.integrity.row().wire.into()),
    row("ikeEncryptionAlgorithm",    Text,   Default("aes-256"),    "aes-128",      |o| o.ike.encryption.row().wire.into()),
    row("ikeDhGroup",                Number, Default("2"),          "19",           |o| o.ike.group.row().number.into()),
    row("ikeLifeTime",               IKE,    Default("86400"),      "7200",         |o| o.ike_lifetime.hard().into()),
    row("policyAuthAlgorithm",       Text,   Default("sha256"),     "sha512",       |o| o.integrity.row().wire.into()),
    row("policyEncryptionAlgorithm", Text,   Default("aes-256"),    "aes-128",      |o| o.encryption.row().wire.into()),
    row("pfs",                       Text,   Default("dh-group14"), "dh-group19",   |o| o.pfs.map_or("none", |group| group.row().wire).into()),
    row("policyMode",                Text,   Default("tunnel"),     "transport",    |o| word(&MODES, o.mode).into()),
    row("transformProtocol",         Text,   Default("esp"),        "ah",           |o| if o.ah { "ah" } else { "esp" }.into()),
    row("lifeTime",                  CHILD,  Default("3600"),       "1800",         |o| o.lifetime.hard().into()),
];

/// An option of the contract, which the inventory shows.
const fn row(
    name: &'static str,
    json: Json,
    left_out: LeftOut,
    example: &'static str,
    value: fn(&Options) -> Value,
) -> Row {
    Row { name, json, left_out, example, shown: true, of: Of::Contract(value) }
}

/// An option of our own, which the contract's inventory does not have.
fn native(option: &'static NativeOption) -> Row {
    let json = match option.kind {
        Kind::Word(_) | Kind::Protocol | Kind::PpkId => Text,
        Kind::Number(low, high) => Json::Range(low, high),
        Kind::Switch => Json::Switch,
    };
    let NativeOption { name, example, .. } = option;
    Row { name, json, left_out: LeftOut::Kept, example, shown: false, of: Of::Native(option) }
}

impl Row {
    /// `text` as a value of this option.
    #[must_use]
    pub fn json(&self, text: &str) -> Value {
        match self.json {
            Json::Text => text.into(),
            Json::Number | Json::Range(..) => text.parse::<i64>().ok().into(),
            Json::Switch => text.parse::<bool>().ok().into(),
        }
    }

    /// The value in a Create that leaves it out; null if it follows from the rest.
    #[must_use]
    pub fn default(&self) -> Value {
        match self.left_out {
            LeftOut::Default(text) => self.json(text),
            LeftOut::Kept => self.native().map_or(Value::Null, NativeOption::default),
            LeftOut::Derived => Value::Null,
        }
    }

    /// Its value as the API has it.
    #[must_use]
    pub fn value(&self, options: &Options) -> Value {
        match self.of {
            Of::Contract(value) => value(options),
            Of::Native(option) => (option.get)(&options.native),
        }
    }

    /// Its row in the model, if it is one of our own.
    #[must_use]
    pub fn native(&self) -> Option<&'static NativeOption> {
        match self.of {
            Of::Contract(_) => None,
            Of::Native(option) => Some(option),
        }
    }
}

/// The names of the options.
pub fn names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|row| row.name)
}

/// The member `name` of an inventory, if it is an option that inventories show; else null.
#[must_use]
pub fn shown(options: &Options, name: &str) -> Value {
    let row = CONTRACT.iter().find(|row| row.shown && row.name == name);
    row.map_or(Value::Null, |row| row.value(options))
}

/// The options of our own that are not as a Create without them has them, for views.
#[must_use]
pub fn chosen(options: &Options) -> Map<String, Value> {
    let ours = NATIVE.iter().map(|option| (option, (option.get)(&options.native)));
    let chosen = ours.filter(|(option, value)| !value.is_null() && *value != option.default());
    chosen.map(|(option, value)| (option.name.to_owned(), value)).collect()
}

/// The API's word for a value of one of the tables below.
#[must_use]
pub fn word<T: PartialEq + Copy>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, meaning)| *meaning == value).map_or("", |(name, _)| name)
}

/// Which proof of identity a connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// A pre-shared key.
    Psk,
    /// Certificates.
    Certs,
}

impl AuthMode {
    /// That of `auth`.
    #[must_use]
    pub fn of(auth: &Auth) -> Self {
        match auth {
            Auth::Psk(_) => Self::Psk,
            Auth::Certs(_) => Self::Certs,
        }
    }
}

/// `authMode`.
pub(super) const AUTH_MODES: [(&str, AuthMode); 2] = [("psk", AuthMode::Psk), ("certs", AuthMode::Certs)];

/// `idType`.
pub const ID_TYPES: [(&str, IdentityKind); 3] =
    [("ip", IdentityKind::Ip), ("name", IdentityKind::Name), ("fqdn", IdentityKind::Fqdn)];

/// `ikeVersion`.
pub const IKE_VERSIONS: [(&str, IkeVersion); 3] =
    [("ike", IkeVersion::Any), ("ikev1", IkeVersion::V1), ("ikev2", IkeVersion::V2)];

/// `policyMode`.
pub const MODES: [(&str, Mode); 2] = [("tunnel", Mode::Tunnel), ("transport", Mode::Transport)];
