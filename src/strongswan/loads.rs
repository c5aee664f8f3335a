//! Loading connections into charon in place of others, and unloading them.

use super::{
    Asker, Backend, StrongSwan,
    guard::{self, Guard},
    names,
    refused::or_absent,
    requests::{Loadable, Request},
    vici::Vici,
};
use crate::{
    error::{Error, Result},
    ipsec::ConnectionId,
};

impl StrongSwan {
    /// Loads `new` in place of `previous`. No SA changes, and what both carry always has a policy.
    ///
    /// # Errors
    /// When charon refuses: it still has `previous`. When it does not answer, it may have either.
    pub async fn load(&self, new: &Loadable, previous: Option<&Loadable>, asker: Asker) -> Result<()> {
        let guard = self.guard(new, previous)?;
        self.present.loaded.add(new.id);
        if new.section(&names::fallback(new.id)).is_some() {
            self.present.fallbacks.add(new.id);
        }
        if new.has_secret(&names::ppk(new.id)) {
            self.present.ppks.add(new.id);
        }
        let vici = match &*self.way {
            Backend::Vici(vici) => vici,
            Backend::Swanctl(swanctl) => return swanctl.load(new, previous, guard.as_ref()).await,
        };
        if let Some(guard) = &guard {
            self.present.guards.add(new.id);
            vici.load_for(asker, &guard.request).await?;
        }
        self.present.bare.remove(new.id);
        match self.replace(vici, new, previous, asker).await {
            // A charon that does not answer would not do this either; the next load does it.
            silent @ Err(Error::Unreachable { .. }) => silent,
            outcome => {
                if outcome.is_ok() && guard::is_bare(new) {
                    self.present.bare.add(new.id);
                }
                outcome.and(self.unload_guard(vici, new.id).await)
            }
        }
    }

    /// The requests of [`StrongSwan::load`], by command and name.
    ///
    /// # Errors
    /// When the guard cannot be made, which is a fault of this program.
    pub fn planned(&self, new: &Loadable, previous: Option<&Loadable>) -> Result<Vec<String>> {
        let line = |request: &Request| format!("{} {}", request.command, request.object()).trim_end().to_owned();
        let guard = self.guard(new, previous)?;
        let first = guard.iter().map(|guard| line(&guard.request));
        let last = guard.iter().map(|guard| format!("unload-conn {}", guard.request.object()));
        Ok(first.chain(new.requests.iter().map(line)).chain(last).collect())
    }

    /// What guards `new` in place of `previous`, if charon may have something to replace.
    fn guard(&self, new: &Loadable, previous: Option<&Loadable>) -> Result<Option<Guard>> {
        if !self.present.loaded.has(new.id) || self.present.bare.has(new.id) {
            return Ok(None);
        }
        Guard::new(new, previous).map_err(|error| Error::Internal(error.to_string()))
    }

    /// Loads `new`, or what was there before if charon refuses it.
    async fn replace(&self, vici: &Vici, new: &Loadable, previous: Option<&Loadable>, asker: Asker) -> Result<()> {
        let loaded = match load_all(vici, new, asker).await {
            // A secret from before the certificates.
            Ok(()) if !new.has_secret(&names::secret(new.id)) => vici.unload_shared(&names::secret(new.id)).await,
            outcome => outcome,
        };
        let loaded = match loaded {
            Ok(()) if !new.has_secret(&names::ppk(new.id)) => self.unload_ppk(vici, new.id).await,
            outcome => outcome,
        };
        let loaded = match loaded {
            Ok(()) if new.section(&names::fallback(new.id)).is_none() => self.unload_fallback(vici, new.id).await,
            outcome => outcome,
        };
        let error = match loaded {
            Err(error @ Error::Refused { .. }) => error,
            // A charon that does not answer cannot undo it either.
            other => return other,
        };
        // The secret was replaced before the connection was refused.
        let undone = match previous {
            Some(previous) => load_all(vici, previous, asker).await,
            None => self.unload(new.id).await,
        };
        let undone = match (undone, previous) {
            (Ok(()), Some(previous)) if !previous.has_secret(&names::ppk(new.id)) => {
                self.unload_ppk(vici, new.id).await
            }
            (undone, _) => undone,
        };
        if let Err(undo) = undone {
            tracing::error!(uuid = %new.id, error = %undo, "{}: the previous connection could not be loaded into charon again: {undo}", new.id);
        }
        Err(error)
    }

    /// Unloads the connection and the secret of `id`; SAs stay. A missing one is no error.
    ///
    /// # Errors
    /// When charon does not answer.
    pub async fn unload(&self, id: ConnectionId) -> Result<()> {
        let vici = match &*self.way {
            Backend::Vici(vici) => vici,
            Backend::Swanctl(swanctl) => {
                swanctl.unload(id).await?;
                self.present.loaded.remove(id);
                return Ok(());
            }
        };
        unload(vici, &names::connection(id)).await?;
        self.present.loaded.remove(id);
        self.present.bare.remove(id);
        self.unload_fallback(vici, id).await?;
        self.unload_guard(vici, id).await?;
        self.unload_ppk(vici, id).await?;
        vici.unload_shared(&names::secret(id)).await
    }

    /// Unloads the connection that initiates with IKEv1, if charon may have it.
    async fn unload_fallback(&self, vici: &Vici, id: ConnectionId) -> Result<()> {
        if self.present.fallbacks.has(id) { unload(vici, &names::fallback(id)).await } else { Ok(()) }
    }

    /// Unloads the PPK, if charon may have one.
    async fn unload_ppk(&self, vici: &Vici, id: ConnectionId) -> Result<()> {
        if self.present.ppks.has(id) { vici.unload_shared(&names::ppk(id)).await } else { Ok(()) }
    }

    /// Unloads the guard, if charon may have it.
    async fn unload_guard(&self, vici: &Vici, id: ConnectionId) -> Result<()> {
        if self.present.guards.has(id) {
            unload(vici, &names::guard(id)).await?;
            self.present.guards.remove(id);
        }
        Ok(())
    }
}

/// Unloads the connection with this name; a missing one is no error.
async fn unload(vici: &Vici, name: &str) -> Result<()> {
    or_absent(vici.unload_connection(name).await)
}

/// Sends charon all requests of `connection`, the secret first. A writer has no connection loaded whose secret is refused,
/// not for a moment.
async fn load_all(vici: &Vici, connection: &Loadable, asker: Asker) -> Result<()> {
    if asker == Asker::Reconciler {
        return vici.load_together(&connection.requests).await;
    }
    for request in &connection.requests {
        vici.load_for(asker, request).await?;
    }
    Ok(())
}
