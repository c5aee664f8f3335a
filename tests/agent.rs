//! Everything that an agent does between its clients and a fake charon: `cygnet serve` and the other subcommands as
//! processes of their own. One program, so that what the tests share compiles once, and what waits does so side by side.
//! Nothing here changes or measures this process itself, for all tests run in it.

/// Tests begin in the order of their names. This one takes longest and has one client, so it begins first.
#[path = "openapi/generated.rs"]
mod api_requests;
#[path = "support/browser.rs"]
mod browser;
#[path = "support/certificates.rs"]
mod certificates;
mod cli;
#[path = "support/http.rs"]
#[allow(dead_code, reason = "the lab uses the rest of it")]
mod client;
#[path = "support/connections.rs"]
mod connections;
mod crash;
mod doctor;
#[path = "support/executables.rs"]
mod executables;
#[path = "support/fake_charon.rs"]
mod fake_charon;
mod faults;
mod http;
#[path = "support/odd_cas.rs"]
mod odd_cas;
mod openapi;
mod plan;
mod secrets;
#[path = "support/serve.rs"]
mod serve;
#[path = "support/skip.rs"]
mod skip;
#[path = "support/stream.rs"]
mod stream;
#[path = "support/tracer.rs"]
mod tracer;
