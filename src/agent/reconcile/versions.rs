//! A connection with `ike` has both versions of IKE: charon answers both, and initiates with IKEv2. For a peer with IKEv1
//! alone, charon gets a second connection that initiates with IKEv1; see [`Turn`].

use crate::{
    agent::{
        Agent, CharonLink, Entry, Speaker,
        observe::failure_history::FailureHistory,
        reconcile::sa_planner::{Answer, Known, SaPlanner, Step, Turn},
    },
    error::Result,
    ipsec::{IkeSa, IkeVersion},
    store::Record,
    strongswan::{Charon, names},
};
use std::{borrow::Cow, sync::Arc};
use tokio::{task::block_in_place, time::Instant};

/// The name of the connection in charon that initiates for `record`.
pub(in crate::agent) fn initiator(record: &Record) -> String {
    if record.connection.falls_back() { names::fallback(record.id) } else { names::connection(record.id) }
}

impl Agent {
    /// Changes to the other version of IKE if it is its turn; returns whether it did. Running SAs stay and are not stale.
    pub(in crate::agent) async fn follow_version(
        &self,
        record: &Arc<Record>,
        entry: &Entry,
        planner: &mut SaPlanner,
        charon: &Charon,
        (running, life): (&[IkeSa], u64),
    ) -> Result<bool> {
        let (id, now) = (record.id, Instant::now());
        let tried = record.connection.initiates();
        let answer = match entry.history().speaks(tried, planner.attempted()) {
            Some(true) => Answer::Spoken,
            Some(false) => Answer::Refused,
            None => Answer::Nothing,
        };
        let known = Known { worked: record.worked(), is_proven: !record.unproven, answer };
        let (version, closings) = match planner.turn(&record.accepting(), running, known, now) {
            Turn::Stays => return Ok(false),
            Turn::LookAt(when) => {
                self.reconciler.enqueue(id, when);
                return Ok(false);
            }
            Turn::To(version, closings) => (version, closings),
        };
        if version == IkeVersion::V1 && !charon.ikev1 {
            return Ok(false);
        }
        // The reason of the connection says why it cannot.
        let Ok(new) = record.speaking(version) else { return Ok(false) };
        self.record_line(id, Speaker::Agent, &format!("trying {} next", version.name()));
        self.walk(record, entry, closings.into_iter().map(Step::CloseIke).collect(), life).await?;
        block_in_place(|| self.store.commit(self.store.stage(new)?))?;
        planner.begin_turn(now);
        self.configured(id, entry, planner, charon).await?;
        self.reconciler.enqueue(id, now);
        Ok(true)
    }

    /// The text about versions that were tried without success.
    pub(in crate::agent) fn tried(&self, record: &Record, history: &FailureHistory) -> Option<Cow<'static, str>> {
        if record.connection.version != IkeVersion::Any {
            return None;
        }
        if history.has_tried_both() {
            return Some("IKEv2 and IKEv1 were both tried without success".into());
        }
        if matches!(self.link(), CharonLink::Up(charon) if !charon.ikev1) {
            return Some("IKEv1 is not tried: this gateway's strongSwan does not have it".into());
        }
        record.why_not_ikev1().map(|conflict| format!("IKEv1 is not tried: {conflict}").into())
    }
}
