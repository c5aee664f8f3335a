//! A gateway that is made a standby on purpose, as before maintenance: it closes its tunnels with DELETE while it still has
//! the addresses, so that the peers know, and negotiates none until it is made active again.

use super::{Agent, Presence, change::uncancelled};
use crate::{error::Result, ipsec::IkeState, strongswan::Asker};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// How long the peers may take to confirm that their tunnels are closed.
const CLOSING: Duration = Duration::from_secs(5);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(100);

impl Agent {
    /// Whether this gateway was made a standby on purpose.
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        self.observer.given_up().get()
    }

    /// Makes the gateway a standby: closes all tunnels, and stores it when they are closed, because the addresses may move
    /// then.
    ///
    /// # Errors
    /// When it cannot be stored: the gateway is active again.
    pub async fn give_up(self: &Arc<Self>) -> Result<()> {
        let agent = Arc::clone(self);
        uncancelled(async move {
            agent.observer.given_up().set(true);
            agent.follow_given_up();
            let end = Instant::now() + CLOSING;
            while Instant::now() < end && matches!(agent.has_sas().await, Ok(true)) {
                sleep(LOOK).await;
            }
            let stored = agent.observer.given_up().store(true);
            if stored.is_err() {
                agent.observer.given_up().set(false);
                agent.follow_given_up();
            }
            stored
        })
        .await
    }

    /// Makes the gateway active again for the addresses that it has.
    ///
    /// # Errors
    /// When it cannot be stored: the gateway stays a standby.
    pub async fn take_back(self: &Arc<Self>) -> Result<()> {
        let agent = Arc::clone(self);
        uncancelled(async move {
            agent.observer.given_up().store(false)?;
            agent.observer.given_up().set(false);
            agent.follow_given_up();
            Ok(())
        })
        .await
    }

    /// Reconciles everything with the gateway's role, and tells of it.
    fn follow_given_up(&self) {
        let now = Instant::now();
        self.store.all().iter().for_each(|record| self.reconciler.enqueue(record.id, now));
        self.vips().into_iter().for_each(|vip| self.tell_role(vip));
    }

    /// Whether an IKE_SA of a stored connection whose address is here still runs.
    async fn has_sas(&self) -> Result<bool> {
        for record in self.store.all().iter().filter(|record| record.is_loaded()) {
            let sas = self.strongswan.observe(record.id, Asker::Reader).await?;
            if sas.iter().any(|ike| ike.state != IkeState::Connecting) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the gateway is a standby for a local address that it has.
    pub(super) fn has_here_as_standby(&self, address: IpAddr) -> bool {
        self.observer.presence(address) == Presence::Standby && !self.observer.local_addresses().lacks(address)
    }
}
