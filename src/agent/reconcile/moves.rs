//! Follows peers that have names to their addresses. The tunnel to a new address is made beside the old one, as after a
//! change of the address by a caller. A name that cannot be resolved moves nothing: the last address stays in force.

use crate::{
    agent::{Agent, Entry, Speaker, observe::peer_names::AT_ONCE, reconcile::sa_planner::SaPlanner},
    error::Result,
    ipsec::{Conflict, HostName, State},
    store::Record,
};
use futures_util::StreamExt;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How often it is seen which names are due; that costs microseconds.
const LOOK: Duration = Duration::from_secs(1);
/// A tunnel moves at most this often: a name whose address alternates must not renegotiate without end.
const MOVES: Duration = Duration::from_mins(1);

impl Agent {
    /// Looks up the names of peers when they are due, and reconciles each connection whose peer has moved.
    pub(in crate::agent) async fn follow_names(&self) {
        loop {
            let all: BTreeSet<HostName> = self
                .store
                .named()
                .iter()
                .filter(|r| r.is_wanted())
                .filter_map(|r| r.spec.peer.name().cloned())
                .collect();
            let due = self.observer.names().due(&all);
            futures_util::stream::iter(due)
                .for_each_concurrent(AT_ONCE, |name| async move {
                    self.observer.names().look_up(&name).await;
                    self.enqueue_moved(&name);
                })
                .await;
            let _ = timeout(LOOK, self.observer.names().hastened()).await;
            // Hastened names do not make this loop turn faster than it can look.
            sleep(LOOK / 4).await;
        }
    }

    fn enqueue_moved(&self, name: &HostName) {
        let now = Instant::now();
        let has_moved =
            |record: &&Arc<Record>| record.spec.peer.name() == Some(name) && self.moved_to(record).is_some();
        self.store.named().iter().filter(has_moved).for_each(|record| self.reconciler.enqueue(record.id, now));
    }

    /// The address that the peer's name has instead of the one in force.
    fn moved_to(&self, record: &Record) -> Option<IpAddr> {
        let name = record.spec.peer.name().filter(|_| record.is_wanted())?;
        let found = self.observer.names().address(name, record.connection.local_addr, record.resolved).ok()?;
        Some(found).filter(|found| Some(*found) != record.resolved)
    }

    /// Moves the connection to its peer's new address, if it has one.
    ///
    /// # Errors
    /// When the connection with the new address cannot be loaded or stored: nothing has changed then.
    pub(in crate::agent) async fn follow_name(
        &self,
        record: &Arc<Record>,
        entry: &Entry,
        planner: &mut SaPlanner,
    ) -> Result<()> {
        let Some(to) = self.moved_to(record) else { return Ok(()) };
        let now = Instant::now();
        if let Some(later) = entry.moved().map(|at| at + MOVES).filter(|later| record.is_loaded() && *later > now) {
            self.reconciler.enqueue(record.id, later);
            return Ok(());
        }
        let before = record.resolved.map_or_else(String::new, |before| format!(", no longer {before}"));
        let why = format!("the peer {} is at {to}{before}", record.spec.peer);
        tracing::info!(uuid = %record.id, "{}: {why}", record.label());
        self.record_line(record.id, Speaker::Agent, &why);
        self.in_force(entry, Some(Arc::clone(record)), record.at(Some(to))?, planner).await?;
        entry.record_moved(now);
        Ok(())
    }

    /// Looks up the name of a peer that has no address yet, before it is written or planned.
    pub(in crate::agent) fn look_up_peer(&self, new: Result<Record>) -> impl Future<Output = ()> + use<> {
        // A write that is refused is refused again.
        let new = new.ok().filter(Record::is_unresolved);
        let name = new.and_then(|new| new.spec.peer.name().cloned());
        let names = Arc::clone(self.observer.names());
        async move {
            if let Some(name) = name {
                names.look_up(&name).await;
            }
        }
    }

    /// What a caller makes of `before`, with the address of its peer if that has a name. See [`Agent::look_up_peer`].
    ///
    /// # Errors
    /// When a running tunnel would lose its peer: the name may be mistyped.
    pub(in crate::agent) fn located(&self, before: Option<&Record>, new: Record) -> Result<Record> {
        let Some(name) = new.spec.peer.name().filter(|_| new.is_unresolved()) else { return Ok(new) };
        match self.observer.names().address(name, new.connection.local_addr, None) {
            Ok(address) => Ok(new.located(before, address)?),
            Err(why) if new.state == State::Enabled && before.is_some_and(Record::is_loaded) => {
                Err(Conflict::Unresolved(why).into())
            }
            Err(_) => Ok(new),
        }
    }
}
