//! Listens to charon: its log lines and alerts go into the stories of the connections that they belong to.

use super::{
    Agent,
    feed::Happening,
    log::{self, Speaker},
};
use crate::{
    ipsec::{Code, ConnectionId, Identity},
    swan::{
        alert::Alert,
        names,
        section::Section,
        tale::{Clue, Line, News, Tale, answer},
        words::{self, shorten},
    },
};
use jiff::Timestamp;
use std::collections::{HashMap, VecDeque};
use tokio::time::Instant;

/// Of how many IKE SAs the tale is remembered; a flood of strangers pushes out the oldest.
const TALES: usize = 4096;
/// How many connections may share the peer's address before a nameless line is nobody's.
const NAMESAKES: usize = 16;

/// What is remembered of IKE SAs by their numbers, as long as this charon lives.
#[derive(Default)]
pub struct Tales {
    known: HashMap<u64, Tale>,
    order: VecDeque<u64>,
}

impl Tales {
    fn of(&mut self, number: u64) -> &mut Tale {
        if !self.known.contains_key(&number) {
            if self.order.len() == TALES {
                self.order.pop_front().map(|oldest| self.known.remove(&oldest));
            }
            self.order.push_back(number);
        }
        self.known.entry(number).or_default()
    }
}

impl Agent {
    /// Takes in a `log` event.
    pub(super) fn heard(&self, event: &Section) {
        let Some(line) = Line::read(event) else { return };
        let Some(number) = line.unique_id else { return };
        let (news, remote) = {
            let mut tales = self.lock_tales();
            let tale = tales.of(number);
            (tale.hear(&line.text), tale.remote)
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
                self.note(id, Speaker::Charon, &format!("[{}] {}", line.group, line.text));
            }
            if let Some((version, speaks)) = answer::of(&line.text) {
                self.entry(id).story().note_answer(version, speaks, Instant::now());
                if !speaks {
                    self.schedule.wake(id, Instant::now());
                }
            }
            match &news {
                Some(News::Clue(clue)) => self.suspect_cause(id, clue.clone()),
                Some(News::Established) => self.entry(id).story().outlive(),
                None => {}
            }
        }
    }

    /// Takes in an `alert` event. The log's lines say more; an alert counts where they are not understood.
    pub(super) fn alerted(&self, event: &Section) {
        let Some(alert) = Alert::read(event) else { return };
        let named = alert.name.as_deref().filter(|name| *name != "(unnamed)");
        let owners: Vec<_> = match named {
            Some(name) => names::owner(name).into_iter().collect(),
            None => alert.remote.map(|remote| self.store.with_peer(remote)).unwrap_or_default(),
        };
        for id in owners.into_iter().take(NAMESAKES) {
            self.note(id, Speaker::Charon, &format!("[alert] {}", alert.kind));
            if let Some(clue) = alert.clue() {
                self.suspect_cause(id, clue);
            }
        }
    }

    /// Keeps what a clue means for this connection, and has the connection looked at if that is new.
    fn suspect_cause(&self, id: ConnectionId, clue: Clue) {
        let Some(clue) = self.judged(id, clue) else { return };
        let (entry, now) = (self.entry(id), Instant::now());
        let mut story = entry.story();
        if story.suspect(clue, Timestamp::now(), now) {
            // A peer that alternates has it looked at no more often than there is something to tell.
            self.schedule.wake(id, story.may_tell(now));
        }
    }

    /// What the words mean, seen from this connection's configuration.
    fn judged(&self, id: ConnectionId, mut clue: Clue) -> Option<Clue> {
        // Of what is not to be up, a peer that knocks in vain says nothing.
        let record = self.store.get(id).filter(|record| record.is_loaded())?;
        let connection = &record.connection;
        if let Some(version) = clue.version.filter(|version| connection.version.accepts(*version)) {
            clue.code = Code::Unknown;
            clue.details = format!("charon finds no connection for the peer's IKEv{version} packet: {}", clue.details);
        }
        if clue.code == Code::NoSharedKey && !mentions(&clue.details, &connection.remote_id) {
            // The key is bound to the identity that the peer should have.
            clue.code = Code::IdMismatch;
            clue.details =
                format!("the peer names itself otherwise than '{}': {}", connection.remote_id.plain(), clue.details);
        }
        clue.details = shorten(&clue.details, words::SENTENCE);
        Some(clue)
    }

    /// Adds a line to the log of the connection.
    pub(super) fn note(&self, id: ConnectionId, speaker: Speaker, text: &str) {
        self.entry(id).story().log.add(speaker, text, Timestamp::now(), log::room(self.store.count()));
    }

    /// Tells those who listen, and the log of the connection.
    pub(super) fn tell(&self, id: ConnectionId, what: Happening) {
        let words = match &what {
            Happening::Down(reason) => format!("down: {}: {}", reason.code.name(), reason.details),
            Happening::NotAsWanted(note, reason) => format!("{note}: {}: {}", reason.code.name(), reason.details),
            other => other.name().to_owned(),
        };
        self.note(id, Speaker::Agent, &words);
        self.feed.tell(Some(id), what);
    }

    /// Forgets what was said of SAs whose numbers mean nothing any more.
    pub(super) fn forget_tales(&self) {
        *self.lock_tales() = Tales::default();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
