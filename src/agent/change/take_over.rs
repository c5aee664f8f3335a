//! Taking over changed settings in stored connections.

use crate::{
    agent::{
        Agent, WriteOptions,
        change::{
            settings_drift::{SettingDrift, follow_settings, settings_drift},
            transaction::uncancelled,
        },
        observe::events::EventKind,
        refusal::not_found,
    },
    error::Result,
    ipsec::ConnectionId,
    settings::Gateway,
    store::Record,
};
use jiff::Timestamp;
use std::sync::Arc;

impl Agent {
    /// The differences between the settings and `record`.
    #[must_use]
    pub fn settings_drift(&self, record: &Record) -> Vec<SettingDrift> {
        settings_drift(&record.spec, &self.gateway())
    }

    /// Publishes an event for each connection that differs from `now` and did not differ so from `before`.
    pub(in crate::agent) fn publish_settings_drift(&self, before: Option<&Gateway>, now: &Gateway) {
        for record in self.store.all() {
            let drift = settings_drift(&record.spec, now);
            let known = before.map(|before| settings_drift(&record.spec, before));
            if !drift.is_empty() && known.as_ref() != Some(&drift) {
                let text = drift.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                tracing::warn!(uuid = %record.id, event = "settings_drift", drift = text, "{}: differs from the settings: {text}; `cygnet reconnect` takes them over", record.label());
                self.publish(record.id, EventKind::SettingsDrift(drift));
            }
        }
    }

    /// Takes the settings over in each connection that differs, as a Change would: the new SA comes up beside the old
    /// one, for `caller`. Returns the result of each; waits for no tunnel.
    pub async fn reconnect_all_changed(self: &Arc<Self>, caller: &Arc<str>) -> Vec<(Arc<Record>, Result<()>)> {
        let gateway = self.gateway();
        let is_behind = |record: &Arc<Record>| follow_settings(&record.spec, &gateway) != record.spec;
        let mut outcomes = Vec::new();
        for record in self.store.all().into_iter().filter(is_behind) {
            outcomes.push((Arc::clone(&record), self.take_over_settings(record.id, caller).await));
        }
        outcomes
    }

    async fn take_over_settings(self: &Arc<Self>, id: ConnectionId, caller: &Arc<str>) -> Result<()> {
        let settings = Arc::clone(self);
        let edit = move |old: Option<&Record>| {
            let old = old.ok_or_else(|| not_found(id))?;
            let spec = follow_settings(&old.spec, &settings.gateway());
            Ok(old.changed(spec, Timestamp::now())?)
        };
        let how = WriteOptions { caller: Some(Arc::clone(caller)), ..WriteOptions::default() };
        let agent = Arc::clone(self);
        uncancelled(async move { agent.put(id, &how, edit).await }).await.map(drop)
    }
}
