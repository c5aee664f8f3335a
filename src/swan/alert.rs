//! The `alert` event of strongSwan 6.0.3 and later: a failure with a name of its own.

use super::{
    section::Section,
    tale::{Clue, Weight},
};
use crate::ipsec::Code;
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
}

impl Alert {
    /// The alert in an event.
    #[must_use]
    pub fn read(event: &Section) -> Option<Self> {
        let kind = event.text("alert").or_else(|| event.text("type"))?.to_owned();
        let sa = event.sections().next();
        let remote = sa.and_then(|(_, sa)| sa.text("remote-host")?.parse().ok());
        Some(Self { kind, name: sa.map(|(name, _)| name.to_owned()), remote })
    }

    /// The cause that it names, if it is one.
    #[must_use]
    pub fn clue(&self) -> Option<Clue> {
        let code = match self.kind.as_str() {
            "local-auth-failed" => Code::PeerRefusedAuth,
            "peer-auth-failed" => Code::AuthFailed,
            "proposal-mismatch-ike" => Code::NoProposalIke,
            "proposal-mismatch-child" => Code::NoProposalChild,
            "ts-mismatch" => Code::TsMismatch,
            "ts-narrowed" => return None,
            "peer-init-unreachable" | "peer-addr-failed" => Code::PeerUnreachable,
            "retransmit-send-timeout" => Code::PeerUnreachable,
            "cert-expired" | "cert-revoked" | "cert-no-issuer" | "cert-untrusted-root" | "cert-validation-failed" => {
                Code::CertInvalid
            }
            _ => return None,
        };
        let weight = if code == Code::PeerUnreachable { Weight::Sign } else { Weight::Answer };
        let details = format!("charon's alert: {}", self.kind);
        Some(Clue { code, weight, child: None, version: None, details })
    }
}
