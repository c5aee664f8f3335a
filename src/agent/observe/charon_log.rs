//! Assigns charon's log lines and alerts to the connections that they concern.

use crate::{
    agent::{
        Agent,
        observe::{
            availability::Turn,
            connection_log::{self, Speaker},
            events::EventKind,
            traces::Traces,
        },
    },
    ipsec::{Code, ConnectionId, Identity},
    strongswan::{
        alert::Alert,
        log_parser::{FailureCause, KEY_OR_IDENTITY, Line, TraceEvent, answer, closed, mentions},
        names,
        section::Section,
        words::{self, shorten},
    },
};
use jiff::Timestamp;
use tokio::time::Instant;

/// The most connections with one peer address among which a line without a name is shared.
const NAMESAKES: usize = 16;

impl Agent {
    /// Handles a line of charon's log.
    pub(in crate::agent) fn on_log_line(&self, line: &Line) {
        let (news, remote) = {
            let mut traces = self.observer.traces();
            let trace = traces.of(line.unique_id);
            (trace.hear(&line.text), trace.remote)
        };
        // Until charon has chosen a configuration, only the peer's address identifies the connection.
        let owners = match line.name.as_deref() {
            Some(name) => names::owner(name).into_iter().collect(),
            None => remote.map(|remote| self.store.with_peer(remote)).unwrap_or_default(),
        };
        if owners.len() > NAMESAKES {
            return;
        }
        for id in owners {
            if !line.is_chatter() {
                self.entry(id).tell();
                self.record_line(id, Speaker::Charon, &format!("[{}] {}", line.group, line.text));
            }
            if let Some(closed) = closed::of(&line.text) {
                self.entry(id).count().record_closed(&closed.name, &closed.spi, closed.bytes);
            }
            if let Some((version, speaks)) = answer::of(&line.text) {
                self.entry(id).history().record_answer(version, speaks, Instant::now());
                if !speaks {
                    self.reconciler.enqueue(id, Instant::now());
                }
            }
            match &news {
                Some(TraceEvent::FailureCause(cause)) => self.suspect_cause(id, cause.clone()),
                Some(TraceEvent::Established) => self.entry(id).history().outlive(),
                Some(TraceEvent::RekeyFailed(subject, cause)) => self.on_rekey_failed(id, subject, cause),
                Some(TraceEvent::Rekeyed(subject)) => self.entry(id).history().rekeys.end(subject),
                None => {}
            }
        }
    }

    /// Handles an `alert` event. The log says more; an alert counts where no log line was recognised.
    pub(in crate::agent) fn on_alert(&self, event: &Section) {
        let Some(alert) = Alert::read(event) else { return };
        let owners: Vec<_> = match alert.name.as_deref() {
            Some(name) => names::owner(name).into_iter().collect(),
            None => alert.remote.map(|remote| self.store.with_peer(remote)).unwrap_or_default(),
        };
        for id in owners.into_iter().take(NAMESAKES) {
            self.entry(id).tell();
            self.record_line(id, Speaker::Charon, &format!("[alert] {}", alert.kind));
            if let Some(cause) = alert.cause() {
                self.suspect_cause(id, cause);
            }
        }
    }

    /// Records a cause of failure for this connection, and reconciles it if the cause is new.
    pub(in crate::agent) fn suspect_cause(&self, id: ConnectionId, cause: FailureCause) {
        let Some(cause) = self.judged(id, cause) else { return };
        let (entry, now) = (self.entry(id), Instant::now());
        entry.tally().record_failure(cause.code, now);
        let mut history = entry.history();
        if history.suspect(cause, Timestamp::now(), now) {
            // A peer that alternates between causes triggers no more reconciles than events.
            self.reconciler.enqueue(id, history.may_tell(now));
        }
    }

    /// The cause, interpreted with this connection's configuration.
    fn judged(&self, id: ConnectionId, mut cause: FailureCause) -> Option<FailureCause> {
        // Failed attempts of a peer say nothing about a disabled connection.
        let record = self.store.get(id).filter(|record| record.is_loaded())?;
        let connection = &record.connection;
        if let Some(version) = cause.version.filter(|version| connection.version.accepts(*version)) {
            cause.code = Code::Unknown;
            cause.details = format!("charon has no connection for the peer's IKEv{version} packet: {}", cause.details);
        }
        by_method(&mut cause, connection.auth.certs().is_some());
        if let Some(other) = other_identity(&cause, &connection.local_id, &connection.remote_id) {
            cause.details = format!("{other}: {}", cause.details);
        }
        if cause.code == Code::NoSharedKey && !mentions(&cause.details, &connection.remote_id) {
            // The key belongs to the expected identity.
            cause.code = Code::IdMismatch;
            cause.details =
                format!("the peer's identity is not {}: {}", connection.remote_id.with_kind(), cause.details);
        }
        cause.details = shorten(&cause.details, words::SENTENCE);
        Some(cause)
    }

    /// Adds a line to the log of the connection.
    pub(in crate::agent) fn record_line(&self, id: ConnectionId, speaker: Speaker, text: &str) {
        let (now, room) = (Timestamp::now(), connection_log::room(self.store.count()));
        let line = self.entry(id).history().log.add(speaker, text, now, room);
        if let Some(line) = line {
            self.observer.log_file().push(id, &line);
        }
    }

    /// When the connection went up and down of late, the oldest first; and since when nothing is missing in it.
    #[must_use]
    pub fn availability(&self, id: ConnectionId) -> (Timestamp, Vec<Turn>) {
        let (since, turns) = self.entry(id).availability().since(self.observer.began());
        (self.store.get(id).map_or(since, |record| since.max(record.created)), turns)
    }

    /// Publishes an event, and adds it to the connection's log.
    pub(in crate::agent) fn publish(&self, id: ConnectionId, what: EventKind) {
        let words = match &what {
            EventKind::TransitionOver(reason) => reason.details.clone(),
            EventKind::Down(reason) => format!("down: {}: {}", reason.code.name(), reason.details),
            EventKind::NotAsWanted(note, reason) => format!("{note}: {}: {}", reason.code.name(), reason.details),
            other => other.name().to_owned(),
        };
        self.record_line(id, Speaker::Agent, &words);
        self.to_journal(id, &what);
        if what == EventKind::Up {
            self.entry(id).history().up_since = Some(Timestamp::now());
        }
        let code = match &what {
            EventKind::Up => Some(None),
            EventKind::Down(reason) | EventKind::NotAsWanted(_, reason) => Some(Some(reason.code)),
            _ => None,
        };
        if let Some(code) = code {
            self.entry(id).availability().record(Turn { at: Timestamp::now(), event: what.name(), code });
        }
        self.observer.events().publish(Some(id), what);
    }

    /// Logs what happened in one line that says it all. Changes have theirs in the audit trail, settings in `take_over.rs`.
    fn to_journal(&self, id: ConnectionId, what: &EventKind) {
        let (label, uuid, event) = (self.store.label(id), id.to_string(), what.name());
        match what {
            EventKind::Up => tracing::info!(uuid, event, "{label}: up"),
            EventKind::Down(reason) => {
                let (code, details) = (reason.code.name(), &reason.details);
                tracing::warn!(uuid, event, code, "{label}: down, {code}: {details}");
            }
            EventKind::NotAsWanted(note, reason) => {
                let (code, details) = (reason.code.name(), &reason.details);
                tracing::warn!(uuid, event, code, "{label}: {note}, {code}: {details}");
            }
            EventKind::TransitionBegan(until) => {
                tracing::info!(
                    uuid,
                    event,
                    "{label}: in transition: earlier proposals are accepted until {until}, too"
                );
            }
            EventKind::TransitionMoved => {
                tracing::info!(
                    uuid,
                    event,
                    "{label}: the tunnel has moved; earlier proposals are not accepted any more"
                );
            }
            EventKind::TransitionOver(reason) => {
                let details = &reason.details;
                tracing::warn!(uuid, event, "{label}: the transition is over: {details}");
            }
            EventKind::Drift(repaired) => {
                let repaired = repaired.join(", ");
                tracing::warn!(uuid, event, repaired, "{label}: had drifted from its record, put back: {repaired}");
            }
            _ => {}
        }
    }

    /// Forgets the traces of a charon that has ended.
    pub(in crate::agent) fn forget_traces(&self) {
        *self.observer.traces() = Traces::default();
    }
}

/// The cause, interpreted with the authentication that is configured here.
fn by_method(cause: &mut FailureCause, has_certs: bool) {
    let (theirs, here) = match cause.code {
        Code::NoSharedKey if has_certs => ("a pre-shared key", "certificates are"),
        Code::CertInvalid if !has_certs => ("a certificate", "a pre-shared key is"),
        Code::PeerRefusedAuth if has_certs => {
            let refused = "the peer refuses this gateway's certificate, or expects another identity";
            cause.details = cause.details.replace(KEY_OR_IDENTITY, refused);
            return;
        }
        _ => return,
    };
    cause.code = Code::AuthFailed;
    cause.details = format!("the peer authenticates with {theirs}, and {here} configured here: {}", cause.details);
}

/// Which identity differs, with kinds: that which the peer asks for here, or its own.
fn other_identity(cause: &FailureCause, local: &Identity, remote: &Identity) -> Option<String> {
    let (sent, asked) = (cause.peer_id.clone()?, cause.asked_id.clone());
    // The same text is of another kind only if nothing else differs: the log has no kinds.
    if let Some(asked) = asked.filter(|asked| !local.is_printed_as(asked) && remote.is_printed_as(&sent)) {
        let (asked, ours) = (local.another_with_kind(&asked), local.with_kind());
        return Some(format!("the peer expects us to be {asked}, and we are {ours}"));
    }
    let (sent, wanted) = (remote.another_with_kind(&sent), remote.with_kind());
    Some(format!("the peer sends the identity {sent}, and {wanted} is expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_that_differs_is_the_one_that_is_told() {
        let [local, remote] = ["192.0.2.1", "192.0.2.2"].map(|ip| Identity::Ip(ip.parse().expect("an address")));
        let told = |sent: &str, asked: Option<&str>| {
            let mut cause = FailureCause::refused("net", String::new());
            (cause.peer_id, cause.asked_id) = (Some(sent.to_owned()), asked.map(str::to_owned));
            other_identity(&cause, &local, &remote).expect("one differs")
        };
        let ours = "the peer expects us to be fqdn:somebody.example, and we are ipv4:192.0.2.1";
        assert_eq!(told("192.0.2.2", Some("somebody.example")), ours);
        let its = "the peer sends the identity fqdn:other.example, and ipv4:192.0.2.2 is expected";
        assert_eq!(told("other.example", Some("somebody.example")), its);
        let kind = "the peer sends the identity fqdn:192.0.2.2, and ipv4:192.0.2.2 is expected";
        for asked in [None, Some("192.0.2.1")] {
            assert_eq!(told("192.0.2.2", asked), kind);
        }
    }

    #[test]
    fn an_identity_is_found_in_charons_words_as_charon_compares_it() {
        let said = |other: &str| format!("there is no key for 'gw.example' - '{other}'");
        let fqdn = Identity::Fqdn("peer.example".into());
        assert!(mentions(&said("PEER.Example"), &fqdn) && !mentions(&said("other.example"), &fqdn));
        let mail = Identity::Email("Ops@site.example".into());
        assert!(mentions(&said("ops@SITE.example"), &mail) && !mentions(&said("op@site.example"), &mail));
        let address = Identity::Ip("2001:db8::1".parse().expect("an address"));
        assert!(mentions(&said("2001:db8:0:0::1"), &address) && !mentions(&said("2001:db8::11"), &address));
        let key_id = Identity::KeyId(b"peer".to_vec());
        assert!(mentions(&said("peer"), &key_id) && !mentions(&said("PEER"), &key_id));
        assert!(mentions(&said("63:61:66:c3:a9"), &Identity::KeyId("caf\u{e9}".into())));
        assert!(mentions(&said("it's"), &Identity::KeyId("it's".into())));
    }
}
