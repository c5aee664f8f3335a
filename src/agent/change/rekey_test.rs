//! The rehearsal of a rekeying, right after a change: each new CHILD_SA is rekeyed once. An IKEv2 peer that has another
//! PFS agrees to the first CHILD_SA, whose keys come from the IKE SA, and refuses each rekeying; the tunnel then ends
//! with the SA's lifetime, at night. A rehearsal shows it in the first minute.
//!
//! A rekeying that is refused harms nothing: the SA stays installed and carries, and charon tries again each 5 to 15 s
//! (measured with 5.9.8; its `child_rekey.c` schedules that) until the end of the SA's lifetime.

use crate::{
    agent::{Agent, View},
    error::Error,
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
/// How long one rekeying may take.
const REKEY: Duration = Duration::from_secs(20);
/// A rekeying that left nothing behind after this time was refused, if charon is not at work on it.
const REFUSED: Duration = Duration::from_secs(1);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(100);

/// How a rehearsal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every child was rekeyed.
    Passed,
    /// The peer refused a rekeying.
    Failed,
    /// It did not come to an end.
    Unknown,
}

/// A rehearsal that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RekeyTest {
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
    /// What happened, and what to do.
    pub details: String,
}

/// The end of one child's rekeying: nothing if it went well.
type Ended = Option<(Outcome, String)>;

impl Agent {
    /// The last rehearsal of just what `view` wants.
    #[must_use]
    pub fn rehearsal(&self, view: &View) -> Option<RekeyTest> {
        self.entry(view.record.id).rehearsal(&view.record.connection)
    }

    /// Rehearses what was changed, if that is wanted, and waits for the outcome as long as a write waits; it goes on
    /// without us. The connection as it is then.
    pub(in crate::agent) async fn rehearsed(self: &Arc<Self>, view: View, wanted: bool) -> View {
        if !wanted || !view.record.is_loaded() || view.record.connection.children.is_empty() {
            return view;
        }
        let (agent, record) = (Arc::clone(self), Arc::clone(&view.record));
        self.entry(record.id).forget_rehearsal();
        let rehearsal = tokio::spawn(async move { agent.rehearse(&record).await });
        // What it found is kept; or it still goes on.
        if let Ok(Err(error)) = timeout(self.wait, rehearsal).await {
            tracing::error!(uuid = %view.record.id, %error, "the rehearsal ended early");
        }
        self.look(view.record).await
    }

    async fn rehearse(&self, record: &Arc<Record>) {
        let Some(ended) = self.all_rekeyed(record).await else { return };
        let (outcome, details) =
            ended.unwrap_or((Outcome::Passed, "every CHILD_SA was rekeyed: the peer has the same PFS".into()));
        let id = record.id;
        match outcome {
            Outcome::Passed => tracing::info!(uuid = %id, "the rekeying was rehearsed and works"),
            Outcome::Failed => tracing::warn!(uuid = %id, %details, "the rehearsed rekeying failed"),
            Outcome::Unknown => tracing::warn!(uuid = %id, %details, "the rekeying could not be rehearsed"),
        }
        let rehearsal = RekeyTest { outcome, at: Timestamp::now(), details };
        let entry = self.entry(id);
        entry.record_rehearsal(&record.connection, rehearsal);
        if self.store.get(id).is_none_or(|now| now.connection != record.connection) {
            // Changed or deleted meanwhile: nobody else would forget it, and the key in it.
            entry.forget_rehearsal();
        }
        entry.happened.notify_waiters();
    }

    /// Rekeys the children one after the other, up to the first that fails; `None` if another change came between.
    async fn all_rekeyed(&self, record: &Arc<Record>) -> Option<Ended> {
        let end = Instant::now() + UP;
        while self.look(Arc::clone(record)).await.status() != Some(Status::Ready) {
            if !self.is_current(record) {
                return None;
            }
            if Instant::now() > end {
                let why = format!("the tunnel was not up within {} s: no rekeying was rehearsed", UP.as_secs());
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

    /// Rekeys `child` once and watches what comes of it.
    async fn rekeyed(&self, record: &Arc<Record>, child: &Child) -> Ended {
        let life = self.strongswan.charon_epoch().await;
        let name = &child.name;
        let unknown = |why: String| Some((Outcome::Unknown, why));
        let Some(running) = self.look(Arc::clone(record)).await.running else {
            return unknown(format!("charon does not answer: {name} was not rekeyed"));
        };
        let Some(old) = carriers(&record.connection, child, &running).iter().map(|sa| sa.unique_id).max() else {
            return unknown(format!("{name} went down before it was rekeyed"));
        };
        if is_ikev1(&running, old) {
            // Its first quick mode had the key exchange already.
            return None;
        }
        match self.strongswan.rekey_child(old, life).await {
            Ok(()) => {}
            // Somebody else rekeys it, or did.
            Err(Error::Refused { words, .. }) if words.starts_with("no matching SAs") => {}
            Err(error) => return unknown(format!("{name} was not rekeyed: {error}")),
        }
        let begun = Instant::now();
        while begun.elapsed() < REKEY {
            sleep(LOOK).await;
            let Some(running) = self.look(Arc::clone(record)).await.running else { continue };
            if current(&record.connection, &running).any(|sa| sa.name == *name && sa.unique_id > old) {
                return None;
            }
            let is_at_work = running.iter().any(|ike| ike.state == IkeState::Connecting || ike.busy);
            if begun.elapsed() > REFUSED && !is_at_work {
                return Some((Outcome::Failed, refused(record, name, old, &running)));
            }
        }
        unknown(format!("the rekeying of {name} did not end within {} s", REKEY.as_secs()))
    }
}

fn is_ikev1(running: &[IkeSa], child: u64) -> bool {
    running.iter().any(|ike| ike.version == 1 && ike.children.iter().any(|sa| sa.unique_id == child))
}

/// What a refused rekeying means.
fn refused(record: &Record, name: &str, old: u64, running: &[IkeSa]) -> String {
    let pfs = record.spec.options.pfs;
    let ours = pfs.map_or("ours is none".into(), |group| format!("ours is group {}", group.row().number));
    let left = running.iter().flat_map(|ike| &ike.children).find(|sa| sa.unique_id == old);
    let until = match left.map(|sa| sa.ends_in) {
        Some(Some(seconds)) => {
            format!("the SA carries on for {seconds} s, and then traffic stops until another is negotiated")
        }
        Some(None) => "the SA carries on".into(),
        None => "the SA is gone".into(),
    };
    format!(
        "the peer refuses to rekey {name}: its PFS is probably another ({ours}); {until}; set the same on both ends"
    )
}
