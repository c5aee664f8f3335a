//! strongSwan: its languages, which are pure functions on text and bytes, and the ways to charon.

pub mod conf;
pub mod message;
pub mod names;
pub mod observe;
pub mod packet;
pub mod plan;
pub mod section;
pub mod vici;

use crate::{
    error::{Error, Result},
    ipsec::{Connection, ConnectionId, IkeSa, Protocol},
};
use conf::Traps;
use plan::Loadable;
use section::Section;
use vici::{Events, Vici};

/// A way to charon.
pub enum Swan {
    /// Its vici socket.
    Vici(Vici),
}

/// What this charon is and can do; it stays so until charon is started anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charon {
    /// strongSwan's version.
    pub version: String,
    /// Whether its kernel interface can hold trap policies.
    pub traps: Traps,
    /// Its algorithms by kind, as `get-algorithms` names them.
    algorithms: Section,
}

/// The names of the events that tell when to look at a connection again.
const EVENTS: [&str; 4] = ["ike-updown", "child-updown", "ike-rekey", "child-rekey"];

impl Swan {
    /// What charon is and can do.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn probe(&self) -> Result<Charon> {
        let Self::Vici(vici) = self;
        let version = vici.version().await?.version;
        let stats = vici.stats().await?;
        let libipsec = stats.items("plugins").any(|plugin| plugin == "kernel-libipsec");
        let old = version_number(&version) < [5, 9, 11];
        let traps = if libipsec && old { Traps::Unsupported } else { Traps::Supported };
        Ok(Charon { version, traps, algorithms: vici.algorithms().await? })
    }

    /// Loads `new` in place of `previous`. No SA is touched.
    ///
    /// # Errors
    /// When charon refuses: it then has `previous` as before. When it does not answer, it may have either.
    pub async fn load(&self, new: &Loadable, previous: Option<&Loadable>) -> Result<()> {
        let Self::Vici(vici) = self;
        let Err(error) = load_all(vici, new).await else { return Ok(()) };
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
        let Self::Vici(vici) = self;
        match vici.unload_connection(&names::connection(id)).await {
            Err(Error::Refused { words, .. }) if words.ends_with("not found") => {}
            other => other?,
        }
        vici.unload_shared(&names::secret(id)).await
    }

    /// The connections and secrets of ours that charon holds.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn loaded(&self) -> Result<(Vec<ConnectionId>, Vec<ConnectionId>)> {
        let Self::Vici(vici) = self;
        let connections = vici.connections().await?.iter().filter_map(|name| names::owner(name)).collect();
        let secrets = vici.shared().await?.iter().filter_map(|name| names::secret_owner(name)).collect();
        Ok((connections, secrets))
    }

    /// The IKE SAs that bear our names; of one connection, or all.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn observe(&self, id: Option<ConnectionId>) -> Result<Vec<IkeSa>> {
        let Self::Vici(vici) = self;
        let listed = vici.list_sas(id.map(names::connection).as_deref()).await?;
        let ours = |sa: &IkeSa| names::owner(&sa.name).is_some_and(|owner| id.is_none_or(|id| id == owner));
        Ok(listed.iter().flat_map(observe::ike_sas).filter(ours).collect())
    }

    /// Starts negotiating a child; the outcome shows in events and in [`Swan::observe`].
    ///
    /// # Errors
    /// When charon refuses or does not answer.
    pub async fn initiate(&self, id: ConnectionId, child: &str) -> Result<()> {
        let Self::Vici(vici) = self;
        vici.initiate(&names::connection(id), child).await
    }

    /// Starts closing an IKE SA with all its children. That it is gone already is no error.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn close_ike(&self, unique_id: u64) -> Result<()> {
        self.close("ike-id", unique_id).await
    }

    /// Starts closing one CHILD_SA. That it is gone already is no error.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn close_child(&self, unique_id: u64) -> Result<()> {
        self.close("child-id", unique_id).await
    }

    /// Drops all SAs of a connection without waiting for the peer to confirm.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn drop_all(&self, id: ConnectionId) -> Result<()> {
        let Self::Vici(vici) = self;
        for ike in self.observe(Some(id)).await? {
            gone_is_fine(vici.drop_ike(ike.unique_id).await)?;
        }
        Ok(())
    }

    async fn close(&self, kind: &'static str, unique_id: u64) -> Result<()> {
        let Self::Vici(vici) = self;
        gone_is_fine(vici.terminate(kind, unique_id).await)
    }

    /// Subscribes to the events that tell when to look again.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn events(&self) -> Result<Events> {
        let Self::Vici(vici) = self;
        vici.events(&EVENTS).await
    }
}

/// Takes charon's answer that there is no such SA for a success.
fn gone_is_fine(closed: Result<()>) -> Result<()> {
    match closed {
        Err(Error::Refused { words, .. }) if words.starts_with("no matching SAs") => Ok(()),
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

/// The numbers of a version such as `5.9.8` or `6.0.0rc1`, for comparing.
fn version_number(version: &str) -> [u32; 3] {
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let mut parts = version.split('.').map(digits);
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

impl Charon {
    /// The algorithms that `connection` needs and this charon lacks: what the API calls it, and the
    /// Debian package that brings it.
    #[must_use]
    pub fn missing(&self, connection: &Connection) -> Vec<(String, &'static str)> {
        let mut missing = Vec::new();
        let mut need = |kinds: &[&str], charon: &str, wire: &str, package| {
            // strongSwan 6.0.0 renamed the section `dh` to `ke`.
            let has = |kind: &&str| self.algorithms.section(kind).is_some_and(|s| s.0.contains_key(charon));
            if !kinds.iter().any(has) {
                missing.push((wire.to_owned(), package));
            }
        };
        let ike = connection.ike;
        let (integrity, group) = (ike.integrity.row(), ike.group.row());
        let (mut ciphers, mut hashes, mut groups) = (vec![ike.encryption.row()], Vec::new(), vec![group]);
        if !ike.encryption.row().aead {
            hashes.push(integrity);
        }
        match connection.protocol {
            Protocol::Ah(ah) => {
                hashes.push(ah.integrity.row());
                groups.extend(ah.pfs.map(|g| g.row()));
            }
            Protocol::Esp(esp) => {
                ciphers.push(esp.encryption.row());
                hashes.extend(Some(esp.integrity.row()).filter(|_| !esp.encryption.row().aead));
                groups.extend(esp.pfs.map(|g| g.row()));
            }
        }
        need(&["prf"], integrity.prf_charon, integrity.wire, integrity.package);
        ciphers.iter().for_each(|c| need(&["encryption", "aead"], c.charon, c.wire, c.package));
        hashes.iter().for_each(|h| need(&["integrity"], h.charon, h.wire, h.package));
        groups.iter().for_each(|g| need(&["dh", "ke"], g.charon, g.wire, g.package));
        missing.dedup();
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn versions_compare() {
        assert!(version_number("5.9.8") < version_number("5.9.11"));
        assert!(version_number("6.0.0rc1") >= [6, 0, 0]);
        assert_eq!(version_number("6.1"), [6, 1, 0]);
    }
}
