//! Refusals in few lines of the log: the first of an address has its own, the others are counted and summed up in one
//! line a minute. So nobody can drown what callers do.

use super::auth::{Origin, Peer};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

/// How often counts are summed up.
const EVERY: Duration = Duration::from_mins(1);
/// Sources that have a count of their own; the rest share one.
const SOURCES: usize = 64;

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A write without valid credentials.
    Write,
    /// Another call without valid credentials, or one that needs none.
    Stranger,
    /// A call of somebody who is known.
    Call,
    /// A TLS handshake that failed.
    Handshake,
    /// A process that may not use the Unix socket.
    Process,
}

/// Where it came from: a peer, or all for whom there is no room.
type Source = Option<Peer>;

/// The counts. What was not summed up yet is when they are dropped.
#[derive(Clone, Default)]
pub struct Tally(Arc<Shared>);

#[derive(Default)]
struct Shared(Mutex<Counts>);

/// How many since the last line. A source that is here with none had a line in the last minute.
#[derive(Default)]
struct Counts(HashMap<(Refusal, Source), u64>);

impl Tally {
    /// Whether this is the first of its kind from there within a minute, which is to be logged in full; else it is
    /// counted.
    pub fn is_first(&self, refusal: Refusal, origin: Origin) -> bool {
        let mut counts = self.0.lock();
        if counts.0.is_empty() {
            tokio::spawn(sum_up(Arc::downgrade(&self.0)));
        }
        counts.is_first(refusal, origin)
    }
}

impl Counts {
    fn is_first(&mut self, refusal: Refusal, origin: Origin) -> bool {
        let source = Some(origin.into());
        let has_room = self.0.len() < SOURCES;
        if let Some(count) = self.0.get_mut(&(refusal, source)) {
            *count += 1;
        } else if has_room {
            self.0.insert((refusal, source), 0);
            return true;
        } else {
            *self.0.entry((refusal, None)).or_default() += 1;
        }
        false
    }

    /// The counts since the last time. Whoever has none is forgotten, and so first again.
    fn take(&mut self) -> Vec<(Refusal, Source, u64)> {
        self.0.retain(|_, count| *count > 0);
        self.0.iter_mut().map(|((refusal, source), count)| (*refusal, *source, std::mem::take(count))).collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs and clears the counts; whether there were any.
    fn log(&self) -> bool {
        let counts = self.lock().take();
        for (refusal, source, count) in &counts {
            log(*refusal, *source, *count);
        }
        !counts.is_empty()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.log();
    }
}

/// Sums up once a minute until there was nothing for a minute.
async fn sum_up(counts: Weak<Shared>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(counts) = counts.upgrade() else { return };
        if !counts.log() {
            return;
        }
    }
}

fn log(refusal: Refusal, source: Source, count: u64) {
    let from = source.map_or_else(|| "other addresses".into(), |peer| peer.to_string());
    let calls = |what: &str| {
        tracing::info!(
            target: "cygnet::audit", address = from, count, "{count} more {what} from {from} were refused within a minute"
        );
    };
    match refusal {
        Refusal::Write => calls("writes without valid credentials"),
        Refusal::Stranger => calls("calls without valid credentials"),
        Refusal::Call => calls("calls of known callers"),
        Refusal::Handshake => {
            tracing::info!(address = from, count, "{count} more TLS handshakes with {from} failed within a minute");
        }
        Refusal::Process => {
            tracing::warn!(address = from, count, "{count} more processes of {from} were refused within a minute");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: [u8; 4]) -> Origin {
        Origin::Network(address.into(), false)
    }

    #[test]
    fn the_first_has_a_line_and_the_rest_a_sum() {
        let mut counts = Counts::default();
        let first = (0..1000).filter(|_| counts.is_first(Refusal::Write, from([192, 0, 2, 1]))).count();
        assert_eq!(first, 1);
        assert!(counts.is_first(Refusal::Handshake, from([192, 0, 2, 1])), "another kind");
        let address = Some(Peer::Host([192, 0, 2, 1].into()));
        assert_eq!(counts.take(), [(Refusal::Write, address, 999)]);
        assert!(!counts.is_first(Refusal::Write, from([192, 0, 2, 1])), "it had a line in this minute");
        assert_eq!(counts.take(), [(Refusal::Write, address, 1)]);
        assert!(counts.take().is_empty());
        assert!(counts.is_first(Refusal::Write, from([192, 0, 2, 1])), "a minute without any");
    }

    #[test]
    fn many_addresses_share_a_line() {
        let mut counts = Counts::default();
        let all = (0..=255).flat_map(|n| (0..=255).map(move |m| from([10, 0, n, m])));
        assert_eq!(all.filter(|origin| counts.is_first(Refusal::Write, *origin)).count(), SOURCES);
        let sums = counts.take();
        assert_eq!(sums, [(Refusal::Write, None, 65_536 - SOURCES as u64)]);
    }
}
