//! Certificates that end soon, or have ended since they were given.

use super::{Finding, Weakness};
use crate::ipsec::{Connection, Part};
use jiff::{SignedDuration, Timestamp};

/// How long before its end a certificate is spoken of.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The certificates and revocation lists of `connection` that end within 30 days of `now`.
#[must_use]
pub fn expiring(connection: &Connection, now: Timestamp) -> Vec<Finding> {
    let Some(certs) = connection.auth.certs() else { return Vec::new() };
    let advice = |what: String, end: Timestamp| {
        // The same words until it has ended: a warning that changes every day is a new one every day.
        let verb = if end < now { "expired" } else { "expires" };
        Weakness::ExpiringCert
            .at(Part::Certs, format!("has {what}, which {verb} at {end}: give a new bundle by a Change"))
    };
    let is_soon = |end: Timestamp| end.duration_since(now) < SOON;
    let certificates = certs.certificates().filter(|certificate| is_soon(certificate.not_after));
    let mut found: Vec<_> = certificates
        .map(|certificate| advice(format!("the certificate '{}'", certificate.subject.text), certificate.not_after))
        .collect();
    let lists = certs.crls.iter().filter_map(|crl| Some((crl, crl.next_update?)));
    found.extend(lists.filter(|(_, end)| end < &now).map(|(crl, end)| {
        let text = format!("has an X509 CRL of '{}' that is out of date since {end}: give a new one", crl.issuer_text);
        Weakness::ExpiringCert.at(Part::Certs, text)
    }));
    found
}
