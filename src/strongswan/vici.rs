//! The vici client: the commands that this agent gives to charon, each with a deadline.
//!
//! charon answers one socket strictly in order, and different sockets side by side. So requests of each kind have sockets
//! of their own: neither a long list nor those who look nor a hundred attempts hold up a change, a request that hangs
//! holds up no other connection, and `version`, by which charon is known to be there, waits for nothing. Together they
//! are fewer than charon's threads: if all of them hang, charon goes on.

mod authorities;
mod events;
mod ikev1;
mod pool;
mod socket;

pub use events::{Events, Notice};

use super::{
    packet::Packet,
    refused::{or_absent, refused},
    section::Section,
};
use crate::{
    error::{Error, Result},
    strongswan::{
        requests::Request,
        vici::{pool::Pool, socket::Failure},
    },
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

/// How many names of ours fit into one answer with room for as many of other people's: 512 KiB at 46 bytes each are 11 000.
pub const MANY: usize = 8000;

/// charon behind its vici socket.
pub struct Vici {
    path: PathBuf,
    deadline: Duration,
    pools: Box<Pools>,
}

/// The sockets by what they are for.
struct Pools {
    /// `version` alone.
    pings: Pool,
    /// What is loaded, and short questions.
    commands: Pool,
    /// What is done to SAs by their numbers.
    acts: Pool,
    attempts: Pool,
    /// The SAs of one connection, for whoever changes something.
    looks: Pool,
    /// The same for those who only read.
    readers: Pool,
    /// Everything.
    lists: Pool,
}

/// On whose behalf the SAs of a connection are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Somebody who changes something: it waits for no reader.
    Writer,
    /// Somebody who only reads.
    Reader,
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
            commands: pool(3),
            acts: pool(1),
            attempts: pool(1),
            looks: pool(2),
            readers: pool(1),
            lists: pool(1),
        };
        Self { path: path.into(), deadline, pools: Box::new(pools) }
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

    /// The ids of the loaded secrets. An answer of more than 512 KiB never comes (facts 2.2), and it is the only way
    /// to know them: of more than [`MANY`] names, do not ask.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn shared(&self) -> Result<Vec<String>> {
        Ok(self.query("get-shared").await?.items("keys").map(Into::into).collect())
    }

    /// The names of the loaded connections. An answer of more than 512 KiB never comes (facts 2.2): of more than
    /// [`MANY`] names, ask [`Vici::many_connections`].
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn connections(&self) -> Result<Vec<String>> {
        Ok(self.query("get-conns").await?.items("conns").map(Into::into).collect())
    }

    /// The names of the loaded connections, however many there are: charon describes each, and only its name is kept.
    ///
    /// # Errors
    /// When charon does not answer.
    pub(super) async fn many_connections(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        self.stream(&self.pools.lists, "list-conns", "list-conn", Section::new(), |item| {
            all.extend(item.0.into_keys());
        })
        .await?;
        Ok(all)
    }

    /// Gives charon a request of a plan; see [`super::requests::load`].
    ///
    /// # Errors
    /// When charon refuses it or does not answer.
    pub async fn load(&self, request: &Request) -> Result<()> {
        self.command(request.command, request.object(), request.body.clone()).await
    }

    /// Forgets a secret; that there is none is no error.
    ///
    /// # Errors
    /// When charon refuses it or does not answer.
    pub async fn unload_shared(&self, id: &str) -> Result<()> {
        self.command("unload-shared", id, Section::new().with("id", id)).await
    }

    /// The ids of the loaded private keys.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn keys(&self) -> Result<Vec<String>> {
        Ok(self.query("get-keys").await?.items("keys").map(Into::into).collect())
    }

    /// Forgets a private key; that there is none is no error.
    ///
    /// # Errors
    /// When charon refuses it or does not answer.
    pub async fn unload_key(&self, id: &str) -> Result<()> {
        or_absent(self.command("unload-key", id, Section::new().with("id", id)).await)
    }

    /// Forgets a connection; its SAs stay.
    ///
    /// # Errors
    /// When charon does not know it or does not answer.
    pub async fn unload_connection(&self, name: &str) -> Result<()> {
        self.command("unload-conn", name, Section::new().with("name", name)).await
    }

    /// Starts negotiating `child` of `ike` and returns at once; waiting would hold one of charon's
    /// few threads (facts 2.4).
    ///
    /// # Errors
    /// When charon refuses it or does not answer.
    pub async fn initiate(&self, ike: &str, child: &str) -> Result<()> {
        let body = Section::new().with("child", child).with("ike", ike).with("timeout", "-1");
        let answer = self.call(&self.pools.attempts, "initiate", child, body).await?;
        obeyed("initiate", child, &answer)
    }

    /// A number that changes when charon may have been started anew. The numbers of its SAs then
    /// begin at 1 again, and what was listed before means something else.
    pub async fn charon_epoch(&self) -> u64 {
        // Connected now: a socket of this life cannot reach a charon of the next. If it cannot be, nothing is closed.
        if let Ok(lent) = self.pools.acts.lend().await {
            lent.give_back();
        }
        self.pools.acts.lives()
    }

    /// Starts closing an SA by its number: `kind` is `ike-id` or `child-id`, and the number was listed
    /// in `life`. Returns at once. With `force`, an IKE SA is dropped: the peer is told once and not
    /// waited for.
    ///
    /// # Errors
    /// When there is none, charon was started anew, or it does not answer.
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
    /// When there is none, charon was started anew, or it does not answer.
    pub async fn rekey_child(&self, unique_id: u64, life: u64) -> Result<()> {
        let body = Section::new().with("child-id", unique_id.to_string());
        self.on_sa("rekey", &format!("child-id {unique_id}"), body, life).await
    }

    /// A command on an SA by its number, which means something in one life of charon only.
    async fn on_sa(&self, command: &'static str, object: &str, body: Section, life: u64) -> Result<()> {
        let mut lent = self.pools.acts.lend().await.map_err(|e| failed(command, object, e))?;
        if self.pools.acts.lives() != life {
            lent.give_back();
            let words = "charon may have been started anew since the SA was listed";
            return Err(refused(format!("{command} {object}"), words));
        }
        let answer = lent.socket.call(&Packet::Request(command.into(), body), |_, _| false).await;
        let answer = lent.returned(answer).map_err(|e| failed(command, object, e))?;
        obeyed(command, object, &answer)
    }

    /// The loaded connections as charon describes them; of one name, or all.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn list_connections(&self, name: Option<&str>) -> Result<Vec<Section>> {
        self.list("list-conns", "list-conn", name).await
    }

    /// The IKE SAs; of one connection, or all.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn list_sas(&self, ike: Option<&str>) -> Result<Vec<Section>> {
        self.list("list-sas", "list-sa", ike).await
    }

    /// The IKE SAs of the connection `ike`, of which only what `read` makes of each is kept; and when charon was begun,
    /// which may be long after this was called.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn read_sas<T>(&self, asker: Asker, ike: &str, read: fn(Section) -> Vec<T>) -> Result<(Instant, Vec<T>)> {
        let pool = match asker {
            Asker::Writer => &self.pools.looks,
            Asker::Reader => &self.pools.readers,
        };
        let mut all = Vec::new();
        let begun = self.stream(pool, "list-sas", "list-sa", of(Some(ike)), |item| all.extend(read(item))).await?;
        Ok((begun, all))
    }

    /// All IKE SAs; each is given to `take` when it comes. Returns when charon was begun.
    ///
    /// # Errors
    /// When charon does not answer.
    pub(super) async fn read_all_sas(&self, take: impl FnMut(Section)) -> Result<Instant> {
        self.stream(&self.pools.lists, "list-sas", "list-sa", Section::new(), take).await
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

    async fn list(&self, command: &'static str, event: &'static str, ike: Option<&str>) -> Result<Vec<Section>> {
        let mut all = Vec::new();
        self.stream(&self.pools.lists, command, event, of(ike), |item| all.push(item)).await?;
        Ok(all)
    }

    /// A list of what `body` says; each item is given to `take` when it comes.
    async fn stream(
        &self,
        pool: &Pool,
        command: &'static str,
        event: &'static str,
        body: Section,
        take: impl FnMut(Section),
    ) -> Result<Instant> {
        let ike = body.text("ike").unwrap_or_default().to_owned();
        let exchange = async {
            let mut lent = pool.lend().await?;
            let answer = lent.socket.stream(&Packet::Request(command.into(), body), event, take).await;
            lent.returned(answer)
        };
        exchange.await.map(|(begun, _)| begun).map_err(|e| failed(command, &ike, e))
    }

    async fn call(&self, pool: &Pool, command: &'static str, object: &str, body: Section) -> Result<Section> {
        let exchange = async {
            let mut lent = pool.lend().await?;
            let answer = lent.socket.call(&Packet::Request(command.into(), body), |_, _| false).await;
            lent.returned(answer)
        };
        exchange.await.map_err(|e| failed(command, object, e))
    }
}

/// What asks for one connection, or for all.
fn of(ike: Option<&str>) -> Section {
    ike.map_or_else(Section::new, |name| Section::new().with("ike", name))
}

/// Whether charon did as it was told.
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
