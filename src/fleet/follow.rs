//! `cygnet-fleet follow`: what is wanted in etcd comes to the agent. The agent's files stay what tunnels depend on: without
//! etcd nothing is asked of the agent, and nothing happens.

use super::{
    agent::{self, Failure, text},
    board::{Goal, Wish},
    config::Config,
    etcd::{Etcd, LONGEST},
    follower::{Follower, Session},
    names, publish,
    stop::{Result, Stop},
    vault::Place,
};
use cygnet::{
    http::fleet::{MARK, mark},
    ipsec::ConnectionId,
};
use etcd_client::{Error, EventType, WatchFilterType, WatchOptions, WatchResponse};
use serde_json::{Map, Value, json};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

/// The first and the longest wait for etcd, and for the agent.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// The same for a spec that the agent refuses.
const REFUSED: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));
/// How long a clean end may take.
const ENDING: Duration = Duration::from_secs(2);

/// Follows until the process is asked to end.
pub async fn run(config: Config) -> Result<()> {
    let follower = Arc::new(Follower::new(config)?);
    let signal = |kind| tokio::signal::unix::signal(kind).map_err(Stop::failed);
    let (mut term, mut int) =
        (signal(tokio::signal::unix::SignalKind::terminate())?, signal(tokio::signal::unix::SignalKind::interrupt())?);
    // Without systemd nobody is told.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tokio::spawn(publish::run(Arc::clone(&follower)));
    tokio::spawn(publish::listen(Arc::clone(&follower)));
    tokio::select! {
        () = Arc::clone(&follower).keep_following() => {}
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    let session = follower.session.borrow().clone();
    if let Some(Session { etcd, lease }) = session {
        // Nobody reports for this gateway any more. If etcd is away, the lease runs out.
        let _ = timeout(ENDING, etcd.client.lease_client().revoke(lease)).await;
    }
    Ok(())
}

impl Follower {
    /// One session with etcd after the other.
    async fn keep_following(self: Arc<Self>) {
        let mut pause = AGAIN.0;
        loop {
            let began = Instant::now();
            let why = match self.follow().await {
                Ok(why) => why,
                Err(stop) => stop.text,
            };
            self.session.send_replace(None);
            if began.elapsed() > AGAIN.1 {
                pause = AGAIN.0;
            }
            tracing::warn!("etcd cannot be followed; tunnels stay as they are: {why}");
            sleep(pause + jitter(pause)).await;
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    /// One session; why it ended.
    async fn follow(self: &Arc<Self>) -> Result<String> {
        let mut etcd = Etcd::connect(&self.config).await?;
        let ttl = i64::try_from(self.config.lease.as_secs()).unwrap_or(i64::MAX);
        let granted = etcd.client.lease_client().grant(ttl, None).await.map_err(|error| etcd.failed(&error))?;
        // etcd may give more than was asked for.
        let (lease, ttl) = (granted.id(), Duration::from_secs(granted.ttl().max(1).unsigned_abs()));
        let listing = etcd.list(&names::specs(&self.gateway), false).await?;
        let (count, revision) = (listing.keys.len(), listing.revision);
        tracing::info!("follows {} at {}: {count} specs at revision {revision}", self.gateway, etcd.endpoint);
        let fresh = self.board.replace(&self.gateway, listing.keys, revision);
        for id in fresh {
            self.start(id);
        }
        self.session.send_replace(Some(Session { etcd: etcd.clone(), lease }));
        tokio::select! {
            ended = self.watch(&etcd, revision) => ended,
            ended = keep_alive(&etcd, lease, ttl) => Ok(ended),
            () = Arc::clone(self).sweep() => Ok("the agent is not asked any more".into()),
        }
    }

    /// Follows the specs from `revision` on, and the statuses that vanish; why it ended.
    async fn watch(self: &Arc<Self>, etcd: &Etcd, revision: i64) -> Result<String> {
        let failed = |error: Error| etcd.failed(&error);
        let options = |prefix: &str| {
            let range = WatchOptions::new().with_range(names::end_of(prefix));
            range.with_start_revision(revision + 1).with_fragment()
        };
        let (specs, statuses) = (names::specs(&self.gateway), names::statuses(&self.gateway));
        let mut client = etcd.client.watch_client().max_decoding_message_size(LONGEST);
        let mut wishes = client.watch(specs.clone(), Some(options(&specs))).await.map_err(failed)?;
        let gone = options(&statuses).with_filters([WatchFilterType::NoPut]);
        let mut reports = client.watch(statuses, Some(gone)).await.map_err(failed)?;
        loop {
            tokio::select! {
                answer = wishes.message() => match ended(answer.map_err(failed)?) {
                    Ok(answer) => self.take(&answer),
                    Err(why) => return Ok(why),
                },
                answer = reports.message() => match ended(answer.map_err(failed)?) {
                    Ok(answer) => self.vanished(&answer),
                    Err(why) => return Ok(why),
                },
            }
        }
    }

    fn take(self: &Arc<Self>, answer: &WatchResponse) {
        for event in answer.events() {
            let Some(key) = event.kv() else { continue };
            let fresh = match event.event_type() {
                EventType::Put => self.board.put(&self.gateway, key.clone()),
                EventType::Delete => self.board.delete(&self.gateway, key),
            };
            if let Some(id) = fresh {
                self.start(id);
            }
        }
    }

    /// Statuses that vanished, of whichever node of a pair: what this one is to publish, it publishes again.
    fn vanished(&self, answer: &WatchResponse) {
        let keys = answer.events().iter().filter_map(|event| names::split(event.kv()?.key()));
        let parts: Vec<_> = keys.map(|(_, _, part)| part.to_owned()).collect();
        if !parts.is_empty() {
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).extend(parts);
            self.board.mark(None);
        }
    }

    /// Deletes what this follower brought once and no spec names, and says what else the agent has. Done when the agent
    /// has answered once; it never ends, so that the session goes on.
    async fn sweep(self: Arc<Self>) {
        let mut pause = AGAIN.0;
        let all = loop {
            match self.agent.list("/cygnet/v1/export").await {
                Ok(all) => break all,
                Err(failure) => tracing::warn!("the agent cannot be asked what it has: {}", said(&failure)),
            }
            sleep(pause).await;
            pause = (pause * 2).min(AGAIN.1);
        };
        let (known, _) = self.board.all();
        for connection in all {
            let Some(id) = connection["uuid"].as_str().and_then(|uuid| uuid.parse::<ConnectionId>().ok()) else {
                continue;
            };
            if self.mark_of(&connection).is_some() {
                if self.board.sweep(id) {
                    self.start(id);
                }
            } else if !known.contains(&id) {
                let name = connection["name"].as_str().unwrap_or_default();
                tracing::info!("the connection {name} ({id}) is not from etcd: it stays");
            }
        }
        std::future::pending::<()>().await;
    }

    /// The revision with which this gateway's follower brought a connection.
    fn mark_of(&self, connection: &Value) -> Option<i64> {
        let tags = connection["userTags"].as_array()?.iter().filter_map(Value::as_str);
        tags.filter_map(mark).find_map(|(gateway, revision)| (gateway == self.gateway).then_some(revision))
    }

    fn start(self: &Arc<Self>, id: ConnectionId) {
        tokio::spawn(Arc::clone(self).work(id));
    }

    /// Brings a connection to the agent until it is as wanted.
    async fn work(self: Arc<Self>, id: ConnectionId) {
        let (mut away, mut refused) = (AGAIN.0, REFUSED.0);
        while let Some((goal, news)) = self.board.next(id) {
            // The semaphore is never closed.
            let Ok(permit) = self.permits.acquire().await else { return };
            let outcome = self.bring(id, &goal).await;
            drop(permit);
            match outcome {
                Ok(()) => {
                    self.board.done(id, &goal, None);
                    self.board.freed.notify_waiters();
                    (away, refused) = (AGAIN.0, REFUSED.0);
                }
                Err(Failure::Away(why)) => {
                    tracing::warn!("{id} waits for the agent: {why}");
                    self.board.done(id, &goal, Some(json!({ "details": why })));
                    wait(&news, None, away).await;
                    away = (away * 2).min(AGAIN.1);
                }
                Err(Failure::Refused(error)) => {
                    let revision = goal.revision();
                    tracing::warn!("{id}: revision {revision} is refused, the tunnel stays as it is: {}", text(&error));
                    self.board.done(id, &goal, Some(error));
                    wait(&news, Some(&self.board.freed), refused).await;
                    refused = (refused * 2).min(REFUSED.1);
                }
            }
        }
    }

    async fn bring(&self, id: ConnectionId, goal: &Goal) -> Result<(), Failure> {
        let uuid = id.to_string();
        match goal {
            Goal::Be(wish) => {
                let refuse = |why: String| Failure::Refused(json!({ "details": why }));
                let spec = self.opened(&uuid, wish).map_err(refuse)?;
                self.agent.put(&uuid, spec).await
            }
            Goal::Gone(revision) => self.remove(&uuid, *revision).await,
        }
    }

    /// What the agent is told for a spec.
    fn opened(&self, uuid: &str, wish: &Wish) -> Result<Map<String, Value>, String> {
        let mut spec = agent::parse(&wish.bytes)?;
        let place = Place { gateway: &self.gateway, part: uuid };
        self.keys.open(place, &mut spec, self.config.allow_unsealed)?;
        // The spec is all that counts: what it leaves out is not kept from before.
        for (name, value) in [("state", json!("Enabled")), ("systemTags", json!([])), ("userTags", json!([]))] {
            let member = spec.entry(name).or_insert(Value::Null);
            if member.is_null() {
                *member = value;
            }
        }
        if let Some(Value::Array(tags)) = spec.get_mut("userTags") {
            tags.retain(|tag| tag.as_str().is_none_or(|tag| !tag.starts_with(MARK)));
            tags.push(format!("{MARK}{}::{}", self.gateway, wish.revision).into());
        }
        Ok(spec)
    }

    /// Deletes a connection, if this follower brought it.
    async fn remove(&self, uuid: &str, revision: i64) -> Result<(), Failure> {
        let found = self.agent.list(&format!("/cygnet/v1/export?q=uuid={uuid}")).await?;
        let Some(connection) = found.first() else { return Ok(()) };
        match self.mark_of(connection) {
            None => tracing::warn!("{uuid} has no spec any more, and was not brought from etcd: it stays"),
            // An etcd that was made anew, or from an old backup, knows nothing of what came later.
            Some(brought) if brought > revision => tracing::error!(
                "{uuid} stays: etcd is at revision {revision}, and revision {brought} brought it, so etcd has lost data"
            ),
            Some(_) => {
                self.agent.delete(uuid).await?;
                tracing::info!("{uuid} has no spec any more: it is deleted");
            }
        }
        Ok(())
    }
}

/// Renews the lease until etcd does not answer in time; why it ended.
async fn keep_alive(etcd: &Etcd, lease: i64, ttl: Duration) -> String {
    let renewed = async {
        let (mut keeper, mut answers) = etcd.client.lease_client().keep_alive(lease).await?;
        loop {
            sleep(ttl / 3).await;
            keeper.keep_alive().await?;
            match timeout(ttl, answers.message()).await {
                Ok(Ok(Some(answer))) if answer.ttl() > 0 => {}
                Ok(Ok(Some(_))) => return Ok("the lease has run out".to_owned()),
                Ok(Ok(None)) => return Ok("etcd ends the renewal of the lease".to_owned()),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok("etcd does not renew the lease in time".to_owned()),
            }
        }
    };
    renewed.await.unwrap_or_else(|error: Error| etcd.failed(&error).text)
}

/// The answer of a watch, or why the watch is over.
fn ended(answer: Option<WatchResponse>) -> Result<WatchResponse, String> {
    match answer {
        None => Err("etcd ends the watch".into()),
        Some(answer) if answer.compact_revision() > 0 => {
            Err(format!("etcd is compacted up to revision {}: all specs are read anew", answer.compact_revision()))
        }
        Some(answer) if answer.canceled() => Err(format!("etcd cancels the watch: {}", answer.cancel_reason())),
        Some(answer) => Ok(answer),
    }
}

/// Waits for `pause`, or until the goal is another one, or what was in the way may be gone.
async fn wait(news: &Notify, freed: Option<&Notify>, pause: Duration) {
    let freed = async {
        match freed {
            Some(freed) => freed.notified().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = news.notified() => {}
        () = freed => {}
        () = sleep(pause) => {}
    }
}

/// Up to a third of `pause`, so that a hundred gateways do not come back in one moment.
fn jitter(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random bytes there is no jitter.
    let _ = getrandom::fill(&mut byte);
    pause * u32::from(byte[0]) / 768
}

fn said(failure: &Failure) -> String {
    match failure {
        Failure::Away(why) => why.clone(),
        Failure::Refused(error) => text(error),
    }
}
