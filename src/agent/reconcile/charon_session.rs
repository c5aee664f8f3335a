//! A session with charon: connect, subscribe, make charon and conf.d equal to the store, then follow the events. When the
//! stream ends or charon stops answering, a new session starts. Events are hints: after each, the SAs are listed again.
//! A periodic resync finds what no event reports.

use crate::{
    agent::{
        Agent, CharonLink,
        observe::events::EventKind,
        reconcile::{
            resync::{SAMPLE, SWEEP},
            sa_planner::Rekeying,
        },
    },
    error::{Error, Result},
    ipsec::ConnectionId,
    strongswan::{Charon, Events, names, observe::child_sas, section::Section, vici::Notice},
};
use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// The first wait between attempts to reach charon; each next one is twice as long.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// The longest of these waits.
const RETRY_MOST: Duration = Duration::from_secs(2);
/// How often charon is asked whether it is there: a stopped process closes no socket.
const BEAT: Duration = Duration::from_secs(2);

/// By how many seconds the remaining lifetime of a new SA may differ from the configured one.
const LIFETIME_SLACK: u32 = 2;

impl Agent {
    /// One session, from connecting to the end of the event stream.
    async fn follow(self: &Arc<Self>) -> Result<()> {
        self.strongswan.begin_anew();
        self.forget_traces();
        self.tell_all();
        self.reconciler.queue().begin_anew();
        let (mut events, charon) = self.while_there(self.begun()).await?;
        tracing::info!(version = %charon.version, "charon has loaded the stored connections (strongSwan {})", charon.version);
        self.reconciler.link_is_up(charon);
        self.observer.events().publish(None, EventKind::CharonBack);
        // Deferred work: a change that waits for its SAs, a step that failed.
        self.reconciler.enqueue_deferred();
        self.while_there(self.heed(&mut events)).await
    }

    /// Subscribes, reads charon's version and abilities, and makes it equal to the store.
    async fn begun(self: &Arc<Self>) -> Result<(Events, Arc<Charon>)> {
        let events = self.strongswan.events().await?;
        let charon = Arc::new(self.strongswan.probe().await?);
        self.synchronise(&charon).await?;
        Ok((events, charon))
    }

    /// Runs `work` until it ends or charon does not answer `version`; other requests without an answer do not end it.
    async fn while_there<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            error = self.unanswered() => Err(error),
        }
    }

    /// Probes charon periodically until it does not answer.
    async fn unanswered(&self) -> Error {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beat.tick() => {}
                () = self.reconciler.suspected() => {}
            }
            if let Err(error) = self.strongswan.ping().await {
                return error;
            }
            self.reconciler.heartbeat().watch_ticked();
        }
    }

    /// Handles charon's events until their end, with a periodic resync.
    async fn heed(&self, events: &mut Events) -> Result<()> {
        let mut looks =
            pin!(async { tokio::join!(self.sweeps(), self.samples(), self.follow_networks(), self.follow_names()) });
        loop {
            tokio::select! {
                notice = self.strongswan.next(events) => match notice {
                    Some(Notice::Event(name, message)) => self.happened(&name, &message),
                    Some(Notice::Line(line)) => self.on_log_line(&line),
                    Some(Notice::Lagged) => {
                        self.tell_all();
                        self.enqueue_all();
                    }
                    None => return Ok(()),
                },
                _ = &mut looks => return Ok(()),
            }
        }
    }

    async fn sweeps(&self) {
        loop {
            sleep(self.pause(SWEEP)).await;
            self.record_looked(self.sweep().await);
        }
    }

    async fn samples(&self) {
        loop {
            sleep(self.pause(SAMPLE)).await;
            self.record_looked(self.sample().await);
        }
    }

    /// Logs a failed resync. Only the probe decides whether charon answers.
    fn record_looked(&self, outcome: Result<()>) {
        if let Err(error) = outcome {
            tracing::warn!(%error, "charon's lists cannot be read: {error}; the next resync tries again");
            self.reconciler.suspect(&error);
        }
    }

    fn enqueue_all(&self) {
        let now = Instant::now();
        self.store.all().iter().for_each(|record| self.reconciler.enqueue(record.id, now));
    }

    /// Records that charon does not answer; the state of its connections is unknown from now on.
    fn lost(&self, why: String) {
        if self.reconciler.link_is_down(why.clone()) {
            tracing::warn!(%why, "charon is unreachable: {why}; the status of all connections is unknown");
            self.observer.events().publish(None, EventKind::CharonLost(why));
        }
    }

    /// Reconciles the connections that an event names.
    fn happened(&self, event: &str, message: &Section) {
        match event {
            // Lines were lost.
            "log" => return self.tell_all(),
            "alert" => return self.on_alert(message),
            "ike-updown" if message.text("up").is_none() => {
                let ended = message.sections().filter_map(|(_, sa)| sa.number("uniqueid"));
                ended.for_each(|number| self.observer.traces().end(number));
            }
            _ => {}
        }
        let names = message.sections().flat_map(|(name, sa)| {
            let children = sa.section("child-sas").into_iter().flat_map(Section::sections);
            std::iter::once(name).chain(children.filter_map(|(_, child)| child.text("name")))
        });
        for sa in child_sas(message) {
            if let Some(id) = names::owner(&sa.name) {
                self.entry(id).count().record(&sa);
            }
        }
        let owners: BTreeSet<_> = names.filter_map(names::owner).collect();
        for id in owners {
            let entry = self.entry(id);
            if let Some(rekeying) = rekeying(event, message).filter(|_| !self.begins_with_ours(id, message)) {
                let mut tally = entry.tally();
                let count = if rekeying.ike { &mut tally.ike_rekeyings } else { &mut tally.child_rekeyings };
                *count += 1;
                drop(tally);
                entry.record_rekeying(rekeying);
            }
            if event == "child-updown" {
                let is_up = message.text("up") == Some("yes");
                entry.came_up.store(is_up, Ordering::Relaxed);
                if is_up {
                    self.reconciler.queue().succeeded(id);
                }
            }
            entry.tell();
            entry.happened.notify_waiters();
            self.reconciler.enqueue(id, Instant::now());
        }
    }

    /// charon may have told something of any connection that was not heard.
    fn tell_all(&self) {
        self.lock_entries().values().for_each(|entry| entry.tell());
    }
}

impl Agent {
    /// Whether a rekey event is about the current configuration. Under IKEv1 charon reports every quick mode for the same
    /// networks and proposal as a rekey (facts 20.2): only the lifetime of the new SA shows its configuration. Under IKEv2
    /// a rekey always keeps the old configuration.
    fn begins_with_ours(&self, id: ConnectionId, message: &Section) -> bool {
        let Some((_, sa)) = message.sections().next().filter(|(_, sa)| sa.number("version") == Some(1)) else {
            return false;
        };
        let new = sa.section("child-sas").and_then(|children| children.sections().next()?.1.section("new"));
        let lifetime: Option<u32> = new.and_then(|new| new.number("life-time"));
        let wanted = self.store.get(id).map(|record| record.connection.lifetime.hard());
        // The SA is a moment old when the event arrives.
        lifetime.zip(wanted).is_none_or(|(lifetime, wanted)| lifetime.abs_diff(wanted) <= LIFETIME_SLACK)
    }
}

/// The SA numbers in a rekey event.
fn rekeying(event: &str, message: &Section) -> Option<Rekeying> {
    let (_, sa) = message.sections().next()?;
    let of = |section: &Section, which| section.section(which)?.number("uniqueid");
    match event {
        "ike-rekey" => Some(Rekeying { ike: true, old: of(sa, "old")?, new: of(sa, "new")? }),
        "child-rekey" => {
            let (_, child) = sa.section("child-sas")?.sections().next()?;
            Some(Rekeying { ike: false, old: of(child, "old")?, new: of(child, "new")? })
        }
        _ => None,
    }
}

/// Runs one session after another until the end of the agent.
pub async fn watch(agent: std::sync::Weak<Agent>) {
    let mut pause = RETRY_FIRST;
    while let Some(agent) = agent.upgrade() {
        agent.reconciler.heartbeat().watch_ticked();
        let outcome = agent.follow().await;
        if matches!(agent.link(), CharonLink::Up(_)) {
            pause = RETRY_FIRST;
        }
        let why = outcome.map_or_else(|error| error.to_string(), |()| "charon has closed the connection".into());
        agent.lost(why);
        drop(agent);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MOST);
    }
}
