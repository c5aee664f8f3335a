//! The lines that name a cause of failure.

use super::{Confidence, FailureCause, IkeSaTrace};
use crate::{
    ipsec::reason::Code,
    strongswan::words::{self, shorten},
};

impl IkeSaTrace {
    /// The cause that `text` names, given what was said before.
    pub(super) fn verdict(&self, text: &str) -> Option<FailureCause> {
        let found = self
            .proposals(text)
            .or_else(|| self.selectors(text))
            .or_else(|| self.proof(text))
            .or_else(|| self.certificates(text))
            .or_else(|| self.identities(text))
            .or_else(|| self.silence(text))
            .or_else(|| self.end(text))
            .or_else(|| local(text))
            .or_else(|| other(text));
        let (code, confidence, details) = found?;
        let version = self.version.filter(|_| code == Code::IkeVersionMismatch);
        let details = shorten(&details, words::SENTENCE);
        Some(FailureCause {
            code,
            confidence,
            child: self.child.clone().filter(|_| is_of_a_child(code)),
            version,
            details,
        })
    }

    fn proposals(&self, text: &str) -> Option<Found> {
        let (code, confidence) = match text {
            "received proposals unacceptable" | "no proposal found" => (Code::NoProposalIke, Confidence::Evidence),
            "no acceptable proposal found" | "no matching proposal found, sending NO_PROPOSAL_CHOSEN" => {
                (Code::NoProposalChild, Confidence::Evidence)
            }
            "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built" => (Code::NoProposalChild, Confidence::Answer),
            // IKEv1 has one word for both.
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
                format!("the peer offers {theirs}; wanted here: {ours}")
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

    /// Nothing configured fits the peer's first packet: its version, or the address that it was sent to.
    fn version_or_address(&self, text: &str) -> Option<Found> {
        let ends = text.strip_prefix("no IKE config found for ")?.split(',').next()?;
        let version = self.version?;
        found(Code::IkeVersionMismatch, Confidence::Evidence, format!("the peer speaks IKEv{version} ({ends})"))
    }

    fn selectors(&self, text: &str) -> Option<Found> {
        let theirs = text
            .strip_prefix("traffic selectors ")
            .and_then(|rest| rest.strip_suffix(" unacceptable"))
            .or_else(|| text.strip_prefix("no matching CHILD_SA config found for "));
        if let Some(theirs) = theirs {
            let details = format!("the peer asks for {theirs} (our side === its side), which is not configured here");
            return found(Code::TsMismatch, Confidence::Evidence, details);
        }
        let refused = match text {
            "received TS_UNACCEPTABLE notify, no CHILD_SA built" | "no acceptable traffic selectors found" => true,
            "received INVALID_ID_INFORMATION error notify" => self.established,
            _ => false,
        };
        let word = if self.version == Some(1) { "INVALID_ID_INFORMATION" } else { "TS_UNACCEPTABLE" };
        refused
            .then(|| (Code::TsMismatch, Confidence::Answer, format!("the peer does not accept our networks ({word})")))
    }

    fn proof(&self, text: &str) -> Option<Found> {
        if let Some(rest) = text.strip_prefix("tried ").filter(|_| text.ends_with("but MAC mismatched")) {
            let several = !rest.starts_with("1 ");
            let code = if several { Code::KeyAmbiguous } else { Code::AuthFailed };
            return found(code, Confidence::Evidence, format!("the peer's proof does not fit: {text}"));
        }
        if let Some(pair) = text.strip_prefix("no shared key found for ") {
            return found(Code::NoSharedKey, Confidence::Evidence, format!("there is no key for {pair}"));
        }
        match text {
            "calculated HASH does not match HASH payload" => {
                found(Code::AuthFailed, Confidence::Evidence, "the peer's proof does not fit our key".into())
            }
            // Under IKEv1 the key encrypts the proof: another key makes it unreadable.
            "could not decrypt payloads" if self.version == Some(1) && !self.established => {
                let (code, details) = if self.ours {
                    (Code::PeerRefusedAuth, "the peer answers what our key cannot decrypt: its key is another one")
                } else {
                    (Code::AuthFailed, "our key cannot decrypt the peer's proof: its key is another one")
                };
                found(code, Confidence::Evidence, details.into())
            }
            "received AUTHENTICATION_FAILED notify error" | "received AUTHENTICATION_FAILED error notify" => {
                let details = "the peer answers AUTHENTICATION_FAILED: it does not accept our key or our identity";
                found(Code::PeerRefusedAuth, Confidence::Answer, details.into())
            }
            "received PAYLOAD_MALFORMED error notify" if !self.established => {
                let details = "the peer cannot decrypt our proof (PAYLOAD_MALFORMED): its key is another one";
                found(Code::PeerRefusedAuth, Confidence::Answer, details.into())
            }
            _ => None,
        }
    }

    fn identities(&self, text: &str) -> Option<Found> {
        if matches!(text, "no matching peer config found" | "no peer config found" | "no alternative config found") {
            let ends = self.ends.as_deref().unwrap_or("unknown ends");
            let details = format!("the peer asks for the ends {ends} (ours...its), which no connection here has");
            return found(Code::IdMismatch, Confidence::Evidence, details);
        }
        if text.starts_with("IDir ") && text.contains(" does not match to ") {
            return found(Code::IdMismatch, Confidence::Evidence, format!("the peer names itself otherwise: {text}"));
        }
        let broken = text.strip_prefix("constraint check failed: ")?;
        let code = if broken.starts_with("identity ") { Code::IdMismatch } else { Code::AuthFailed };
        found(code, Confidence::Evidence, format!("the peer's proof is not as required: {broken}"))
    }

    /// What is wrong with a certificate, and what charon says when it has no other that would do.
    fn certificates(&self, text: &str) -> Option<Found> {
        let followed = text.starts_with("no trusted ")
            || matches!(text, "no matching peer config found" | "no peer config found" | "no alternative config found");
        let details = match &self.certificate {
            Some(known) if followed => known.clone() + "; " + text,
            _ if is_of_a_certificate(text) || text.starts_with("no trusted ") => text.to_owned(),
            _ => return None,
        };
        found(Code::CertInvalid, Confidence::Evidence, details)
    }

    fn silence(&self, text: &str) -> Option<Found> {
        if text == "DPD check timed out, enforcing DPD action" {
            return found(Code::DpdTimeout, Confidence::Answer, "the peer does not answer DPD any more".into());
        }
        if text.starts_with("giving up after ") && self.established {
            return found(Code::DpdTimeout, Confidence::Answer, format!("the peer fell silent: {text}"));
        }
        let waits = text.starts_with("retransmit ") || text.starts_with("sending retransmit ");
        let given_up = text.starts_with("giving up after ")
            || text.starts_with("peer not responding, trying again")
            || text == "establishing IKE_SA failed, peer not responding"
            || (waits && !self.established);
        let step = match self.step {
            Some("IKE_AUTH") => {
                "it answered IKE_SA_INIT, but not IKE_AUTH: is UDP 4500 closed, or are large packets lost?"
            }
            Some("QUICK_MODE" | "CREATE_CHILD_SA") => "it answered before, but not the request for the child",
            _ => "it has not answered at all",
        };
        let peer = self.remote.map(|address| format!(" {address}")).unwrap_or_default();
        given_up.then(|| (Code::PeerUnreachable, Confidence::Sign, format!("the peer{peer} does not answer: {step}")))
    }

    fn end(&self, text: &str) -> Option<Found> {
        let what = text.strip_prefix("received DELETE for ")?;
        if self.established && !self.ours && !self.asked {
            let details = "the peer closed the IKE SA right after the authentication: our identity or key is not what \
                           it expects";
            return found(Code::PeerRefusedAuth, Confidence::Answer, details.into());
        }
        let object = if what.starts_with("IKE_SA") { "the IKE SA" } else { "the CHILD_SA" };
        found(Code::PeerDeleted, Confidence::Sign, format!("the peer closed {object}"))
    }
}

type Found = (Code, Confidence, String);

#[expect(clippy::unnecessary_wraps, reason = "the callers return it as it is")]
fn found(code: Code, confidence: Confidence, details: String) -> Option<Found> {
    Some((code, confidence, details))
}

/// Whether a cause of this kind concerns one child, if it is known which.
fn is_of_a_child(code: Code) -> bool {
    matches!(code, Code::NoProposalChild | Code::TsMismatch | Code::AlgorithmUnsupported)
}

/// Whether `text` says what is wrong with a certificate.
pub(super) fn is_of_a_certificate(text: &str) -> bool {
    let signs = [
        "no issuer certificate found for ",
        "subject certificate invalid",
        "issuer certificate invalid",
        "certificate was revoked",
        "no certificate found for ",
        "no private key found for ",
        "certificate policy ",
        "self-signed certificate ",
        "signature validation failed",
        "constraint check failed: peer not authenticated by CA ",
    ];
    signs.iter().any(|sign| text.starts_with(sign))
}

/// What this gateway itself cannot do.
fn local(text: &str) -> Option<Found> {
    let lacks = text.starts_with("algorithm ") && text.ends_with(" not supported by kernel!")
        || text.starts_with("configured DH group ") && text.ends_with(" not supported");
    if lacks {
        return found(Code::AlgorithmUnsupported, Confidence::Evidence, text.to_owned());
    }
    // The kernel has its reasons, which charon does not tell in words. To the peer it says NO_PROPOSAL_CHOSEN.
    if text.starts_with("unable to install ") && text.ends_with(" IPsec SA (SAD) in kernel") {
        let details = "this gateway's kernel refuses the SA: it lacks an algorithm, or AH would have to pass a NAT, which \
                       it cannot";
        return found(Code::AlgorithmUnsupported, Confidence::Evidence, details.into());
    }
    let failed = text.starts_with("unable to install ") || text.starts_with("error writing to socket: ");
    failed.then(|| (Code::Unknown, Confidence::Answer, format!("charon on this gateway: {text}")))
}

/// A refusal for which there is no name.
fn other(text: &str) -> Option<Found> {
    let word = text.strip_prefix("received ")?;
    let word = word.strip_suffix(" notify error").or_else(|| word.strip_suffix(" error notify"));
    let word = word.or_else(|| text.strip_prefix("received ")?.strip_suffix(" notify, no CHILD_SA built"))?;
    found(Code::Unknown, Confidence::Answer, format!("the peer refuses with {word}"))
}
