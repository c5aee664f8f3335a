//! What callers say and hear. The routes are on this page; each handler is a few lines below.

mod actions;
mod audit;
mod auth;
mod budget;
mod child_json;
pub mod doctor;
mod envelope;
pub mod error;
mod events;
pub mod framing;
mod hook;
pub mod inventory;
mod jobs;
mod login;
mod metrics;
mod native;
mod openapi;
mod overview;
pub mod parse;
mod paths;
mod preflight;
mod query;
mod reason_json;
pub mod serve;
mod tags;
mod tally;
pub mod tls;
mod vpc_router;
mod wiped;
mod wire;
pub mod zone;

pub use crate::http::auth::{Accounts, Arena, Auth, Credentials, Origin, Tokens, credential, is_handed_over};
pub use crate::http::envelope::{Envelope, MAX_BODY, Params};
pub use crate::http::jobs::Jobs;

use crate::{
    agent::{Agent, WriteOptions, Written},
    error::Result as AgentResult,
    http::{
        auth::Caller,
        error::{Failure, json_response},
        paths::{no_method, no_such_method, no_such_path, path_of, signed_path},
        query::{Lens, Query},
    },
    ipsec::ConnectionId,
    settings::{Asynchronous, Settings},
};
use axum::{
    Extension, Router,
    body::Body,
    extract::{Path, Query as UrlQuery, Request, State},
    http::{Extensions, HeaderMap, Method, StatusCode, Uri},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post, put},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc};
use tokio_util::sync::CancellationToken;

/// What the handlers share.
pub struct Api {
    agent: Arc<Agent>,
    auth: Auth,
    jobs: Jobs,
    mode: Asynchronous,
    hooks: hook::Hooks,
    refused: tally::Tally,
    charon_log: Option<PathBuf>,
    mask_auth_key: bool,
    stop: CancellationToken,
    places: doctor::Where,
    bodies: budget::Bodies,
    metrics: metrics::Latest,
}

type Shared = State<Arc<Api>>;
type Answer = Result<Response, Failure>;

impl Api {
    /// The API of `agent` for whom `auth` lets pass. Answers that go on for ever end with `stop`.
    #[must_use]
    pub fn new(agent: Arc<Agent>, auth: Auth, jobs: Jobs, settings: &Settings, stop: &CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            agent,
            auth,
            jobs,
            mode: settings.jobs.mode,
            hooks: hook::Hooks::new(settings.jobs.web_hook_hosts.clone()),
            refused: tally::Tally::default(),
            charon_log: settings.charon.log.clone(),
            mask_auth_key: settings.mask_auth_key,
            stop: stop.clone(),
            places: doctor::Where::of(settings),
            bodies: budget::Bodies::default(),
            metrics: metrics::Latest::default(),
        })
    }

    /// Whether a write with these headers is answered with a job.
    fn wants_job(&self, headers: &HeaderMap) -> bool {
        let prefers =
            || headers.get_all("Prefer").iter().any(|v| v.to_str().is_ok_and(|v| v.contains("respond-async")));
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

    fn inventory(&self, view: &crate::agent::View) -> Value {
        inventory::inventory(view, self.mask_auth_key, &zone::local())
    }

    /// How connections are shown.
    fn lens(&self) -> Lens {
        Lens { zone: zone::local(), mask: self.mask_auth_key, keys: true }
    }

    /// The answer to `query`.
    fn found(&self, query: &Query, found: query::Found) -> Response {
        match query.total(&found) {
            Some(total) if query.count => json_response(StatusCode::OK, &json!({ "total": total })),
            total => query::reply(found.page, query.shown(), self.lens(), total),
        }
    }

    /// The answer to a write: its result, and beside it what the caller should know, if there is anything, and the other
    /// connections that were changed with it, if there are any.
    fn written(&self, Written { view, others }: &Written) -> Response {
        let mut body = json!({ "inventory": self.inventory(view) });
        let warnings = self.agent.warnings(view);
        if !warnings.is_empty() {
            crate::http::child_json::extend(
                &mut body,
                json!({ "warnings": crate::http::child_json::warnings(&warnings) }),
            );
        }
        if !others.is_empty() {
            crate::http::child_json::extend(&mut body, json!({ "together": native::companions(others) }));
        }
        let mut response = json_response(StatusCode::OK, &body);
        let told = audit::Told { id: Some(view.record.id), others: others.clone(), ..audit::Told::default() };
        response.extensions_mut().insert(told);
        response
    }
}

/// All routes.
pub fn router(api: Arc<Api>) -> Router {
    let guarded = Router::new()
        .route("/zstack/v1/ipsec", any(collection))
        .route("/zstack/v1/ipsec/candidatesL3Networks", get(crate::http::vpc_router::candidates))
        .route("/zstack/v1/ipsec/{uuid}", any(item))
        .route("/zstack/v1/ipsec/{uuid}/actions", any(actions::act))
        .route("/zstack/v1/ipsec/{uuid}/remote-cidrs", any(actions::remote_cidrs))
        .route("/zstack/v1/ipsec/{uuid}/l3networks", any(actions::l3_networks))
        .route("/zstack/v1/ipsec/config/{uuid}", any(config))
        // Some versions of the Go SDK call this path.
        .route("/zstack/v1/ipsec/config/{uuid}/actions", any(config))
        .route("/zstack/v1/accounts/sessions/{uuid}/renew", put(login::renew))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), authenticate))
        .layer(middleware::from_fn(with_schema))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), jobs::asynchronous));
    let direct = Router::new()
        .route("/zstack/v1/vpc/virtual-routers/ipseclog", any(crate::http::vpc_router::log))
        .route("/zstack/v1/vpc/virtual-routers/{uuid}/attached-ipsec", post(crate::http::vpc_router::attached))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), authenticate));
    let native = Router::new()
        .route("/cygnet/v1/doctor", get(doctor::doctor))
        .route("/cygnet/v1/connections", get(overview::connections))
        .route("/cygnet/v1/reconnect-all-changed", post(actions::reconnect_all_changed))
        .route("/cygnet/v1/connections/{uuid}", get(native::connection))
        .route("/cygnet/v1/connections/{uuid}/plan", post(native::plan))
        .route("/cygnet/v1/connections/{uuid}/log", get(events::log))
        .route("/cygnet/v1/events", get(events::events))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), authenticate));
    Router::new()
        .merge(guarded)
        .merge(direct)
        .merge(native)
        .route("/zstack/v1/api-jobs/{uuid}", any(jobs::poll))
        .route("/zstack/v1/accounts/login", put(login::login))
        .route("/zstack/v1/accounts/users/login", put(login::user_login))
        .route("/zstack/v1/accounts/sessions/{uuid}", any(login::session))
        .route("/zstack/v1/accounts/sessions/{uuid}/valid", get(login::valid))
        .route("/healthz", get(native::healthz))
        .route("/readyz", get(native::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::document))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(framing::one_length))
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .with_state(api)
}

/// Lets known callers pass. Of a write that may become a job it is known already who calls.
async fn authenticate(
    State(api): Shared,
    Extension(origin): Extension<Origin>,
    mut request: Request,
    next: Next,
) -> Answer {
    let known = request.extensions().get::<Caller>().cloned();
    let check = || api.auth.check(origin, request.headers(), request.method(), &signed_path(request.uri()));
    match known.map_or_else(check, Ok) {
        Ok(caller) => {
            seated(request.extensions());
            request.extensions_mut().insert(caller.clone());
            // Held until the answer is there: what a body becomes takes memory too.
            let _reserved = api.bodies.reserve(&mut request).await?;
            let standing = auth::Standing::of(&caller, request.headers());
            let response = audit::answered(&api, &caller, origin, request, next).await;
            Ok(standing.bound(&api, response))
        }
        Err(failure) => {
            let response = failure.into_response();
            audit::refused(&api, &request, origin, &response);
            Ok(response)
        }
    }
}

/// Notes that right credentials were shown on the connection: it is closed behind all strangers when room is short.
fn seated(extensions: &Extensions) {
    if let Some(seat) = extensions.get::<Arc<serve::room::Seat>>() {
        seat.is_known();
    }
}

/// Adds the classes of the elements to the result of a write, if the caller asks for them (contract 1.4).
async fn with_schema(request: Request, next: Next) -> Answer {
    let is_write = !matches!(*request.method(), Method::GET | Method::HEAD);
    let wanted = is_write && request.headers().contains_key("X-JSON-Schema");
    let response = next.run(request).await;
    if !wanted || response.status() != StatusCode::OK {
        return Ok(response);
    }
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
    let mut body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let schema =
        body.get("inventory").filter(|inventory| inventory.get("peerCidrs").is_some()).map(inventory::result_schema);
    if let (Some(members), Some(schema)) = (body.as_object_mut(), schema) {
        members.insert("schema".into(), schema);
    }
    Ok(json_response(StatusCode::OK, &body))
}

/// `/ipsec`: `CreateIPsecConnection`, `QueryIPSecConnection`.
async fn collection(
    State(api): Shared,
    uri: Uri,
    UrlQuery(pairs): UrlQuery<Vec<(String, String)>>,
    Extension(caller): Extension<auth::Caller>,
    method: Method,
    body: Body,
) -> Answer {
    match method {
        Method::POST => {
            let params = Envelope::read(body).await?.params("params")?;
            let record = parse::create(&params, &api.agent.gateway(), Timestamp::now())?;
            let how = asked(&pairs, &caller)?;
            Ok(api.written(&api.agent.create(record, how).await?))
        }
        Method::GET | Method::HEAD => {
            let query = Query::parse(&pairs)?;
            let found = query::find(&api, &query).await?;
            Ok(api.found(&query, found))
        }
        _ => Err(no_method(&method, &uri)),
    }
}

/// `/ipsec/{uuid}`: the query by uuid, `UpdateIPsecConnection`, `DeleteIPsecConnection`.
async fn item(
    State(api): Shared,
    uri: Uri,
    Path(uuid): Path<String>,
    UrlQuery(pairs): UrlQuery<Vec<(String, String)>>,
    method: Method,
    body: Body,
) -> Answer {
    match method {
        Method::GET | Method::HEAD => {
            let query = Query::parse(&pairs)?;
            let found = match id_of(&uuid) {
                Ok(id) => api.agent.view(id).await.ok(),
                Err(_) => None,
            };
            let found = query.select(found.into_iter().collect(), &api.lens()).await?;
            Ok(api.found(&query, found))
        }
        Method::DELETE => {
            parse::no_trial(&pairs, "a deletion cannot be put back")?;
            let enforce = parse::delete_mode(&pairs)?;
            api.agent.remove(id_of(&uuid)?, enforce).await?;
            Ok(json_response(StatusCode::OK, &json!({})))
        }
        Method::PUT => actions::update(State(api), &uuid, &pairs, body, &uri).await,
        _ => Err(no_method(&method, &uri)),
    }
}

/// `/ipsec/config/{uuid}`: `ChangeIPsecConnection`.
async fn config(
    State(api): Shared,
    uri: Uri,
    Path(uuid): Path<String>,
    UrlQuery(pairs): UrlQuery<Vec<(String, String)>>,
    Extension(caller): Extension<auth::Caller>,
    method: Method,
    body: Body,
) -> Answer {
    if !matches!(method, Method::PUT | Method::POST) {
        return Err(Failure::not_allowed(&method, &path_of(&uri)));
    }
    let params = Envelope::read(body).await?.params("changeIPsecConnection")?;
    let rest = parse::rest(&pairs)?;
    let change = parse::change(&params, rest, api.agent.gateway(), Timestamp::now())?;
    let how = WriteOptions { says_all: rest == parse::MissingFields::Defaults, ..asked(&pairs, &caller)? };
    let written = api.agent.change(id_of(&uuid)?, how, move |old| change(old, Timestamp::now())).await?;
    Ok(api.written(&written))
}

/// How `caller` wants a write to be done.
fn asked(pairs: &[(String, String)], caller: &auth::Caller) -> Result<WriteOptions, Failure> {
    Ok(WriteOptions { caller: Some(caller.to_string().into()), ..parse::how(pairs)? })
}

/// The connection that a path names; text that is no uuid names none.
fn id_of(text: &str) -> AgentResult<ConnectionId> {
    text.parse().map_err(|_| crate::error::Error::NotFound {
        field: "uuid",
        uuid: text.chars().take(64).collect(),
        resource: crate::error::Resource::Connection,
    })
}
