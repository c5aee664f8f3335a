//! strongSwan: its languages, which are pure functions on text and bytes, and the ways to charon.

pub(crate) mod alert;
mod authorities;
mod charon;
pub mod conf;
pub mod credentials;
pub(crate) mod diff;
pub(crate) mod dry_run;
mod fallbacks;
pub mod foreign;
mod lists;
pub(crate) mod log_parser;
pub mod message;
pub mod names;
pub mod observe;
pub mod packet;
pub(crate) mod pretty;
pub mod requests;
pub mod section;
mod sightings;
pub mod swanctl;
pub mod vici;
pub(crate) mod words;

use crate::{
    error::{Error, Result},
    ipsec::{ConnectionId, IkeSa},
    strongswan::{
        fallbacks::Fallbacks,
        foreign::Foreign,
        requests::Loadable,
        sightings::Sightings,
        swanctl::Swanctl,
        vici::{Notice, Vici},
    },
};
pub use charon::Charon;
use futures_util::FutureExt;
pub use sightings::Sas;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
pub use vici::Asker;

/// charon, and what was seen of it a moment ago.
pub struct StrongSwan {
    way: Arc<Backend>,
    sightings: Sightings,
    fallbacks: Arc<Fallbacks>,
}

/// A way to charon.
enum Backend {
    /// Its vici socket.
    Vici(Vici),
    /// The swanctl program.
    Swanctl(Swanctl),
}

/// What tells when to look at the connections again.
pub enum Events {
    /// charon's events, and its words on a socket of their own: there are many of those.
    Vici {
        /// What happens to SAs.
        happenings: vici::Events,
        /// What charon says.
        words: vici::Events,
    },
    /// swanctl has none that say enough.
    None,
}

/// The names of the events that tell when to look at a connection again.
const EVENTS: [&str; 4] = ["ike-updown", "child-updown", "ike-rekey", "child-rekey"];

impl From<Vici> for StrongSwan {
    fn from(vici: Vici) -> Self {
        Self { way: Arc::new(Backend::Vici(vici)), sightings: Sightings::default(), fallbacks: Arc::default() }
    }
}

impl From<Swanctl> for StrongSwan {
    fn from(swanctl: Swanctl) -> Self {
        Self { way: Arc::new(Backend::Swanctl(swanctl)), sightings: Sightings::default(), fallbacks: Arc::default() }
    }
}

impl StrongSwan {
    /// What charon is and can do.
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
            // It cannot be tried through swanctl; a tunnel that stays down is seen, a wrong refusal cannot be helped.
            _ => true,
        };
        Ok(charon)
    }

    /// Loads `new` in place of `previous`. No SA is touched.
    ///
    /// # Errors
    /// When charon refuses: it then has `previous` as before. When it does not answer, it may have either.
    pub async fn load(&self, new: &Loadable, previous: Option<&Loadable>) -> Result<()> {
        let falls_back = new.section(&names::fallback(new.id)).is_some();
        if falls_back {
            self.fallbacks.add(new.id);
        }
        let vici = match &*self.way {
            Backend::Vici(vici) => vici,
            Backend::Swanctl(swanctl) => return swanctl.load(new, previous).await,
        };
        let loaded = match load_all(vici, new).await {
            // A secret from before the certificates.
            Ok(()) if !new.requests.iter().any(|r| r.command == "load-shared") => {
                vici.unload_shared(&names::secret(new.id)).await
            }
            outcome => outcome,
        };
        let loaded = match loaded {
            Ok(()) if !falls_back => self.unload_fallback(vici, new.id).await,
            outcome => outcome,
        };
        let error = match loaded {
            Err(error @ Error::Refused { .. }) => error,
            // A charon that does not answer cannot be told to undo either.
            other => return other,
        };
        // The secret was replaced before the connection was refused.
        let undone = match previous {
            Some(previous) => load_all(vici, previous).await,
            None => self.unload(new.id).await,
        };
        if let Err(undo) = undone {
            tracing::error!(uuid = %new.id, error = %undo, "charon could not be given the previous connection again");
        }
        Err(error)
    }

    /// Forgets the connection and the secret of `id`; SAs stay. That there is none is no error.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn unload(&self, id: ConnectionId) -> Result<()> {
        let vici = match &*self.way {
            Backend::Vici(vici) => vici,
            Backend::Swanctl(swanctl) => return swanctl.unload(id).await,
        };
        unload(vici, &names::connection(id)).await?;
        self.unload_fallback(vici, id).await?;
        vici.unload_shared(&names::secret(id)).await
    }

    /// Forgets the connection that initiates with IKEv1, if charon may have it.
    async fn unload_fallback(&self, vici: &Vici, id: ConnectionId) -> Result<()> {
        if self.fallbacks.has(id) { unload(vici, &names::fallback(id)).await } else { Ok(()) }
    }

    /// Forgets the private key of this id. Through swanctl, which keeps charon's keys equal to its files, the next load
    /// does that.
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

    /// The names of all connections that were loaded over vici, ours or not.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn connections(&self) -> Result<Vec<String>> {
        match &*self.way {
            Backend::Vici(vici) => vici.connections().await,
            Backend::Swanctl(swanctl) => swanctl.connections().await,
        }
    }

    /// What charon says of the connections with these names.
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

    /// The connections and secrets of ours that charon holds, about `expected` of each. The secrets are `None` where
    /// they cannot be listed.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn loaded(&self, expected: usize) -> Result<(Vec<ConnectionId>, Option<Vec<ConnectionId>>)> {
        let (connections, secrets) = match &*self.way {
            Backend::Vici(vici) if expected > vici::MANY => (vici.many_connections().await?, None),
            Backend::Vici(vici) => (vici.connections().await?, Some(vici.shared().await?)),
            // swanctl cannot list secrets; it keeps them equal to the files.
            Backend::Swanctl(swanctl) => (swanctl.connections().await?, None),
        };
        self.fallbacks.note(connections.iter().map(String::as_str));
        let secrets = secrets.map(|ids| ids.iter().filter_map(|name| names::secret_owner(name)).collect());
        Ok((connections.iter().filter_map(|name| names::owner(name)).collect(), secrets))
    }

    /// The SAs of one connection, as charon lists them now.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn observe(&self, id: ConnectionId, asker: Asker) -> Result<Vec<IkeSa>> {
        // From when charon was asked, not from now: another look may overtake this one while it waits for a socket.
        let (begun, sas) = self.way.sas_of(id, asker, self.fallbacks.has(id)).await?;
        self.sightings.note(id, begun, &sas);
        Ok(sas)
    }

    /// The SAs of all connections of ours as they were a moment ago: all who ask share one list. `None` when charon is
    /// silent for as long as `patience`.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn all_within(&self, patience: Duration) -> Option<Result<Sas>> {
        let (way, fallbacks) = (Arc::clone(&self.way), Arc::clone(&self.fallbacks));
        let list =
            |progress| async move { way.whole(progress, &fallbacks).await.map(Arc::new).map_err(Arc::new) }.boxed();
        Some(self.sightings.all(patience, list).await?.map_err(|error| lists::same(&error)))
    }

    /// The same for those who wait as long as the list itself does.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn all(&self) -> Result<Sas> {
        match self.all_within(Duration::MAX).await {
            Some(all) => all,
            None => Err(Error::Internal("a list that nobody waits for".into())),
        }
    }

    /// What is asked from now on is asked another charon.
    pub fn begin_anew(&self) {
        self.sightings.forget();
        self.fallbacks.forget();
    }

    /// Starts negotiating a child of the connection of this name; the outcome shows in events and in [`StrongSwan::observe`].
    ///
    /// # Errors
    /// When charon refuses or does not answer.
    pub async fn initiate(&self, name: &str, child: &str) -> Result<()> {
        match &*self.way {
            Backend::Vici(vici) => vici.initiate(name, child).await,
            Backend::Swanctl(swanctl) => {
                swanctl.command(&["--initiate", "--ike", name, "--child", child, "--timeout", "-1"]).await
            }
        }
    }

    /// A number that changes when charon may have been started anew; SAs are closed by numbers that
    /// mean something in one life only. swanctl lists and closes at once, and cannot tell.
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

    /// Whether charon tells what happens; else somebody has to look from time to time.
    #[must_use]
    pub fn has_events(&self) -> bool {
        matches!(*self.way, Backend::Vici(_))
    }

    /// Starts closing an IKE SA with all its children. That it is gone already is no error.
    ///
    /// # Errors
    /// When charon does not answer, or was started anew after `life`.
    pub async fn close_ike(&self, unique_id: u64, life: u64) -> Result<()> {
        self.close("ike-id", unique_id, false, life).await
    }

    /// Starts closing one CHILD_SA. That it is gone already is no error.
    ///
    /// # Errors
    /// When charon does not answer, or was started anew after `life`.
    pub async fn close_child(&self, unique_id: u64, life: u64) -> Result<()> {
        self.close("child-id", unique_id, false, life).await
    }

    /// Starts rekeying one CHILD_SA; that charon obeys says nothing about the outcome, which shows in
    /// [`StrongSwan::observe`].
    ///
    /// # Errors
    /// When there is none of this number, charon does not answer, or was started anew after `life`.
    pub async fn rekey_child(&self, unique_id: u64, life: u64) -> Result<()> {
        match &*self.way {
            Backend::Vici(vici) => vici.rekey_child(unique_id, life).await,
            Backend::Swanctl(swanctl) => swanctl.command(&["--rekey", "--child-id", &unique_id.to_string()]).await,
        }
    }

    /// Drops all SAs of a connection without waiting for the peer to confirm.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn drop_all(&self, id: ConnectionId) -> Result<()> {
        let life = self.charon_epoch().await;
        for ike in self.observe(id, Asker::Writer).await? {
            self.close("ike-id", ike.unique_id, true, life).await?;
        }
        Ok(())
    }

    /// Starts closing the SA of this number; with `force` the peer is told and not waited for.
    async fn close(&self, kind: &'static str, unique_id: u64, force: bool, life: u64) -> Result<()> {
        let closed = match &*self.way {
            Backend::Vici(vici) => vici.terminate(kind, unique_id, force, life).await,
            Backend::Swanctl(swanctl) => {
                let (option, number) = (format!("--{kind}"), unique_id.to_string());
                let force: &[&str] = if force { &["--force"] } else { &[] };
                swanctl.command(&[&["--terminate", &option, &number, "--timeout", "-1"], force].concat()).await
            }
        };
        match closed {
            Err(Error::Refused { words, .. }) if words.starts_with("no matching SAs") => Ok(()),
            other => other,
        }
    }

    /// Subscribes to the events that tell when to look again.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn events(&self) -> Result<Events> {
        match &*self.way {
            Backend::Vici(vici) => {
                let happenings = vici.events(&EVENTS).await?;
                // Before strongSwan 6.0.3 there are no alerts, and its log has to do.
                let words = match vici.events(&["log", "alert"]).await {
                    Err(Error::Refused { .. }) => vici.events(&["log"]).await?,
                    words => words?,
                };
                Ok(Events::Vici { happenings, words })
            }
            Backend::Swanctl(_) => Ok(Events::None),
        }
    }

    /// The next event of `events`, or `None` when charon is gone. Where charon tells nothing, it never comes.
    pub async fn next(&self, events: &mut Events) -> Option<Notice> {
        match events {
            Events::Vici { happenings, words } => tokio::select! {
                notice = happenings.next() => notice,
                notice = words.next() => match notice {
                    // Words that were lost say nothing of the connections.
                    Some(Notice::Lagged) => Some(Notice::Event("log".into(), section::Section::new())),
                    notice => notice,
                },
            },
            Events::None => std::future::pending().await,
        }
    }
}

/// Forgets the connection of this name; that there is none is no error.
async fn unload(vici: &Vici, name: &str) -> Result<()> {
    match vici.unload_connection(name).await {
        Err(Error::Refused { words, .. }) if words.ends_with("not found") => Ok(()),
        other => other,
    }
}

/// Gives charon all requests of `connection`, the secret first.
async fn load_all(vici: &Vici, connection: &Loadable) -> Result<()> {
    for request in &connection.requests {
        vici.load(request).await?;
    }
    Ok(())
}
