//! The vici client: the commands that this agent gives to charon, each with a deadline.
//!
//! Commands, lists, attempts to negotiate and events have a socket each: charon answers one socket strictly in order, and
//! neither a long list nor a hundred attempts must hold up a change. A lost socket is connected anew by the next call.

mod ikev1;
pub mod link;
mod slot;

use super::{packet::Packet, plan::Request, section::Section};
use crate::error::{Error, Result};
use link::{Failure, Link, Notice, Reply, Stream};
use slot::Slot;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};

/// How many names of ours fit into one answer with room for as many of other people's: 512 KiB at 46 bytes each are 11 000.
pub const MANY: usize = 8000;

/// charon behind its vici socket.
pub struct Vici {
    path: PathBuf,
    deadline: Duration,
    commands: Slot,
    lists: Slot,
    attempts: Box<Slot>,
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
        Self {
            path: path.into(),
            deadline,
            commands: Slot::default(),
            lists: Slot::default(),
            attempts: Box::default(),
        }
    }

    /// The daemon and its version.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn version(&self) -> Result<Version> {
        let answer = self.query("version").await?;
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
    pub async fn many_connections(&self) -> Result<Vec<String>> {
        self.read_list("list-conns", "list-conn", None, |item| item.0.into_keys().collect()).await
    }

    /// Gives charon a request of a plan; see [`super::plan::load`].
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
        match self.command("unload-key", id, Section::new().with("id", id)).await {
            Err(Error::Refused { words, .. }) if words.ends_with("not found") => Ok(()),
            other => other,
        }
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
        let answer = self.call(&self.attempts, "initiate", child, body, None).await?.message;
        obeyed("initiate", child, &answer)
    }

    /// A number that changes when charon may have been started anew. The numbers of its SAs then
    /// begin at 1 again, and what was listed before means something else.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.commands.lives.load(Ordering::Relaxed)
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
        // Connected first: a socket of this life cannot reach a charon of the next.
        let link = self.link(&self.commands, None).await.map_err(|e| failed(command, object, e))?;
        if self.life() != life {
            let words = "charon may have been started anew since the SA was listed".into();
            return Err(Error::Refused { doing: format!("{command} {object}"), words });
        }
        let reply = link.call(&Packet::Request(command.into(), body), None).await;
        obeyed(command, object, &reply.map_err(|e| failed(command, object, e))?.message)
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

    /// The same, of which only what `read` makes of each is kept.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn read_sas<T: Send + 'static>(&self, ike: Option<&str>, read: fn(Section) -> Vec<T>) -> Result<Vec<T>> {
        self.read_list("list-sas", "list-sa", ike, read).await
    }

    /// Subscribes to `names` on a socket of its own.
    ///
    /// # Errors
    /// When charon does not answer or does not know an event.
    pub async fn events(&self, names: &[&str]) -> Result<Events> {
        let unreachable = |e| failed("events", "", e);
        let (link, inbox) = Link::connect(&self.path, self.deadline).await.map_err(unreachable)?;
        for name in names {
            let register = Packet::Register((*name).into());
            link.call(&register, None).await.map_err(|e| failed("the subscription to", name, e))?;
        }
        Ok(Events { inbox, _link: link })
    }

    async fn query(&self, command: &'static str) -> Result<Section> {
        Ok(self.call(&self.commands, command, "", Section::new(), None).await?.message)
    }

    async fn command(&self, command: &'static str, object: &str, body: Section) -> Result<()> {
        let answer = self.call(&self.commands, command, object, body, None).await?.message;
        obeyed(command, object, &answer)
    }

    async fn list(&self, command: &'static str, event: &'static str, ike: Option<&str>) -> Result<Vec<Section>> {
        self.read_list(command, event, ike, |item| vec![item]).await
    }

    /// What `read` makes of each item of a list; only that is kept.
    async fn read_list<T: Send + 'static>(
        &self,
        command: &'static str,
        event: &'static str,
        ike: Option<&str>,
        read: fn(Section) -> Vec<T>,
    ) -> Result<Vec<T>> {
        let body = ike.map_or_else(Section::new, |name| Section::new().with("ike", name));
        let all = Arc::new(std::sync::Mutex::new(Vec::new()));
        let sink = Arc::clone(&all);
        // Nothing is done with it but adding: a panic elsewhere cannot leave it half changed.
        let take = move |item| sink.lock().unwrap_or_else(PoisonError::into_inner).extend(read(item));
        self.call(&self.lists, command, ike.unwrap_or_default(), body, Some(Stream::into(event, take))).await?;
        Ok(std::mem::take(&mut *all.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    async fn call(
        &self,
        slot: &Slot,
        command: &'static str,
        object: &str,
        body: Section,
        stream: Option<Stream>,
    ) -> Result<Reply> {
        let exchange = async {
            let link = self.link(slot, stream.as_ref().map(Stream::event)).await?;
            link.call(&Packet::Request(command.into(), body), stream).await
        };
        exchange.await.map_err(|e| failed(command, object, e))
    }

    async fn link(&self, slot: &Slot, stream: Option<&'static str>) -> Result<Link, Failure> {
        // Those who wait for the one who connects wait no longer than for an answer.
        let connected = timeout(self.deadline, slot.link(&self.path, self.deadline, stream)).await;
        connected.map_err(|_| Failure::Deadline(self.deadline))?
    }
}

/// Whether charon did as it was told.
fn obeyed(command: &str, object: &str, answer: &Section) -> Result<()> {
    match answer.text("success") {
        Some("yes") => Ok(()),
        _ => Err(Error::Refused {
            doing: format!("{command} {object}").trim_end().into(),
            words: answer.text("errmsg").unwrap_or("it gave no reason").into(),
        }),
    }
}

/// The error for `command` on `object` that failed for `cause`.
fn failed(command: &str, object: &str, cause: Failure) -> Error {
    let doing = format!("{command} {object}").trim_end().to_owned();
    match cause {
        Failure::Unknown => Error::Refused { doing, words: cause.to_string() },
        Failure::Request(words) => Error::Internal(format!("{doing}: {words}")),
        _ => Error::Unreachable { doing, cause: cause.to_string() },
    }
}

/// A subscription. Dropping it closes its socket.
pub struct Events {
    inbox: mpsc::Receiver<Notice>,
    _link: Link,
}

impl Events {
    /// The next event, or `None` when charon is gone.
    pub async fn next(&mut self) -> Option<Notice> {
        self.inbox.recv().await
    }
}
