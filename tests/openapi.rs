//! What `GET /openapi.json` says is what is served: the document is held against the router, against the tables of the
//! model, and, by requests that are generated from it, against the running agent with a fake charon behind it.

#[path = "openapi/document.rs"]
mod document;
#[path = "openapi/generated.rs"]
mod generated;
#[path = "openapi/routes.rs"]
mod routes;
#[path = "openapi/tables.rs"]
mod tables;
