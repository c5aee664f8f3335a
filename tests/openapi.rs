//! What `GET /openapi.json` says is what is served: the document is held against the router and against the tables of
//! the model. `api_requests` holds it against the running agent, by requests that are generated from it.

#[path = "openapi/document.rs"]
mod document;
#[path = "openapi/routes.rs"]
mod routes;
#[path = "openapi/tables.rs"]
mod tables;
