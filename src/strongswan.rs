//! strongSwan: its formats, which are pure functions on text and bytes, and the backends that reach charon.

pub(crate) mod alert;
mod authorities;
mod charon;
mod closing;
pub mod conf;
pub mod credentials;
pub(crate) mod diff;
pub(crate) mod dry_run;
pub mod foreign;
mod guard;
mod listed;
mod lists;
mod loads;
pub(crate) mod log_parser;
mod looks;
pub mod message;
pub mod names;
pub mod observe;
pub mod packet;
mod port_names;
mod present;
mod pretty;
mod refused;
pub mod requests;
pub mod section;
mod sightings;
mod source;
pub mod swanctl;
pub mod vici;
pub mod words;

use crate::{
    error::{Error, Result},
    ipsec::{ConnectionId, IkeSa},
    strongswan::{
        foreign::Foreign,
        listed::Listed,
        looks::Looks,
        present::Present,
        section::Section,
        sightings::Sightings,
        swanctl::Swanctl,
        vici::{Notice, RoundTrips, Vici},
    },
};
pub use charon::{Charon, Missing};
use futures_util::FutureExt;
pub use sightings::Sas;
pub use source::Events;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
pub use vici::Asker;

/// charon, with a short-lived cache of its SAs.
pub struct StrongSwan {
    way: Arc<Backend>,
    sightings: Sightings,
    looks: Looks,
    present: Arc<Present>,
}

/// The way to charon that the settings choose.
enum Backend {
    /// Its vici socket.
    Vici(Vici),
    /// The swanctl program.
    Swanctl(Swanctl),
}

/// The names of the events that say when to reconcile a connection.
const EVENTS: [&str; 4] = ["ike-updown", "child-updown", "ike-rekey", "child-rekey"];

impl From<Vici> for StrongSwan {
    fn from(vici: Vici) -> Self {
        Self::over(Backend::Vici(vici))
    }
}

impl From<Swanctl> for StrongSwan {
    fn from(swanctl: Swanctl) -> Self {
        Self::over(Backend::Swanctl(swanctl))
    }
}

impl StrongSwan {
    fn over(way: Backend) -> Self {
        Self { way: Arc::new(way), sightings: Sightings::default(), looks: Looks::default(), present: Arc::default() }
    }

    /// charon's version and abilities.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn probe(&self) -> Result<Charon> {
        let (version, stats, algorithms) = match &*self.way {
            Backend::Vici(vici) => (vici.version().await?.version, vici.stats().await?, vici.algorithms().await?),
            Backend::Swanctl(swanctl) => {
                let first = async |arguments: &[&str]| Ok::<_, Error>(swanctl.query(arguments).await?.swap_remove(0));
                let version = first(&["--version", "--daemon"]).await?.text("version").unwrap_or_default().to_owned();
                (version, first(&["--stats"]).await?, first(&["--list-algs"]).await?)
            }
        };
        let mut charon = Charon::new(version, &stats, algorithms);
        charon.ikev1 = match &*self.way {
            Backend::Vici(vici) if charon.may_lack_ikev1() => vici.speaks_ikev1().await?,
            // swanctl cannot try it. A tunnel that stays down is visible; a wrong refusal would be final.
            _ => true,
        };
        Ok(charon)
    }

    /// How long its answers took; `None` for a backend that does not measure it.
    #[must_use]
    pub fn round_trips(&self) -> Option<&RoundTrips> {
        match &*self.way {
            Backend::Vici(vici) => Some(vici.round_trips()),
            Backend::Swanctl(_) => None,
        }
    }

    /// Its threads, queues and SAs; `None` for a backend that would start a program for it, or if it does not answer.
    pub async fn stats(&self) -> Option<Section> {
        match &*self.way {
            Backend::Vici(vici) => vici.stats().await.ok(),
            Backend::Swanctl(_) => None,
        }
    }

    /// Unloads the private key with this id. With swanctl, which keeps charon's keys equal to its files, the next load
    /// does it.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn unload_key(&self, id: &str) -> Result<()> {
        match &*self.way {
            Backend::Vici(vici) => vici.unload_key(id).await,
            Backend::Swanctl(_) => Ok(()),
        }
    }

    /// The ids of the private keys that charon holds; `None` where they cannot be listed.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn private_keys(&self) -> Result<Option<BTreeSet<String>>> {
        match &*self.way {
            Backend::Vici(vici) => Ok(Some(vici.keys().await?.into_iter().collect())),
            Backend::Swanctl(_) => Ok(None),
        }
    }

    /// The names of all connections that were loaded over vici, foreign ones too.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn connections(&self) -> Result<Vec<String>> {
        match &*self.way {
            Backend::Vici(vici) => vici.connections().await,
            Backend::Swanctl(swanctl) => swanctl.connections().await,
        }
    }

    /// charon's descriptions of the connections with these names.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn foreign(&self, names: &[&str]) -> Result<Vec<Foreign>> {
        let mut messages = Vec::new();
        match &*self.way {
            Backend::Vici(vici) => {
                for name in names {
                    messages.extend(vici.list_connections(Some(name)).await?);
                }
            }
            Backend::Swanctl(swanctl) => messages = swanctl.list_connections().await?,
        }
        let all = messages.iter().flat_map(foreign::read);
        Ok(all.filter(|connection| names.contains(&connection.name.as_str())).collect())
    }

    /// What charon has of cygnet, about `expected` connections and secrets.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn loaded(&self, expected: usize) -> Result<Listed> {
        let (connections, secrets) = match &*self.way {
            Backend::Vici(vici) if expected > vici::MANY => (vici.many_connections().await?, None),
            Backend::Vici(vici) => (vici.connections().await?, Some(vici.shared().await?)),
            // swanctl cannot list secrets; it keeps them equal to the files.
            Backend::Swanctl(swanctl) => (swanctl.connections().await?, None),
        };
        self.present.record_loaded(connections.iter().map(String::as_str));
        let listed = Listed::new(&connections, secrets.as_deref());
        self.present.ppks.extend(listed.ppks.iter().flatten().copied());
        Ok(listed)
    }

    /// The SAs of one connection, as charon lists them now.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn observe(&self, id: ConnectionId, asker: Asker) -> Result<Vec<IkeSa>> {
        // The time before the request: another list may overtake this one while it waits for a socket.
        let (begun, sas) = self.way.sas_of(id, asker, self.present.fallbacks.has(id)).await?;
        self.sightings.record(id, begun, &sas);
        Ok(sas)
    }

    /// The SAs of all connections of cygnet, at most a moment old: concurrent callers share one list. `None` when charon
    /// is silent for `patience`.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn all_within(&self, patience: Duration) -> Option<Result<Sas>> {
        let (way, present) = (Arc::clone(&self.way), Arc::clone(&self.present));
        let list =
            |progress| async move { way.whole(progress, &present).await.map(Arc::new).map_err(Arc::new) }.boxed();
        Some(self.sightings.all(patience, list).await?.map_err(|error| sightings::same(&error)))
    }

    /// The same, waiting as long as the list takes.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn all(&self) -> Result<Sas> {
        match self.all_within(Duration::MAX).await {
            Some(all) => all,
            None => Err(Error::Internal("the list of SAs ended without a result".into())),
        }
    }

    /// charon was restarted: drops the cache.
    pub fn begin_anew(&self) {
        self.sightings.forget();
        self.present.forget();
    }

    /// Starts negotiating a child of the connection of this name, and says how long charon took to begin; the outcome shows
    /// in events and in [`StrongSwan::observe`].
    ///
    /// # Errors
    /// When charon refuses or does not answer.
    pub async fn initiate(&self, name: &str, child: &str) -> Result<Duration> {
        match &*self.way {
            Backend::Vici(vici) => vici.initiate(name, child).await,
            Backend::Swanctl(swanctl) => {
                let begun = Instant::now();
                let started =
                    swanctl.command(&["--initiate", "--ike", name, "--child", child, "--timeout", "-1"]).await;
                started.map(|()| begun.elapsed())
            }
        }
    }

    /// A number that changes when charon may have been restarted: SA numbers are valid for one start only. swanctl lists
    /// and closes at once, and has no such number.
    pub async fn charon_epoch(&self) -> u64 {
        match &*self.way {
            Backend::Vici(vici) => vici.charon_epoch().await,
            Backend::Swanctl(_) => 0,
        }
    }

    /// Whether charon answers.
    ///
    /// # Errors
    /// When it does not, within the deadline of one call.
    pub async fn ping(&self) -> Result<()> {
        match &*self.way {
            Backend::Vici(vici) => vici.version().await.map(drop),
            Backend::Swanctl(swanctl) => swanctl.query(&["--stats"]).await.map(drop),
        }
    }

    /// Whether charon sends events; without them the agent must poll.
    #[must_use]
    pub fn has_events(&self) -> bool {
        matches!(*self.way, Backend::Vici(_))
    }

    /// Subscribes to the events that say when to reconcile.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn events(&self) -> Result<Events> {
        match &*self.way {
            Backend::Vici(vici) => {
                let happenings = vici.events(&EVENTS).await?;
                // strongSwan before 6.0.3 has no alerts; the log must do.
                let words = match vici.events(&["log", "alert"]).await {
                    Err(Error::Refused { .. }) => vici.events(&["log"]).await?,
                    words => words?,
                };
                Ok(Events::Vici { happenings, words })
            }
            Backend::Swanctl(_) => Ok(Events::None),
        }
    }

    /// The next event, or `None` when charon has closed the connection. Without events it never returns.
    pub async fn next(&self, events: &mut Events) -> Option<Notice> {
        match events {
            Events::Vici { happenings, words } => tokio::select! {
                notice = happenings.next() => notice,
                notice = words.next() => match notice {
                    // Lost log lines say nothing about the connections.
                    Some(Notice::Lagged) => Some(Notice::Event("log".into(), section::Section::new())),
                    notice => notice,
                },
            },
            Events::None => std::future::pending().await,
        }
    }
}
