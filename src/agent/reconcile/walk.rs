//! Takes the steps on SAs that the planner chose, and tells the limiter of negotiations what is over.

use crate::{
    agent::{
        Agent, Entry, Speaker,
        reconcile::{
            sa_planner::{SaPlanner, Step},
            versions::initiator,
        },
    },
    error::{Error, Result},
    ipsec::{ConnectionId, IkeSa, IkeState},
    store::Record,
    strongswan::{
        log_parser::FailureCause,
        words::{self, shorten},
    },
};
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// When to look again after closing what is half open.
const AGAIN: Duration = Duration::from_millis(50);

impl Agent {
    /// Takes the steps, in order; `life` is the start of charon in which the SAs were listed.
    ///
    /// # Errors
    /// When charon does not answer. What it refuses is logged, and a refused attempt is a failure of the connection.
    pub(in crate::agent) async fn walk(
        &self,
        record: &Record,
        entry: &Entry,
        steps: Vec<Step>,
        life: u64,
    ) -> Result<()> {
        let id = record.id;
        // What was seen before is over, also if a step fails.
        entry.tell();
        for step in steps {
            tracing::debug!(uuid = %id, %step, "{}: next step: {step}", record.label());
            self.record_line(id, Speaker::Agent, &format!("next step: {step}"));
            let done = match &step {
                Step::Initiate(child) => {
                    record.spec.peer.name().iter().for_each(|name| self.observer.names().hasten(name));
                    entry.tally().attempts += 1;
                    entry.history().attempt(record.connection.initiates());
                    let done = self.strongswan.initiate(&initiator(record), child).await;
                    done.map(|took| self.reconciler.queue().answered(took))
                }
                Step::CloseIke(number) => self.strongswan.close_ike(*number, life).await,
                Step::CloseChild(number) => self.strongswan.close_child(*number, life).await,
                Step::Load | Step::Unload | Step::Write | Step::Erase => Ok(()),
            };
            match done {
                Err(error @ Error::Unreachable { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(uuid = %id, %step, %error, "{}: this failed: {step}: {error}", record.label());
                    if let Step::Initiate(child) = &step {
                        let cause = FailureCause::refused(child, shorten(&error.to_string(), words::SENTENCE));
                        let now = Instant::now();
                        entry.tally().record_failure(cause.code, now);
                        entry.history().suspect(cause, Timestamp::now(), now);
                    }
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Closes half-open SAs whose peer is silent, if others wait for their places; returns whether it did. charon would
    /// send its first packet again ever more rarely; the back-off says when it is tried again.
    pub(super) async fn make_room(
        &self,
        record: &Record,
        entry: &Entry,
        planner: &SaPlanner,
        (running, life): (&[IkeSa], u64),
    ) -> Result<bool> {
        let is_spoken = || entry.history().speaks(record.connection.initiates(), planner.attempted()).is_some();
        if !self.reconciler.queue().take_vain(record.id) || is_spoken() {
            return Ok(false);
        }
        let vain = running.iter().filter(|ike| ike.state == IkeState::Connecting && ike.is_initiator);
        let closings: Vec<_> = vain.map(|ike| Step::CloseIke(ike.unique_id)).collect();
        self.walk(record, entry, closings.clone(), life).await?;
        self.reconciler.enqueue(record.id, Instant::now() + AGAIN);
        Ok(!closings.is_empty())
    }

    /// Tells the limiter if nothing of the connection is half open.
    pub(super) fn note_half_open(&self, id: ConnectionId, running: &[IkeSa]) {
        if running.iter().all(|ike| ike.state != IkeState::Connecting) {
            self.reconciler.queue().ended(id);
        }
    }
}
