//! X.509 certificates and revocation lists (RFC 5280), as far as a connection needs to know them.

use super::{
    pem,
    signature::{self, Verdict},
};
use crate::ipsec::{Dn, Identity, Invalid};
use jiff::Timestamp;
use std::net::IpAddr;
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, oid_registry::OID_SIG_ED25519, prelude::FromDer,
    revocation_list::CertificateRevocationList, time::ASN1Time, x509::X509Name,
};

/// A certificate that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// Whom it certifies.
    pub subject: Dn,
    /// Its first moment.
    pub not_before: Timestamp,
    /// Its last moment.
    pub not_after: Timestamp,
    /// The names of its subject beside the distinguished one that IKE knows: host names, mail and IP addresses.
    pub alternatives: Vec<Identity>,
    pub(super) issuer: Vec<u8>,
    pub(super) serial: Vec<u8>,
    pub(super) is_ca: bool,
    pub(super) public: Vec<u8>,
    /// Whether its key is an Ed25519 key, which IKEv1 does not know.
    pub is_ed25519: bool,
    /// The hashes with which its key may make signatures, if it is for RSA-PSS alone, which IKEv1 does not know.
    pub pss_hashes: Option<Vec<&'static str>>,
    /// The size of its key, if that is of RSA.
    pub rsa_bits: Option<usize>,
    /// The algorithm of its signature, if charon cannot check that.
    pub(super) beyond_charon: Option<String>,
}

impl Certificate {
    /// The certificate `der`.
    ///
    /// # Errors
    /// When it is none, or has values that IKE cannot use.
    pub(super) fn new(der: &[u8]) -> Result<Self, Invalid> {
        let unreadable = || Invalid::new("has a certificate that cannot be read");
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| unreadable())?;
        if !rest.is_empty() {
            return Err(unreadable());
        }
        let subject = Dn { der: parsed.subject().as_raw().to_vec(), text: shown(parsed.subject()) };
        let names = parsed.subject_alternative_name().map_err(|_| unreadable())?;
        let alternatives =
            names.map_or_else(Vec::new, |names| names.value.general_names.iter().filter_map(alternative).collect());
        let info = parsed.public_key();
        Ok(Self {
            der: der.to_vec(),
            subject,
            not_before: timestamp(parsed.validity().not_before).ok_or_else(unreadable)?,
            not_after: timestamp(parsed.validity().not_after).ok_or_else(unreadable)?,
            alternatives,
            issuer: parsed.issuer().as_raw().to_vec(),
            serial: parsed.raw_serial().to_vec(),
            is_ca: parsed.is_ca(),
            public: info.subject_public_key.data.to_vec(),
            is_ed25519: info.algorithm.algorithm == OID_SIG_ED25519,
            pss_hashes: signature::pss_hashes(info),
            rsa_bits: signature::rsa_bits(info),
            beyond_charon: signature::beyond_charon(&parsed.signature_algorithm.algorithm),
        })
    }

    /// Its last moment as text, `never` if it has none.
    #[must_use]
    pub fn end(&self) -> String {
        if self.not_after.as_second() == Timestamp::MAX.as_second() {
            return "never".into();
        }
        self.not_after.to_string()
    }

    /// It in its parts.
    pub(super) fn parsed(&self) -> Option<X509Certificate<'_>> {
        X509Certificate::from_der(&self.der).ok().map(|(_, parsed)| parsed)
    }

    /// Whether `now` is in its time.
    pub(super) fn is_valid_at(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// It as PEM text.
    #[must_use]
    pub fn pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, &self.der).to_string()
    }

    /// What it is, in binary.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether its subject may be called so, as charon compares.
    #[must_use]
    pub fn is_for(&self, identity: &Identity) -> bool {
        self.is_subject(identity) || self.alternatives.iter().any(|name| name.matches(identity))
    }

    /// Whether that is its subject, by its encoding or by its text.
    #[must_use]
    pub fn is_subject(&self, identity: &Identity) -> bool {
        let by_text = matches!(identity, Identity::Dn(dn) if dn.is_text_of(&self.subject));
        by_text || identity.matches(&Identity::Dn(self.subject.clone()))
    }

    /// All its names, for people.
    #[must_use]
    pub fn names(&self) -> String {
        let subject = format!("the subject '{}'", self.subject.text);
        let others = self.alternatives.iter().map(|name| match name {
            Identity::Ip(address) => format!("the address {address}"),
            name => format!("the name '{}'", name.plain()),
        });
        std::iter::once(subject).chain(others).collect::<Vec<_>>().join(", ")
    }

    /// Whether it is a root, as far as can be told.
    pub(super) fn is_self_signed(&self) -> bool {
        self.is_signed_by(self)
    }

    /// Whether its issuer is itself, be it a CA or not, as far as can be told.
    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject.der && self.signature_of(self).is_possible()
    }

    /// Whether `ca` issued it: by its name and by its signature, as far as that can be told.
    pub(super) fn is_signed_by(&self, ca: &Self) -> bool {
        ca.is_ca && self.issuer == ca.subject.der && self.signature_of(ca).is_possible()
    }

    fn signature_of(&self, ca: &Self) -> Verdict {
        let verdict = || {
            let (signed, issuer) = (self.parsed()?, ca.parsed()?);
            let (algorithm, value) = (&signed.signature_algorithm, &signed.signature_value);
            Some(signature::verdict(issuer.public_key(), algorithm, value, signed.tbs_certificate.as_ref()))
        };
        verdict().unwrap_or(Verdict::Wrong)
    }
}

/// A name that IKE can use; wildcards are none.
fn alternative(name: &GeneralName<'_>) -> Option<Identity> {
    let sound = |text: &str| !text.is_empty() && !text.contains(|c: char| c == '*' || c.is_control());
    match name {
        GeneralName::DNSName(name) if sound(name) => Some(Identity::Fqdn((*name).into())),
        GeneralName::RFC822Name(name) if sound(name) => Some(Identity::Email((*name).into())),
        GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
            .ok()
            .map(Identity::Ip),
        _ => None,
    }
}

/// The name for people, on one line whatever is in it.
fn shown(name: &X509Name<'_>) -> String {
    name.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The moment, or the last one that a timestamp can say: RFC 5280's `99991231235959Z`, "no end", lies a day behind it.
fn timestamp(time: ASN1Time) -> Option<Timestamp> {
    Timestamp::from_second(time.timestamp().min(Timestamp::MAX.as_second())).ok()
}

/// A list of revoked certificates that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl {
    der: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    /// Who issued it, for people.
    pub issuer_text: String,
    /// Its first moment.
    pub this_update: Timestamp,
    /// When there is a newer one, if it says so.
    pub next_update: Option<Timestamp>,
    revoked: Vec<Vec<u8>>,
    /// The algorithm of its signature, if charon cannot check that.
    pub(super) beyond_charon: Option<String>,
}

impl Crl {
    /// The list `der`.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn new(der: &[u8]) -> Result<Self, Invalid> {
        let unreadable = || Invalid::new("has an X509 CRL that cannot be read");
        let (rest, parsed) = CertificateRevocationList::from_der(der).map_err(|_| unreadable())?;
        if !rest.is_empty() {
            return Err(unreadable());
        }
        Ok(Self {
            der: der.to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            issuer_text: shown(parsed.issuer()),
            this_update: timestamp(parsed.last_update()).ok_or_else(unreadable)?,
            next_update: parsed.next_update().and_then(timestamp),
            beyond_charon: signature::beyond_charon(&parsed.signature_algorithm.algorithm),
            revoked: parsed.iter_revoked_certificates().map(|entry| entry.raw_serial().to_vec()).collect(),
        })
    }

    /// It as PEM text.
    #[must_use]
    pub fn pem(&self) -> String {
        pem::encode(pem::CRL, &self.der).to_string()
    }

    /// What it is, in binary.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether `ca` issued it: by its name and by its signature, as far as that can be told.
    pub(super) fn is_signed_by(&self, ca: &Certificate) -> bool {
        let verdict = || {
            let (_, parsed) = CertificateRevocationList::from_der(&self.der).ok()?;
            let issuer = ca.parsed()?;
            let (algorithm, value) = (&parsed.signature_algorithm, &parsed.signature_value);
            Some(signature::verdict(issuer.public_key(), algorithm, value, parsed.tbs_cert_list.as_ref()))
        };
        self.issuer == ca.subject.der && verdict().is_some_and(Verdict::is_possible)
    }

    /// Whether `certificate` is revoked by it.
    pub(super) fn revokes(&self, certificate: &Certificate) -> bool {
        self.issuer == certificate.issuer && self.revoked.contains(&certificate.serial)
    }
}
