//! CAs that charon keeps although no connection uses them: it has no command to unload a CA, and accepts chains through it
//! until its restart. The answer of the write and the doctor warn about it.
//!
//! A dropped CA is recorded before the write is in force. The warning holds while the same charon runs and lists the CA,
//! and no connection uses it.

use crate::{
    agent::{Agent, Warning},
    error::{Error, Result},
    ipsec::ConnectionId,
    store::{Record, dropped::DroppedCa, dropped::cas},
};
use std::collections::BTreeMap;
use tokio::task::block_in_place;

impl Agent {
    /// Records the CAs of `old` that `new` does not use; must be called before `new` is in force.
    pub(in crate::agent) fn record_dropped_cas(&self, old: Option<&Record>, new: Option<&Record>) {
        let Some(old) = old else { return };
        // A charon that does not run keeps nothing.
        let Some(charon) = self.strongswan.birth() else { return };
        let (connection, name) = (old.id.to_string(), &old.spec.names.name);
        let noted = |(sha256, subject)| DroppedCa {
            sha256,
            subject,
            connection: connection.clone(),
            name: name.clone(),
            charon: charon.clone(),
        };
        let dropped: Vec<_> = without(old, new).into_iter().map(noted).collect();
        if dropped.is_empty() {
            return;
        }
        if let Err(error) = block_in_place(|| self.store.dropped_cas().add(dropped)) {
            tracing::error!(uuid = %old.id, %error, "{}: dropped CAs cannot be stored: {error}; after the next start the agent does not warn about them", old.label());
        }
    }

    /// The same for a failed write: charon may keep the CAs that it loaded.
    pub(in crate::agent) async fn record_failed_cas(&self, failed: &Record, old: Option<&Record>) {
        if without(failed, old).is_empty() {
            return;
        }
        self.record_dropped_cas(Some(failed), old);
        if let Err(error) = self.follow_dropped_cas().await {
            tracing::warn!(uuid = %failed.id, %error, "{}: the CAs in charon are unknown: {error}; the agent asks again", failed.label());
        }
    }

    /// The CAs that charon keeps although no connection uses them.
    pub(crate) fn kept_cas(&self) -> Vec<DroppedCa> {
        let all = self.store.dropped_cas().all();
        let Some(charon) = self.strongswan.birth().filter(|_| !all.is_empty()) else { return Vec::new() };
        let uniqueness = self.changes.uniqueness();
        all.into_iter().filter(|ca| ca.charon == charon && !uniqueness.cas.contains_key(&ca.sha256)).collect()
    }

    /// The warning about CAs that the connection `id` dropped, also after its deletion.
    #[must_use]
    pub fn dropped_cas(&self, id: ConnectionId) -> Option<Warning> {
        let kept = self.kept_cas().into_iter().filter(|ca| ca.is_of(id));
        warning(&kept.map(|ca| ca.subject).collect::<Vec<_>>(), "still has")
    }

    /// The same for a planned change from `old` to `new`.
    pub(in crate::agent) fn caution_of_cas(&self, old: &Record, new: &Record) -> Option<Warning> {
        let mut dropped = without(old, Some(new));
        let uniqueness = self.changes.uniqueness();
        dropped.retain(|sha256, _| uniqueness.cas.get(sha256).is_none_or(|ids| ids.iter().all(|id| *id == old.id)));
        warning(&dropped.into_values().collect::<Vec<_>>(), "will still have")
    }

    /// Drops the CAs that charon no longer has, after a restart or a flush.
    pub(in crate::agent) async fn follow_dropped_cas(&self) -> Result<()> {
        let dropped = self.store.dropped_cas();
        if dropped.all().is_empty() {
            return Ok(());
        }
        let Some(charon) = self.strongswan.birth() else { return Ok(()) };
        let listed = match self.strongswan.cas().await {
            Err(Error::Refused { .. }) => None,
            listed => listed?,
        };
        let has = |ca: &DroppedCa| listed.as_ref().is_none_or(|listed| listed.contains(&ca.sha256));
        block_in_place(|| dropped.retain(|ca| ca.charon == charon && has(ca)))
    }
}

/// The CAs of `old`, and of the connection before its trial, that `new` does not use: subjects by fingerprint.
fn without(old: &Record, new: Option<&Record>) -> BTreeMap<String, String> {
    let kept: Vec<_> = new.into_iter().flat_map(held).flat_map(cas).map(|(sha256, _)| sha256).collect();
    let had = held(old).flat_map(cas).filter(|(sha256, _)| !kept.contains(sha256));
    had.map(|(sha256, subject)| (sha256, subject.to_owned())).collect()
}

fn held(record: &Record) -> impl Iterator<Item = &Record> {
    std::iter::once(record).chain(record.trial.as_ref().and_then(|trial| trial.before.as_ref()))
}

fn warning(subjects: &[String], has: &str) -> Option<Warning> {
    let subjects = subjects.iter().map(|subject| format!("'{subject}'")).collect::<Vec<_>>().join(", ");
    (!subjects.is_empty()).then(|| Warning {
        code: "CA_STAYS_LOADED",
        part: None,
        remedy: None,
        message: format!(
            "charon {has} {subjects}, which no connection uses any more: it cannot unload a CA before its restart, and accepts \
             peers whose certificates chain through one; to end that, restart strongswan, which interrupts its tunnels"
        ),
    })
}
