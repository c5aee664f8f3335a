//! Calls that few tests need, beside those of [`Pair`]: how a change is to be done, our own view, readiness. It may not
//! look into the agent.

use serde_json::{Value, json};

use crate::pair::{Pair, for_side};
use crate::support::agent::Agent;
use crate::support::http::Response;
use crate::support::lab::Side;

/// Changes one end with query parameters such as `immediate=true`.
#[track_caller]
pub fn change_how(pair: &Pair, side: Side, options: &Value, how: &str) -> Response {
    let (uuid, body) = (pair.uuid(side), json!({ "changeIPsecConnection": for_side(side, options) }));
    pair.agent(side).request("PUT", &format!("/zstack/v1/ipsec/config/{uuid}?{how}"), Some(&body))
}

/// Our own view of the connection: what is wanted and what runs.
#[track_caller]
pub fn native(pair: &Pair, side: Side) -> Value {
    pair.agent(side).request("GET", &format!("/cygnet/v1/connections/{}", pair.uuid(side)), None).expect(200).json()
}

/// What `cygnet` prints on this side in so many columns.
pub fn cygnet(pair: &Pair, side: Side, columns: usize, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(crate::support::agent::binary());
    command.args(arguments).arg("--config").arg(pair.agent(side).config()).env("COLUMNS", columns.to_string());
    String::from_utf8_lossy(&command.output().expect("cygnet runs").stdout).into_owned()
}

/// The whole inventory.
#[track_caller]
pub fn inventory(pair: &Pair, side: Side) -> Value {
    pair.agent(side).get(pair.uuid(side)).expect(200).json()["inventories"][0].clone()
}

/// Why the agent is not ready; `None` when it is.
#[track_caller]
pub fn not_ready(agent: &Agent) -> Option<String> {
    let answer = agent.request("GET", "/readyz", None);
    match answer.status {
        200 => None,
        503 => Some(answer.json()["why"].as_str().expect("a reason").to_owned()),
        other => panic!("{other}: {}", answer.text()),
    }
}

/// How often the connection was put back, and what of it the last time.
#[track_caller]
pub fn drift(pair: &Pair, side: Side) -> (u64, String) {
    let drift = &native(pair, side)["drift"];
    (drift["count"].as_u64().unwrap_or(0), drift["put_back"].to_string())
}

/// Whether an IKE SA with this initiator SPI is among those of the connection.
#[track_caller]
pub fn has_ike(pair: &Pair, side: Side, spi: &str) -> bool {
    pair.ike_sas(side).iter().any(|sa| sa["initiator-spi"] == spi)
}
