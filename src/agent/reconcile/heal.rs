//! A tunnel that sends and hears nothing: the peer may have forgotten it, and would be a black hole until it is rekeyed. So
//! a new IKE SA is negotiated beside the old one, which is closed when the new one carries. Where the application really
//! sends one way only, nothing is lost by that, and it is not done again for a while.

use crate::{
    agent::{Agent, Entry, reconcile::sa_planner::SaPlanner},
    error::Result,
    ipsec::{Child, Flows, IkeSa, Limits, Use},
    store::Record,
    strongswan::Charon,
};
use std::sync::Arc;
use tokio::{task::block_in_place, time::Instant};

/// For how many seconds a tunnel must have sent without hearing anything, if the settings do not say more.
const SILENCE: i64 = 10;

/// What the counters say of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::agent) enum Hearing {
    /// Some child sends, and nothing comes.
    Silent,
    /// Something comes for every child that sends.
    Heard,
    /// There is nothing to hear.
    Idle,
}

impl Agent {
    /// What the counters say of the connection's peer.
    pub(in crate::agent) fn hearing(&self, record: &Record) -> Hearing {
        let now = self.seconds();
        let limits = Limits { one_way: self.limits.one_way.max(SILENCE), ..self.limits };
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

    /// Begins to heal the connection if that is due; the record as it is then.
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
            // Whether a change on trial carries is for the trial to say.
            Hearing::Silent if planner.may_heal(now) && record.trial.is_none() => {
                tracing::warn!(uuid = %id, "nothing comes from the peer: a new IKE SA is negotiated beside the old one");
                block_in_place(|| self.store.commit(self.store.stage(record.renewed(record.changed))?))?;
                planner.begin_healing(running, now);
                self.configured(id, entry, planner, charon).await?;
            }
            Hearing::Silent | Hearing::Idle => {}
        }
        Ok(self.store.get(id).unwrap_or(record))
    }
}
