//! The vici client: the commands that this agent sends to charon, each with a deadline.
//!
//! charon answers one socket strictly in order, and different sockets side by side. So each kind of request has its
//! own sockets: no long list, no reader and no burst of attempts delays a change, a request that hangs delays no other
//! connection, and `version`, which shows that charon is alive, waits for nothing. There are fewer sockets than charon
//! has threads: charon goes on even if all of them hang.

mod attempts;
mod authorities;
mod events;
mod ikev1;
mod initiate;
mod lists;
mod loads;
mod pool;
mod socket;
mod trips;

pub use events::{Events, Notice};
pub use trips::RoundTrips;

use super::{packet::Packet, refused::refused, section::Section};
use crate::{
    error::{Error, Result},
    strongswan::vici::{
        attempts::Attempts,
        pool::{Lent, Pool},
        socket::Failure,
    },
};
use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicUsize,
    time::Duration,
};
use tokio::time::Instant;

/// The most names of ours to ask for in one answer. It leaves room for as many foreign ones: 512 KiB at 46 bytes each
/// are 11 000.
pub const MANY: usize = 8000;

/// charon behind its vici socket.
pub struct Vici {
    path: PathBuf,
    deadline: Duration,
    pools: Box<Pools>,
    attempts: Attempts,
    trips: RoundTrips,
    /// How long the answer with the names of all connections was, or would have been; the most if that is not known.
    names: AtomicUsize,
}

/// The sockets by purpose.
struct Pools {
    /// `version` alone.
    pings: Pool,
    /// Loads by the reconciler, and short queries.
    commands: Pool,
    /// Loads by writers.
    writes: Pool,
    /// Commands on SAs by their numbers.
    acts: Pool,
    attempts: Pool,
    /// The SAs of one connection, for writers.
    looks: Pool,
    /// The same, for readers.
    readers: Pool,
    /// What the reconciler looks at.
    walks: Pool,
    /// Everything.
    lists: Pool,
}

/// Who asks: each has sockets of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A writer, which waits for no reader.
    Writer,
    /// A reader.
    Reader,
    /// The reconciler, which has time.
    Reconciler,
}

/// What `version` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The daemon's name, such as `charon-systemd`.
    pub daemon: String,
    /// strongSwan's version, such as `5.9.8`.
    pub version: String,
}

impl Vici {
    /// charon at the socket `path`; nothing is connected yet.
    #[must_use]
    pub fn new(path: &Path, deadline: Duration) -> Self {
        let pool = |places| Pool::new(path, deadline, places);
        let pools = Pools {
            pings: pool(1),
            commands: pool(2),
            writes: pool(2),
            acts: pool(1),
            attempts: pool(1),
            looks: pool(2),
            readers: pool(1),
            walks: pool(1),
            lists: pool(1),
        };
        Self {
            path: path.into(),
            deadline,
            pools: Box::new(pools),
            attempts: Attempts::default(),
            trips: RoundTrips::default(),
            names: AtomicUsize::new(usize::MAX),
        }
    }

    /// How long its answers took.
    #[must_use]
    pub fn round_trips(&self) -> &RoundTrips {
        &self.trips
    }

    /// The daemon and its version.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn version(&self) -> Result<Version> {
        let answer = self.call(&self.pools.pings, "version", "", Section::new()).await?;
        let text = |key| answer.text(key).unwrap_or_default().to_owned();
        Ok(Version { daemon: text("daemon"), version: text("version") })
    }

    /// Uptime, workers, queues, SAs and plugins.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn stats(&self) -> Result<Section> {
        self.query("stats").await
    }

    /// The algorithms that charon's plugins bring, by kind.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn algorithms(&self) -> Result<Section> {
        self.query("get-algorithms").await
    }

    /// The ids of the loaded secrets. charon never sends an answer over 512 KiB (facts 2.2), and there is no other way
    /// to list them: do not call this for more than [`MANY`] names.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn shared(&self) -> Result<Vec<String>> {
        Ok(self.query("get-shared").await?.items("keys").map(Into::into).collect())
    }

    /// The ids of the loaded private keys.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn keys(&self) -> Result<Vec<String>> {
        Ok(self.query("get-keys").await?.items("keys").map(Into::into).collect())
    }

    /// A number that changes when charon may have been restarted. charon's SA numbers then
    /// begin at 1 again, so numbers from before are invalid.
    pub async fn charon_epoch(&self) -> u64 {
        // Connected here, because this socket cannot reach a charon that starts later. Without it nothing is closed.
        if let Ok(lent) = self.pools.acts.lend().await {
            lent.give_back();
        }
        self.pools.acts.lives()
    }

    /// Starts closing an SA by its number: `kind` is `ike-id` or `child-id`, and the number was listed
    /// in `life`. Returns at once. With `force`, charon drops an IKE_SA: it tells the peer once
    /// and does not wait.
    ///
    /// # Errors
    /// When there is no such SA, charon was restarted, or it does not answer.
    pub async fn terminate(&self, kind: &'static str, unique_id: u64, force: bool, life: u64) -> Result<()> {
        let mut body = Section::new().with(kind, unique_id.to_string()).with("timeout", "-1");
        if force {
            body = body.with("force", "yes");
        }
        self.on_sa("terminate", &format!("{kind} {unique_id}"), body, life).await
    }

    /// Has charon rekey a CHILD_SA, whose number was listed in `life`. Returns at once.
    ///
    /// # Errors
    /// When there is no such SA, charon was restarted, or it does not answer.
    pub async fn rekey_child(&self, unique_id: u64, life: u64) -> Result<()> {
        let body = Section::new().with("child-id", unique_id.to_string());
        self.on_sa("rekey", &format!("child-id {unique_id}"), body, life).await
    }

    /// A command on an SA by its number, which is valid for one start of charon.
    async fn on_sa(&self, command: &'static str, object: &str, body: Section, life: u64) -> Result<()> {
        let mut lent = self.lent(&self.pools.acts, command).await.map_err(|e| failed(command, object, e))?;
        if self.pools.acts.lives() != life {
            lent.give_back();
            let words = "charon may have been started anew since the SA was listed";
            return Err(refused(format!("{command} {object}"), words));
        }
        let request = Packet::Request(command.into(), body);
        let answer = self.timed(command, lent.socket.call(&request, |_, _| false)).await;
        let answer = lent.returned(answer).map_err(|e| failed(command, object, e))?;
        obeyed(command, object, &answer)
    }

    /// Subscribes to `names` on a socket of its own.
    ///
    /// # Errors
    /// When charon does not answer or does not know an event.
    pub async fn events(&self, names: &[&str]) -> Result<Events> {
        Events::subscribe(&self.path, self.deadline, names).await.map_err(|(name, cause)| match name.as_str() {
            "" => failed("events", "", cause),
            name => failed("the subscription to", name, cause),
        })
    }

    async fn query(&self, command: &'static str) -> Result<Section> {
        self.call(&self.pools.commands, command, "", Section::new()).await
    }

    async fn command(&self, command: &'static str, object: &str, body: Section) -> Result<()> {
        obeyed(command, object, &self.call(&self.pools.commands, command, object, body).await?)
    }

    async fn call(&self, pool: &Pool, command: &'static str, object: &str, body: Section) -> Result<Section> {
        let exchange = async {
            let mut lent = self.lent(pool, command).await?;
            let request = Packet::Request(command.into(), body);
            let answer = self.timed(command, lent.socket.call(&request, |_, _| false)).await;
            lent.returned(answer)
        };
        exchange.await.map_err(|e| failed(command, object, e))
    }

    /// A socket of the pool for `command`; that there is none counts as no answer.
    async fn lent<'a>(&self, pool: &'a Pool, command: &'static str) -> Result<Lent<'a>, Failure> {
        let lent = pool.lend().await;
        if lent.is_err() {
            self.trips.record(command, Duration::ZERO, &lent);
        }
        lent
    }

    /// Has the time of an exchange counted.
    async fn timed<T>(
        &self,
        command: &'static str,
        exchange: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let outcome = exchange.await;
        self.trips.record(command, begun.elapsed(), &outcome);
        outcome
    }
}

/// Whether charon reports success.
fn obeyed(command: &str, object: &str, answer: &Section) -> Result<()> {
    if answer.text("success") == Some("yes") {
        return Ok(());
    }
    let doing = format!("{command} {object}").trim_end().to_owned();
    Err(refused(doing, answer.text("errmsg").unwrap_or("it gave no reason")))
}

/// The error for `command` on `object` that failed for `cause`.
fn failed(command: &str, object: &str, cause: Failure) -> Error {
    let doing = format!("{command} {object}").trim_end().to_owned();
    match cause {
        Failure::Unknown => refused(doing, &cause.to_string()),
        Failure::Request(words) => Error::Internal(format!("{doing}: {words}")),
        _ => Error::Unreachable { doing, cause: cause.to_string() },
    }
}
