//! `GET /cygnet/v1/doctor`: what is wrong on this gateway, as JSON. Nothing is changed, and no key is shown.
//!
//! One examination runs at a time: whoever asks meanwhile gets its answer. It ends when all have left who asked for it,
//! or at its deadline, and the programs that it started end with it.

use super::{error::Failure, pair};
use crate::{
    agent::Agent,
    doctor::{Finding, Report, facts::Places},
    error::Error,
    settings::{Ha, Settings},
};
use futures_util::{
    FutureExt,
    future::{self, BoxFuture, WeakShared},
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio::time::timeout;

/// How long an examination may take: less than the command waits. Each of its looks has a shorter limit of its own.
const DEADLINE: Duration = Duration::from_secs(14);

/// An examination that runs; its report, if it came to its end.
type Examination = BoxFuture<'static, Option<Arc<Value>>>;

/// The examinations: where the doctor looks, and the one that runs.
pub struct Examinations {
    /// They change when the settings are read anew.
    places: RwLock<Places>,
    ha: Ha,
    running: Mutex<Option<WeakShared<Examination>>>,
}

impl Examinations {
    /// At the places of `settings`.
    #[must_use]
    pub fn at(settings: &Settings) -> Self {
        Self { places: RwLock::new(Places::of(settings, None)), ha: settings.ha.clone(), running: Mutex::default() }
    }

    /// Has the doctor look elsewhere from now on.
    pub(super) fn set_places(&self, places: Places) {
        *self.places.write().unwrap_or_else(PoisonError::into_inner) = places;
    }

    /// What the examination finds that runs, or a new one.
    ///
    /// # Errors
    /// When it does not come to its end in time.
    pub(super) async fn report(&self, agent: &Arc<Agent>) -> Result<Arc<Value>, Failure> {
        self.examination(agent).await.ok_or_else(late)
    }

    /// The examination that runs, or a new one.
    fn examination(&self, agent: &Arc<Agent>) -> future::Shared<Examination> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(joined) = running.as_ref().and_then(WeakShared::upgrade).filter(|joined| joined.peek().is_none()) {
            return joined;
        }
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (agent, ha) = (Arc::clone(agent), self.ha.clone());
        let examine = async move {
            let report = timeout(DEADLINE, agent.doctor(&places, pair::paired(&agent, &ha))).await.ok()?;
            Some(Arc::new(json(&report)))
        };
        let new = examine.boxed().shared();
        *running = new.downgrade();
        new
    }
}

fn late() -> Failure {
    Error::Internal(format!(
        "the examination did not end within {} s: see what hangs on this gateway",
        DEADLINE.as_secs()
    ))
    .into()
}

/// A report as JSON.
#[must_use]
pub fn json(report: &Report) -> Value {
    json!({
        "healthy": report.is_healthy(),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "passed": report.passed.iter().map(|(check, seen)| json!({ "check": check, "seen": seen })).collect::<Vec<_>>(),
    })
}

fn finding(finding: &Finding) -> Value {
    let mut value = json!({
        "check": finding.check, "level": finding.level.name(), "what": finding.what, "fix": finding.fix,
    });
    if let Some(evidence) = &finding.evidence {
        value["evidence"] = evidence.as_str().into();
    }
    if finding.lacks_fact {
        value["lacks_fact"] = true.into();
    }
    value
}
