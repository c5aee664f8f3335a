//! The vici client against a fake charon on a real socket: what it sends, what it makes of answers, and what it does
//! when charon is slow, silent, gone or hostile. Nothing here sleeps; the only time that passes is a missed deadline.

#[path = "vici/believable.rs"]
mod believable;
#[path = "vici/commands.rs"]
mod commands;
#[path = "vici/events.rs"]
mod events;
#[path = "vici/failures.rs"]
mod failures;
#[path = "vici/links.rs"]
mod links;

use crate::fake_charon::FakeCharon;
use cygnet::{
    error::Error,
    ipsec::Connection,
    strongswan::{
        conf::{self, Traps},
        requests::{self, Request},
        section::Section,
        vici::Vici,
    },
};
use std::{future::Future, time::Duration};
use tempfile::TempDir;

/// A deadline that no test reaches.
const AMPLE: Duration = Duration::from_secs(20);
/// A deadline that is to be missed.
const SHORT: Duration = Duration::from_millis(500);

/// A fake charon in its directory, and our client.
struct Bench {
    charon: FakeCharon,
    vici: Vici,
    _directory: TempDir,
}

fn bench(deadline: Duration) -> Bench {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let charon = FakeCharon::start(&directory.path().join("charon.vici"));
    let vici = Vici::new(charon.path(), deadline);
    Bench { charon, vici, _directory: directory }
}

/// The requests that load `connection`: the secret, then the connection.
fn requests(connection: &Connection) -> Vec<Request> {
    let text = conf::render(connection, Traps::Supported).expect("renders");
    requests::load(&conf::parse(text.expose()).expect("parses"), &[]).expect("a plan")
}

/// A `list-sa` message of one SA that bears `name`.
fn sa(name: &str, id: u32) -> Section {
    let sa = Section::new().with("uniqueid", id.to_string()).with("version", "2").with("state", "ESTABLISHED");
    Section::new().with(name, sa)
}

/// Fails the test where a call hangs: nothing here may take longer than `AMPLE`.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(AMPLE, future).await.expect("it hangs")
}

/// Whether charon was not reached, as opposed to having refused.
fn is_unreachable<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Unreachable { .. }))
}
