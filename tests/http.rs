//! The HTTP API as a client sees it: whole answers of `cygnet serve`, over TCP and its Unix socket, with a fake charon
//! behind it. Snapshots are in `http/snapshots`: `INSTA_UPDATE=always cargo test --test agent http::` writes them anew; read the
//! difference. Every test has an agent of its own; nothing sleeps but the one polling loop in `support/serve.rs`.

#[path = "http/accounts.rs"]
mod accounts;
#[path = "http/actions.rs"]
mod actions;
#[path = "http/answers.rs"]
mod answers;
#[path = "http/anywhere.rs"]
mod anywhere;
#[path = "http/aside.rs"]
mod aside;
#[path = "http/auth.rs"]
mod auth;
#[path = "http/beside.rs"]
mod beside;
#[path = "http/bodies.rs"]
mod bodies;
#[path = "http/carrying.rs"]
mod carrying;
#[path = "http/certs.rs"]
mod certs;
#[path = "http/change.rs"]
mod change;
#[path = "http/charon.rs"]
mod charon;
#[path = "http/children.rs"]
mod children;
#[path = "http/clients.rs"]
mod clients;
#[path = "http/concurrency.rs"]
mod concurrency;
#[path = "http/costs.rs"]
mod costs;
#[path = "http/create.rs"]
mod create;
#[path = "http/crossed.rs"]
mod crossed;
#[path = "http/declared.rs"]
mod declared;
#[path = "http/errors.rs"]
mod errors;
#[path = "http/events.rs"]
mod events;
#[path = "http/examples.rs"]
mod examples;
#[path = "http/exporters.rs"]
mod exporters;
#[path = "http/foreign.rs"]
mod foreign;
#[path = "http/guards.rs"]
mod guards;
#[path = "http/heal.rs"]
mod heal;
#[path = "http/history.rs"]
mod history;
#[path = "http/hooks.rs"]
mod hooks;
#[path = "http/identities.rs"]
mod identities;
#[path = "http/jobs.rs"]
mod jobs;
#[path = "http/keep.rs"]
mod keep;
#[path = "http/lengths.rs"]
mod lengths;
#[path = "http/life.rs"]
mod life;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/logins.rs"]
mod logins;
#[path = "http/messages.rs"]
mod messages;
#[path = "http/metrics.rs"]
mod metrics;
#[path = "http/overlaps.rs"]
mod overlaps;
#[path = "http/own_certificates.rs"]
mod own_certificates;
#[path = "http/page.rs"]
mod page;
#[path = "http/page_crowd.rs"]
mod page_crowd;
#[path = "http/page_facts.rs"]
mod page_facts;
#[path = "http/page_seen.rs"]
mod page_seen;
#[path = "http/query.rs"]
mod query;
#[path = "http/readers.rs"]
mod readers;
#[path = "http/reading.rs"]
mod reading;
#[path = "http/rehearse.rs"]
mod rehearse;
#[path = "http/resources.rs"]
mod resources;
#[path = "http/restart.rs"]
mod restart;
#[path = "http/roles.rs"]
mod roles;
#[path = "http/routes.rs"]
mod routes;
#[path = "http/sdk.rs"]
mod sdk;
#[path = "http/settings_drift.rs"]
mod settings_drift;
#[path = "http/special.rs"]
mod special;
#[path = "http/splits.rs"]
mod splits;
#[path = "http/standby.rs"]
mod standby;
#[path = "http/strangers.rs"]
mod strangers;
#[path = "http/takeover.rs"]
mod takeover;
#[path = "http/tls.rs"]
mod tls;
#[path = "http/together.rs"]
mod together;
#[path = "http/transcript.rs"]
mod transcript;
#[path = "http/transition.rs"]
pub mod transition;
#[path = "http/transition_calls.rs"]
mod transition_calls;
#[path = "http/trial.rs"]
mod trial;
#[path = "http/unknown.rs"]
mod unknown;
#[path = "http/warnings.rs"]
mod warnings;
#[path = "http/whole.rs"]
mod whole;
#[path = "http/zones.rs"]
mod zones;
