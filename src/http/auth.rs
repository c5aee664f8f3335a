//! Who may call (contract 1.10): over TCP whoever has a session, a static token or an access key; over
//! the Unix socket root and the group `cygnet`.

pub mod accounts;
mod caller;
mod claim;
mod limits;
mod origin;
mod password;
mod role;
mod sessions;
mod signature;
mod standing;
mod tokens;

pub use accounts::Accounts;
pub use caller::{Caller, Who};
pub use origin::{Origin, Peer};
pub use role::Role;
pub use sessions::Session;
pub use standing::Standing;
pub(super) use tokens::unreadable;
pub use tokens::{Token, Tokens, credential, is_handed_over};

use super::error::Failure;
use crate::{
    error::{Error, Result},
    http::auth::{
        claim::{Claim, claim},
        limits::{Attempt, Limits},
        sessions::Sessions,
    },
    nearest::nearest,
    settings::{self, Answers, Whose},
};
use axum::http::{HeaderMap, Method};
use jiff::Timestamp;
pub use password::Arena;
use prometheus_client::metrics::{counter::Counter, family::Family};
use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

/// What the credential files say; read anew on SIGHUP.
#[derive(Default)]
pub struct Credentials {
    /// Static tokens.
    pub tokens: Tokens,
    /// Accounts and access keys.
    pub accounts: Accounts,
    /// What the settings say of single callers.
    pub callers: Vec<settings::Caller>,
}

impl Credentials {
    /// The callers that the settings name and that there are not, as texts with the one that is near.
    #[must_use]
    pub fn unknown_callers(&self) -> Vec<String> {
        let unknown = |whose: &Whose| {
            let (kind, name, known): (_, _, Vec<_>) = match whose {
                Whose::Token(name) => ("token", name, self.tokens.names().collect()),
                Whose::Account(name) => ("account", name, self.accounts.names().collect()),
            };
            let near =
                nearest(name, known.iter().copied()).map_or_else(String::new, |near| format!("; did you mean {near}?"));
            let is_there = known.contains(&name.as_str());
            (!is_there).then(|| format!("auth.callers names the {kind} \"{name}\", and there is no such {kind}{near}"))
        };
        self.callers.iter().filter_map(|caller| unknown(&caller.whose)).collect()
    }
}

/// The guard.
pub struct Auth {
    credentials: RwLock<Arc<Credentials>>,
    sessions: Sessions,
    logins: Arc<Logins>,
    /// Passwords are checked one at a time: each takes memory and time, on purpose.
    turn: Arc<Semaphore>,
    /// Who may wait for the turn.
    queue: Semaphore,
    /// Told when credentials were replaced, or a session was ended.
    changes: watch::Sender<()>,
}

/// What the checks of passwords share. A check goes on, and counts, when its caller has hung up.
#[derive(Default)]
struct Logins {
    limits: Limits,
    arena: Mutex<Arena>,
    counts: LoginCounts,
}

/// Logins by what came of them.
pub type LoginCounts = Family<[(&'static str, &'static str); 1], Counter>;

/// Logins that may wait for their turn.
const QUEUE: usize = 64;
/// How much of a name that nobody may have is shown, in characters.
const SHOWN: usize = 64;

impl Auth {
    /// A guard with these credentials.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials: RwLock::new(Arc::new(credentials)),
            sessions: Sessions::default(),
            logins: Arc::default(),
            turn: Arc::new(Semaphore::new(1)),
            queue: Semaphore::new(QUEUE),
            changes: watch::Sender::new(()),
        }
    }

    /// Replaces the credentials, for later calls. The sessions of accounts that are gone, or were made anew, end with it;
    /// another password ends none.
    pub fn set_credentials(&self, credentials: Credentials) {
        let new = Arc::new(credentials);
        let mut place = self.credentials.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, Arc::clone(&new));
        drop(place);
        let ended = self.sessions.end_unless(|account| new.accounts.has_same(account, &old.accounts));
        self.changes.send_replace(());
        if ended > 0 {
            tracing::info!(ended, "{ended} sessions ended: their accounts are gone");
        }
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
            return Ok(Caller { who: Who::User(uid), role: Role::Write });
        }
        match claim(headers)? {
            Claim::Session(token) => {
                // Both are looked up, whichever it is: time does not tell.
                let (credentials, session) = (self.credentials(), self.sessions.touch(token, Instant::now()));
                let token = credentials.tokens.find(token).cloned();
                let named = token.map(|token| Caller { who: Who::Token(token.name), role: token.role });
                // The role is that of the account as it is now.
                let role = |name: &str| credentials.accounts.account(name).map(|account| account.role);
                let account = |session: Session| {
                    Some(Caller { role: role(&session.account)?, who: Who::Account(session.account) })
                };
                named.or(session.and_then(account)).ok_or_else(|| Error::Session.into())
            }
            Claim::Signature(value) => {
                signature::check(value, headers, method, path, &self.credentials().accounts, Timestamp::now())
            }
        }
    }

    /// Whether the settings want all writes of `caller` answered with jobs.
    #[must_use]
    pub fn wants_jobs(&self, caller: &Caller) -> bool {
        let credentials = self.credentials();
        let of_key = |id: &str| credentials.accounts.key(id).map(|(key, _)| Whose::Account(key.account.clone()));
        let whose = match &caller.who {
            Who::Token(name) => Some(Whose::Token(name.clone())),
            Who::Account(name) => Some(Whose::Account(name.clone())),
            Who::AccessKey(id) => of_key(id),
            Who::User(_) => None,
        };
        let is_meant = |known: &settings::Caller| Some(&known.whose) == whose.as_ref();
        credentials.callers.iter().filter(|known| is_meant(known)).any(|known| known.answers == Answers::Async)
    }

    /// Logs the account `name` in with the SHA-512 of its password, as lower-case hexadecimal digits.
    ///
    /// # Errors
    /// The same for an unknown name and a wrong password; another after too many failures.
    pub async fn login(
        &self,
        origin: Origin,
        name: &str,
        digest: Zeroizing<String>,
    ) -> Result<(String, String, Session)> {
        let attempt = Attempt::new(origin, name);
        self.logins.admit(&attempt, origin)?;
        let crowded = |_| {
            self.logins.count("refused");
            Error::Login("too many logins at once: try again in a few seconds".into())
        };
        let place = self.queue.try_acquire().map_err(crowded)?;
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|e| Error::Internal(e.to_string()))?;
        drop(place);
        // Those before it in the queue may have used the tries up.
        self.logins.admit(&attempt, origin)?;
        let (logins, credentials) = (Arc::clone(&self.logins), self.credentials());
        let looked_at = Arc::clone(&credentials);
        let checked = tokio::task::spawn_blocking(move || {
            let outcome = logins.check(&attempt, origin, &digest, &credentials.accounts);
            drop(turn);
            outcome
        });
        let uuid = checked.await.map_err(|e| Error::Internal(e.to_string()))?;
        let uuid = uuid.ok_or_else(|| Error::Login("wrong account name or password".into()))?;
        let (token, session) = self.sessions.begin(name, Instant::now()).ok_or(Error::TooManySessions)?;
        // The credentials may have been replaced while the password was looked at.
        if !self.credentials().accounts.has_same(name, &looked_at.accounts) {
            self.sessions.end(&token);
            return Err(Error::Login("wrong account name or password".into()));
        }
        Ok((token, uuid, session))
    }

    /// The logins so far.
    #[must_use]
    pub fn logins(&self) -> LoginCounts {
        for result in ["accepted", "failed", "refused"] {
            self.logins.counts.get_or_create(&[("result", result)]).inc_by(0);
        }
        self.logins.counts.clone()
    }

    /// Lets a session live for `seconds` from now; the account's uuid and the session.
    ///
    /// # Errors
    /// When there is none.
    pub fn renew(&self, uuid: &str, seconds: i64) -> Result<(String, Session)> {
        let time = Duration::from_secs(seconds.try_into().unwrap_or_default());
        let session = self.sessions.prolong(uuid, time, Instant::now()).ok_or(Error::Session)?;
        let credentials = self.credentials();
        let account = credentials.accounts.account(&session.account).map(|account| account.uuid.clone());
        Ok((account.unwrap_or_default(), session))
    }

    /// Whether there is a session `uuid`.
    #[must_use]
    pub fn is_valid(&self, uuid: &str) -> bool {
        self.sessions.is_valid(uuid, Instant::now())
    }

    /// Ends a session; that there is none is no error.
    pub fn logout(&self, uuid: &str) {
        // Nobody's streams are woken for a session that there never was.
        if self.sessions.end(uuid) {
            self.changes.send_replace(());
        }
    }
}

impl Logins {
    fn count(&self, result: &'static str) {
        self.counts.get_or_create(&[("result", result)]).inc();
    }

    /// Refuses a login whose tries are used up.
    fn admit(&self, attempt: &Attempt, origin: Origin) -> Result<()> {
        let now = Instant::now();
        let Some(wait) = self.limits.wait(attempt, now) else { return Ok(()) };
        self.count("refused");
        if let Some(count) = self.limits.refused(attempt, now) {
            let account = shown(&attempt.account);
            tracing::warn!(account, address = %origin, count, "logins from {origin} are refused unseen: too many failed");
        }
        Err(Error::Login(format!("too many failed logins: try again in {} s", wait.as_secs().max(1))))
    }

    /// Looks at a password, counts what came of it and notes it; the uuid of the account if it was right.
    fn check(&self, attempt: &Attempt, origin: Origin, digest: &str, accounts: &Accounts) -> Option<String> {
        let mut arena = self.arena.lock().unwrap_or_else(PoisonError::into_inner);
        let uuid = accounts.with_password(&attempt.account, digest, &mut arena).map(|account| account.uuid.clone());
        let account = shown(&attempt.account);
        if uuid.is_some() {
            self.limits.succeeded(attempt);
            self.count("accepted");
            tracing::info!(account, address = %origin, "a login as {account} from {origin} is accepted");
        } else {
            self.limits.failed(attempt, Instant::now());
            self.count("failed");
            tracing::warn!(account, address = %origin, "a login as {account} from {origin} failed: wrong account name or password");
        }
        uuid
    }
}

/// A name as it may stand in the journal: cut, and what is neither plain nor a letter made visible.
fn shown(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || (c.is_ascii_graphic() && c != '\\') || c == ' ';
    let text = |c: char| if plain(c) { c.to_string() } else { c.escape_unicode().to_string() };
    name.chars().take(SHOWN).map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_write_in_the_journal() {
        assert_eq!(shown("ops@site-1 é"), "ops@site-1 é");
        assert_eq!(shown("a\nb\u{1b}[31m\u{202e}\u{85}"), r"a\u{a}b\u{1b}[31m\u{202e}\u{85}");
        assert_eq!(shown(&"a".repeat(300)).len(), SHOWN);
    }
}
