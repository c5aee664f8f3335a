//! The conditions of a connection's children, from its SAs and the history of their counters; and what they have carried
//! in all.

use crate::{
    agent::{
        Agent, View,
        observe::totals::{Count, Saved},
        reconcile::heal::Hearing,
    },
    error::Result,
    ipsec::{
        Child, Condition, ConnectionId, Flows, IkeSa, InOut, Status, Use, condition, condition::carriers,
        totals::Amount,
    },
    store,
};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::{
    task::block_in_place,
    time::{Instant, timeout},
};

/// How long the end of the agent may wait for the last counters.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// The condition of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The name of the condition.
    pub condition: Condition,
    /// Since when; only for conditions of traffic.
    pub since: Option<Timestamp>,
}

impl Agent {
    /// The conditions of the children in `view`, in their order.
    #[must_use]
    pub fn conditions(&self, view: &View) -> Vec<Seen> {
        let counting = view.record.counting();
        let (wanted, running) = (&*counting, view.running.as_deref());
        let now = self.observer.seconds();
        if let Some(running) = running {
            self.record_counters(&view.record, running, now);
        }
        let entry = self.entry(view.record.id);
        let seen = |child: &Child| {
            let flow = |flows: &mut Flows| flows.get(&child.name).map(|flow| flow.now(now, self.observer.limits()));
            let (traffic, since) = entry.with_flows(wanted, flow).unwrap_or((Use::Idle, None));
            let condition = match condition(wanted, child, running, traffic) {
                Condition::Unknown => Condition::Unknown,
                _ if view.is_standby() => Condition::Standby,
                runs if runs.is_as_wanted() && view.record.is_behind(child, running.unwrap_or_default()) => {
                    Condition::OtherAlgorithms
                }
                runs if runs.is_as_wanted() && self.is_shadowed(&view.record.connection, child) => Condition::Shadowed,
                other => other,
            };
            let tells_since = matches!(condition, Condition::UpIdle | Condition::NoInbound | Condition::NoOutbound);
            Seen { condition, since: since.filter(|_| tells_since).and_then(|since| ago(now - since)) }
        };
        wanted.children.iter().map(seen).collect()
    }

    /// Since when the connection is up as wanted: since it was reported, or, if it was up before this start of the agent,
    /// since its youngest child has an SA.
    #[must_use]
    pub fn up_since(&self, view: &View) -> Option<Timestamp> {
        if view.status() != Some(Status::Ready) {
            return None;
        }
        let running = view.running.as_deref()?.iter().flat_map(|ike| &ike.children);
        let age = |child: &Child| running.clone().filter(|sa| sa.name == child.name).map(|sa| sa.age).max();
        let youngest = view.record.connection.children.iter().filter_map(age).min();
        let since = youngest.and_then(|age| i64::try_from(age).ok()).and_then(ago);
        self.entry(view.record.id).history().up_since.into_iter().chain(since).min()
    }

    /// Samples the counters of all SAs.
    pub(in crate::agent) async fn sample(&self) -> Result<()> {
        let all = self.strongswan.all().await?;
        let now = self.observer.seconds();
        for record in self.store.all() {
            let running = all.get(&record.id).map_or(&[][..], |running| running.as_slice());
            self.record_counters(&record, running, now);
            self.record_rates(record.id, now);
            if self.hearing(&record) == Hearing::Silent {
                self.reconciler.enqueue(record.id, Instant::now());
            }
        }
        if self.observer.counts().are_due() {
            self.save_totals(false);
        }
        Ok(())
    }

    fn record_counters(&self, record: &store::Record, running: &[IkeSa], now: i64) {
        self.record_installed(record, running);
        self.record_totals(record.id, running);
        self.entry(record.id).with_flows(&record.connection, |flows| {
            for child in &record.connection.children {
                let own: Vec<_> =
                    running.iter().flat_map(|ike| &ike.children).filter(|sa| sa.name == child.name).collect();
                // What the peer called for, in the other version of IKE, carries it under another name.
                let sas = if own.is_empty() { carriers(&record.connection, child, running) } else { own };
                flows.look(&child.name, sas, now);
            }
        });
    }
}

impl Agent {
    /// What each child of the connection has carried, also those that it has no longer.
    #[must_use]
    pub fn totals(&self, id: ConnectionId) -> Vec<(String, InOut<Amount>)> {
        self.entry(id).count().of_children()
    }

    /// Bytes per second of the last ten minutes, in steps of [`crate::ipsec::rates::STEP`], the oldest first; none if
    /// nothing was carried.
    #[must_use]
    pub fn rates(&self, id: ConnectionId) -> Vec<InOut<u32>> {
        self.entry(id).rates().steps().iter().copied().collect()
    }

    fn record_rates(&self, id: ConnectionId, now: i64) {
        let entry = self.entry(id);
        // One lock at a time.
        let bytes = entry.count().bytes();
        entry.rates().record(now, bytes);
    }

    /// Goes on with the totals that an earlier start has saved.
    pub(in crate::agent) fn load_totals(&self) {
        let saved = match block_in_place(|| self.observer.counts().load()) {
            Ok(Some(saved)) => saved,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the counters of traffic begin at 0: {error}");
                return;
            }
        };
        for (id, totals) in saved.connections {
            if let Some(id) = id.parse().ok().filter(|id| self.store.get(*id).is_some()) {
                *self.entry(id).count() = Count::resumed(totals, saved.complete);
            }
        }
        // A crash from here on must not find a complete file.
        self.save_totals(false);
    }

    /// Takes in the SAs of a connection.
    pub(in crate::agent) fn record_totals(&self, id: ConnectionId, running: &[IkeSa]) {
        if self.entry(id).count().record_all(running) {
            self.observer.counts().hurry();
        }
    }

    /// Counts what has been carried up to now, and saves it. For the end of the agent.
    pub async fn finish_totals(&self) {
        // Without a list, those of a moment ago count.
        let _ = timeout(LAST_LOOK, self.sample()).await;
        self.save_totals(true);
    }

    fn save_totals(&self, complete: bool) {
        let totals = |id: ConnectionId| Some((id.to_string(), self.entry(id).count().saved()?));
        let connections = self.store.all().iter().filter_map(|record| totals(record.id)).collect();
        if let Err(error) = block_in_place(|| self.observer.counts().save(&Saved { complete, connections })) {
            tracing::warn!(%error, "the counters of traffic cannot be saved, and begin at 0 after a crash: {error}");
        }
    }
}

/// The time so many seconds ago; charon's clock counts seconds.
fn ago(seconds: i64) -> Option<Timestamp> {
    let now = Timestamp::from_second(Timestamp::now().as_second()).ok()?;
    now.checked_sub(SignedDuration::from_secs(seconds)).ok()
}
