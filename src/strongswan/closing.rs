//! Closes and rekeys SAs by their numbers.

use super::{Asker, Backend, StrongSwan, refused::or_absent};
use crate::{error::Result, ipsec::ConnectionId};

impl StrongSwan {
    /// Starts closing an IKE_SA with all its children. A missing one is no error.
    ///
    /// # Errors
    /// When charon does not answer, or was restarted after `life`.
    pub async fn close_ike(&self, unique_id: u64, life: u64) -> Result<()> {
        self.close("ike-id", unique_id, false, life).await
    }

    /// Starts dropping an IKE_SA with all its children, without waiting for the peer. A missing one is no error.
    ///
    /// # Errors
    /// When charon does not answer, or was restarted after `life`.
    pub async fn drop_ike(&self, unique_id: u64, life: u64) -> Result<()> {
        self.close("ike-id", unique_id, true, life).await
    }

    /// Starts closing one CHILD_SA. A missing one is no error.
    ///
    /// # Errors
    /// When charon does not answer, or was restarted after `life`.
    pub async fn close_child(&self, unique_id: u64, life: u64) -> Result<()> {
        self.close("child-id", unique_id, false, life).await
    }

    /// Starts rekeying one CHILD_SA. Success means that charon has started; the result shows in [`StrongSwan::observe`].
    ///
    /// # Errors
    /// When there is none of this number, charon does not answer, or was restarted after `life`.
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

    /// Starts closing the SA with this number; with `force` charon does not wait for the peer.
    async fn close(&self, kind: &'static str, unique_id: u64, force: bool, life: u64) -> Result<()> {
        let closed = match &*self.way {
            Backend::Vici(vici) => vici.terminate(kind, unique_id, force, life).await,
            Backend::Swanctl(swanctl) => {
                let (option, number) = (format!("--{kind}"), unique_id.to_string());
                let force: &[&str] = if force { &["--force"] } else { &[] };
                swanctl.command(&[&["--terminate", &option, &number, "--timeout", "-1"], force].concat()).await
            }
        };
        or_absent(closed)
    }
}
