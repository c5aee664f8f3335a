//! Who may call (contract 1.10): over TCP whoever has a session, a static token or an access key; over
//! the Unix socket root and the group `cygnet`.

pub mod accounts;
mod limits;
mod sessions;
mod signature;
mod tokens;

pub use accounts::Accounts;
pub use sessions::Session;
pub use tokens::{Tokens, credential, is_handed_over};

use super::error::Failure;
use crate::error::{Error, Result};
use axum::http::{HeaderMap, Method, header::AUTHORIZATION};
use jiff::Timestamp;
use limits::{Limits, Who};
use sessions::Sessions;
use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};
use tokio::sync::Semaphore;

/// Where a connection comes from; the listener says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Over TCP, from this address; whether by TLS.
    Network(IpAddr, bool),
    /// Over the Unix socket, from a process of this user, which was checked.
    Local(u32),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address, _) => address.fmt(f),
            Self::Local(_) => f.write_str("this machine"),
        }
    }
}

/// Who calls, by what they showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A session of this account.
    Account(String),
    /// The static token of this name.
    Token(String),
    /// The access key with this id.
    AccessKey(String),
    /// A user of this machine, over the Unix socket.
    User(u32),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(name) => write!(f, "account {name}"),
            Self::Token(name) => write!(f, "token {name}"),
            Self::AccessKey(id) => write!(f, "access key {id}"),
            Self::User(uid) => write!(f, "uid {uid}"),
        }
    }
}

/// What the credential files say; read anew on SIGHUP.
#[derive(Default)]
pub struct Credentials {
    /// Static tokens.
    pub tokens: Tokens,
    /// Accounts and access keys.
    pub accounts: Accounts,
}

/// The guard.
pub struct Auth {
    credentials: RwLock<Arc<Credentials>>,
    sessions: Sessions,
    limits: Limits,
    /// Passwords are checked one at a time: each takes memory and time, on purpose.
    checking: Semaphore,
}

/// An `Authorization` header that has a form; whether it is right is another question.
enum Claim<'a> {
    Session(&'a str),
    Signature(&'a str),
}

impl Auth {
    /// A guard with these credentials.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials: RwLock::new(Arc::new(credentials)),
            sessions: Sessions::default(),
            limits: Limits::default(),
            checking: Semaphore::new(1),
        }
    }

    /// Replaces the credentials, for later calls; sessions go on.
    pub fn set_credentials(&self, credentials: Credentials) {
        *self.credentials.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials);
    }

    fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks a call. `path` is the decoded one without `/zstack`.
    ///
    /// # Errors
    /// 400 or 403 as the contract says, `ID.1001` for an unknown or expired session.
    pub fn check(&self, origin: Origin, headers: &HeaderMap, method: &Method, path: &str) -> Result<Caller, Failure> {
        if let Origin::Local(uid) = origin {
            return Ok(Caller::User(uid));
        }
        let now = Timestamp::now();
        match claim(headers)? {
            Claim::Session(token) => {
                // Both are looked up, whichever it is: time does not tell.
                let (credentials, session) = (self.credentials(), self.sessions.touch(token, now));
                let named = credentials.tokens.name(token).map(|name| Caller::Token(name.into()));
                named.or(session.map(|session| Caller::Account(session.account))).ok_or_else(|| Error::Session.into())
            }
            Claim::Signature(value) => {
                signature::check(value, headers, method, path, &self.credentials().accounts, now)
            }
        }
    }

    /// Logs the account `name` in with the SHA-512 of its password, as lower-case hexadecimal digits.
    ///
    /// # Errors
    /// The same for an unknown name and a wrong password; another after too many failures.
    pub async fn login(&self, origin: Origin, name: &str, digest: &str) -> Result<(String, String, Session)> {
        let mut who = vec![Who::Account(name.chars().take(255).collect())];
        if let Origin::Network(address, _) = origin {
            who.push(Who::Address(address));
        }
        if let Some(wait) = self.limits.wait(&who, Instant::now()) {
            return Err(Error::Login(format!("too many failed logins: try again in {} s", wait.as_secs().max(1))));
        }
        let turn = self.checking.acquire().await.map_err(|e| Error::Internal(e.to_string()))?;
        let (credentials, account, digest) = (self.credentials(), name.to_owned(), digest.to_owned());
        let checked = tokio::task::spawn_blocking(move || {
            let account = credentials.accounts.account(&account)?;
            account.has_password(&digest).then(|| account.clone())
        });
        let account = checked.await.map_err(|e| Error::Internal(e.to_string()))?;
        drop(turn);
        let Some(account) = account else {
            self.limits.failed(&who, Instant::now());
            tracing::warn!(account = name, ?origin, "a login failed");
            return Err(Error::Login("wrong account name or password".into()));
        };
        self.limits.succeeded(name);
        let begun = self.sessions.begin(name, Timestamp::now()).ok_or(Error::TooManySessions)?;
        Ok((begun.0, account.uuid, begun.1))
    }

    /// Lets a session live for `seconds` from now; the account's uuid and the session.
    ///
    /// # Errors
    /// When there is none.
    pub fn renew(&self, uuid: &str, seconds: i64) -> Result<(String, Session)> {
        let session = self.sessions.prolong(uuid, seconds, Timestamp::now()).ok_or(Error::Session)?;
        let credentials = self.credentials();
        let account = credentials.accounts.account(&session.account).map(|account| account.uuid.clone());
        Ok((account.unwrap_or_default(), session))
    }

    /// Whether there is a session `uuid`.
    #[must_use]
    pub fn is_valid(&self, uuid: &str) -> bool {
        self.sessions.is_valid(uuid, Timestamp::now())
    }

    /// Ends a session; that there is none is no error.
    pub fn logout(&self, uuid: &str) {
        self.sessions.end(uuid);
    }
}

fn claim(headers: &HeaderMap) -> Result<Claim<'_>, Failure> {
    let header = headers.get(AUTHORIZATION).ok_or_else(|| Failure::bad_request("missing header 'Authorization'"))?;
    let value = header.to_str().unwrap_or_default().trim();
    if let Some(session) = value.strip_prefix("OAuth") {
        return Ok(Claim::Session(session.trim()));
    }
    let signature = value.strip_prefix("ZStack").map(|value| Claim::Signature(value.trim()));
    signature.ok_or_else(|| Failure::bad_request("Authorization type must be 'OAuth'"))
}
