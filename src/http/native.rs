//! Our own view beside the contract's: health, readiness, and a connection with what runs of it.

use super::{
    auth::Caller,
    child_json::{self, companions},
    differences::{self, changed, fields},
    envelope::Envelope,
    error::json_response,
    message::Message,
    options::chosen,
    parse, reason_json,
    request::{Pairs, id_of},
    sa_json::Running,
    state::{Answer, Api, Shared},
    transition,
    unknown::unread,
};
use crate::{
    agent::{CharonLink, Plan, Step, View, Warning},
    error::Error,
    ipsec::{
        Auth, Identity, TrafficSelector,
        certs::{Certificate, Role},
    },
    strongswan::diff::Difference,
};
use axum::{
    Extension,
    body::Body,
    extract::{Path, Query as UrlQuery, State},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::oneshot;

/// `GET /healthz`: the process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 when charon holds what the store says, else 503 with the reason.
pub async fn readyz(State(api): Shared) -> Response {
    let damaged: Vec<_> =
        api.agent.store().damaged().iter().map(|file| json!({ "file": file.path, "why": file.why })).collect();
    let (status, state) = match api.agent.link() {
        CharonLink::Up(charon) => (StatusCode::OK, json!({ "ready": true, "strongswan": charon.version })),
        CharonLink::Starting => (StatusCode::SERVICE_UNAVAILABLE, json!({ "ready": false, "why": "starting" })),
        CharonLink::Down { why, .. } => (StatusCode::SERVICE_UNAVAILABLE, json!({ "ready": false, "why": why })),
    };
    let aside = api.agent.set_aside();
    let aside: Vec<_> = aside
        .iter()
        .map(|record| json!({ "uuid": record.id.to_string(), "name": record.spec.names.name, "why": record.aside.as_deref() }))
        .collect();
    let mut body = state;
    if let Some(role) = api.agent.ha_role() {
        body["role"] = role.into();
    }
    if api.agent.has_given_up() {
        body["given_up"] = true.into();
    }
    for (member, list) in [("damaged", damaged), ("set_aside", aside)] {
        if !list.is_empty() {
            child_json::extend(&mut body, json!({ member: list }));
        }
    }
    json_response(status, &body)
}

/// `GET /cygnet/v1/doctor`: the report of the running agent. 200 also when something is wrong: the question was answered.
pub async fn doctor(State(api): Shared) -> Answer {
    Ok(json_response(StatusCode::OK, &*api.examinations.report(&api.agent).await?))
}

/// `POST /cygnet/v1/reload`: the settings are read anew, as on SIGHUP, and the caller hears what came of it.
pub async fn reload(State(api): Shared) -> Answer {
    let (answer, outcome) = oneshot::channel();
    let gone = || Error::Internal("nobody reads the settings".into());
    api.reloads.get().ok_or_else(gone)?.send(answer).await.map_err(|_| gone())?;
    let done = outcome.await.map_err(|_| gone())?.map_err(|faults| {
        Error::Argument(format!("the settings are refused, and nothing has changed: {}", faults.join("; ")))
    })?;
    let body = json!({ "taken_over": done.taken_over, "needs_restart": done.needs_restart });
    Ok(json_response(StatusCode::OK, &body))
}

/// `GET /cygnet/v1/connections/{uuid}`: the inventory, and per child what is wanted and what runs.
pub async fn connection(
    State(api): Shared,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let mask = parse::value("mask", &pairs)? == Some("true") || api.masks(&caller);
    let view = api.agent.view(id_of(&uuid)?).await?;
    let drift = api
        .agent
        .drift(view.record.id)
        .map(|drift| json!({ "put_back": drift.repaired, "last": drift.last.to_string(), "count": drift.count }));
    let conditions = api.agent.conditions(&view);
    let running = Running::of(&view);
    let mut body = json!({ "inventory": Api::inventory(&view, mask), "ike_sas": running.ike_sas(), "children": running.children(&conditions), "drift": drift });
    let (created, changed) = (view.record.created.to_string(), view.record.changed.to_string());
    child_json::extend(&mut body, json!({ "created": created, "changed": changed }));
    let split = view.record.spec.options.native.split.name();
    child_json::extend(
        &mut body,
        json!({ "other_sas": running.other_sas(), "split": split, "options": chosen(&view.record.spec.options), "left_out": left_out(&view) }),
    );
    let warnings = child_json::warnings(&api.agent.warnings(&view));
    let rehearsal = child_json::rehearsal(api.agent.rehearsal(&view).as_ref());
    let settings = child_json::settings_drift(&api.agent.settings_drift(&view.record));
    let passes = api.agent.passes(&view).map(|passes| child_json::passes(&passes));
    child_json::extend(
        &mut body,
        json!({ "warnings": warnings, "rehearsal": rehearsal, "passes": passes, "settings_drift": settings }),
    );
    child_json::extend(&mut body, child_json::carried(&view));
    child_json::extend(&mut body, child_json::vip(&api.agent, &view));
    child_json::extend(&mut body, child_json::networks_and_traffic(&api.agent, &view));
    child_json::extend(&mut body, child_json::availability(&api.agent, view.record.id));
    child_json::extend(&mut body, child_json::peer(&view, api.agent.unresolved(&view.record).as_deref()));
    child_json::extend(
        &mut body,
        json!({ "ike_wanted": child_json::wanted_ike(&view.record.connection), "dpd": child_json::dpd(&view.record.connection), "versions": child_json::versions(&view.record) }),
    );
    if let Some(certificates) = certificates(&view, Timestamp::now()) {
        child_json::extend(&mut body, json!({ "certificates": certificates }));
    }
    if let Some(trial) = &view.record.trial {
        let (began, until) = (trial.began.to_string(), trial.until.to_string());
        child_json::extend(&mut body, json!({ "trial": { "caller": trial.caller, "began": began, "until": until } }));
    }
    child_json::extend(&mut body, transition::member(&view));
    reason_json::add(&api.agent, &view, &mut body);
    Ok(json_response(StatusCode::OK, &body))
}

/// The certificates of the connection, if it has some: whom they are for, and when they end.
fn certificates(view: &View, now: Timestamp) -> Option<Vec<Value>> {
    let certs = view.record.connection.auth.certs()?;
    let item = |(role, certificate): (Role, &Certificate)| {
        json!({
            "role": role.name(), "subject": certificate.subject.text,
            "alternatives": certificate.alternatives.iter().map(Identity::plain).collect::<Vec<_>>(),
            "not_before": certificate.not_before.to_string(), "not_after": certificate.end(),
            "expires_s": certificate.not_after.duration_since(now).as_secs(),
        })
    };
    Some(certs.by_role().map(item).collect())
}

/// `POST /cygnet/v1/connections/{uuid}/plan`: what a Change with this body would do. Nothing is done, so nobody would see
/// keys being tried: where they are masked, one that is given counts as a new one.
pub async fn plan(
    State(api): Shared,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Answer {
    let params = Message::Change.params(Envelope::read(body).await?)?;
    let change = parse::change(&params, parse::missing_fields(&pairs)?, api.agent.gateway(), Timestamp::now())?;
    let gives_key = ["authKey", "ppk"].iter().any(|name| params.members.get(*name).is_some_and(|key| !key.is_null()));
    let mask = api.masks(&caller);
    let hides_key = mask && gives_key;
    let edit = |old: &_| {
        let new = change(old, Timestamp::now())?;
        // A stored key may be given again however long it is: that it passes would tell that it is the one.
        match &new.connection.auth {
            Auth::Psk(psk) if hides_key => parse::limits::key("authKey", psk).map(|()| new),
            _ => Ok(new),
        }
    };
    let plan = api.agent.plan(id_of(&uuid)?, &parse::write_options(&pairs)?, hides_key, edit).await?;
    Ok(planned(&plan, mask, unread(Message::Change, Some(&params), &pairs)))
}

/// The answer with a plan, with `mask` without keys; `warnings` are those of the request.
pub(super) fn planned(plan: &Plan, mask: bool, mut warnings: Vec<Warning>) -> Response {
    let view = |record| View { record, running: None, discount: None };
    let (before, after) = (
        Api::inventory(&view(Arc::clone(&plan.before)), mask),
        Api::inventory(&view(Arc::new(plan.after.clone())), mask),
    );
    let mut fields = fields(&before, &after, plan.before.connection.auth != plan.after.connection.auth, plan.hides_key);
    fields.extend(differences::options(&plan.before.spec.options, &plan.after.spec.options));
    fields.extend(differences::ppk(&plan.before, &plan.after, plan.hides_key));
    warnings.extend(plan.warnings.iter().cloned());
    let body = json!({
        "impact": plan.impact.name(),
        "fields": fields,
        "file": plan.file.iter().map(|difference| setting(difference, plan.hides_key)).collect::<Vec<_>>(),
        "requests": plan.requests,
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "passes": child_json::passes(&plan.passes),
        "warnings": child_json::warnings(&warnings),
        "together": companions(&plan.others),
    });
    json_response(StatusCode::OK, &body)
}

fn setting(difference: &Difference, hides_key: bool) -> Value {
    match &difference.values {
        Some((from, to)) => json!({ "setting": difference.path, "from": from, "to": to }),
        None => json!({ "setting": difference.path, "changed": changed(hides_key) }),
    }
}

fn step(step: &Step) -> String {
    let then = if matches!(step, Step::Initiate(_)) { ", and close the old SA when the new one carries" } else { "" };
    format!("{step}{then}")
}

/// The networks that no child names, because another network contains them.
fn left_out(view: &View) -> Vec<Value> {
    let item = |(net, within): &(TrafficSelector, TrafficSelector)| json!({ "network": net.to_string(), "within": within.to_string() });
    view.record.left_out().iter().map(item).collect()
}
