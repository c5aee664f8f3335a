//! A connection in transition: it accepts earlier proposals until the tunnel has moved to the wanted ones, or the time is
//! over. The tunnel that runs goes on. Who has been changed last begins, and a peer that never begins is asked now and then:
//! what is wanted is offered alone, which a peer that has not been changed refuses without touching what runs.

use crate::{
    agent::{
        Agent, Entry,
        change::transition::accepted,
        observe::events::EventKind,
        reconcile::sa_planner::{SaPlanner, Step},
    },
    error::Result,
    ipsec::{Carried, Code, IkeSa, Reason, carried, list, native::StartMode},
    store::{Record, Transition},
    strongswan::{
        Asker, Charon,
        words::{self, shorten},
    },
};
use jiff::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio::{task::block_in_place, time::Instant};

impl Agent {
    /// Ends the transition of `record` if `running` has moved or the time is over; returns what is in force then.
    ///
    /// # Errors
    /// When that cannot be stored, or charon does not answer.
    pub(in crate::agent) async fn follow_transition(
        &self,
        record: Arc<Record>,
        entry: &Entry,
        planner: &mut SaPlanner,
        charon: &Charon,
        running: &[IkeSa],
    ) -> Result<Arc<Record>> {
        if record.transition.is_none() {
            return Ok(record);
        }
        let mut running = running.to_vec();
        planner.stale.mark(&mut running);
        let has_moved = record.has_moved(&running);
        if !has_moved && !record.is_overdue(Timestamp::now()) {
            self.look_at_end(&record);
            return Ok(record);
        }
        let what =
            if has_moved { EventKind::TransitionMoved } else { EventKind::TransitionOver(over(&record, &running)) };
        let ended = self.end_transition(&record, has_moved)?;
        self.configured(record.id, entry, planner, charon).await?;
        self.publish(record.id, what);
        Ok(ended)
    }

    /// The same of one that is not loaded: nothing of it runs.
    pub(in crate::agent) fn follow_idle_transition(&self, record: &Record) -> Result<()> {
        if !record.is_overdue(Timestamp::now()) {
            self.look_at_end(record);
            return Ok(());
        }
        self.end_transition(record, false)?;
        self.publish(record.id, EventKind::TransitionOver(over(record, &[])));
        Ok(())
    }

    fn look_at_end(&self, record: &Record) {
        if let Some(transition) = record.open_transition() {
            let left = Duration::try_from(transition.until.duration_since(Timestamp::now())).unwrap_or_default();
            self.reconciler.enqueue(record.id, Instant::now() + left);
        }
    }

    /// Stores that nothing else is accepted any more. That a tunnel never moved is kept until it does.
    fn end_transition(&self, record: &Record, has_moved: bool) -> Result<Arc<Record>> {
        let over = |transition: &Transition| Box::new(Transition { over: true, ..transition.clone() });
        let transition = record.transition.as_deref().filter(|_| !has_moved).map(over);
        let ended = Record { transition, ..record.clone() };
        block_in_place(|| self.store.commit(self.store.stage(ended)?))
    }

    /// Whether what is wanted may be offered alone now; if not yet, it is looked at again.
    pub(in crate::agent) fn offer_is_due(&self, record: &Record, planner: &SaPlanner, running: &[IkeSa]) -> bool {
        let begins = record.connection.start_mode() != StartMode::Respond;
        // swanctl loads what is in the files, and nothing for a moment.
        if !begins || record.open_transition().is_none() || !planner.is_complete() || !self.strongswan.has_events() {
            return false;
        }
        let now = Instant::now();
        let due = planner.offer_due(record.children_behind(running).len(), now);
        if due > now {
            self.reconciler.enqueue(record.id, due);
        }
        due <= now
    }

    /// Offers what is wanted alone.
    ///
    /// # Errors
    /// When charon does not answer.
    pub(in crate::agent) async fn offer_wanted(
        &self,
        record: &Record,
        entry: &Entry,
        planner: &mut SaPlanner,
        charon: &Charon,
        (running, life): (&[IkeSa], u64),
    ) -> Result<()> {
        let mut behind = record.children_behind(running);
        self.reconciler.enqueue(record.id, planner.record_offer(behind.len(), Instant::now()));
        if behind.len() == record.connection.children.len() {
            // What the peer says to one, it says to all.
            behind.truncate(1);
        }
        let steps = behind.into_iter().map(|child| Step::Initiate(child.name.clone())).collect();
        let outcome = self.offered(record, entry, charon, steps, life).await;
        if outcome.is_err() {
            planner.invalidate_loaded();
        }
        outcome
    }

    /// An SA keeps the configuration that it was begun with, so charon has the other one again at once.
    async fn offered(
        &self,
        record: &Record,
        entry: &Entry,
        charon: &Charon,
        steps: Vec<Step>,
        life: u64,
    ) -> Result<()> {
        let alone = Record { transition: None, ..record.clone() };
        let loadables = (self.loadable(&alone, charon)?, self.loadable(record, charon)?);
        let (Some(alone), Some(both)) = loadables else { return Ok(()) };
        self.strongswan.load(&alone, Some(&both), Asker::Reconciler).await?;
        let walked = self.walk(record, entry, steps, life).await;
        self.strongswan.load(&both, Some(&alone), Asker::Reconciler).await?;
        walked
    }
}

/// That the tunnel of `record` carries by proposals of before a change.
pub(in crate::agent) fn behind(record: &Record) -> Reason {
    let transition = record.transition.as_ref();
    let until = transition.map(|transition| transition.until.to_string()).unwrap_or_default();
    let details = format!("other_algorithms, in transition until {until}: accepted are {}", accepted(record));
    let since = transition.map_or(record.changed, |transition| transition.began);
    Reason { code: Code::InTransition, since, details: shorten(&details, words::SENTENCE), trigger: None }
}

/// That the time is over, and what runs.
fn over(record: &Record, running: &[IkeSa]) -> Reason {
    let wanted = &record.connection;
    let what = match carried(&record.accepting(), running) {
        Carried::Nothing => "no tunnel was up",
        _ => "the tunnel that runs by the earlier proposals goes on until the peer has the new ones",
    };
    let details = format!(
        "the peer {} never moved to IKE {} and CHILD_SAs {} within the time of the transition; {what}",
        record.spec.peer,
        list(&wanted.ike_proposals()),
        list(&wanted.child_proposals())
    );
    let details = shorten(&details, words::SENTENCE);
    Reason { code: Code::TransitionOver, since: Timestamp::now(), details, trigger: None }
}
