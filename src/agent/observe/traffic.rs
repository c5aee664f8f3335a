//! The conditions of a connection's children: its SAs at this moment, and what their counters did until now.

use crate::{
    agent::{Agent, View, reconcile::heal::Hearing},
    error::Result,
    ipsec::{Child, Condition, Flows, IkeSa, Limits, Use, condition},
    settings, store,
};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::time::Instant;

/// The condition of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The word.
    pub condition: Condition,
    /// Since when its traffic is what the word says; only for words about traffic.
    pub since: Option<Timestamp>,
}

/// The times of the settings in the model's seconds.
pub(in crate::agent) fn limits(settings: &settings::condition::Condition) -> Limits {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Limits { idle: seconds(settings.idle_after), one_way: seconds(settings.one_way_after) }
}

impl Agent {
    /// The conditions of the children that `view` wants, in their order.
    #[must_use]
    pub fn conditions(&self, view: &View) -> Vec<Seen> {
        let (wanted, running) = (&view.record.connection, view.running.as_deref());
        let now = self.seconds();
        if let Some(running) = running {
            self.record_counters(&view.record, running, now);
        }
        let entry = self.entry(view.record.id);
        let seen = |child: &Child| {
            let flow = |flows: &mut Flows| flows.get(&child.name).map(|flow| flow.now(now, self.limits));
            let (traffic, since) = entry.with_flows(wanted, flow).unwrap_or((Use::Idle, None));
            let condition = match condition(wanted, child, running, traffic) {
                runs if runs.is_as_wanted() && self.is_shadowed(view.record.id, child) => Condition::Shadowed,
                other => other,
            };
            let tells_since = matches!(condition, Condition::UpIdle | Condition::NoInbound | Condition::NoOutbound);
            Seen { condition, since: since.filter(|_| tells_since).and_then(|since| ago(now - since)) }
        };
        wanted.children.iter().map(seen).collect()
    }

    /// Takes in the counters of all SAs.
    pub(in crate::agent) async fn sample(&self) -> Result<()> {
        let all = self.strongswan.all().await?;
        let now = self.seconds();
        for record in self.store.all() {
            let running = all.get(&record.id).map_or(&[][..], |running| running.as_slice());
            self.record_counters(&record, running, now);
            if self.hearing(&record) == Hearing::Silent {
                self.queue.enqueue(record.id, Instant::now());
            }
        }
        Ok(())
    }

    fn record_counters(&self, record: &store::Record, running: &[IkeSa], now: i64) {
        self.record_installed(record, running);
        self.entry(record.id).with_flows(&record.connection, |flows| {
            for child in &record.connection.children {
                let sas = running.iter().flat_map(|ike| &ike.children).filter(|sa| sa.name == child.name);
                flows.look(&child.name, sas, now);
            }
        });
    }

    /// Seconds since the agent was made.
    pub(in crate::agent) fn seconds(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_secs()).unwrap_or(i64::MAX)
    }
}

/// The moment so many seconds ago, as exact as charon's clock: to the second.
fn ago(seconds: i64) -> Option<Timestamp> {
    let now = Timestamp::from_second(Timestamp::now().as_second()).ok()?;
    now.checked_sub(SignedDuration::from_secs(seconds)).ok()
}
