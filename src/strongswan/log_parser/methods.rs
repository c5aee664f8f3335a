//! Authentication methods other than the configured one: aggressive mode, XAUTH, EAP, certificates in place of a key.

use super::{
    cause::{Confidence, Found, found},
    trace::IkeSaTrace,
};
use crate::ipsec::Code;

impl IkeSaTrace {
    /// The cause if the peer uses another authentication method.
    pub(super) fn methods(&self, text: &str) -> Option<Found> {
        if text == "Aggressive Mode PSK disabled for security reasons" {
            return found(Code::AggressiveMode, Confidence::Evidence, aggressive(text));
        }
        let follows =
            matches!(text, "no alternative config found" | "no matching peer config found" | "no peer config found");
        let (code, details) = match &self.method {
            Some((code, known)) if follows => (*code, format!("{known}; {text}")),
            _ => mismatch(text)?,
        };
        found(code, Confidence::Evidence, details)
    }

    /// The same cause, unless the peer uses aggressive mode: then nothing that it sends can be accepted.
    pub(super) fn in_its_mode(&self, found: Found) -> Found {
        let is_another = matches!(found.code, Code::AggressiveMode | Code::IkeVersionMismatch) || !self.aggressive;
        if is_another || self.established {
            return found;
        }
        Found::new(Code::AggressiveMode, Confidence::Evidence, aggressive(&found.details))
    }
}

fn aggressive(said: &str) -> String {
    format!(
        "the peer calls in aggressive mode, which is never accepted here: main mode or IKEv2 is wanted (charon: {said})"
    )
}

/// What the line says of the peer's method of authentication, if that is not what is configured.
pub(super) fn mismatch(text: &str) -> Option<(Code, String)> {
    if let Some(rest) = text.strip_prefix("found ")
        && let Some((_, rest)) = rest.split_once(", but none allows ")
    {
        let (method, mode) = rest.split_once(" authentication using ")?;
        return Some(match method {
            _ if mode.starts_with("Aggressive") => (Code::AggressiveMode, aggressive(text)),
            _ if method.to_ascii_lowercase().contains("xauth") || method.starts_with("Hybrid") => (
                Code::RemoteAccess,
                format!("the peer wants XAUTH, a user's name and password ({method}; charon: {text})"),
            ),
            _ => (Code::AuthFailed, otherwise(method, text)),
        });
    }
    if let Some(rest) = text.strip_prefix("constraint requires ") {
        let (_, used) = rest.split_once(" authentication, but ")?;
        return Some((Code::AuthFailed, otherwise(used.strip_suffix(" was used")?, text)));
    }
    // XAUTH credentials, and a gateway that asks for a virtual address as remote-access clients do.
    let is_xauth = text.starts_with("parsed TRANSACTION request ") && text.contains("(X_");
    let details = match text {
        "peer requested EAP, config unacceptable" => "the peer wants to authenticate with EAP",
        "configuration payload negotiation failed, no CHILD_SA built" => "the peer wants an address from this gateway",
        _ if is_xauth => "the peer wants XAUTH, a user's name and password",
        _ if text.starts_with("server requested EAP_") => "the peer wants this gateway to authenticate with EAP",
        _ => return None,
    };
    Some((Code::RemoteAccess, format!("{details} (charon: {text})")))
}

fn otherwise(method: &str, said: &str) -> String {
    format!("the peer authenticates with {method}, which is not what is configured here (charon: {said})")
}
