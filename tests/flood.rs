//! Bodies and connections that are meant to fill the memory and the places of `cygnet serve`. A test binary of its own: what it sends would keep the
//! fake charons of other tests from answering in time.

#[path = "flood/bodies.rs"]
mod bodies;
#[path = "support/http.rs"]
#[allow(dead_code, reason = "this test binary uses a part of it")]
mod client;
#[path = "flood/crowds.rs"]
mod crowds;
#[path = "support/fake_charon.rs"]
mod fake_charon;
#[path = "support/serve.rs"]
mod serve;
