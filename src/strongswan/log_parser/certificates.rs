//! Faults of certificates. charon logs the cause first, and then only that no key is trusted.

use super::cause::{Confidence, Found, found};
use crate::{
    ipsec::Code,
    strongswan::words::{self, shorten},
};

/// The state about the peer's certificates.
#[derive(Debug, Clone, Default)]
pub(super) struct Certificates {
    /// The fault of one; later lines of charon only follow from it.
    cause: Option<String>,
    /// The subject of the certificate that the peer sent.
    subject: Option<String>,
    /// Whether charon looked at one for the peer's identity.
    is_used: bool,
}

impl Certificates {
    pub(super) fn remember(&mut self, text: &str) {
        if let Some(subject) = text.strip_prefix("received end entity cert ") {
            self.subject = Some(shorten(subject, words::VALUE));
        } else if text.starts_with("  using certificate ") {
            self.is_used = true;
        } else if let Some(plain) = plain(text)
            && (self.cause.is_none() || !follows(text))
        {
            self.cause = Some(format!("{plain} (charon: {})", shorten(text, words::VALUE)));
        }
    }

    /// The fault of a certificate, or charon's line that no other certificate is usable.
    pub(super) fn diagnose(&self, text: &str) -> Option<Found> {
        let Self { cause, subject, is_used } = self;
        let untrusted = text.starts_with("no trusted ");
        let is_end =
            matches!(text, "no matching peer config found" | "no peer config found" | "no alternative config found");
        let details = match (cause, subject) {
            // This line or an earlier one gave the cause.
            (Some(cause), _) if plain(text).is_some() => cause.clone(),
            (Some(cause), _) if untrusted || is_end => format!("{cause}; {text}"),
            (None, Some(subject)) if untrusted && !is_used => {
                format!(
                    "the peer's certificate {subject} does not have the identity that the peer names (charon: {text})"
                )
            }
            (None, None) if untrusted => {
                format!("the peer has sent no certificate, and none is here for its identity (charon: {text})")
            }
            _ if untrusted => format!("the peer's certificate is not trusted (charon: {text})"),
            _ => return None,
        };
        found(Code::CertInvalid, Confidence::Evidence, details)
    }
}

/// Whether charon also logs this line after another cause.
fn follows(text: &str) -> bool {
    text.starts_with("signature validation failed") || text.starts_with("constraint check failed: ")
}

/// What the line says of a certificate, in plain words.
fn plain(text: &str) -> Option<&'static str> {
    let signs = [
        (
            "no issuer certificate found for ",
            "the certificate's issuer is unknown here: the CA is missing in the bundle",
        ),
        ("subject certificate invalid", "the certificate is expired, or not valid yet"),
        ("peer certificate invalid", "the certificate is expired, or not valid yet"),
        ("issuer certificate invalid", "the certificate of the CA is expired, or not valid yet"),
        ("certificate was revoked", "the certificate is revoked"),
        ("certificate status is unknown", "whether the certificate is revoked is not known"),
        ("constraint check failed: RULE_CRL_VALIDATION", "whether the certificate is revoked could not be checked"),
        ("constraint check failed: RULE_OCSP_VALIDATION", "whether the certificate is revoked could not be checked"),
        ("constraint check failed: peer not authenticated by CA ", "the certificate is of another CA"),
        ("constraint check failed: peer not authenticated with ", "the certificate is another one than is configured"),
        ("path length of ", "the chain has more CAs than one of them allows (path length)"),
        ("rejecting certificate without ", "the certificate's key usage does not allow signatures"),
        ("no certificate found for ", "the certificate is not here"),
        ("no private key found for ", "the private key is not here"),
        ("certificate policy ", "the chain does not allow the certificate's policy"),
        ("found policyMapping in ", "the chain does not allow the certificate's policy"),
        ("found anyPolicy in ", "the chain does not allow the certificate's policy"),
        ("constraint requires cert policy ", "the certificate does not have the policy that is required"),
        ("self-signed certificate ", "the certificate is self-signed, and not trusted here"),
        ("  self-signed certificate ", "the certificate is self-signed, and not trusted here"),
        ("signature validation failed", "the signature does not fit the certificate"),
    ];
    let names = ["match permitted name constraint ", "matches excluded name constraint ", "name constraint '"];
    if (text.starts_with("certificate '") || text.starts_with("intermediate CA '"))
        && names.iter().any(|n| text.contains(n))
    {
        return Some("a CA's name constraints do not allow the certificate's names");
    }
    if text.starts_with("policy ") && text.contains(" missing in issuing certificate ") {
        return Some("the chain does not allow the certificate's policy");
    }
    if text.starts_with("critical '") && text.ends_with(" extension not supported") {
        return Some("the certificate has a critical extension that charon does not know");
    }
    signs.iter().find(|(sign, _)| text.starts_with(sign)).map(|(_, plain)| *plain)
}
