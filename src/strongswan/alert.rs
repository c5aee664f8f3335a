//! The `alert` event of strongSwan 6.0.3 and later: a failure with a name of its own.

use super::{
    section::Section,
    words::{self, shorten},
};
use crate::{
    ipsec::Code,
    strongswan::log_parser::{Confidence, FailureCause, configuration},
};
use std::net::IpAddr;

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What kind it is, such as `proposal-mismatch-ike`.
    pub kind: String,
    /// The name of the IKE SA's configuration, if it is known.
    pub name: Option<String>,
    /// The peer's address, if there is an IKE SA.
    pub remote: Option<IpAddr>,
    /// Whether that IKE SA was up.
    pub established: bool,
}

impl Alert {
    /// The alert in an event.
    #[must_use]
    pub fn read(event: &Section) -> Option<Self> {
        let (name, sa) = event.section("ike-sa").and_then(|all| all.sections().next()).unzip();
        Some(Self {
            kind: shorten(event.text("type")?, words::NAME),
            name: name.and_then(configuration),
            remote: sa.and_then(|sa| sa.text("remote-host")?.parse().ok()),
            established: sa.is_some_and(|sa| sa.text("state") == Some("ESTABLISHED")),
        })
    }

    /// The cause, if the alert is one. Wrong keys, missing keys and wrong identities share one name.
    #[must_use]
    pub fn cause(&self) -> Option<FailureCause> {
        let code = match self.kind.as_str() {
            "local-auth-failed" => Code::PeerRefusedAuth,
            "peer-auth-failed" => Code::AuthFailed,
            "proposal-mismatch-ike" => Code::NoProposalIke,
            "proposal-mismatch-child" => Code::NoProposalChild,
            "ts-mismatch" => Code::TsMismatch,
            "retransmit-send-timeout" if self.established => Code::DpdTimeout,
            "retransmit-send-timeout" | "peer-init-unreachable" => Code::PeerUnreachable,
            "cert-expired"
            | "cert-revoked"
            | "cert-validation-failed"
            | "cert-no-issuer"
            | "cert-untrusted-root"
            | "cert-exceeded-path-len"
            | "cert-policy-violation" => Code::CertInvalid,
            _ => return None,
        };
        let details = format!("charon's alert is {}", self.kind);
        Some(FailureCause::new(code, Confidence::Hint, details))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(kind: &str, state: &str) -> Alert {
        let sa = Section::new().with("state", state).with("remote-host", "192.0.2.2");
        let event = Section::new().with("type", kind).with("ike-sa", Section::new().with("cygnet-x", sa));
        Alert::read(&event).expect("an alert")
    }

    #[test]
    fn alerts_name_causes() {
        let read = alert("proposal-mismatch-ike", "CONNECTING");
        assert_eq!((read.name.as_deref(), read.remote), (Some("cygnet-x"), "192.0.2.2".parse().ok()));
        assert_eq!(read.cause().map(|cause| cause.code), Some(Code::NoProposalIke));
        let code = |kind, state| alert(kind, state).cause().map(|cause| cause.code);
        assert_eq!(code("retransmit-send-timeout", "CONNECTING"), Some(Code::PeerUnreachable));
        assert_eq!(code("retransmit-send-timeout", "ESTABLISHED"), Some(Code::DpdTimeout));
        assert_eq!(code("ts-narrowed", "ESTABLISHED"), None);
        assert_eq!(Alert::read(&Section::new()), None);
    }
}
