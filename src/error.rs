//! The one error type. Its texts are for the caller: what is wrong, where, and what to do.
//! HTTP statuses and `SYS` codes are not known here; `http/error.rs` maps them.

use crate::{
    ipsec::{Clash, Conflict, ConnectionId, Invalid},
    rights,
};
use std::{io, path::PathBuf};

/// What a name in an error message stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// An IPsec connection.
    Connection,
    /// A public address of this gateway (`[[gateway.vips]]`).
    Vip,
    /// A local network behind this gateway (`[[gateway.l3_networks]]`).
    L3Network,
    /// A tag pattern; this agent has none.
    TagPattern,
}

/// Where a parameter of a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Among the members of the body.
    Body,
    /// Among the parameters behind the `?`.
    Query,
}

/// What is wrong with the value of a parameter. Each caller gets a sentence of its own words from it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is none of the valid values.
    #[error("must be one of {}; got {found}", .valid.join(", "))]
    NotOneOf {
        /// The valid values.
        valid: Vec<String>,
        /// The start of the value.
        found: String,
    },
    /// A text is too long, in UTF-16 units.
    #[error("must have at most {most} characters; it has {length}")]
    TooLong {
        /// The longest length.
        most: usize,
        /// The length of what was given, in the same unit.
        length: usize,
    },
    /// A member without a default was left out.
    #[error("is missing")]
    Missing,
    /// A list without elements.
    #[error("must be a nonempty list")]
    Empty,
    /// A list that names an element twice.
    #[error("names {0} twice")]
    Twice(String),
    /// A key with characters that none may have.
    #[error("cannot contain white space and special characters of {0}")]
    Characters(&'static str),
    /// It is no whole number.
    #[error("must be a whole number of at most 32 bits; got {0}")]
    NotAnInteger(String),
    /// It is no uuid.
    #[error("must be a uuid: 32 lower-case hexadecimal digits, without '-'; got {0}")]
    NotAUuid(String),
    /// It is neither an address nor a name.
    #[error("must be an IPv4 address, an IPv6 address or a host name; \"{found}\" {why}")]
    NotAPeer {
        /// The start of the value.
        found: String,
        /// Why it is no name either.
        why: Invalid,
    },
    /// The connection has this network already.
    #[error("names {found}, which the connection has already")]
    Attached {
        /// The network.
        found: String,
        /// The connection.
        id: ConnectionId,
    },
    /// The connection does not have this network.
    #[error("names {found}, which the connection does not have")]
    NotAttached {
        /// The network.
        found: String,
        /// The connection.
        id: ConnectionId,
        /// Those that it has.
        known: Vec<String>,
    },
    /// Another rule; the sentence begins behind the parameter's name and names no parameter.
    #[error("{0}")]
    Rule(String),
}

impl Problem {
    /// The value, or its start, where the rule is about one.
    #[must_use]
    pub fn found(&self) -> Option<&str> {
        match self {
            Self::NotOneOf { found, .. }
            | Self::Twice(found)
            | Self::NotAnInteger(found)
            | Self::NotAUuid(found)
            | Self::NotAPeer { found, .. }
            | Self::Attached { found, .. }
            | Self::NotAttached { found, .. } => Some(found),
            Self::TooLong { .. } | Self::Missing | Self::Empty | Self::Characters(_) | Self::Rule(_) => None,
        }
    }
}

/// Everything that can go wrong while serving a call or keeping a connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's value is wrong; the text names the field and the remedy.
    #[error("{0}")]
    Argument(String),
    /// The value of one parameter is wrong.
    #[error("{name} {problem}")]
    Value {
        /// Where the parameter stands.
        place: Place,
        /// Its name in the API.
        name: String,
        /// What is wrong.
        problem: Problem,
    },
    /// A part of a connection does not fit the others, or may not be as it is.
    #[error("{}: {}", .0.part(), .0)]
    Conflict(#[from] Conflict),
    /// Something stored is in the way of a write.
    #[error("{0}")]
    Clash(#[from] Clash),
    /// The resource that a parameter names does not exist.
    #[error("no {resource:?} with uuid {uuid}")]
    NotFound {
        /// The parameter that names it.
        field: &'static str,
        /// The uuids asked for.
        uuid: String,
        /// What was looked for.
        resource: Resource,
        /// Those that there are, if that helps.
        known: Option<String>,
    },
    /// The session or token is unknown or has expired.
    #[error("Session expired")]
    Session,
    /// A job ran past its time.
    #[error("the job did not end within {0} s; what it does goes on")]
    Timeout(u64),
    /// A login that failed.
    #[error("{0}")]
    Login(String),
    /// The account has as many sessions as it may.
    #[error("the account has too many concurrent sessions")]
    TooManySessions,
    /// charon answered, and refused; `words` are charon's own.
    #[error("charon refused {doing}: {words}")]
    Refused {
        /// The command and its object.
        doing: String,
        /// charon's message.
        words: String,
        /// Whether it has no such SA, connection or key.
        is_absent: bool,
    },
    /// charon could not be reached or did not answer in time.
    #[error("charon did not answer {doing}: {cause}")]
    Unreachable {
        /// The command and its object.
        doing: String,
        /// The socket error or the missed deadline.
        cause: String,
    },
    /// A change was on trial, and the tunnel did not come up in time.
    #[error("{}{text}", if down.is_some() { "the tunnel is down: " } else { "" })]
    NotConfirmed {
        /// The connection whose tunnel is down, if that is why.
        down: Option<ConnectionId>,
        /// What was seen, and what became of it.
        text: String,
        /// The cause, its details and what to do about it.
        elaboration: Option<String>,
    },
    /// A file could not be read, written or made durable.
    #[error("cannot {doing} {path}: {}", rights::explained(source), path = path.display())]
    Storage {
        /// The operation.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A stored file is not what this agent writes.
    #[error("{path} is damaged: {why}; repair or remove it and restart cygnet", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its contents.
        why: String,
    },
    /// What all callers share is used up at this moment; the same call works later.
    #[error("{0}")]
    Busy(String),
    /// A fault of the agent itself.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The result of everything fallible above the model.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An argument error from anything that displays.
    pub fn argument(text: impl Into<String>) -> Self {
        Self::Argument(text.into())
    }

    /// Whether charon refused because it does not have what was named.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { is_absent: true, .. })
    }

    /// The member `name` of the body has this problem.
    #[must_use]
    pub fn member(name: &str, problem: Problem) -> Self {
        Self::Value { place: Place::Body, name: name.to_owned(), problem }
    }

    /// The member `name` of the body breaks this rule.
    pub fn rule(name: &str, rule: impl Into<String>) -> Self {
        Self::member(name, Problem::Rule(rule.into()))
    }

    /// The parameter `name` of the query breaks this rule.
    pub fn in_query(name: &str, rule: impl Into<String>) -> Self {
        Self::Value { place: Place::Query, name: name.to_owned(), problem: Problem::Rule(rule.into()) }
    }

    /// A trial that ended without a cause of its own.
    pub fn not_confirmed(text: impl Into<String>) -> Self {
        Self::NotConfirmed { down: None, text: text.into(), elaboration: None }
    }

    /// Whether this process may not read or write a file: that says nothing about the file.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Storage { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// A storage error at `path`.
    pub fn storage(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Storage { doing, path: path.into(), source }
    }
}
