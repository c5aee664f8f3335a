//! A kill at every file system call, and at every message to charon, of each write call, and of a start that has
//! something to repair. Then the agent is started again, and must have exactly the old or exactly the new connection,
//! the same in its store, in conf.d and in (a fake) charon, which lives on; a call that was answered is the one that is
//! there; nothing half lies about.

#[path = "crash/calls.rs"]
mod calls;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/http.rs"]
#[allow(dead_code, reason = "this test binary uses a part of it")]
mod client;
#[path = "support/fake_charon.rs"]
mod fake_charon;
#[path = "crash/kills.rs"]
mod kills;
#[path = "support/serve.rs"]
mod serve;
#[path = "support/skip.rs"]
mod skip;
#[path = "crash/starts.rs"]
mod starts;
#[path = "crash/together.rs"]
mod together;
#[path = "support/tracer.rs"]
mod tracer;
