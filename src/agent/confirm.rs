//! A change on trial: the new connection is up in time, or the old one is put back.
//!
//! The old record lies beside the new one as long as the trial lasts. If the agent dies meanwhile,
//! its next start puts the old connection back: nobody has confirmed the new one.

use super::{Agent, Host, How, View};
use crate::{
    error::{Error, Result},
    ipsec::{ChildState, ConnectionId, Status, status},
    store::Record,
};
use jiff::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio::{
    task::block_in_place,
    time::{Instant, timeout},
};

/// How long the old connection may take to be up again, before we answer without having seen it.
const BACK: Duration = Duration::from_secs(30);
/// How often the tunnel is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What was seen while waiting for a tunnel.
struct Seen {
    view: View,
    /// How long some wanted network pair was carried by no SA at all, old or new.
    out: Duration,
}

impl Agent {
    pub(super) async fn on_trial(
        self: Arc<Self>,
        id: ConnectionId,
        how: How,
        within: Duration,
        edit: impl FnOnce(Option<&Record>) -> Result<Record>,
    ) -> Result<View> {
        let old = self.store.get(id);
        block_in_place(|| self.store.begin_trial(id, old.as_deref()))?;
        let changed = match self.put(id, how.immediate, edit).await {
            Ok(changed) => changed,
            Err(error) => {
                block_in_place(|| self.store.end_trial(id))?;
                return Err(error);
            }
        };
        let seen = self.watched(changed, within).await;
        // What is not to be up, such as a disabled connection, needs no proof.
        if seen.view.status() == Some(Status::Ready) || !seen.view.record.is_loaded() {
            block_in_place(|| self.store.end_trial(id))?;
            return Ok(seen.view);
        }
        let what = describe(&seen.view);
        let elaboration = self.reason(&seen.view, &Host::look()).map(|reason| reason.to_string());
        let back = self.back_to(id, old.as_deref(), seen.view.record).await;
        block_in_place(|| self.store.end_trial(id))?;
        let became = sum_up(back?, seen.out);
        let text =
            format!("IPsec connection[{id}] status down: not up within {} s ({what}); {became}", within.as_secs());
        Err(Error::NotConfirmed { text, elaboration })
    }

    /// Puts the connection back as it was before the trial, and waits for it to be up.
    async fn back_to(
        self: &Arc<Self>,
        id: ConnectionId,
        old: Option<&Record>,
        on_trial: Arc<Record>,
    ) -> Result<Option<Seen>> {
        let Some(old) = old else { return self.remove(id, true).await.map(|()| None) };
        let (wish, state) = (old.wish.clone(), old.state);
        let edit = move |current: Option<&Record>| {
            let current = current.ok_or_else(|| Error::not_confirmed("the connection was deleted during its trial"))?;
            if !current.says_the_same(&on_trial) {
                let why = "another call changed the connection during its trial; it is as that call left it";
                return Err(Error::not_confirmed(why));
            }
            let back = current.changed(wish, Timestamp::now());
            let back = back.map_err(|e| Error::Part { part: e.part.name(), why: e.why.0 })?;
            Ok(Record { state, ..back })
        };
        let record = self.put(id, false, edit).await?;
        Ok(Some(self.watched(record, BACK).await))
    }

    /// Watches the connection until it is up or the time is over.
    async fn watched(&self, record: Arc<Record>, within: Duration) -> Seen {
        let entry = self.entry(record.id);
        let (end, mut last) = (Instant::now() + within, Instant::now());
        let mut out = Duration::ZERO;
        loop {
            let happened = entry.happened.notified();
            let view = self.look(Arc::clone(&record)).await;
            let now = Instant::now();
            if !is_carried(&view) {
                out += now - last;
            }
            last = now;
            if !record.is_loaded() || view.status() == Some(Status::Ready) || now >= end {
                return Seen { view, out };
            }
            // Woken by an event or not: the next round looks.
            let _ = timeout(LOOK.min(end - now), happened).await;
        }
    }
}

/// The end of the message: what became of the connection, and how long the tunnel was out.
fn sum_up(back: Option<Seen>, out: Duration) -> String {
    let Some(seen) = back else { return "it was removed again".into() };
    let out = (out + seen.out).as_secs_f64();
    let state = if seen.view.status() == Some(Status::Ready) { "is up" } else { "is not up either" };
    format!("the old connection was put back and {state}; the tunnel was out for {out:.1} s")
}

/// Whether each wanted child is carried by some SA, of whatever configuration.
fn is_carried(view: &View) -> bool {
    let installed = |name: &str| {
        let children = view.running.iter().flatten().flat_map(|ike| &ike.children);
        children.into_iter().any(|sa| sa.name == name && sa.state == ChildState::Installed)
    };
    view.record.connection.children.iter().all(|child| installed(&child.name))
}

/// What is not up, in a few words.
fn describe(view: &View) -> String {
    let Some(running) = &view.running else { return "charon does not answer".into() };
    if running.is_empty() {
        return "there is no IKE SA: the peer does not answer, or refuses".into();
    }
    let connection = &view.record.connection;
    let missing: Vec<_> = connection
        .children
        .iter()
        .filter(|child| !status::carries(connection, child, running))
        .map(|child| {
            let list = |nets: &[crate::ipsec::TrafficSelector]| {
                nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            };
            format!("{} to {}", list(&child.local), list(&child.remote))
        })
        .collect();
    format!("not carried as wanted: {}", missing.join("; "))
}
