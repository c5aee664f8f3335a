//! The peer's refusals: error notifies, alone or with an answer. Their names stand in RFC 7296 (3.10.1) and RFC 2408
//! (3.14.1).

use super::{
    cause::{Confidence, Found, KEY_OR_IDENTITY, found},
    trace::IkeSaTrace,
};
use crate::ipsec::Code;

/// Error notifies: charon's short form in the contents of a message, and the name in its other lines.
const ERRORS: [(&str, &str); 16] = [
    ("NO_PROP", "NO_PROPOSAL_CHOSEN"),
    ("TS_UNACCEPT", "TS_UNACCEPTABLE"),
    ("AUTH_FAILED", "AUTHENTICATION_FAILED"),
    ("SINGLE_PAIR", "SINGLE_PAIR_REQUIRED"),
    ("FAIL_CP_REQ", "FAILED_CP_REQUIRED"),
    ("INT_ADDR_FAIL", "INTERNAL_ADDRESS_FAILURE"),
    ("NO_ADD_SAS", "NO_ADDITIONAL_SAS"),
    ("INVAL_SYN", "INVALID_SYNTAX"),
    ("INVAL_SEL", "INVALID_SELECTORS"),
    ("INVAL_KE", "INVALID_KE_PAYLOAD"),
    ("INVAL_MAJOR", "INVALID_MAJOR_VERSION"),
    ("INVAL_IKE_SPI", "INVALID_IKE_SPI"),
    ("INVAL_MID", "INVALID_MESSAGE_ID"),
    ("INVAL_SPI", "INVALID_SPI"),
    ("CRIT", "UNSUPPORTED_CRITICAL_PAYLOAD"),
    ("TEMP_FAIL", "TEMPORARY_FAILURE"),
];

/// The short form of the error notify in the contents of a message, such as `[ N(NO_PROP) ]`.
pub(super) fn error_in(message: &str) -> Option<&'static str> {
    ERRORS.iter().find(|(short, _)| message.contains(&format!("N({short})"))).map(|(short, _)| *short)
}

impl IkeSaTrace {
    /// The refusals of the peer that no other module names.
    pub(super) fn notifies(&self, text: &str) -> Option<Found> {
        // The answer lacks the peer's identity: it has only this notify. charon closes the IKE_SA.
        if text == "IDr payload missing" {
            let word = ERRORS.iter().find(|(short, _)| Some(*short) == self.notify)?.1;
            return self.refusal(word);
        }
        let word = text.strip_prefix("received ")?;
        let word = word.strip_suffix(" notify error").or_else(|| word.strip_suffix(" error notify"));
        let word = word.or_else(|| text.strip_prefix("received ")?.strip_suffix(" notify, no CHILD_SA built"))?;
        self.refusal(word)
    }

    /// Whether the peer has yet to accept our proof. One that has begun may refuse it when charon takes the IKE_SA to be
    /// established.
    pub(super) fn is_in_main_mode(&self) -> bool {
        !self.established || (!self.ours && self.step == Some("ID_PROT"))
    }

    /// What the peer means by an error notify.
    fn refusal(&self, word: &str) -> Option<Found> {
        let is_v1 = self.version == Some(1);
        let (code, plain) = match word {
            "NO_PROPOSAL_CHOSEN" => (Code::NoProposalChild, "the peer accepts none of our proposals for the traffic"),
            "TS_UNACCEPTABLE" | "INVALID_SELECTORS" => (Code::TsMismatch, "the peer does not accept our networks"),
            "SINGLE_PAIR_REQUIRED" => {
                (Code::TsMismatch, "the peer accepts one pair of networks for each CHILD_SA, not several together")
            }
            "AUTHENTICATION_FAILED" if self.is_sealed && !self.established => (
                Code::PeerRefusedAuth,
                "the peer can read our proof and refuses it: it expects another identity of ours, or a certificate, or \
                 wants aggressive mode or XAUTH",
            ),
            "AUTHENTICATION_FAILED" if is_v1 && self.step == Some("ID_PROT") => (
                Code::PeerRefusedAuth,
                "the pre-shared keys or certificates differ, the peer expects another identity of ours, or it wants \
                 aggressive mode or XAUTH",
            ),
            "AUTHENTICATION_FAILED" => (Code::PeerRefusedAuth, KEY_OR_IDENTITY),
            "PAYLOAD_MALFORMED" if !self.established => {
                (Code::PeerRefusedAuth, "the pre-shared keys differ: the peer cannot decrypt our proof")
            }
            "INVALID_HASH_INFORMATION" | "INVALID_SIGNATURE" if !self.established => {
                (Code::PeerRefusedAuth, "the pre-shared keys or certificates differ: the peer refuses our proof")
            }
            // charon answers so when it has no key for the pair of identities.
            "INVALID_KE_PAYLOAD" if is_v1 && !self.established => (
                Code::PeerRefusedAuth,
                "the peer has no pre-shared key for this pair of ends, or wants certificates, or refuses our key exchange",
            ),
            "INVALID_ID_INFORMATION" if self.is_in_main_mode() => {
                (Code::IdMismatch, "the peer does not accept the identity that we send")
            }
            "INVALID_CERTIFICATE" | "INVALID_CERT_ENCODING" | "INVALID_CERT_AUTHORITY" | "CERT_TYPE_UNSUPPORTED" => {
                (Code::CertInvalid, "the peer does not accept our certificate")
            }
            "ATTRIBUTES_NOT_SUPPORTED" if self.established => {
                (Code::NoProposalChild, "the peer does not know what our proposals for the traffic have")
            }
            "ATTRIBUTES_NOT_SUPPORTED" => {
                (Code::NoProposalIke, "the peer does not know what our proposals for IKE have")
            }
            "INVALID_KE_PAYLOAD" if self.established => (Code::NoProposalChild, "the peer wants another PFS group"),
            "INVALID_MAJOR_VERSION" => (Code::IkeVersionMismatch, "the peer does not speak this IKE version"),
            "FAILED_CP_REQUIRED" | "INTERNAL_ADDRESS_FAILURE" => {
                (Code::RemoteAccess, "the peer wants to assign an address to this gateway, as to a road warrior")
            }
            "NO_ADDITIONAL_SAS" => (Code::Unknown, "the peer takes no more CHILD_SAs in this IKE_SA"),
            "INVALID_SYNTAX" => (Code::Unknown, "the peer cannot read our message, or refuses something in it"),
            "TEMPORARY_FAILURE" => (Code::Unknown, "the peer is busy with something else at the moment"),
            _ => (Code::Unknown, "the peer refuses"),
        };
        found(code, Confidence::Answer, format!("{plain} ({word})"))
    }
}
