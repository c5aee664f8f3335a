//! Listens to charon: its log lines and alerts go into the stories of the connections that they belong to.

use crate::{
    agent::{
        Agent,
        observe::{
            connection_log::{self, Speaker},
            events::EventKind,
            traces::Traces,
        },
    },
    ipsec::{Code, ConnectionId, Identity},
    strongswan::{
        alert::Alert,
        log_parser::{FailureCause, KEY_OR_IDENTITY, Line, TraceEvent, answer},
        names,
        section::Section,
        words::{self, shorten},
    },
};
use jiff::Timestamp;
use tokio::time::Instant;

/// How many connections may share the peer's address before a nameless line is nobody's.
const NAMESAKES: usize = 16;

impl Agent {
    /// Takes in a `log` event.
    pub(in crate::agent) fn on_log_line(&self, event: &Section) {
        let Some(line) = Line::read(event) else { return };
        let Some(number) = line.unique_id else { return };
        let (news, remote) = {
            let mut traces = self.observer.traces();
            let trace = traces.of(number);
            (trace.hear(&line.text), trace.remote)
        };
        // Until charon knows whose the SA is, only the peer's address tells.
        let owners = match line.name.as_deref() {
            Some(name) if name != "(unnamed)" => names::owner(name).into_iter().collect(),
            _ => remote.map(|remote| self.store.with_peer(remote)).unwrap_or_default(),
        };
        if owners.len() > NAMESAKES {
            return;
        }
        for id in owners {
            if !is_chatter(&line) {
                self.record_line(id, Speaker::Charon, &format!("[{}] {}", line.group, line.text));
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
                Some(TraceEvent::RekeyFailed(subject, cause)) => self.hear_of_rekeying(id, subject, cause),
                Some(TraceEvent::Rekeyed(subject)) => self.entry(id).history().rekeys.end(subject),
                None => {}
            }
        }
    }

    /// Takes in an `alert` event. The log's lines say more; an alert counts where they are not understood.
    pub(in crate::agent) fn on_alert(&self, event: &Section) {
        let Some(alert) = Alert::read(event) else { return };
        let named = alert.name.as_deref().filter(|name| *name != "(unnamed)");
        let owners: Vec<_> = match named {
            Some(name) => names::owner(name).into_iter().collect(),
            None => alert.remote.map(|remote| self.store.with_peer(remote)).unwrap_or_default(),
        };
        for id in owners.into_iter().take(NAMESAKES) {
            self.record_line(id, Speaker::Charon, &format!("[alert] {}", alert.kind));
            if let Some(cause) = alert.cause() {
                self.suspect_cause(id, cause);
            }
        }
    }

    /// Keeps what a clue means for this connection, and has the connection looked at if that is new.
    pub(in crate::agent) fn suspect_cause(&self, id: ConnectionId, cause: FailureCause) {
        let Some(cause) = self.judged(id, cause) else { return };
        let (entry, now) = (self.entry(id), Instant::now());
        let mut history = entry.history();
        if history.suspect(cause, Timestamp::now(), now) {
            // A peer that alternates has it looked at no more often than there is something to tell.
            self.reconciler.enqueue(id, history.may_tell(now));
        }
    }

    /// What the words mean, seen from this connection's configuration.
    fn judged(&self, id: ConnectionId, mut cause: FailureCause) -> Option<FailureCause> {
        // Of what is not to be up, a peer that knocks in vain says nothing.
        let record = self.store.get(id).filter(|record| record.is_loaded())?;
        let connection = &record.connection;
        if let Some(version) = cause.version.filter(|version| connection.version.accepts(*version)) {
            cause.code = Code::Unknown;
            cause.details =
                format!("charon finds no connection for the peer's IKEv{version} packet: {}", cause.details);
        }
        by_method(&mut cause, connection.auth.certs().is_some());
        if let Some(other) = other_identity(&cause, &connection.local_id, &connection.remote_id) {
            cause.details = format!("{other}: {}", cause.details);
        }
        if cause.code == Code::NoSharedKey && !mentions(&cause.details, &connection.remote_id) {
            // The key is bound to the identity that the peer should have.
            cause.code = Code::IdMismatch;
            cause.details =
                format!("the peer names itself otherwise than {}: {}", connection.remote_id.with_kind(), cause.details);
        }
        cause.details = shorten(&cause.details, words::SENTENCE);
        Some(cause)
    }

    /// Adds a line to the log of the connection.
    pub(in crate::agent) fn record_line(&self, id: ConnectionId, speaker: Speaker, text: &str) {
        self.entry(id).history().log.add(speaker, text, Timestamp::now(), connection_log::room(self.store.count()));
    }

    /// Tells those who listen, and the log of the connection.
    pub(in crate::agent) fn publish(&self, id: ConnectionId, what: EventKind) {
        let words = match &what {
            EventKind::Down(reason) => format!("down: {}: {}", reason.code.name(), reason.details),
            EventKind::NotAsWanted(note, reason) => format!("{note}: {}: {}", reason.code.name(), reason.details),
            other => other.name().to_owned(),
        };
        self.record_line(id, Speaker::Agent, &words);
        self.observer.events().publish(Some(id), what);
    }

    /// Forgets what was said of SAs whose numbers mean nothing any more.
    pub(in crate::agent) fn forget_traces(&self) {
        *self.observer.traces() = Traces::default();
    }
}

/// What the words mean at an end that has certificates, or a key.
fn by_method(cause: &mut FailureCause, has_certs: bool) {
    let (theirs, here) = match cause.code {
        Code::NoSharedKey if has_certs => ("a pre-shared key", "certificates are"),
        Code::CertInvalid if !has_certs => ("a certificate", "a pre-shared key is"),
        Code::PeerRefusedAuth if has_certs => {
            let refused = "the peer does not accept our certificate, or expects another identity of ours";
            cause.details = cause.details.replace(KEY_OR_IDENTITY, refused);
            return;
        }
        _ => return,
    };
    cause.code = Code::AuthFailed;
    cause.details = format!("the peer authenticates with {theirs}, and {here} configured here: {}", cause.details);
}

/// Whether one of the identities in quotes in `words` of charon's is `identity`.
fn mentions(words: &str, identity: &Identity) -> bool {
    let quoted = words.split('\'').skip(1).step_by(2).any(|text| identity.is_printed_as(text));
    // A key id may have quotes of its own.
    quoted || words.contains(&format!("'{}'", identity.plain()))
}

/// Lines that come for ever while nothing happens: packets, and whether the peer lives.
fn is_chatter(line: &Line) -> bool {
    let text = &line.text;
    line.group == "NET" && (text.starts_with("sending packet: ") || text.starts_with("received packet: "))
        || text.starts_with("sending DPD request")
        || (text.contains(" INFORMATIONAL ") && text.ends_with("[ ]"))
        || text.contains("N(DPD)")
        || text.contains("N(DPD_ACK)")
}

/// Which identity differs, with kinds: that which the peer asks for here, or its own.
fn other_identity(cause: &FailureCause, local: &Identity, remote: &Identity) -> Option<String> {
    let named = |id: &Option<String>| id.clone().filter(|id| id != "%any");
    let (sent, asked) = (named(&cause.peer_id)?, named(&cause.asked_id));
    // The same text is of another kind only if nothing else differs: the log has no kinds.
    if let Some(asked) = asked.filter(|asked| !local.is_printed_as(asked) && remote.is_printed_as(&sent)) {
        let (asked, ours) = (local.another_with_kind(&asked), local.with_kind());
        return Some(format!("the peer expects us to be {asked}, and we are {ours}"));
    }
    let (sent, wanted) = (remote.another_with_kind(&sent), remote.with_kind());
    Some(format!("the peer names itself {sent}, and {wanted} is expected"))
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
        let its = "the peer names itself fqdn:other.example, and ipv4:192.0.2.2 is expected";
        assert_eq!(told("other.example", Some("somebody.example")), its);
        let kind = "the peer names itself fqdn:192.0.2.2, and ipv4:192.0.2.2 is expected";
        for asked in [None, Some("%any"), Some("192.0.2.1")] {
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
