//! Sessions of accounts that logged in: sliding, bounded in number, gone with the process.

use super::tokens::digest;
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How long a session lives after its last use, in seconds.
const LIFE: i64 = 7200;
/// Live sessions of one account.
const PER_ACCOUNT: usize = 500;

/// A session.
#[derive(Debug, Clone)]
pub struct Session {
    /// Whose it is.
    pub account: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends unless it is used.
    pub expires: Timestamp,
}

/// All sessions, by the digest of their uuid: looking one up takes no longer for a near miss.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

impl Sessions {
    /// A new session of `account` and its uuid; `None` if the account has as many as it may.
    pub fn begin(&self, account: &str, now: Timestamp) -> Option<(String, Session)> {
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.expires > now);
        if sessions.values().filter(|session| session.account == account).count() >= PER_ACCOUNT {
            return None;
        }
        let uuid = uuid::Uuid::new_v4().as_simple().to_string();
        let session = Session { account: account.into(), created: now, expires: later(now, LIFE) };
        sessions.insert(digest(&uuid), session.clone());
        Some((uuid, session))
    }

    /// Uses the session `uuid`, which prolongs it; `None` if there is none.
    pub fn touch(&self, uuid: &str, now: Timestamp) -> Option<Session> {
        self.prolong(uuid, LIFE, now)
    }

    /// Lets the session `uuid` live for `seconds` from now, if that is longer than it has.
    pub fn prolong(&self, uuid: &str, seconds: i64, now: Timestamp) -> Option<Session> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(&digest(uuid)).filter(|session| session.expires > now)?;
        session.expires = session.expires.max(later(now, seconds));
        Some(session.clone())
    }

    /// Whether there is a session `uuid`; asking does not prolong it.
    pub fn is_valid(&self, uuid: &str, now: Timestamp) -> bool {
        self.lock().get(&digest(uuid)).is_some_and(|session| session.expires > now)
    }

    /// Ends the session `uuid`; that there is none is no error.
    pub fn end(&self, uuid: &str) {
        self.lock().remove(&digest(uuid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn later(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_slide_and_end() {
        let sessions = Sessions::default();
        let start = Timestamp::UNIX_EPOCH;
        let (uuid, _) = sessions.begin("a", start).expect("room");
        assert!(sessions.touch(&uuid, later(start, LIFE - 1)).is_some());
        assert!(sessions.is_valid(&uuid, later(start, 2 * LIFE - 2)), "used, it lives on");
        assert!(sessions.touch(&uuid, later(start, 2 * LIFE)).is_none(), "unused, it ends");
        let (uuid, _) = sessions.begin("a", start).expect("room");
        assert!(sessions.prolong(&uuid, 31_536_000, start).is_some());
        assert!(sessions.touch(&uuid, later(start, 31_000_000)).is_some(), "a use does not shorten it");
        sessions.end(&uuid);
        assert!(sessions.touch(&uuid, start).is_none());
    }

    #[test]
    fn an_account_has_only_so_many() {
        let sessions = Sessions::default();
        let now = Timestamp::UNIX_EPOCH;
        assert!((0..PER_ACCOUNT).all(|_| sessions.begin("a", now).is_some()));
        assert!(sessions.begin("a", now).is_none() && sessions.begin("b", now).is_some());
        assert!(sessions.begin("a", later(now, LIFE)).is_some(), "the expired ones make room");
    }
}
