//! charon's life: connect, subscribe, make charon and conf.d equal to the store, then follow the
//! events; when the stream ends, begin again. Events are hints: after each the SAs are listed anew.

use super::{Agent, loadable};
use crate::{
    disk,
    error::Result,
    ipsec::ConnectionId,
    store::Record,
    swan::{Charon, names, section::Section, vici::link::Notice},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{task::block_in_place, time::Instant};

/// Whether charon is there.
#[derive(Debug, Clone)]
pub enum Life {
    /// Not asked yet.
    Starting,
    /// It answers, and holds what the store says.
    Up(Arc<Charon>),
    /// It does not answer; why.
    Down(String),
}

/// The waits between attempts to reach charon.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

impl Agent {
    /// Makes charon and conf.d equal to the store, once, and keeps watching from then on. Returns
    /// after the first attempt, whatever came of it; [`Agent::life`] tells.
    pub async fn start(self: &Arc<Self>) {
        let mut life = self.life.subscribe();
        for damaged in self.store.damaged() {
            tracing::error!(path = %damaged.path.display(), why = %damaged.why, "a stored connection cannot be read; it is left alone");
        }
        tokio::spawn(watch(Arc::downgrade(self)));
        // It fails only when the task has ended, and then the state says so.
        let _ = life.wait_for(|life| !matches!(life, Life::Starting)).await;
    }

    /// One life of charon, from connecting to the end of its events.
    async fn follow(&self) -> Result<()> {
        let mut events = self.swan.events().await?;
        let charon = Arc::new(self.swan.probe().await?);
        self.synchronise(&charon).await?;
        tracing::info!(version = %charon.version, "charon holds what the store says");
        self.life.send_replace(Life::Up(charon));
        self.wake_all();
        while let Some(notice) = self.swan.next(&mut events).await {
            match notice {
                Notice::Event(name, message) => self.happened(&name, &message).await,
                Notice::Lagged => self.wake_all(),
            }
        }
        Ok(())
    }

    fn wake_all(&self) {
        let now = Instant::now();
        self.store.all().iter().for_each(|record| self.schedule.wake(record.id, now));
    }

    /// Looks at the connections that an event names.
    async fn happened(&self, event: &str, message: &Section) {
        let names = message.sections().flat_map(|(name, sa)| {
            let children = sa.section("child-sas").into_iter().flat_map(Section::sections);
            std::iter::once(name).chain(children.filter_map(|(_, child)| child.text("name")))
        });
        let owners: BTreeSet<_> = names.filter_map(names::owner).collect();
        for id in owners {
            let entry = self.entry(id);
            if let Some((ike, old, new)) = rekeying(event, message) {
                let mut memory = entry.memory.lock().await;
                memory.rekeyed(ike, old, new);
                entry.publish(&memory);
            }
            entry.happened.notify_waiters();
            self.schedule.wake(id, Instant::now());
        }
    }

    /// Makes charon and conf.d hold exactly the stored connections, as far as they are ours.
    async fn synchronise(&self, charon: &Charon) -> Result<()> {
        let (connections, secrets) = self.swan.loaded().await?;
        let present: BTreeSet<_> = connections.into_iter().chain(secrets).collect();
        for id in present {
            if !self.is_left_alone(id) && !self.store.get(id).is_some_and(|r| r.is_loaded()) {
                tracing::info!(uuid = %id, "charon holds a connection that is not wanted: unloading it");
                self.swan.unload(id).await?;
            }
        }
        for record in self.store.all() {
            let entry = self.entry(record.id);
            let mut memory = entry.memory.lock().await;
            *memory = super::Memory::default();
            entry.publish(&memory);
            // It may have been changed or deleted since the list was made.
            let Some(record) = self.store.get(record.id) else { continue };
            if let Err(error) = self.restore_one(&record, charon).await {
                if matches!(error, crate::error::Error::Unreachable { .. }) {
                    return Err(error);
                }
                tracing::error!(uuid = %record.id, %error, "a stored connection cannot be put in force");
            }
        }
        self.remove_strangers().await
    }

    async fn restore_one(&self, record: &Record, charon: &Charon) -> Result<()> {
        let path = self.conf_path(record.id);
        let Some(wanted) = loadable(record, charon)? else { return block_in_place(|| disk::remove(&path)) };
        block_in_place(|| match disk::read(&path)? {
            Some(bytes) if bytes == wanted.conf.expose().as_bytes() => Ok(()),
            _ => disk::replace(&path, wanted.conf.expose().as_bytes(), 0o600),
        })?;
        self.swan.load(&wanted, None).await
    }

    /// Removes files and closes SAs that bear our names and belong to no stored connection.
    async fn remove_strangers(&self) -> Result<()> {
        let gone = |id: &ConnectionId| !self.is_left_alone(*id) && self.store.get(*id).is_none();
        let files = block_in_place(|| disk::list(&self.conf_dir))?;
        for id in files.iter().filter_map(|name| names::file_owner(name)).filter(gone) {
            block_in_place(|| disk::remove(&self.conf_path(id)))?;
        }
        for ike in self.swan.observe(None).await? {
            if names::owner(&ike.name).as_ref().is_some_and(gone) {
                self.swan.close_ike(ike.unique_id).await?;
            }
        }
        Ok(())
    }

    /// Whether the record of `id` is damaged: then nothing of it is touched.
    pub(super) fn is_left_alone(&self, id: ConnectionId) -> bool {
        self.store.damaged().iter().any(|damaged| damaged.id == Some(id))
    }
}

/// The numbers in a rekeying event: whether it is of an IKE SA, the old and the new number.
fn rekeying(event: &str, message: &Section) -> Option<(bool, u64, u64)> {
    let (_, sa) = message.sections().next()?;
    let of = |section: &Section, which| section.section(which)?.number("uniqueid");
    match event {
        "ike-rekey" => Some((true, of(sa, "old")?, of(sa, "new")?)),
        // An IKEv1 quick mode beside an older child always counts as a rekeying, also the one that brings the new
        // configuration; what the new child runs shows in its suite.
        "child-rekey" if sa.number("version") != Some(1_u8) => {
            let (_, child) = sa.section("child-sas")?.sections().next()?;
            Some((false, of(child, "old")?, of(child, "new")?))
        }
        _ => None,
    }
}

/// Follows one charon after another until the agent is gone.
async fn watch(agent: std::sync::Weak<Agent>) {
    let mut pause = RETRY.0;
    while let Some(agent) = agent.upgrade() {
        let outcome = agent.follow().await;
        let why = match outcome {
            Ok(()) => {
                pause = RETRY.0;
                "charon has gone".to_owned()
            }
            Err(error) => error.to_string(),
        };
        tracing::warn!(%why, "charon is not reachable; its connections' status is unknown");
        agent.life.send_replace(Life::Down(why));
        drop(agent);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}
