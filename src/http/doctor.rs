//! `GET /cygnet/v1/doctor`: what is wrong on this gateway, as JSON. Nothing is changed, and no key is shown.

use super::{Answer, Api, Shared, error::json_response};
use crate::{
    agent::doctor::{Finding, Report},
    gateway::Places,
    settings::Settings,
};
use axum::{extract::State, http::StatusCode};
use serde_json::{Value, json};
use std::sync::{PoisonError, RwLock};

/// Where the doctor looks; it changes when the settings are read anew.
pub struct Where(RwLock<Places>);

impl Where {
    /// At the places of `settings`.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self(RwLock::new(Places::of(settings, None)))
    }
}

impl Api {
    /// Has the doctor look elsewhere from now on: at the settings file and what it names.
    pub fn set_places(&self, places: Places) {
        *self.places.0.write().unwrap_or_else(PoisonError::into_inner) = places;
    }
}

/// The report of the running agent. 200 also when something is wrong: the question was answered.
pub(super) async fn doctor(State(api): Shared) -> Answer {
    let places = api.places.0.read().unwrap_or_else(PoisonError::into_inner).clone();
    let report = api.agent.doctor(&places).await;
    Ok(json_response(StatusCode::OK, &json(&report)))
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
    if let (Some(members), Some(evidence)) = (value.as_object_mut(), &finding.evidence) {
        members.insert("evidence".into(), evidence.as_str().into());
    }
    value
}
