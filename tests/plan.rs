//! `POST /cygnet/v1/connections/{uuid}/plan`: the impact class, the differences and the warnings that a change would
//! have, told without doing anything; and that the class `none` is true exactly when charon hears nothing of the change.

#[path = "properties/generate.rs"]
#[allow(dead_code, reason = "this test binary uses a part of it")]
mod generate;
#[path = "plan/impacts.rs"]
mod impacts;
#[path = "plan/property.rs"]
mod property;
#[path = "plan/refusals.rs"]
mod refusals;
#[path = "plan/silence.rs"]
mod silence;

use crate::{
    client::Response,
    serve::{Bench, params, uuid, wait_until},
};
use serde_json::{Value, json};
use std::fs;

/// An agent with the connection 7, which is up.
fn bench() -> Bench {
    let b = Bench::start();
    b.charon.establish(true);
    b.create(&params(7, &json!({}))).expect(200);
    wait_until("it is up", || (b.inventory(&uuid(7))["status"] == "Ready").then_some(()));
    proven(&b);
    // The event is the last that comes of it: what is asked before is answered without it.
    let told = || b.ask("GET", &format!("/cygnet/v1/connections/{}", uuid(7)), b"").json()["availability"].clone();
    wait_until("that it is up is told", || (told()["changes"][0]["event"] == "up").then_some(()));
    b
}

/// Waits until it is stored that nothing older runs: until then the record is still to be written once more.
fn proven(b: &Bench) {
    let stored = || fs::read_to_string(b.record(&uuid(7))).is_ok_and(|text| !text.contains("\"unproven\""));
    wait_until("that it runs is stored", || stored().then_some(()));
}

/// The answer to planning the change of the connection `n`.
fn ask(b: &Bench, n: u8, change: &Value) -> Response {
    let path = format!("/cygnet/v1/connections/{}/plan", uuid(n));
    b.ask("POST", &path, json!({ "changeIPsecConnection": change }).to_string().as_bytes())
}
