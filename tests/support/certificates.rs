//! CAs and certificates to test with, made on the spot: nothing of them outlives the test.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, DnValue,
    GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use std::time::Duration;

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rsa,
    Ecdsa,
    Ecdsa384,
    Ed25519,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Rsa, Self::Ecdsa, Self::Ecdsa384, Self::Ed25519];

    /// A new key of this kind. Those of RSA are made by openssl, because ring cannot.
    fn key(self) -> KeyPair {
        match self {
            Self::Rsa => {
                let output = std::process::Command::new("openssl")
                    .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
                    .output()
                    .expect("openssl runs");
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                KeyPair::from_pem(&String::from_utf8(output.stdout).expect("PEM")).expect("a key")
            }
            Self::Ecdsa => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key"),
            Self::Ecdsa384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key"),
            Self::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key"),
        }
    }
}

/// A CA: its key, what it was made of, and its certificate.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key.
pub struct Issued {
    pub key: String,
    pub pem: String,
}

/// What a certificate is made of, beside its names.
pub struct Wanted<'a> {
    pub kind: Kind,
    pub subject: &'a str,
    pub alternatives: &'a [&'a str],
    /// Its first and last moment.
    pub valid: (Timestamp, Timestamp),
    pub serial: u64,
}

/// The first moment of a year.
pub fn year(year: i16) -> Timestamp {
    format!("{year}-01-01T00:00:00Z").parse().expect("a time")
}

/// The parameters of a certificate with this subject, such as `C=CH, CN=gw`.
fn params(subject: &str, alternatives: &[&str]) -> CertificateParams {
    let (mails, names): (Vec<_>, Vec<_>) =
        alternatives.iter().map(|name| (*name).to_owned()).partition(|n| n.contains('@'));
    let mut params = CertificateParams::new(names).expect("names");
    let mails = mails.into_iter().map(|mail| SanType::Rfc822Name(mail.try_into().expect("ASCII")));
    params.subject_alt_names.extend(mails);
    params.distinguished_name = DistinguishedName::new();
    // A comma that no attribute follows is one of the value.
    let mut parts: Vec<String> = Vec::new();
    for part in subject.split(", ") {
        match parts.last_mut() {
            Some(last) if !part.contains('=') => last.extend([", ", part]),
            _ => parts.push(part.to_owned()),
        }
    }
    for part in &parts {
        let (word, value) = part.split_once('=').expect("an attribute");
        let kind = match word {
            "C" => DnType::CountryName,
            // As strongSwan's own tools encode it; elsewhere it is UTF-8.
            "O" => {
                let value = DnValue::PrintableString(value.try_into().expect("printable"));
                params.distinguished_name.push(DnType::OrganizationName, value);
                continue;
            }
            "CN" => DnType::CommonName,
            other => panic!("{other} is not used here"),
        };
        params.distinguished_name.push(kind, value);
    }
    params.key_identifier_method = KeyIdMethod::Sha256;
    params
}

fn of_ca(subject: &str) -> CertificateParams {
    let mut params = params(subject, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Ca {
    /// A root.
    pub fn new(kind: Kind, subject: &str) -> Self {
        let (params, key) = (of_ca(subject), kind.key());
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A CA under this one.
    pub fn intermediate(&self, subject: &str) -> Self {
        let (params, key) = (of_ca(subject), Kind::Ecdsa.key());
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A root that has ended.
    pub fn expired(subject: &str) -> Self {
        let (mut params, key) = (of_ca(subject), Kind::Ecdsa.key());
        params.not_after = date_time_ymd(2020, 1, 1);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The certificate of `other`, which has this subject, by this CA.
    pub fn cross_sign(&self, other: &Self, subject: &str, serial: u64) -> String {
        let mut params = of_ca(subject);
        params.serial_number = Some(SerialNumber::from(serial));
        params.signed_by(other.issuer.key(), &self.issuer).expect("a certificate").pem()
    }

    /// A root for hosts under `domain` only.
    pub fn for_domain(subject: &str, domain: &str) -> Self {
        let (mut params, key) = (of_ca(subject), Kind::Ecdsa.key());
        let permitted_subtrees = vec![GeneralSubtree::DnsName(domain.to_owned())];
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A root that allows no other CA under it.
    pub fn without_intermediates(subject: &str) -> Self {
        let (mut params, key) = (of_ca(subject), Kind::Ecdsa.key());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate that may encrypt keys and not sign.
    pub fn issue_for_encryption(&self, subject: &str, alternatives: &[&str]) -> Issued {
        let (mut params, key) = (params(subject, alternatives), Kind::Ecdsa.key());
        params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Issued { key: key.serialize_pem(), pem }
    }

    /// A certificate that ends at `99991231235959Z`, which RFC 5280 gives the meaning "no end".
    pub fn issue_without_end(&self, subject: &str) -> Issued {
        let (mut params, key) = (params(subject, &[]), Kind::Ecdsa.key());
        params.not_after = date_time_ymd(9999, 12, 31) + Duration::from_secs(86_399);
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Issued { key: key.serialize_pem(), pem }
    }

    /// A certificate of this century.
    pub fn issue(&self, kind: Kind, subject: &str, alternatives: &[&str]) -> Issued {
        self.issue_as(&Wanted { kind, subject, alternatives, valid: (year(2000), year(2090)), serial: 1 })
    }

    /// A certificate as wanted.
    pub fn issue_as(&self, wanted: &Wanted<'_>) -> Issued {
        let (mut params, key) = (params(wanted.subject, wanted.alternatives), wanted.kind.key());
        let moment = |time: Timestamp| {
            let since = u64::try_from(time.as_second()).expect("after 1970");
            date_time_ymd(1970, 1, 1) + Duration::from_secs(since)
        };
        params.not_before = moment(wanted.valid.0);
        params.not_after = moment(wanted.valid.1);
        params.serial_number = Some(SerialNumber::from(wanted.serial));
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Issued { key: key.serialize_pem(), pem }
    }

    /// The list of its certificates with these serial numbers, as revoked.
    pub fn crl(&self, serials: &[u64]) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2049, 1, 1),
            crl_number: SerialNumber::from(serials.len() as u64 + 1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }

    /// Its certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

impl Issued {
    /// The bundle with these CAs.
    pub fn bundle(&self, cas: &[&Ca]) -> String {
        let cas: String = cas.iter().map(|ca| ca.pem.as_str()).collect();
        format!("{}{}{cas}", self.key, self.pem)
    }
}
