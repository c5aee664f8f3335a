//! The rekey test: each new CHILD_SA is rekeyed once right after a change. An IKEv2 peer with another PFS accepts the
//! first CHILD_SA, whose keys come from the IKE_SA, and refuses every rekey; the tunnel then ends with the SA's lifetime,
//! perhaps at night. The test shows it in the first minute.
//!
//! A refused rekey does no harm: the SA stays installed, and charon retries every 5 to 15 s (measured with 5.9.8; its
//! `child_rekey.c` schedules that) until the end of the SA's lifetime.

use crate::{
    agent::{Agent, Outcome, RekeyTest, View},
    ipsec::{
        Child, IkeSa, IkeState, Status,
        condition::{carriers, current},
    },
    store::Record,
};
use jiff::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How long the tunnel may take to be up.
const UP: Duration = Duration::from_mins(1);
/// How long one rekey may take.
const REKEY: Duration = Duration::from_secs(20);
/// A rekey without a new SA after this time was refused, unless charon is still working on it.
const REFUSED: Duration = Duration::from_secs(1);
/// How often the SAs are observed.
const LOOK: Duration = Duration::from_millis(100);

/// The failure of one child's rekey, if it failed.
type Ended = Option<(Outcome, String)>;

impl Agent {
    /// The last rekey test of exactly the configuration in `view`.
    #[must_use]
    pub fn rehearsal(&self, view: &View) -> Option<RekeyTest> {
        self.entry(view.record.id).rekey_test(&view.record.connection)
    }

    /// Runs the rekey test, if the write asks for it, and waits for the result as long as a write may wait. The test
    /// continues after that. Returns the state of the connection at that time.
    pub(in crate::agent) async fn with_rekey_test(self: &Arc<Self>, view: View, wanted: bool) -> View {
        // What runs in a transition says nothing of the new proposals.
        let wanted = wanted && view.record.transition.is_none();
        if !wanted || !view.record.is_loaded() || view.is_standby() || view.record.connection.children.is_empty() {
            return view;
        }
        let (agent, record) = (Arc::clone(self), Arc::clone(&view.record));
        self.entry(record.id).forget_rekey_test();
        let test = tokio::spawn(async move { agent.run_rekey_test(&record).await });
        // The result is recorded, or the test still runs.
        if let Ok(Err(error)) = timeout(self.changes.wait(), test).await {
            tracing::error!(uuid = %view.record.id, %error, "{}: the rekey test ended early: {error}", view.record.label());
        }
        self.view_of(view.record).await
    }

    async fn run_rekey_test(&self, record: &Arc<Record>) {
        let Some(ended) = self.all_rekeyed(record).await else { return };
        let (outcome, details) =
            ended.unwrap_or((Outcome::Passed, "every CHILD_SA was rekeyed: the peer has the same PFS".into()));
        let (id, label) = (record.id, record.label());
        match outcome {
            Outcome::Passed => tracing::info!(uuid = %id, "{label}: the rekey test passed"),
            Outcome::Failed => tracing::warn!(uuid = %id, %details, "{label}: the rekey test failed: {details}"),
            Outcome::Unknown => {
                tracing::warn!(uuid = %id, %details, "{label}: the rekey test did not complete: {details}");
            }
        }
        let test = RekeyTest { outcome, at: Timestamp::now(), details };
        let entry = self.entry(id);
        entry.record_rekey_test(&record.connection, test);
        if self.store.get(id).is_none_or(|now| now.connection != record.connection) {
            // Changed or deleted meanwhile: the result and the key in it must not stay.
            entry.forget_rekey_test();
        }
        entry.happened.notify_waiters();
    }

    /// Rekeys the children one after the other until one fails; `None` if another change came between.
    async fn all_rekeyed(&self, record: &Arc<Record>) -> Option<Ended> {
        let end = Instant::now() + UP;
        while self.view_of(Arc::clone(record)).await.status() != Some(Status::Ready) {
            if !self.is_current(record) {
                return None;
            }
            if Instant::now() > end {
                let why = format!("the tunnel was not up within {} s, so no CHILD_SA was rekeyed", UP.as_secs());
                return Some(Some((Outcome::Unknown, why)));
            }
            sleep(LOOK).await;
        }
        for child in &record.connection.children {
            let ended = self.rekeyed(record, child).await;
            if !self.is_current(record) {
                return None;
            }
            if ended.is_some() {
                return Some(ended);
            }
        }
        Some(None)
    }

    fn is_current(&self, record: &Record) -> bool {
        let stored = self.store.get(record.id);
        stored.is_some_and(|stored| stored.connection == record.connection && stored.state == record.state)
    }

    /// Rekeys `child` once and observes the result.
    async fn rekeyed(&self, record: &Arc<Record>, child: &Child) -> Ended {
        let life = self.strongswan.charon_epoch().await;
        let name = &child.name;
        let unknown = |why: String| Some((Outcome::Unknown, why));
        let Some(running) = self.view_of(Arc::clone(record)).await.running else {
            return unknown(format!("charon does not answer: {name} was not rekeyed"));
        };
        let Some(old) = carriers(&record.connection, child, &running).iter().map(|sa| sa.unique_id).max() else {
            return unknown(format!("{name} went down before it was rekeyed"));
        };
        if is_ikev1(&running, old) {
            // Its first quick mode already had the key exchange.
            return None;
        }
        match self.strongswan.rekey_child(old, life).await {
            Ok(()) => {}
            // charon or the peer has rekeyed it meanwhile.
            Err(error) if error.is_absent() => {}
            Err(error) => return unknown(format!("{name} was not rekeyed: {error}")),
        }
        let begun = Instant::now();
        while begun.elapsed() < REKEY {
            sleep(LOOK).await;
            let Some(running) = self.view_of(Arc::clone(record)).await.running else { continue };
            if current(&record.connection, &running).any(|sa| sa.name == *name && sa.unique_id > old) {
                return None;
            }
            let is_at_work = running.iter().any(|ike| ike.state == IkeState::Connecting || ike.busy);
            if begun.elapsed() > REFUSED && !is_at_work {
                return Some((Outcome::Failed, refused(record, name, old, &running)));
            }
        }
        unknown(format!("the rekey of {name} did not end within {} s", REKEY.as_secs()))
    }
}

fn is_ikev1(running: &[IkeSa], child: u64) -> bool {
    running.iter().any(|ike| ike.version == 1 && ike.children.iter().any(|sa| sa.unique_id == child))
}

/// The text about a refused rekey.
fn refused(record: &Record, name: &str, old: u64, running: &[IkeSa]) -> String {
    let pfs = record.spec.options.pfs;
    let ours = pfs.map_or("ours is none".into(), |group| format!("ours is group {}", group.row().number));
    let left = running.iter().flat_map(|ike| &ike.children).find(|sa| sa.unique_id == old);
    let until = match left.map(|sa| sa.ends_in) {
        Some(Some(seconds)) => {
            format!("the SA carries traffic for another {seconds} s; then traffic stops until a new one is negotiated")
        }
        Some(None) => "the SA still carries traffic".into(),
        None => "the SA is gone".into(),
    };
    format!("the peer refuses to rekey {name}: its PFS probably differs ({ours}); {until}; set the same on both ends")
}
