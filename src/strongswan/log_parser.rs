//! Parses charon's log of one IKE_SA, line by line, into causes of failure.
//!
//! charon's log is for people: the same text has different meanings at different times, and the line with the failure
//! rarely has the values. So the trace keeps values of earlier lines. The texts are those of strongSwan 5.9.8 to 6.1.0 at
//! log level 1; an unknown line changes nothing.

pub mod answer;
mod cause;
mod certificates;
pub mod closed;
mod diagnose;
mod methods;
mod notifies;
mod ppk;
mod rekeys;
mod silence;
mod trace;

#[cfg(test)]
mod foreign;
#[cfg(test)]
mod tests;

use super::{
    packet,
    words::{self, shorten},
};
use crate::ipsec::Identity;
pub use cause::{Confidence, FailureCause, Fragments, KEY_OR_IDENTITY, OwnValues, Subject, TraceEvent};
use std::net::IpAddr;
pub use trace::IkeSaTrace;

/// What only the end that began receives.
const FIRST_ANSWERS: [&str; 4] =
    ["IKE_SA_INIT response", "IKE_AUTH response", "ID_PROT response", "AGGRESSIVE response"];

/// A line of charon's log, from a `log` event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The log group: IKE, CFG, ENC, NET, KNL, ...
    pub group: String,
    /// The name of the IKE SA's configuration, once it is known.
    pub name: Option<String>,
    /// The number of the IKE SA.
    pub unique_id: u64,
    /// What charon wrote, shortened if a peer made it long.
    pub text: String,
}

impl Line {
    /// The line in the packet of a `log` event, if it is about an IKE SA. charon logs a few dozen lines for each
    /// negotiation: they are read where they lie.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Self> {
        let (mut group, mut name, mut number, mut text) = (None, None, None, None);
        packet::values(packet, "log", |key, value| {
            let place = match key {
                b"group" => &mut group,
                b"ikesa-name" => &mut name,
                b"ikesa-uniqueid" => &mut number,
                b"msg" => &mut text,
                _ => return,
            };
            *place = std::str::from_utf8(value).ok();
        })?;
        Some(Self {
            unique_id: number?.parse().ok()?,
            group: shorten(group?, words::NAME),
            name: name.and_then(configuration),
            // A peer chooses its identities and more: shortening keeps both ends of a longer line.
            text: shorten(text?, words::LINE),
        })
    }

    /// Whether charon repeats it without an event: packets and DPD.
    #[must_use]
    pub fn is_chatter(&self) -> bool {
        let text = &self.text;
        self.group == "NET" && (text.starts_with("sending packet: ") || text.starts_with("received packet: "))
            || text.starts_with("sending DPD request")
            || (text.contains(" INFORMATIONAL ") && text.ends_with("[ ]"))
            || text.contains("N(DPD)")
            || text.contains("N(DPD_ACK)")
    }
}

/// Whether one of the quoted identities in charon's `words` is `identity`.
#[must_use]
pub fn mentions(words: &str, identity: &Identity) -> bool {
    let quoted = words.split('\'').skip(1).step_by(2).any(|text| identity.is_printed_as(text));
    // A key id may contain quotes.
    quoted || words.contains(&format!("'{}'", identity.plain()))
}

/// The configuration that charon calls `name`: it has none before it has chosen one.
pub(super) fn configuration(name: &str) -> Option<String> {
    Some(shorten(name, words::NAME)).filter(|name| name != "(unnamed)")
}

impl IkeSaTrace {
    /// Takes in `text` and says what it tells.
    pub fn hear(&mut self, text: &str) -> Option<TraceEvent> {
        self.remember(text);
        self.ppks.remember(text);
        if text.starts_with("IKE_SA ") && text.contains(" established between ") {
            self.established = true;
            self.silence.record_established();
            return Some(TraceEvent::Established);
        }
        match self.diagnose(text) {
            Some(cause) => Some(self.told_of_rekeying(cause)),
            None => self.rekeying(text),
        }
    }

    /// Keeps what a later line may need.
    fn remember(&mut self, text: &str) {
        let after = |prefix| text.strip_prefix(prefix).map(|rest| shorten(rest, words::VALUE));
        if let Some(rest) = text.strip_prefix("received packet: from ") {
            self.remote = self.remote.or_else(|| address(rest));
        } else if let Some((peer, _)) = text.split_once(" is initiating ") {
            self.remote = self.remote.or_else(|| peer.parse().ok());
        } else if text.starts_with("initiating ") {
            self.ours = true;
            self.version = Some(if text.contains(" Mode IKE_SA") { 1 } else { 2 });
            self.remote = text.rsplit(' ').next().and_then(|last| last.parse().ok()).or(self.remote);
        } else if let Some(message) = text.strip_prefix("generating ") {
            // The fragments themselves are named afterwards, as [ EF(1/2) ].
            self.fragments = self.fragments.filter(|_| message.contains("[ EF("));
            self.exchange(message);
        } else if let Some(message) = text.strip_prefix("parsed ") {
            self.silence.record_readable();
            // One fragment of an answer is none yet.
            self.fragments = self.fragments.filter(|_| message.contains("[ EF("));
            // charon says that it begins again before it says for which IKE_SA.
            self.ours |= FIRST_ANSWERS.iter().any(|answer| message.starts_with(answer));
            self.exchange(message);
            if message.starts_with("CREATE_CHILD_SA request") || message.starts_with("QUICK_MODE request") {
                // The peer asks for one; it does not say which.
                self.child = None;
            }
        } else if let Some(name) = text.strip_prefix("establishing CHILD_SA ") {
            self.child = name.split('{').next().map(|name| shorten(name, words::NAME));
            self.asked = true;
        } else if text.contains("CHILD_SA ") && text.contains(" established with SPIs ") {
            (self.asked, self.silence.has_carried) = (true, true);
        } else if let Some(proposals) = after("received proposals: ") {
            self.received = Some(proposals);
        } else if let Some(proposals) = after("configured proposals: ") {
            self.configured = Some(proposals);
        } else if text.starts_with("looking for ") {
            // IKEv1 names the method of authentication before these words.
            let ends = text.split_once("peer configs matching ").map(|(_, ends)| shorten(ends, words::VALUE));
            self.ends = ends.or(self.ends.take());
        } else if let Some(fragments) = Fragments::parse(text) {
            self.fragments = Some(fragments);
        } else {
            self.silence.remember(text);
            self.certificates.remember(text);
            self.method = methods::mismatch(text).or(self.method.take());
        }
    }

    /// What the exchanges on the wire tell: the version, and how far it got.
    fn exchange(&mut self, message: &str) {
        let (v2, v1) = (
            ["IKE_SA_INIT", "IKE_INTERMEDIATE", "IKE_AUTH", "CREATE_CHILD_SA"],
            ["ID_PROT", "AGGRESSIVE", "QUICK_MODE"],
        );
        let kind = message.split(' ').next().unwrap_or_default();
        if v2.contains(&kind) {
            self.version = Some(2);
        } else if v1.contains(&kind) || kind == "INFORMATIONAL_V1" {
            self.version = Some(1);
        }
        if let Some(step) = v2.iter().chain(&v1).find(|step| **step == kind) {
            self.step = Some(step);
        }
        self.asked |= matches!(kind, "CREATE_CHILD_SA" | "QUICK_MODE");
        self.aggressive |= message.starts_with("AGGRESSIVE request") && !self.ours;
        self.is_sealed = message.starts_with("INFORMATIONAL_V1 request") && message.contains("[ HASH N(");
        self.rekeys.exchange(message, self.established && self.silence.has_carried);
        self.silence.exchange(message);
        if ["IKE_AUTH response", "CREATE_CHILD_SA response", "INFORMATIONAL request"]
            .iter()
            .any(|m| message.starts_with(m))
        {
            self.notify = notifies::error_in(message);
        }
    }
}

/// The address in `192.0.2.2[500] to ...`.
fn address(text: &str) -> Option<IpAddr> {
    text.split('[').next()?.parse().ok()
}
