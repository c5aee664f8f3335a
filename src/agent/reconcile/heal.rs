//! Repairs a tunnel that sends and receives nothing: the peer may have lost its SAs, and would drop all packets until the
//! next rekey. The agent negotiates a new IKE_SA beside the old one, and closes the old one when the new one carries
//! traffic. This does no harm where the application sends one way only, and it is not repeated for a while.

use crate::{
    agent::{Agent, Entry, reconcile::sa_planner::SaPlanner},
    error::Result,
    ipsec::{Child, Flows, IkeSa, Limits, Use, native::StartMode},
    store::Record,
    strongswan::Charon,
};
use std::sync::Arc;
use tokio::{task::block_in_place, time::Instant};

/// The least seconds for which a tunnel must have sent without receiving; the settings may ask for more.
const SILENCE: i64 = 10;

/// What the counters show about the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::agent) enum Hearing {
    /// A child sends and receives nothing.
    Silent,
    /// Every child that sends also receives.
    Heard,
    /// No child sends.
    Idle,
}

impl Agent {
    /// What the counters show about the connection's peer.
    pub(in crate::agent) fn hearing(&self, record: &Record) -> Hearing {
        let now = self.observer.seconds();
        let limits = Limits { one_way: self.observer.limits().one_way.max(SILENCE), ..self.observer.limits() };
        let use_of = |flows: &Flows, child: &Child| flows.get(&child.name).map(|flow| flow.now(now, limits).0);
        let children = &record.connection.children;
        let entry = self.entry(record.id);
        let uses: Vec<_> = entry
            .with_flows(&record.connection, |flows| children.iter().filter_map(|child| use_of(flows, child)).collect());
        if uses.contains(&Use::NoInbound) {
            Hearing::Silent
        } else if uses.iter().any(|u| matches!(u, Use::Both | Use::NoOutbound)) {
            Hearing::Heard
        } else {
            Hearing::Idle
        }
    }

    /// Starts the repair of the connection if it is due; returns the resulting record.
    pub(in crate::agent) async fn heal(
        &self,
        record: Arc<Record>,
        entry: &Entry,
        planner: &mut SaPlanner,
        charon: &Charon,
        running: &[IkeSa],
    ) -> Result<Arc<Record>> {
        let (id, now) = (record.id, Instant::now());
        match self.hearing(&record) {
            Hearing::Heard => planner.record_heard(),
            // The trial decides whether a change on trial carries traffic.
            // Where only the peer begins, dead peer detection has the last word.
            Hearing::Silent if record.connection.start_mode() == StartMode::Respond => {}
            Hearing::Silent if planner.may_heal(now) && record.trial.is_none() => {
                tracing::warn!(uuid = %id, "{}: nothing arrives from the peer; negotiating a new IKE_SA beside the old one", record.label());
                block_in_place(|| self.store.commit(self.store.stage(record.renewed(record.changed))?))?;
                planner.begin_healing(running, now);
                self.configured(id, entry, planner, charon).await?;
            }
            Hearing::Silent | Hearing::Idle => {}
        }
        Ok(self.store.get(id).unwrap_or(record))
    }
}
