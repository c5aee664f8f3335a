//! Diagnoses the lines that name a cause of failure.

use super::{
    cause::{Confidence, FailureCause, Found, KEY_OR_IDENTITY, OwnValues, found},
    trace::IkeSaTrace,
};
use crate::{
    ipsec::reason::Code,
    strongswan::words::{self, shorten},
};

impl IkeSaTrace {
    /// The cause that `text` names, with the values of earlier lines.
    pub(super) fn diagnose(&self, text: &str) -> Option<FailureCause> {
        let found = self
            .ppk(text)
            .or_else(|| self.methods(text))
            .or_else(|| self.proposals(text))
            .or_else(|| self.selectors(text))
            .or_else(|| self.proof(text))
            .or_else(|| self.certificates.diagnose(text))
            .or_else(|| self.identities(text))
            .or_else(|| self.silence(text))
            .or_else(|| self.end(text))
            .or_else(|| local(text))
            .or_else(|| self.notifies(text));
        let Found { code, confidence, details, own, unanswered } = self.of_a_ppk(self.in_its_mode(found?));
        let version = self.version.filter(|_| text.starts_with("no IKE config found for "));
        let details = shorten(&details, words::SENTENCE);
        let child = self.child.clone().filter(|_| is_of_a_child(code));
        let is_of_ids = |id: &String| code == Code::IdMismatch && id != "%any";
        Some(FailureCause {
            code,
            confidence,
            child,
            version,
            peer_id: self.peer_id(text).filter(is_of_ids),
            asked_id: self.asked_id().filter(is_of_ids),
            details,
            own,
            unanswered,
        })
    }

    fn proposals(&self, text: &str) -> Option<Found> {
        let (code, confidence) = match text {
            "received proposals unacceptable" | "no proposal found" => (Code::NoProposalIke, Confidence::Evidence),
            "no acceptable proposal found" | "no matching proposal found, sending NO_PROPOSAL_CHOSEN" => {
                (Code::NoProposalChild, Confidence::Evidence)
            }
            "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built" => (Code::NoProposalChild, Confidence::Answer),
            // IKEv1 has one notify for both.
            "received NO_PROPOSAL_CHOSEN error notify" if self.established => {
                (Code::NoProposalChild, Confidence::Answer)
            }
            "received NO_PROPOSAL_CHOSEN notify error" | "received NO_PROPOSAL_CHOSEN error notify" => {
                (Code::NoProposalIke, Confidence::Answer)
            }
            _ if text.starts_with("requested DH group ") && text.ends_with(" not acceptable, giving up") => {
                return found(
                    Code::NoProposalIke,
                    Confidence::Evidence,
                    format!("the peer wants another group: {text}"),
                );
            }
            _ if text.starts_with("no IKE config found for ") => return self.version_or_address(text),
            _ => return None,
        };
        let details = match (&self.received, &self.configured) {
            (Some(theirs), Some(ours)) if confidence == Confidence::Evidence => {
                let details = format!("the peer offers {theirs}; wanted here: {ours}");
                return Some(Found { own: OwnValues::Said, ..Found::new(code, confidence, details) });
            }
            _ if code == Code::NoProposalIke => {
                "the peer accepts none of our IKE proposals, or knows no such connection \
                                                 from this address or with this IKE version (NO_PROPOSAL_CHOSEN)"
                    .into()
            }
            _ => "the peer accepts none of our proposals for the traffic (NO_PROPOSAL_CHOSEN)".into(),
        };
        found(code, confidence, details)
    }

    /// No connection matches the peer's first packet, by its version or its addresses.
    fn version_or_address(&self, text: &str) -> Option<Found> {
        let ends = text.strip_prefix("no IKE config found for ")?.split(',').next()?;
        let version = self.version?;
        let mode = if self.aggressive { ", in aggressive mode, which is never accepted here" } else { "" };
        found(Code::IkeVersionMismatch, Confidence::Evidence, format!("the peer speaks IKEv{version}{mode} ({ends})"))
    }

    fn selectors(&self, text: &str) -> Option<Found> {
        let theirs = text
            .strip_prefix("traffic selectors ")
            .and_then(|rest| rest.strip_suffix(" unacceptable"))
            .or_else(|| text.strip_prefix("no matching CHILD_SA config found for "));
        if let Some(theirs) = theirs {
            // Under IKEv1 charon prints the initiator's side first. Here the initiator is the peer.
            let theirs = match theirs.split_once(" === ") {
                Some((its, ours)) if self.version == Some(1) => format!("{ours} === {its}"),
                _ => theirs.to_owned(),
            };
            let details = format!("the peer asks for {theirs} (our side === its side), which is not configured here");
            return found(Code::TsMismatch, Confidence::Evidence, details);
        }
        let refused = match text {
            "received TS_UNACCEPTABLE notify, no CHILD_SA built" | "no acceptable traffic selectors found" => true,
            "received INVALID_ID_INFORMATION error notify" => !self.is_in_main_mode(),
            _ => false,
        };
        let word = if self.version == Some(1) { "INVALID_ID_INFORMATION" } else { "TS_UNACCEPTABLE" };
        let details = || format!("the peer does not accept our networks ({word})");
        refused.then(|| Found::new(Code::TsMismatch, Confidence::Answer, details()))
    }

    fn proof(&self, text: &str) -> Option<Found> {
        if let Some(rest) = text.strip_prefix("tried ").filter(|_| text.ends_with("but MAC mismatched")) {
            let several = !rest.starts_with("1 ");
            let code = if several { Code::KeyAmbiguous } else { Code::AuthFailed };
            let plain = if several { "none of our pre-shared keys is the peer's" } else { KEYS_DIFFER };
            return found(code, Confidence::Evidence, format!("{plain} (charon: {text})"));
        }
        if let Some(pair) = text.strip_prefix("no shared key found for ") {
            return found(Code::NoSharedKey, Confidence::Evidence, format!("there is no pre-shared key for {pair}"));
        }
        // Under IKEv1 the key encrypts the proof: another key makes it unreadable.
        let is_unreadable = self.silence.is_undecrypted && text.starts_with("ID_PROT ");
        if text == "calculated HASH does not match HASH payload" || (is_unreadable && text.ends_with(PROCESSING_FAILED))
        {
            let said = if is_unreadable { "could not decrypt payloads" } else { text };
            return found(Code::AuthFailed, Confidence::Evidence, format!("{KEYS_DIFFER} (charon: {said})"));
        }
        None
    }

    fn identities(&self, text: &str) -> Option<Found> {
        if matches!(text, "no matching peer config found" | "no peer config found" | "no alternative config found") {
            let ends = self.ends.as_deref().unwrap_or("unknown ends");
            let details = format!(
                "the peer names itself, or this gateway, otherwise than is configured here: it asks for the ends {ends} \
                 (ours...its; charon: {text})"
            );
            return found(Code::IdMismatch, Confidence::Evidence, details);
        }
        if text.starts_with("IDir ") && text.contains(" does not match to ") {
            return found(
                Code::IdMismatch,
                Confidence::Evidence,
                format!("the peer names itself otherwise (charon: {text})"),
            );
        }
        let broken = text.strip_prefix("constraint check failed: ")?;
        let (code, plain) = if broken.starts_with("identity ") {
            (Code::IdMismatch, "the peer names itself otherwise than is configured here")
        } else {
            (Code::AuthFailed, "the peer's authentication is not as required")
        };
        found(code, Confidence::Evidence, format!("{plain} (charon: {})", text.trim_end()))
    }

    /// The identity that the peer has sent, in the line `text` or in those before it.
    fn peer_id(&self, text: &str) -> Option<String> {
        let sent = match text.strip_prefix("IDir '").and_then(|rest| rest.split_once("' does not match to ")) {
            Some((sent, _)) => sent.to_owned(),
            // The ends are `ours[id]...its[id]`; those of IKEv1 have no identity of ours.
            None => self.ends.as_ref()?.rsplit_once("...")?.1.split_once('[')?.1.strip_suffix(']')?.to_owned(),
        };
        Some(sent)
    }

    /// The identity of ours that the peer has asked for.
    fn asked_id(&self) -> Option<String> {
        Some(self.ends.as_ref()?.split_once("...")?.0.split_once('[')?.1.strip_suffix(']')?.to_owned())
    }

    fn end(&self, text: &str) -> Option<Found> {
        let what = text.strip_prefix("received DELETE for ")?;
        let is_refusal = what.starts_with("IKE_SA") && self.notify == Some("AUTH_FAILED");
        if is_refusal || (self.established && !self.ours && !self.asked) {
            let how = if is_refusal { "with AUTHENTICATION_FAILED" } else { "right after the authentication" };
            let details = format!("{KEY_OR_IDENTITY}: it closed the IKE SA {how} (charon: {text})");
            return found(Code::PeerRefusedAuth, Confidence::Answer, details);
        }
        let object = if what.starts_with("IKE_SA") { "the IKE SA" } else { "the CHILD_SA" };
        found(Code::PeerDeleted, Confidence::Sign, format!("the peer closed {object}"))
    }
}

/// The start of details where this is certain.
const KEYS_DIFFER: &str = "the pre-shared keys differ";
/// The end of a line about a message that could not be processed.
const PROCESSING_FAILED: &str = " processing failed";

/// Whether the cause concerns one child, if its name is known.
fn is_of_a_child(code: Code) -> bool {
    matches!(code, Code::NoProposalChild | Code::TsMismatch | Code::AlgorithmUnsupported)
}

/// Failures of this gateway itself.
fn local(text: &str) -> Option<Found> {
    let lacks = text.starts_with("algorithm ") && text.ends_with(" not supported by kernel!")
        || text.starts_with("configured DH group ") && text.ends_with(" not supported");
    if lacks {
        return found(Code::AlgorithmUnsupported, Confidence::Evidence, text.to_owned());
    }
    // charon does not log the reason of the kernel. It sends the peer NO_PROPOSAL_CHOSEN.
    if text.starts_with("unable to install ") && text.ends_with(" IPsec SA (SAD) in kernel") {
        let details = "this gateway's kernel refuses the SA: it lacks an algorithm, or AH would have to pass a NAT, which \
                       it cannot";
        return found(Code::AlgorithmUnsupported, Confidence::Evidence, details.into());
    }
    let failed = text.starts_with("unable to install ") || text.starts_with("error writing to socket: ");
    failed.then(|| Found::new(Code::Unknown, Confidence::Answer, format!("charon on this gateway: {text}")))
}
