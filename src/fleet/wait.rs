//! Waiting for what a gateway says of a revision.

use super::{
    names,
    state::{State, why},
    stop::{Code, Result, Stop},
    write::{Plane, Target},
};
use etcd_client::KeyValue;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The first and the longest pause between two looks.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// What came of a write.
pub enum Verdict {
    /// It is as wanted.
    Well,
    /// It is not, and why.
    Bad(String),
}

/// A duration such as `30s`.
pub fn time(text: &str) -> Result<Duration> {
    let wrong = || Stop::failed(format!("{text:?} is not a duration such as 30s or 2m"));
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}

/// Waits until the gateway has taken `revision` and, if `must_be_up`, the tunnel is up.
pub async fn settled(
    plane: &mut Plane,
    target: &Target,
    revision: i64,
    is_disabled: bool,
    must_be_up: bool,
    within: Duration,
) -> Result<Verdict> {
    let (end, mut pause) = (Instant::now() + within, LOOK.0);
    loop {
        let status = status(plane, target).await?;
        let state = State::of(revision, is_disabled, status.as_ref());
        match state {
            State::Ready | State::Disabled => return Ok(Verdict::Well),
            State::Down if !must_be_up => return Ok(Verdict::Well),
            State::Refused => return Ok(Verdict::Bad(format!("refused: {}", why(state, status.as_ref())))),
            _ => {}
        }
        if Instant::now() >= end {
            let text = match state {
                State::Unknown => "the gateway says nothing: its follower is away, or cannot reach etcd".to_owned(),
                State::Pending => "the gateway has not taken the spec yet".to_owned(),
                _ => format!("not up: {}", why(state, status.as_ref())),
            };
            return Ok(Verdict::Bad(text));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK.1);
    }
}

/// Waits until the gateway has deleted the connection: its status goes with it.
pub async fn deleted(plane: &mut Plane, target: &Target, within: Duration) -> Result<()> {
    let (end, mut pause) = (Instant::now() + within, LOOK.0);
    while let Some(status) = status(plane, target).await? {
        if Instant::now() >= end {
            let text = format!("{target}: the spec is deleted, and the gateway still has the connection");
            let error = why(State::Refused, Some(&status));
            return Err(Stop::new(Code::NotUp, format!("{text}: {error}")));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK.1);
    }
    Ok(())
}

async fn status(plane: &mut Plane, target: &Target) -> Result<Option<Value>> {
    let key = names::status(&target.gateway, &target.uuid);
    let stored = plane.etcd.get(&key).await?;
    Ok(stored.as_ref().map(KeyValue::value).and_then(|bytes| serde_json::from_slice(bytes).ok()))
}
