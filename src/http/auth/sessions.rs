//! Sessions of accounts that logged in: sliding, bounded in number, gone with the process or with their account. Their
//! time is that of the monotonic clock: setting the wall clock neither ends nor prolongs one.

use super::tokens::digest;
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a session lives after its last use.
const LIFE: Duration = Duration::from_hours(2);
/// Live sessions of one account.
const PER_ACCOUNT: usize = 500;

/// What a login gave, until it ends.
#[derive(Debug, Clone)]
pub struct Session {
    /// Whose it is.
    pub account: String,
    /// When it was made, by the wall clock of that moment.
    pub created: Timestamp,
    /// When it ends unless it is used.
    ends: Instant,
}

impl Session {
    /// When it ends unless it is used, by the wall clock as it is `now`.
    #[must_use]
    pub fn expires(&self, (monotonic, wall): (Instant, Timestamp)) -> Timestamp {
        let left =
            SignedDuration::try_from(self.ends.saturating_duration_since(monotonic)).unwrap_or(SignedDuration::MAX);
        wall.checked_add(left).unwrap_or(Timestamp::MAX)
    }
}

/// All sessions, by the digest of their uuid: looking one up takes no longer for a near miss.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

impl Sessions {
    /// A new session of `account` and its uuid; `None` if the account has as many as it may.
    pub fn begin(&self, account: &str, now: Instant) -> Option<(String, Session)> {
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.ends > now);
        if sessions.values().filter(|session| session.account == account).count() >= PER_ACCOUNT {
            return None;
        }
        let uuid = uuid::Uuid::new_v4().as_simple().to_string();
        let session = Session { account: account.into(), created: Timestamp::now(), ends: now + LIFE };
        sessions.insert(digest(&uuid), session.clone());
        Some((uuid, session))
    }

    /// Uses the session `uuid`, which prolongs it; `None` if there is none.
    pub fn touch(&self, uuid: &str, now: Instant) -> Option<Session> {
        self.prolong(uuid, LIFE, now)
    }

    /// Lets the session `uuid` live for `time` from now, if that is longer than it has.
    pub fn prolong(&self, uuid: &str, time: Duration, now: Instant) -> Option<Session> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(&digest(uuid)).filter(|session| session.ends > now)?;
        session.ends = session.ends.max(now + time);
        Some(session.clone())
    }

    /// Whether there is a session `uuid`; asking does not prolong it.
    pub fn is_valid(&self, uuid: &str, now: Instant) -> bool {
        self.lives(&digest(uuid), now)
    }

    /// Whether there is a session whose uuid has this digest.
    pub fn lives(&self, digest: &[u8; 32], now: Instant) -> bool {
        self.lock().get(digest).is_some_and(|session| session.ends > now)
    }

    /// Ends the session `uuid`; whether there was one.
    pub fn end(&self, uuid: &str) -> bool {
        self.lock().remove(&digest(uuid)).is_some()
    }

    /// Ends the sessions of accounts of which `stays` does not hold; how many.
    pub fn end_unless(&self, stays: impl Fn(&str) -> bool) -> usize {
        let mut sessions = self.lock();
        let before = sessions.len();
        sessions.retain(|_, session| stays(&session.account));
        before - sessions.len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn sessions_slide_and_end() {
        let sessions = Sessions::default();
        let start = Instant::now();
        let (uuid, _) = sessions.begin("a", start).expect("room");
        assert!(sessions.touch(&uuid, start + LIFE.saturating_sub(SECOND)).is_some());
        assert!(sessions.is_valid(&uuid, start + (2 * LIFE).saturating_sub(2 * SECOND)), "used, it lives on");
        assert!(sessions.touch(&uuid, start + 2 * LIFE).is_none(), "unused, it ends");
        let (uuid, _) = sessions.begin("a", start).expect("room");
        assert!(sessions.prolong(&uuid, 31_536_000 * SECOND, start).is_some());
        assert!(sessions.touch(&uuid, start + 31_000_000 * SECOND).is_some(), "a use does not shorten it");
        sessions.end(&uuid);
        assert!(sessions.touch(&uuid, start).is_none());
    }

    #[test]
    fn the_wall_clock_is_only_shown() {
        let now = Instant::now();
        let (_, session) = Sessions::default().begin("a", now).expect("room");
        for text in ["1970-01-01T00:00:00Z", "2017-11-14T22:20:57Z", "2100-01-01T00:00:00Z"] {
            let wall: Timestamp = text.parse().expect("a time");
            assert_eq!(session.expires((now, wall)), wall + SignedDuration::from_hours(2));
            assert_eq!(session.expires((now + 2 * LIFE, wall)), wall, "it is over");
        }
    }

    #[test]
    fn an_account_has_only_so_many() {
        let sessions = Sessions::default();
        let now = Instant::now();
        assert!((0..PER_ACCOUNT).all(|_| sessions.begin("a", now).is_some()));
        assert!(sessions.begin("a", now).is_none() && sessions.begin("b", now).is_some());
        assert!(sessions.begin("a", now + LIFE).is_some(), "the expired ones make room");
        let (uuid, _) = sessions.begin("c", now + LIFE).expect("room");
        assert_eq!(sessions.end_unless(|account| account == "c"), 1);
        assert!(sessions.is_valid(&uuid, now + LIFE));
    }
}
