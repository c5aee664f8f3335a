//! What `GET /openapi.json` says is what is served: the document is held against the router, against the tables of the
//! model, and, by requests that are generated from it, against the running agent with a fake charon behind it.

#[path = "support/http.rs"]
#[allow(dead_code, reason = "this test binary uses a part of it")]
mod client;
#[path = "openapi/document.rs"]
mod document;
#[path = "support/fake_charon.rs"]
mod fake_charon;
#[path = "openapi/generated.rs"]
mod generated;
#[path = "openapi/routes.rs"]
mod routes;
#[path = "support/serve.rs"]
mod serve;
#[path = "support/skip.rs"]
mod skip;
#[path = "openapi/tables.rs"]
mod tables;
