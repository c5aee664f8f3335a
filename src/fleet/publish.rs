//! Statuses: what the agent says of each connection goes to etcd under the gateway's lease. Of a pair only the node that has
//! the address says something.

use super::{
    agent::Failure,
    board::{self, Dirty, Outcome},
    etcd::TXN,
    follower::{Follower, Session},
    names,
};
use cygnet::ipsec::ConnectionId;
use etcd_client::{Compare, CompareOp, PutOptions, TxnOp};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// How often all is looked at, whatever is heard: reasons and conditions change without an event. Where a look takes long,
/// as with ten thousand connections, at most this part of the time is spent on it.
const LOOK: Duration = Duration::from_secs(5);
const PART: u32 = 20;
/// How many connections are asked for one by one.
const FEW: usize = 16;
/// The wait for an agent that is away, and for etcd.
const AGAIN: Duration = Duration::from_secs(1);

/// What is published: the bytes by the key's last part.
type Statuses = BTreeMap<String, Vec<u8>>;

/// Hears the agent's events, session by session: who looks at the gateway sees by it whether etcd is followed.
pub async fn listen(follower: Arc<Follower>) {
    let mut sessions = follower.session.subscribe();
    // The sender lives as long as the follower.
    while sessions.wait_for(Option::is_some).await.is_ok() {
        tokio::select! {
            () = hear(&follower) => sleep(AGAIN).await,
            _ = sessions.changed() => {}
        }
    }
}

/// Has the publisher look at what the events are about, until the agent ends them.
async fn hear(follower: &Follower) {
    let Ok(mut events) = follower.agent.events(&follower.gateway).await else { return };
    // What happened before this stream.
    follower.board.mark(None);
    follower.board.freed.notify_waiters();
    while let Some(event) = events.next().await {
        // What was refused may be possible now.
        if event["event"] == "charon_back" {
            follower.board.freed.notify_waiters();
        }
        follower.board.mark(event["uuid"].as_str().and_then(|uuid| uuid.parse().ok()));
    }
    follower.board.mark(None);
}

/// Publishes, session by session.
pub async fn run(follower: Arc<Follower>) {
    let mut sessions = follower.session.subscribe();
    loop {
        // The sender lives as long as the follower.
        let Ok(session) = sessions.wait_for(Option::is_some).await.map(|session| session.clone()) else { return };
        let Some(session) = session else { continue };
        follower.board.mark(None);
        tokio::select! {
            () = publish(&follower, session) => sleep(AGAIN).await,
            _ = sessions.changed() => {}
        }
    }
}

/// Publishes in one session, until etcd refuses.
async fn publish(follower: &Follower, mut session: Session) {
    let (mut published, mut pause, mut looked) = (Statuses::new(), LOOK, Instant::now());
    loop {
        if timeout(pause.saturating_sub(looked.elapsed()), follower.board.changed.notified()).await.is_err() {
            follower.board.mark(None);
        }
        let began = Instant::now();
        let lost = std::mem::take(&mut *follower.lost.lock().unwrap_or_else(PoisonError::into_inner));
        published.retain(|part, _| !lost.contains(part));
        let dirty = follower.board.dirty();
        let (mut wanted, complete) = wanted(follower, &dirty).await;
        let ops = differences(&published, &mut wanted, complete);
        for group in ops.chunks(TXN) {
            if let Err(why) = write(follower, &mut session, group).await {
                tracing::warn!("statuses are not published: {why}");
                return;
            }
            for (part, status) in group {
                match status {
                    Some(status) => drop(published.insert(part.clone(), status.clone())),
                    None => drop(published.remove(part)),
                }
            }
        }
        if complete {
            looked = Instant::now();
            pause = LOOK.max(looked.duration_since(began) * PART);
        }
    }
}

/// What changes: statuses to be written, and those to be taken back.
fn differences(
    published: &Statuses,
    wanted: &mut BTreeMap<String, Option<Vec<u8>>>,
    is_complete: bool,
) -> Vec<(String, Option<Vec<u8>>)> {
    if is_complete {
        for part in published.keys() {
            wanted.entry(part.clone()).or_insert(None);
        }
    }
    let differs = |(part, status): &(&String, &Option<Vec<u8>>)| published.get(*part) != status.as_ref();
    wanted.iter().filter(differs).map(|(part, status)| (part.clone(), status.clone())).collect()
}

/// Writes statuses in one transaction. One that is taken back is deleted only if it is still under this lease: the other
/// node of a pair may have written its own.
async fn write(follower: &Follower, session: &mut Session, group: &[(String, Option<Vec<u8>>)]) -> Result<(), String> {
    let (etcd, lease) = (&mut session.etcd, session.lease);
    let key = |part: &str| names::status(&follower.gateway, part);
    let puts: Vec<_> = group
        .iter()
        .filter_map(|(part, status)| {
            let options = PutOptions::new().with_lease(lease);
            Some(TxnOp::put(key(part), status.clone()?, Some(options)))
        })
        .collect();
    if !puts.is_empty() {
        etcd.txn(Vec::new(), puts).await.map_err(|error| etcd.failed(&error).text)?;
    }
    for (part, _) in group.iter().filter(|(_, status)| status.is_none()) {
        let own = Compare::lease(key(part), CompareOp::Equal, lease);
        let gone = etcd.txn(vec![own], vec![TxnOp::delete(key(part), None)]).await;
        gone.map_err(|error| etcd.failed(&error).text)?;
    }
    Ok(())
}

/// The statuses of what is dirty, by the key's last part, `None` for what has none; and whether these are all.
async fn wanted(follower: &Follower, dirty: &Dirty) -> (BTreeMap<String, Option<Vec<u8>>>, bool) {
    let some = match dirty {
        Dirty::Some(some) if some.len() <= FEW => some,
        _ => return (all(follower).await, true),
    };
    let mut wanted = BTreeMap::new();
    for id in some {
        let view = follower.agent.list(&format!("/cygnet/v1/connections?q=uuid={id}")).await;
        let status = match view {
            Ok(mut views) => of(follower, *id, views.pop().as_ref()).await,
            Err(failure) => away(follower, *id, &failure),
        };
        wanted.insert(id.to_string(), status);
    }
    (wanted, false)
}

/// All statuses.
async fn all(follower: &Follower) -> BTreeMap<String, Option<Vec<u8>>> {
    let (known, strays) = follower.board.all();
    let mut wanted = BTreeMap::new();
    match follower.agent.list("/cygnet/v1/connections").await {
        Ok(views) => {
            let uuid = |view: &Value| view["inventory"]["uuid"].as_str()?.parse::<ConnectionId>().ok();
            let views: BTreeMap<_, _> = views.iter().filter_map(|view| Some((uuid(view)?, view))).collect();
            let ids: BTreeSet<_> = known.iter().chain(views.keys()).collect();
            for id in ids {
                wanted.insert(id.to_string(), of(follower, *id, views.get(id).copied()).await);
            }
        }
        Err(failure) => {
            for id in known {
                wanted.insert(id.to_string(), away(follower, id, &failure));
            }
        }
    }
    for (part, revision) in strays {
        let error = board::stray(&part);
        let outcome = Outcome { revision, generation: 0, error: Some(error) };
        wanted.insert(part, Some(status(Some(&outcome), &Value::Null)));
    }
    wanted
}

/// The status of a connection that the agent shows as `view`; none where another node is to report it.
async fn of(follower: &Follower, id: ConnectionId, view: Option<&Value>) -> Option<Vec<u8>> {
    let outcome = follower.board.outcome(id);
    match view {
        Some(view) if view["vip"]["role"] == "standby" => None,
        Some(view) => {
            // A spec that is on its way to the agent for the first time.
            if outcome.is_none() && follower.board.knows(id) {
                return None;
            }
            Some(status(outcome.as_ref(), view))
        }
        None => {
            let refused = outcome.filter(|outcome| outcome.error.is_some())?;
            // The agent has nothing to tell its role for this connection by.
            let role = follower.agent.role().await.ok().flatten();
            (role.as_deref() != Some("standby")).then(|| status(Some(&refused), &Value::Null))
        }
    }
}

/// The status while the agent does not answer.
fn away(follower: &Follower, id: ConnectionId, failure: &Failure) -> Option<Vec<u8>> {
    let mut outcome = follower.board.outcome(id)?;
    outcome.error = Some(match failure {
        Failure::Away(why) => json!({ "details": why }),
        Failure::Refused(error) => error.clone(),
    });
    Some(status(Some(&outcome), &Value::Null))
}

/// A status. A connection that no spec names is foreign, and has the revision 0.
fn status(outcome: Option<&Outcome>, view: &Value) -> Vec<u8> {
    let mut status = json!({
        "revision": outcome.map_or(0, |outcome| outcome.revision),
        "generation": outcome.map_or(0, |outcome| outcome.generation),
        "status": view["inventory"]["status"],
        "condition": view["condition"],
        "reason": view["reason"],
        "as_wanted": view["as_wanted"],
        "error": outcome.and_then(|outcome| outcome.error.as_ref()),
    });
    if outcome.is_none() {
        status["foreign"] = true.into();
        status["name"] = view["inventory"]["name"].clone();
    }
    status.to_string().into_bytes()
}
