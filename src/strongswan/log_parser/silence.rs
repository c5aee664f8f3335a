//! The meaning of a peer's silence, from its earlier answers and the pending request.

use super::{
    cause::{Confidence, Found, Fragments, KEY_OR_IDENTITY, OwnValues, found},
    trace::IkeSaTrace,
};
use crate::ipsec::Code;
use std::fmt::{self, Display};

/// charon also retransmits to a slow peer; only the second retransmit counts.
const SIGN: u32 = 2;

impl IkeSaTrace {
    pub(super) fn silence(&self, text: &str) -> Option<Found> {
        if text == "DPD check timed out, enforcing DPD action" {
            return found(Code::DpdTimeout, Confidence::Answer, "the peer does not answer DPD any more".into());
        }
        let (given_up, sent_again) = (text.starts_with("giving up after "), retransmits(text));
        if self.established {
            // A peer that has begun repeats its proof, and answers ours with what only its own keys can decrypt.
            let is_repeated = text.starts_with("received retransmit of request with ID 0,");
            if self.silence.is_unreadable && !self.ours && (is_repeated || given_up || sent_again >= Some(SIGN)) {
                let details = "its proof fits our key, and it does not take ours: it expects another identity of ours \
                               (charon: could not decrypt payloads)";
                return found(Code::PeerRefusedAuth, Confidence::Answer, details.into());
            }
            let is_asked = self.silence.is_quick && !self.silence.has_carried;
            return match sent_again {
                _ if is_asked && (given_up || sent_again >= Some(SIGN)) => {
                    let details = "the peer is silent to quick mode, the request for the CHILD_SA: its networks or its \
                                   proposal for the traffic differ";
                    let found = Found::new(Code::TsMismatch, Confidence::Sign, details.into());
                    Some(Found { own: OwnValues::ProposalToo, ..found })
                }
                None if given_up => {
                    let sent = self.fragments.map(|sent| format!("; the message had {sent}")).unwrap_or_default();
                    let details = format!("the peer fell silent: {text}{sent}");
                    Some(Found {
                        unanswered: self.fragments,
                        ..Found::new(Code::DpdTimeout, Confidence::Answer, details)
                    })
                }
                _ => None,
            };
        }
        let is_over = given_up
            || text.starts_with("peer not responding, trying again")
            || text == "establishing IKE_SA failed, peer not responding";
        if !is_over && sent_again.is_none() {
            return None;
        }
        if self.silence.is_unreadable && self.ours {
            let details =
                format!("{KEY_OR_IDENTITY}: our key cannot decrypt its answer (charon: could not decrypt payloads)");
            return found(Code::PeerRefusedAuth, Confidence::Answer, details);
        }
        if is_over || sent_again >= Some(SIGN) { self.unanswered() } else { None }
    }

    /// The cause when the peer stopped answering, or never answered.
    fn unanswered(&self) -> Option<Found> {
        // Of the first message nobody knows that smaller ones arrive.
        let is_first = matches!(self.step, None | Some("IKE_SA_INIT" | "AGGRESSIVE"));
        let is_first = is_first || (self.step == Some("ID_PROT") && self.silence.answered == 0);
        let fragments = self.fragments.filter(|_| !is_first);
        if self.step == Some("ID_PROT") && self.ours && self.silence.answered >= 2 && fragments.is_none() {
            let details = format!(
                "{KEY_OR_IDENTITY}: it answered two of main mode's three exchanges and is silent to the third, which \
                 proves who we are"
            );
            return found(Code::PeerRefusedAuth, Confidence::Sign, details);
        }
        let peer = self.remote.map(|address| format!(" {address}")).unwrap_or_default();
        let details = match (fragments, self.step) {
            (Some(sent), Some(step)) => {
                let or = match step {
                    "IKE_AUTH" | "ID_PROT" => ", or does it drop our key or identity without a word",
                    _ => "",
                };
                format!("the peer{peer} answered what is small, but not {step} ({sent}): are large packets lost{or}?")
            }
            _ => format!("the peer{peer} does not answer: {}", self.silent_to()),
        };
        let found = Found::new(Code::PeerUnreachable, Confidence::Sign, details);
        Some(Found { unanswered: fragments, ..found })
    }

    /// How far the peer answered.
    fn silent_to(&self) -> &'static str {
        match self.step {
            Some("IKE_AUTH") => {
                "it answered IKE_SA_INIT, but not IKE_AUTH: is UDP 4500 closed, are large packets lost, or does it drop \
                 our key or identity without a word?"
            }
            Some("IKE_INTERMEDIATE") => {
                "it answered IKE_SA_INIT, but not IKE_INTERMEDIATE, the further key exchange: is UDP 4500 closed, or \
                 are large packets lost?"
            }
            Some("QUICK_MODE" | "CREATE_CHILD_SA") => "it answered before, but not the request for the child",
            Some("ID_PROT") if self.silence.answered == 1 => {
                "it answered main mode's first message, but not the second"
            }
            _ => "it has not answered at all",
        }
    }
}

/// The number of the retransmit.
fn retransmits(text: &str) -> Option<u32> {
    let rest = text.strip_prefix("sending ").unwrap_or(text).strip_prefix("retransmit ")?;
    rest.split(' ').next()?.parse().ok()
}

impl Fragments {
    /// What charon says before it sends such a message.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("splitting IKE message (")?;
        let (bytes, rest) = rest.split_once(" bytes) into ")?;
        Some(Self { bytes: bytes.parse().ok()?, packets: rest.split(' ').next()?.parse().ok()? })
    }
}

impl Display for Fragments {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} bytes in {} packets", self.bytes, self.packets)
    }
}
