//! Keeps the logs of connections over a restart: reads them at the start, writes new lines every two seconds and at the end.

use super::{
    connection_log::{self, Speaker},
    log_file::piece,
};
use crate::agent::Agent;
use std::{sync::Weak, time::Duration};
use tokio::{task::block_in_place, time::timeout};

/// How often new lines are written: an agent that is killed loses those since.
const PACE: Duration = Duration::from_secs(2);
/// The agent's line between those of before and after a start.
const GAP: &str = "the agent was started; what charon logged while it was away is in `journalctl -u strongswan`";

impl Agent {
    /// Gives the connections the lines of before the start.
    pub(in crate::agent) fn restore_logs(&self) {
        let room = connection_log::room(self.store.count());
        let restore = |id, line| {
            if self.store.get(id).is_some() {
                self.entry(id).history().log.restore(&line, room);
            }
        };
        if let Err(error) = self.observer.log_file().read(restore) {
            tracing::warn!(%error, "the connections' logs of before the start are lost: {error}");
        }
        for record in self.store.all() {
            let last = self.log(record.id, 1, 0).pop();
            if last.is_some_and(|last| last.text != GAP) {
                self.record_line(record.id, Speaker::Agent, GAP);
            }
        }
    }

    /// Writes new lines until the agent is gone, in time or when there are many.
    pub(in crate::agent) async fn keep_logs(agent: Weak<Self>) {
        let Some(full) = agent.upgrade().map(|agent| agent.observer.log_file().full()) else { return };
        loop {
            let _ = timeout(PACE, full.notified()).await;
            let Some(agent) = agent.upgrade() else { return };
            agent.save_logs().await;
        }
    }

    /// Writes the lines of the connections' logs that are not written yet.
    pub async fn save_logs(&self) {
        let file = self.observer.log_file();
        let Some(_turn) = file.turn().await else { return };
        if let Err(error) = block_in_place(|| file.write(|| self.all_lines())) {
            tracing::warn!(%error, "the connections' logs are not kept over a restart: {error}");
        }
    }

    fn all_lines(&self) -> impl Iterator<Item = Vec<u8>> {
        let all = self.store.all();
        let count = all.len();
        all.into_iter().map(move |record| piece(record.id, &self.log(record.id, usize::MAX, 0), count))
    }
}
