//! What the handlers share.

use super::{
    auth::{Auth, Caller, Role},
    budget::Bodies,
    doctor::Examinations,
    error::Failure,
    fleet::Followers,
    hook::Hooks,
    inventory::inventory,
    jobs::Jobs,
    message_api::Messages,
    metrics::{calls::Calls, texts::Texts},
    query::Lens,
    reload::Reload,
    tally::Tally,
    zone,
};
use crate::{
    agent::{Agent, View},
    doctor::facts::Places,
    moment::Moment,
    settings::{Asynchronous, Settings},
};
use axum::{extract::State, http::HeaderMap, response::Response};
use serde_json::Value;
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What the handlers share.
pub struct Api {
    pub(super) agent: Arc<Agent>,
    pub(super) auth: Auth,
    pub(super) jobs: Jobs,
    mode: Asynchronous,
    pub(super) hooks: Hooks,
    pub(super) refused: Tally,
    pub(super) calls: Calls,
    pub(super) charon_log: Option<PathBuf>,
    pub(super) mask_auth_key: bool,
    /// Whether there is a page for browsers.
    pub(super) page: bool,
    pub(super) stop: CancellationToken,
    pub(super) followers: Followers,
    pub(super) examinations: Examinations,
    pub(super) bodies: Bodies,
    pub(super) messages: Messages,
    /// Whoever reads the settings anew.
    pub(super) reloads: OnceLock<mpsc::Sender<Reload>>,
    /// The metrics of this second, or why there are none.
    pub(super) metrics: Moment<Texts, String>,
}

/// The state as handlers take it.
pub(super) type Shared = State<Arc<Api>>;
/// What a handler answers.
pub(super) type Answer = Result<Response, Failure>;

impl Api {
    /// The API of `agent` for callers that `auth` admits. Endless answers, such as events, end with `stop`.
    #[must_use]
    pub fn new(agent: Arc<Agent>, auth: Auth, jobs: Jobs, settings: &Settings, stop: &CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            agent,
            auth,
            jobs,
            mode: settings.jobs.mode,
            hooks: Hooks::new(settings.jobs.web_hook_hosts.clone()),
            refused: Tally::default(),
            calls: Calls::default(),
            charon_log: settings.charon.log.clone(),
            mask_auth_key: settings.mask_auth_key,
            page: settings.page,
            stop: stop.clone(),
            followers: Followers::default(),
            examinations: Examinations::at(settings),
            bodies: Bodies::default(),
            messages: Messages::default(),
            reloads: OnceLock::new(),
            metrics: Moment::default(),
        })
    }

    /// Whether a write with these headers is answered with a job.
    pub(super) fn wants_job(&self, headers: &HeaderMap) -> bool {
        let prefers = || {
            headers
                .get_all("Prefer")
                .iter()
                .any(|value| value.to_str().is_ok_and(|text| text.contains("respond-async")))
        };
        match self.mode {
            Asynchronous::Always => true,
            Asynchronous::Never => false,
            Asynchronous::Auto => headers.contains_key("X-Job-UUID") || headers.contains_key("X-Web-Hook") || prefers(),
        }
    }

    /// The guard, to give it other credentials.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Has calls for new settings go here.
    pub fn set_reloads(&self, reloads: mpsc::Sender<Reload>) {
        // The first one stays: there is one loop that takes them.
        let _ = self.reloads.set(reloads);
    }

    /// Has the doctor look elsewhere from now on: at the settings file and what it names.
    pub fn set_places(&self, places: Places) {
        self.examinations.set_places(places);
    }

    /// Whether keys are hidden from this caller: with a key one can be a gateway, which is more than reading.
    pub(super) fn masks(&self, caller: &Caller) -> bool {
        self.mask_auth_key || caller.role == Role::Read
    }

    /// The connection as the API shows it; with `mask`, without its key.
    pub(super) fn inventory(view: &View, mask: bool) -> Value {
        inventory(view, mask, &zone::local())
    }

    /// How connections are shown to this caller.
    pub(super) fn lens(&self, caller: &Caller) -> Lens {
        Lens { zone: zone::local(), mask: self.masks(caller), keys: true, gateway: self.agent.gateway() }
    }
}
