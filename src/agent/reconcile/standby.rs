//! A connection whose local address has gone, or is back. Without it, the SAs are closed and nothing is negotiated: the
//! gateway that has the address works for it.

use crate::{
    agent::{Agent, Entry, Presence, Speaker, reconcile::sa_planner::SaPlanner},
    error::Result,
    ipsec::{Carried, IkeSa, IkeState},
    store::Record,
};
use std::time::Duration;
use tokio::time::Instant;

/// When to look again at what was closed, if no event comes before.
const AGAIN: Duration = Duration::from_millis(20);
/// The same on a standby, where nothing waits for it.
const LATER: Duration = Duration::from_secs(1);

impl Agent {
    /// Whether the gateway is a standby for the connection.
    pub(in crate::agent) fn is_standby(&self, record: &Record) -> bool {
        self.observer.presence(record.connection.local_addr) == Presence::Standby
    }

    /// Takes the steps that follow from the connection's local address; returns whether there are no others to take now.
    pub(in crate::agent) async fn follow_address(
        &self,
        record: &Record,
        entry: &Entry,
        planner: &mut SaPlanner,
        (running, life): (&[IkeSa], u64),
    ) -> Result<bool> {
        let (id, now) = (record.id, Instant::now());
        match self.observer.presence(record.connection.local_addr) {
            Presence::Standby => {
                self.reconciler.queue().cancel(id);
                if planner.leave() {
                    entry.history().begin_anew();
                    // Here, because the address may be back before anything is told.
                    entry.history().forget_told();
                    self.record_line(id, Speaker::Agent, "standing by for the gateway that has the local address");
                }
                self.record_installed(record, &[]);
                self.record_totals(id, running);
                entry.record_carried(Carried::Nothing);
                // What is closed while the address is here, the peer is to know.
                let tells = self.has_here_as_standby(record.connection.local_addr);
                for ike in running.iter().filter(|ike| !tells || ike.state != IkeState::Closing) {
                    if tells {
                        self.strongswan.close_ike(ike.unique_id, life).await?;
                    } else {
                        self.strongswan.drop_ike(ike.unique_id, life).await?;
                    }
                }
                if !running.is_empty() {
                    self.reconciler.enqueue(id, now + LATER);
                }
                Ok(true)
            }
            Presence::Left | Presence::Missing => {
                planner.record_away();
                Ok(false)
            }
            Presence::Here if planner.come_back(now) => {
                self.record_line(id, Speaker::Agent, "the local address is here");
                // charon waits for answers to packets that it could not send.
                let half_open: Vec<_> = running.iter().filter(|ike| ike.state == IkeState::Connecting).collect();
                for ike in &half_open {
                    self.strongswan.drop_ike(ike.unique_id, life).await?;
                }
                if !half_open.is_empty() {
                    self.reconciler.enqueue(id, now + AGAIN);
                }
                Ok(!half_open.is_empty())
            }
            Presence::Here => Ok(false),
        }
    }
}
