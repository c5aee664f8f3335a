//! strongSwan: its languages, which are pure functions on text and bytes, and the ways to charon.

pub mod alert;
mod charon;
pub mod conf;
pub mod credentials;
pub mod diff;
pub mod message;
pub mod names;
pub mod observe;
pub mod packet;
pub mod plan;
pub mod pretty;
pub mod rehearsal;
pub mod section;
pub mod swanctl;
pub mod tale;
pub mod vici;

use crate::{
    error::{Error, Result},
    ipsec::{ConnectionId, IkeSa},
};
pub use charon::Charon;
use plan::Loadable;
use std::collections::BTreeSet;
use swanctl::Swanctl;
use vici::{Vici, link::Notice};

/// A way to charon.
pub enum Swan {
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

impl Swan {
    /// What charon is and can do.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn probe(&self) -> Result<Charon> {
        let (version, stats, algorithms) = match self {
            Self::Vici(vici) => (vici.version().await?.version, vici.stats().await?, vici.algorithms().await?),
            Self::Swanctl(swanctl) => {
                let first = async |arguments: &[&str]| Ok::<_, Error>(swanctl.query(arguments).await?.swap_remove(0));
                let version = first(&["--version", "--daemon"]).await?.text("version").unwrap_or_default().to_owned();
                (version, first(&["--stats"]).await?, first(&["--list-algs"]).await?)
            }
        };
        let mut charon = Charon::new(version, &stats, algorithms);
        charon.ikev1 = match self {
            Self::Vici(vici) if charon.may_lack_ikev1() => vici.speaks_ikev1().await?,
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
        let vici = match self {
            Self::Vici(vici) => vici,
            Self::Swanctl(swanctl) => return swanctl.load(new, previous).await,
        };
        let loaded = match load_all(vici, new).await {
            // A secret from before the certificates.
            Ok(()) if !new.requests.iter().any(|r| r.command == "load-shared") => {
                vici.unload_shared(&names::secret(new.id)).await
            }
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
        let vici = match self {
            Self::Vici(vici) => vici,
            Self::Swanctl(swanctl) => return swanctl.unload(id).await,
        };
        match vici.unload_connection(&names::connection(id)).await {
            Err(Error::Refused { words, .. }) if words.ends_with("not found") => {}
            other => other?,
        }
        vici.unload_shared(&names::secret(id)).await
    }

    /// Forgets the private key of this id. Through swanctl, which keeps charon's keys equal to its files, the next load
    /// does that.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn unload_key(&self, id: &str) -> Result<()> {
        match self {
            Self::Vici(vici) => vici.unload_key(id).await,
            Self::Swanctl(_) => Ok(()),
        }
    }

    /// The ids of the private keys that charon holds; `None` where they cannot be listed.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn private_keys(&self) -> Result<Option<BTreeSet<String>>> {
        match self {
            Self::Vici(vici) => Ok(Some(vici.keys().await?.into_iter().collect())),
            Self::Swanctl(_) => Ok(None),
        }
    }

    /// The names of all connections that were loaded over vici, ours or not.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn connections(&self) -> Result<Vec<String>> {
        match self {
            Self::Vici(vici) => vici.connections().await,
            Self::Swanctl(swanctl) => swanctl.connections().await,
        }
    }

    /// The connections and secrets of ours that charon holds, about `expected` of each. The secrets are `None` where
    /// they cannot be listed.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn loaded(&self, expected: usize) -> Result<(Vec<ConnectionId>, Option<Vec<ConnectionId>>)> {
        let (connections, secrets) = match self {
            Self::Vici(vici) if expected > vici::MANY => (vici.many_connections().await?, None),
            Self::Vici(vici) => (vici.connections().await?, Some(vici.shared().await?)),
            // swanctl cannot list secrets; it keeps them equal to the files.
            Self::Swanctl(swanctl) => (swanctl.connections().await?, None),
        };
        let secrets = secrets.map(|ids| ids.iter().filter_map(|name| names::secret_owner(name)).collect());
        Ok((connections.iter().filter_map(|name| names::owner(name)).collect(), secrets))
    }

    /// The IKE SAs that bear our names; of one connection, or all.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn observe(&self, id: Option<ConnectionId>) -> Result<Vec<IkeSa>> {
        let name = id.map(names::connection);
        let read = |listed: &[section::Section]| listed.iter().flat_map(observe::ike_sas).collect::<Vec<_>>();
        let listed = match (self, &name) {
            (Self::Vici(vici), _) => vici.read_sas(name.as_deref(), |item| observe::ike_sas(&item)).await?,
            (Self::Swanctl(swanctl), Some(name)) => read(&swanctl.query(&["--list-sas", "--ike", name]).await?),
            (Self::Swanctl(swanctl), None) => read(&swanctl.query(&["--list-sas"]).await?),
        };
        let ours = |sa: &IkeSa| names::owner(&sa.name).is_some_and(|owner| id.is_none_or(|id| id == owner));
        Ok(listed.into_iter().filter(ours).collect())
    }

    /// Starts negotiating a child; the outcome shows in events and in [`Swan::observe`].
    ///
    /// # Errors
    /// When charon refuses or does not answer.
    pub async fn initiate(&self, id: ConnectionId, child: &str) -> Result<()> {
        let name = names::connection(id);
        match self {
            Self::Vici(vici) => vici.initiate(&name, child).await,
            Self::Swanctl(swanctl) => {
                swanctl.command(&["--initiate", "--ike", &name, "--child", child, "--timeout", "-1"]).await
            }
        }
    }

    /// A number that changes when charon may have been started anew; SAs are closed by numbers that
    /// mean something in one life only. swanctl lists and closes at once, and cannot tell.
    #[must_use]
    pub fn life(&self) -> u64 {
        match self {
            Self::Vici(vici) => vici.life(),
            Self::Swanctl(_) => 0,
        }
    }

    /// Whether charon answers.
    ///
    /// # Errors
    /// When it does not, within the deadline of one call.
    pub async fn ping(&self) -> Result<()> {
        match self {
            Self::Vici(vici) => vici.version().await.map(drop),
            Self::Swanctl(swanctl) => swanctl.query(&["--stats"]).await.map(drop),
        }
    }

    /// Whether charon tells what happens; else somebody has to look from time to time.
    #[must_use]
    pub fn has_events(&self) -> bool {
        matches!(self, Self::Vici(_))
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
    /// [`Swan::observe`].
    ///
    /// # Errors
    /// When there is none of this number, charon does not answer, or was started anew after `life`.
    pub async fn rekey_child(&self, unique_id: u64, life: u64) -> Result<()> {
        match self {
            Self::Vici(vici) => vici.rekey_child(unique_id, life).await,
            Self::Swanctl(swanctl) => swanctl.command(&["--rekey", "--child-id", &unique_id.to_string()]).await,
        }
    }

    /// Drops all SAs of a connection without waiting for the peer to confirm.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn drop_all(&self, id: ConnectionId) -> Result<()> {
        let life = self.life();
        for ike in self.observe(Some(id)).await? {
            self.close("ike-id", ike.unique_id, true, life).await?;
        }
        Ok(())
    }

    /// Starts closing the SA of this number; with `force` the peer is told and not waited for.
    async fn close(&self, kind: &'static str, unique_id: u64, force: bool, life: u64) -> Result<()> {
        let closed = match self {
            Self::Vici(vici) => vici.terminate(kind, unique_id, force, life).await,
            Self::Swanctl(swanctl) => {
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
        match self {
            Self::Vici(vici) => {
                let happenings = vici.events(&EVENTS).await?;
                // Before strongSwan 6.0.3 there are no alerts, and its log has to do.
                let words = match vici.events(&["log", "alert"]).await {
                    Err(Error::Refused { .. }) => vici.events(&["log"]).await?,
                    words => words?,
                };
                Ok(Events::Vici { happenings, words })
            }
            Self::Swanctl(_) => Ok(Events::None),
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

/// Gives charon all requests of `connection`, the secret first.
async fn load_all(vici: &Vici, connection: &Loadable) -> Result<()> {
    for request in &connection.requests {
        vici.load(request).await?;
    }
    Ok(())
}
